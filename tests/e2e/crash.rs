//! Kill -9, twenty times under load and at chosen moments: what was answered is kept, is sent, and is not sent too often.
//! `E2E_KILLS` asks for more, `E2E_SEED` for the same again.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

mod judge;
mod load;

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::{Behaviour, Gateway, Luck, Mitto, MittoSend, PATIENCE, ReceiptPlan, eventually, knob, swiss};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use judge::Run;
use load::{Kind, Load, Sent, post};

/// Messages a second.
const RATE: u32 = 400;

/// How long the upstream takes.
const LATENCY: Duration = Duration::from_millis(20);

/// Attempts at the same time and provider.
pub(crate) const CONCURRENCY: usize = 32;

const ROUTE: &str = "unknown_wait = \"1s\"";

#[tokio::test]
async fn accepted_means_durable_over_twenty_kills_with_one_provider() {
    let upstream = Mitto::start();
    upstream.answer_after(LATENCY);
    let builder = Gateway::builder().mitto_with("mitto", &upstream, &format!("concurrency = {CONCURRENCY}"));
    let gateway = builder.route("default", &format!("use = [\"mitto\"]\n{ROUTE}")).start().await;
    kill_under_load(gateway, &[&upstream], knob("E2E_KILLS", 20), || ()).await;
}

#[tokio::test]
async fn accepted_means_durable_over_twenty_kills_with_two_providers() {
    let (one, two) = (Mitto::start(), Mitto::start());
    let lines = format!("concurrency = {CONCURRENCY}");
    for upstream in [&one, &two] {
        upstream.answer_after(LATENCY);
        upstream.receipts(Some(ReceiptPlan { unanswered: true, ..ReceiptPlan::delivered(LATENCY) }));
    }
    let builder = Gateway::builder().mitto_with("one", &one, &lines).mitto_with("two", &two, &lines);
    let gateway = builder.route("default", &format!("use = [\"one\", \"two\"]\n{ROUTE}")).start().await;
    kill_under_load(gateway, &[&one, &two], knob("E2E_KILLS", 20), || ()).await;
}

/// Kills so many times; `meanwhile` is what happens to the files between a death and the next start.
pub(crate) async fn kill_under_load(
    mut gateway: Gateway,
    upstreams: &[&Mitto],
    times: u64,
    mut meanwhile: impl FnMut(),
) {
    let (mut luck, mut kills, began) = (Luck::thrown(), Vec::new(), Instant::now());
    let load = Load::start(gateway.acme(), RATE);
    for _ in 0..times {
        sleep(luck.pause(100..700)).await;
        gateway.kill9();
        kills.push(Instant::now());
        meanwhile();
        gateway.restart().await;
    }
    sleep(LATENCY).await;
    let sent = load.stop().await;
    let loaded = began.elapsed();
    wait_quiet(&gateway).await;

    let wire = wire(upstreams);
    let in_flight_max = 2 * CONCURRENCY * upstreams.len(); // on the wire, and answered but not yet durable
    let run = Run { sent: &sent, wire: &wire, kills: &kills, in_flight_max };
    let figures = run.judge(&gateway.acme()).await;
    replays_are_byte_identical(&gateway, &sent).await;
    eprintln!("{} kills in {loaded:.1?}: {figures:#?}", kills.len());
    assert_eq!(wire.len(), self::wire(upstreams).len(), "asking and repeating sends nothing");
}

/// Every send that was read, in order.
fn wire(upstreams: &[&Mitto]) -> Vec<MittoSend> {
    let mut sends: Vec<MittoSend> = upstreams.iter().flat_map(|upstream| upstream.sends()).collect();
    sends.sort_by_key(|send| send.at);
    sends
}

/// Waits until no message waits for anything.
async fn wait_quiet(gateway: &Gateway) {
    let what = "nothing is queued or sending";
    eventually(what, 2 * PATIENCE, async || {
        let metrics = gateway.metrics().await;
        let count = |stage| metrics.sum("gateway_messages_in_flight", &[("stage", stage)]).expect("a gauge");
        (count("queued") + count("sending") == 0.0).then_some(())
    })
    .await;
}

async fn replays_are_byte_identical(gateway: &Gateway, sent: &[Sent]) {
    let keyed: Vec<&Sent> = sent.iter().filter(|sent| sent.kind == Kind::OtpKeyed).collect();
    assert!(keyed.len() > 10, "the load had requests with a key");
    for sent in keyed {
        let first = sent.answer.as_ref().expect("asked until answered");
        let again = post(&gateway.acme(), sent).await.expect("an answer").expect(202);
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(again.body, first.body, "{} and {}", again.text(), first.text());
    }
}

/// Waits a second for a receipt, then sends the second copy.
async fn hanging(upstream: &Mitto) -> Gateway {
    upstream.behave(Behaviour::HangAfterRead);
    let builder = Gateway::builder().mitto_with("mitto", upstream, "timeout = \"10s\"");
    builder.route("default", &format!("use = [\"mitto\"]\n{ROUTE}")).start().await
}

fn message(to: &str, class: &str) -> Value {
    json!({ "to": to, "text": "Your code is 482913", "class": class })
}

#[tokio::test]
async fn otp_copies_max_two_over_kills_in_flight() {
    let upstream = Mitto::start();
    let mut gateway = hanging(&upstream).await;
    let id = gateway.acme().accepted(&message(&swiss(1), "otp")).await;
    for copies in 1..=2 {
        assert!(upstream.wait_for_sends(copies, PATIENCE).await);
        gateway.kill9();
        gateway.restart().await;
    }
    let message = gateway.acme().wait_status(&id, "unknown").await;
    assert_eq!(message["attempts"].as_array().map(Vec::len), Some(2), "{message}");
    for attempt in message["attempts"].as_array().unwrap() {
        assert_eq!((attempt["outcome"].as_str(), attempt["provider"].as_str()), (Some("unknown"), Some("mitto")));
    }
    gateway.kill9();
    gateway.restart().await;
    sleep(Duration::from_millis(1_500)).await; // longer than `unknown_wait`
    let texts: BTreeSet<String> = upstream.sends().into_iter().map(|send| send.text).collect();
    assert_eq!((upstream.sends().len(), texts.len()), (2, 1), "two copies of one text, ever");
}

