//! Tenants are told of status changes.

use std::time::Duration;

use sms_core::{DeliveryState, Status};

use crate::fixtures::{Bench, Setup, otp, to};

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
