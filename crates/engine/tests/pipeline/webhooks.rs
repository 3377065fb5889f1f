//! Tenants are told of status changes.

use std::time::Duration;

use sms_core::{DeliveryState, Status, TenantId};

use crate::fixtures::{Bench, Setup, otp, tenant, to};

fn told(bench: &Bench) -> Vec<(String, String)> {
    let calls = bench.hooks.calls.lock().unwrap();
    let one = |call: &sms_engine::WebhookCall| {
        let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
        let id = call.headers.iter().find(|(name, _)| *name == "webhook-id").unwrap().1.clone();
        (body["type"].as_str().unwrap().to_owned(), id)
    };
    calls.iter().map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn each_change_is_told_once_and_signed() {
    let bench = Bench::start(Setup { webhook: true, ..Setup::default() }).await;
    let id = bench.send_and_wait(to("+41790000001"), Duration::from_secs(1)).await.id;
    bench.receipt("a", id, DeliveryState::Delivered).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let types: Vec<String> = told(&bench).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(types, ["message.sent", "message.delivered"]);
    let calls = bench.hooks.calls.lock().unwrap();
    let signature = &calls[1].headers.iter().find(|(name, _)| *name == "webhook-signature").unwrap().1;
    assert!(signature.starts_with("v1,"));
    let body: serde_json::Value = serde_json::from_slice(&calls[1].body).unwrap();
    assert_eq!(body["data"]["id"], id.to_string());
    assert_eq!(body["data"]["status"], "delivered");
    assert!(!String::from_utf8_lossy(&calls[1].body).contains("123456"), "a code never leaves by webhook");
}

#[tokio::test(start_paused = true)]
async fn a_failed_telling_is_repeated_with_the_same_id() {
    let bench = Bench::start(Setup { webhook: true, ..Setup::default() }).await;
    bench.hooks.answers.lock().unwrap().extend([500, 503]);
    bench.send_and_wait(otp(), Duration::from_secs(80)).await;
    let told = told(&bench);
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|one| *one == told[0]));
}

#[tokio::test(start_paused = true)]
async fn without_a_webhook_nobody_is_told() {
    let bench = Bench::start(Setup::default()).await;
    let record = bench.send_and_wait(otp(), Duration::from_mins(1)).await;
    assert_eq!(record.status, Status::Sent);
    assert!(bench.hooks.calls.lock().unwrap().is_empty());
}

/// A message with its own URL: another endpoint of the same tenant.
fn to_url(n: u32, url: &str) -> sms_engine::SendRequest {
    let mut request = to(&format!("+4179{n:07}"));
    request.callback_url = Some(url.to_owned());
    request
}

/// Virtual milliseconds from acceptance to the webhook of each of `count` messages to tenant `other`, sorted.
async fn delays(bench: &Bench, from: u32, count: u32) -> Vec<u128> {
    let mut took = Vec::new();
    for n in from..from + count {
        let began = tokio::time::Instant::now();
        let request = to_url(n, "https://prompt.example/sms");
        let id = bench.engine.submit(&TenantId::new("other"), request).await.unwrap().id.to_string();
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let told = bench.hooks.calls.lock().unwrap();
            if told.iter().any(|call| String::from_utf8_lossy(&call.body).contains(&id)) {
                break;
            }
            assert!(began.elapsed() < Duration::from_mins(2), "it is told at all");
        }
        took.push(began.elapsed().as_millis());
    }
    took.sort_unstable();
    took
}

#[tokio::test(start_paused = true)]
async fn a_hanging_endpoint_with_a_full_queue_delays_another_tenant_by_nothing() {
    let bench = Bench::start(Setup { webhook: true, ..Setup::default() }).await;
    let alone = delays(&bench, 0, 100).await;
    *bench.hooks.hangs.lock().unwrap() = Some("slow.example");
    for n in 0..500 {
        bench.submit(to_url(1_000 + n, "https://slow.example/")).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let beside = delays(&bench, 500, 100).await;
    let (alone, beside) = (alone[98], beside[98]);
    assert!(beside * 100 <= alone * 105, "p99 {beside} ms beside a hanging endpoint, {alone} ms alone");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_is_called_by_one_at_a_time_in_the_end() {
    let bench = Bench::start(Setup { webhook: true, ..Setup::default() }).await;
    *bench.hooks.hangs.lock().unwrap() = Some("acme.example");
    for n in 0..100 {
        bench.submit(to(&format!("+4179{n:07}"))).await.unwrap();
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    let before = bench.hooks.calls.lock().unwrap().len();
    tokio::time::sleep(Duration::from_mins(5)).await;
    let calls = bench.hooks.calls.lock().unwrap().len() - before;
    assert!((28..=31).contains(&calls), "one every ten seconds: {calls}");
}

#[tokio::test(start_paused = true)]
async fn tellings_follow_the_schedule_until_one_is_taken() {
    let bench = Bench::start(Setup { webhook: true, ..Setup::default() }).await;
    *bench.hooks.always.lock().unwrap() = Some(500);
    bench.submit(otp()).await.unwrap();
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(bench.engine.endpoint(&tenant()).unwrap().failing_since.is_some());
    *bench.hooks.always.lock().unwrap() = None;
    tokio::time::sleep(Duration::from_mins(50)).await;
    let times = bench.hooks.times.lock().unwrap().clone();
    assert_eq!(times.len(), 5, "the fifth was taken");
    for (pause, planned) in times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).zip([5, 60, 300, 1_800]) {
        let planned = f64::from(planned);
        assert!((planned * 0.9..planned * 1.1 + 1.0).contains(&pause), "{pause} s instead of {planned} s");
    }
    let told = told(&bench);
    assert!(told.iter().all(|one| *one == told[0]), "the same event with the same id");
    assert_eq!(bench.engine.endpoint(&tenant()).unwrap().failing_since, None);
}

#[tokio::test(start_paused = true)]
async fn callers_urls_disable_nothing() {
    let bench = Bench::start(Setup { webhook: true, ..Setup::default() }).await;
    bench.hooks.answers.lock().unwrap().extend([410, 410]);
    bench.submit(to_url(1, "https://gone.example/")).await.unwrap();
    bench.submit(to_url(2, "https://gone.example/")).await.unwrap();
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(bench.hooks.calls.lock().unwrap().len(), 2, "410: never again");
    assert_eq!(bench.engine.endpoint(&tenant()).unwrap().disabled_since, None);
    bench.submit(otp()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.hooks.calls.lock().unwrap().len(), 3, "the tenant's own is called");
}