#[tokio::test]
async fn transactional_never_resent_on_unknown_over_a_kill_in_flight() {
    let upstream = Mitto::start();
    let mut gateway = hanging(&upstream).await;
    let id = gateway.acme().accepted(&message(&swiss(1), "transactional")).await;
    assert!(upstream.wait_for_sends(1, PATIENCE).await);
    gateway.kill9();
    upstream.behave(Behaviour::Accept);
    gateway.restart().await;
    gateway.acme().wait_status(&id, "unknown").await;
    sleep(Duration::from_millis(1_500)).await; // longer than `unknown_wait`
    assert_eq!(upstream.sends().len(), 1, "exactly one copy");
}

#[tokio::test]
async fn a_receipt_lifts_what_a_kill_left_unknown() {
    let upstream = Mitto::start();
    let plan = ReceiptPlan { unanswered: true, ..ReceiptPlan::delivered(Duration::from_millis(1_500)) };
    upstream.receipts(Some(plan));
    let mut gateway = hanging(&upstream).await;
    let id = gateway.acme().accepted(&message(&swiss(1), "transactional")).await;
    assert!(upstream.wait_for_sends(1, PATIENCE).await);
    gateway.kill9();
    gateway.restart().await;
    gateway.acme().wait_status(&id, "unknown").await;
    gateway.acme().wait_status(&id, "delivered").await;
    assert_eq!(upstream.sends().len(), 1);
}

#[tokio::test]
async fn idempotent_replay_is_byte_identical_after_kill_9() {
    let upstream = Mitto::start();
    let mut gateway = hanging(&upstream).await;
    let acme = gateway.acme();
    let (key, body) = ([("idempotency-key", "login-1")], message(&swiss(1), "otp"));
    let first = acme.send_with(&key, &body).await.expect(202);
    assert_eq!(first.header("idempotent-replayed"), "");
    gateway.kill9();
    gateway.restart().await;
    for _ in 0..3 {
        let again = acme.send_with(&key, &body).await.expect(202);
        assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &first.body));
    }
    let other = acme.send_with(&key, &message(&swiss(2), "otp")).await;
    other.problem(422, "idempotency_key_reuse");
    let fresh = acme.send_with(&[("idempotency-key", "login-2")], &body).await.expect(202);
    assert_ne!(fresh.message_id(), first.message_id());
}

#[tokio::test]
async fn a_queue_outlives_kills_and_gets_through_in_time() {
    const MESSAGES: u32 = 160;
    const SLOTS: usize = 16;
    let upstream = Mitto::start();
    upstream.answer_after(Duration::from_secs(2));
    let builder = Gateway::builder().mitto_with("mitto", &upstream, &format!("concurrency = {SLOTS}"));
    let mut gateway = builder.route("default", &format!("use = [\"mitto\"]\n{ROUTE}")).start().await;
    let acme = gateway.acme();
    let mut ids = Vec::new();
    for n in 0..MESSAGES {
        ids.push(acme.accepted(&message(&swiss(n), "otp")).await);
    }
    let mut luck = Luck::thrown();
    for _ in 0..2 {
        sleep(luck.pause(200..1_000)).await;
        assert!(upstream.sends().len() < ids.len(), "a queue stands in the gateway");
        gateway.kill9();
        gateway.restart().await;
    }
    upstream.answer_after(Duration::from_millis(50));
    let began = Instant::now();
    wait_quiet(&gateway).await;
    eprintln!("{MESSAGES} messages through in {:.1?} after the second kill", began.elapsed());
    for id in &ids {
        let message = acme.message(id).await;
        assert_eq!(message["status"], "sent", "{message}");
    }
    let sends = upstream.sends();
    let copies = |id: &String| sends.iter().filter(|send| send.reference == *id).count();
    assert!(ids.iter().all(|id| (1..=2).contains(&copies(id))));
    let twice = ids.iter().filter(|id| copies(id) == 2).count();
    assert!(twice <= 2 * SLOTS, "{twice} messages were sent twice, but at most {SLOTS} are in flight at a kill");
    assert!(sends.iter().all(|send| send.validity.is_some_and(|minutes| (1..=5).contains(&minutes))));
}

#[tokio::test]
async fn expired_is_never_sent_after_a_kill() {
    let upstream = Mitto::start();
    upstream.behave(Behaviour::HangAfterRead);
    let builder = Gateway::builder().mitto_with("mitto", &upstream, "timeout = \"10s\"\nconcurrency = 1");
    let mut gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    let acme = gateway.acme();
    acme.accepted(&message(&swiss(0), "otp")).await;
    assert!(upstream.wait_for_sends(1, PATIENCE).await);
    let mut ids = Vec::new();
    for n in 1..=10 {
        ids.push(acme.accepted(&json!({ "to": swiss(n), "text": "Your code is 482913", "ttl_s": 2 })).await);
    }
    gateway.kill9();
    upstream.behave(Behaviour::Accept);
    sleep(Duration::from_millis(2_100)).await; // their time passes while nobody is there
    gateway.restart().await;
    for id in &ids {
        acme.wait_status(id, "expired").await;
    }
    assert_eq!(upstream.sends().into_iter().filter(|send| send.to != swiss(0).trim_start_matches('+')).count(), 0);
}
