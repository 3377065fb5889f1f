//! Status changes reach the tenant's own server: signed as Standard Webhooks has it, again until it is taken, and never
//! inside our own network unless the operator says so.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{
    Behaviour, Builder, Gateway, Mitto, PATIENCE, ReceiptPlan, Reply, Request, Tenant, Upstream, Verdict, eventually,
    swiss,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// A tenant's server: takes every call, or answers 500.
fn receiver() -> Upstream {
    Upstream::start(|_: &Request, verdict: Verdict| match verdict {
        Verdict::Accept => Reply::text(204, ""),
        Verdict::ServerError => Reply::text(500, "later"),
        Verdict::BadCredentials | Verdict::RejectContent | Verdict::RejectNumber | Verdict::Throttle(_) => {
            panic!("no such answer")
        }
    })
}

/// Both secrets of the rotation, newest first.
const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A tenant that is told at `url`, inside our own network.
fn told_at(url: &str, more: &str) -> Tenant {
    Tenant::new("acme")
        .set(&format!("webhook = {{ url = \"{url}\", secret = {{ env = \"E2E_WEBHOOK_SECRET\" }}{more} }}"))
}

async fn gateway(upstream: &Mitto, tenant: Tenant) -> Gateway {
    let builder = Gateway::builder().tenant(tenant).env("E2E_WEBHOOK_SECRET_OLD", OLD_SECRET);
    builder.mitto("mitto", upstream).mock("mock").route("default", "use = [\"mitto\"]").start().await
}

fn body(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913", "reference": "order-7", "metadata": { "basket": "b1" } })
}

/// Calls of this type, once there are `count`.
async fn calls(receiver: &Upstream, kind: &str, count: usize) -> Vec<Arc<Request>> {
    let of_kind = |request: &Arc<Request>| request.json().is_some_and(|body| body["type"] == kind);
    eventually(&format!("{count} {kind}"), PATIENCE, async || {
        let found: Vec<_> = receiver.requests().into_iter().filter(of_kind).collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

/// The specification, followed by hand: base64 of HMAC-SHA256 over `id.timestamp.body`.
fn signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a prefix")).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length");
    mac.update([id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat().as_slice());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Panics unless the call is signed with this secret, a moment ago; returns its body.
#[track_caller]
fn verified(call: &Request, secret: &str) -> Value {
    let header = |name: &str| call.header(name).unwrap_or_default().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let expected = signature(secret, &id, &timestamp, &call.body);
    assert!(header("webhook-signature").split(' ').any(|given| given == expected), "{:?}", call.headers);
    let age_s = jiff::Timestamp::now().as_second() - timestamp.parse::<i64>().expect("seconds since 1970");
    assert!((0..=120).contains(&age_s), "{age_s} s old");
    assert!(!id.is_empty() && header("content-type").starts_with("application/json"));
    call.json().expect("JSON")
}

#[test]
fn the_check_itself_knows_the_specifications_example() {
    let body = br#"{"email":"test@example.com","username":"test_user"}"#;
    let signed = signature(OLD_SECRET, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553", body);
    assert_eq!(signed, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
}

#[tokio::test]
async fn a_delivery_is_told_signed_and_in_full() {
    let (upstream, receiver) = (Mitto::start(), receiver());
    upstream.receipts(Some(ReceiptPlan::delivered(Duration::from_millis(50))));
    let gateway = gateway(&upstream, told_at(&format!("{}/sms?tenant=1", receiver.url()), ", private = true")).await;
    let id = gateway.acme().accepted(&body(1)).await;

    let call = calls(&receiver, "message.delivered", 1).await.pop().unwrap();
    assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/sms?tenant=1"));
    let told = verified(&call, Builder::WEBHOOK_SECRET);
    assert!(told["timestamp"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()), "{told}");
    let data = &told["data"];
    assert_eq!(
        (&data["id"], &data["status"], &data["to"], &data["provider"]),
        (&json!(id), &json!("delivered"), &json!(swiss(1)), &json!("mitto"))
    );
    assert_eq!(
        (&data["reference"], &data["metadata"], &data["segments"]),
        (&json!("order-7"), &json!({ "basket": "b1" }), &json!(1))
    );
    for call in receiver.requests() {
        verified(&call, Builder::WEBHOOK_SECRET);
        assert!(!String::from_utf8_lossy(&call.body).contains("482913"), "codes never come back");
    }
}

#[tokio::test]
async fn every_way_to_end_is_told() {
    let (upstream, receiver) = (Mitto::start(), receiver());
    upstream.behave_for(&swiss(1), Behaviour::RejectNumber);
    upstream.behave_for(&swiss(2), Behaviour::RejectContent);
    let undelivered =
        ReceiptPlan { statuses: vec!["Failure".to_owned()], ..ReceiptPlan::delivered(Duration::from_millis(50)) };
    upstream.receipts_for(&swiss(3), Some(undelivered));
    let gateway = gateway(&upstream, told_at(&receiver.url(), ", private = true")).await;
    for (n, status) in [(1, "rejected"), (2, "failed"), (3, "undelivered")] {
        let id = gateway.acme().accepted(&body(n)).await;
        let call = calls(&receiver, &format!("message.{status}"), 1).await.pop().unwrap();
        let told = verified(&call, Builder::WEBHOOK_SECRET);
        assert_eq!((&told["data"]["id"], &told["data"]["status"]), (&json!(id), &json!(status)));
    }
}

/// Panics unless the second call is the first once more.
#[track_caller]
fn is_a_repeat(calls: &[Arc<Request>]) {
    let [first, second] = calls else { panic!("two calls: {}", calls.len()) };
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"), "so that the receiver can tell a repeat");
    assert_eq!(first.body, second.body);
    verified(second, Builder::WEBHOOK_SECRET);
}

#[tokio::test]
async fn what_is_not_taken_is_told_again_with_the_same_id() {
    let (upstream, receiver) = (Mitto::start(), receiver());
    receiver.behave(Behaviour::ServerError);
    upstream.behave(Behaviour::RejectNumber); // one status change, one event
    let gateway = gateway(&upstream, told_at(&receiver.url(), ", private = true")).await;
    gateway.acme().accepted(&body(1)).await;
    calls(&receiver, "message.rejected", 1).await;
    let began = tokio::time::Instant::now();
    receiver.behave(Behaviour::Accept);
    is_a_repeat(&calls(&receiver, "message.rejected", 2).await);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(4), "5 s with jitter: {took:?}");
    let metrics = gateway.metrics().await;
    assert!(metrics.series().any(|series| series.starts_with("gateway_webhook")), "{}", metrics.text());
}

#[tokio::test]
async fn what_is_not_taken_survives_a_kill() {
    let (upstream, receiver) = (Mitto::start(), receiver());
    receiver.behave(Behaviour::ServerError);
    upstream.behave(Behaviour::RejectNumber);
    let mut gateway = gateway(&upstream, told_at(&receiver.url(), ", private = true")).await;
    gateway.acme().accepted(&body(1)).await;
    calls(&receiver, "message.rejected", 1).await;
    gateway.kill9();
    receiver.behave(Behaviour::Accept);
    gateway.restart().await;
    // At once or after its pause: whether the refusal was recorded before the kill is luck.
    is_a_repeat(&calls(&receiver, "message.rejected", 2).await);
}

#[tokio::test]
async fn while_a_secret_is_rotated_both_sign() {
    let (upstream, receiver) = (Mitto::start(), receiver());
    let rotating = ", old_secret = { env = \"E2E_WEBHOOK_SECRET_OLD\" }, private = true";
    let gateway = gateway(&upstream, told_at(&receiver.url(), rotating)).await;
    upstream.behave(Behaviour::RejectNumber);
    gateway.acme().accepted(&body(1)).await;
    let call = calls(&receiver, "message.rejected", 1).await.pop().unwrap();
    verified(&call, Builder::WEBHOOK_SECRET);
    verified(&call, OLD_SECRET);
}

#[tokio::test]
async fn nobody_is_led_into_our_own_network() {
    let (upstream, receiver) = (Mitto::start(), receiver());
    upstream.behave(Behaviour::RejectNumber);
    let gateway = gateway(&upstream, told_at(&receiver.url(), "")).await;
    gateway.acme().accepted(&body(1)).await;
    let gave_up = async || gateway.logs().contains("webhook of message").then_some(());
    eventually("the call is refused", PATIENCE, gave_up).await;
    assert_eq!(receiver.connections(), 0, "not even a connection");
}

#[tokio::test]
async fn a_callers_own_url_stays_outside_even_where_the_operators_may_go_inside() {
    let (upstream, mine, theirs) = (Mitto::start(), receiver(), receiver());
    upstream.behave(Behaviour::RejectNumber);
    let gateway = gateway(&upstream, told_at(&mine.url(), ", private = true")).await;
    let mut request = body(1);
    request.as_object_mut().unwrap().insert("callback_url".to_owned(), json!(theirs.url()));
    gateway.acme().accepted(&request).await;
    let refused = async || gateway.logs().contains("webhook of message").then_some(());
    eventually("the call is refused", PATIENCE, refused).await;
    assert_eq!((mine.connections(), theirs.connections()), (0, 0), "it replaces the tenant's, and is not called");
    assert!(!gateway.logs().contains(&theirs.url()), "a URL may hold a secret");
}

#[tokio::test]
async fn a_server_that_hangs_delays_nobody_else() {
    let (upstream, slow, quick) = (Mitto::start(), receiver(), receiver());
    slow.behave(Behaviour::HangAfterRead);
    upstream.behave(Behaviour::RejectNumber);
    let other = Tenant::new("globex");
    let other = other.set(&format!(
        "webhook = {{ url = \"{}\", secret = {{ env = \"E2E_WEBHOOK_SECRET\" }}, private = true }}",
        quick.url()
    ));
    let builder = Gateway::builder().tenant(told_at(&slow.url(), ", private = true")).tenant(other);
    let gateway = builder.mitto("mitto", &upstream).route("default", "use = [\"mitto\"]").start().await;
    for n in 0..50 {
        gateway.acme().accepted(&body(n)).await;
    }
    calls(&slow, "message.rejected", 1).await;
    let began = tokio::time::Instant::now();
    gateway.tenant("globex").accepted(&body(100)).await;
    calls(&quick, "message.rejected", 1).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
