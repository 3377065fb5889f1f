//! The polite end: nothing that was accepted is lost or doubled, and the exit is clean and in time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use e2e::{Behaviour, Gateway, Mitto, PATIENCE, ReceiptPlan, eventually, swiss};
use serde_json::{Value, json};
use tokio::task::JoinSet;

fn body(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913" })
}

async fn gateway(upstream: &Mitto) -> Gateway {
    let builder = Gateway::builder().mitto_with("mitto", upstream, "timeout = \"2s\"\nconcurrency = 8");
    builder.route("default", "use = [\"mitto\"]").start().await
}

/// Sixteen callers until the gateway is gone; the numbers whose messages were accepted, by id.
fn load(gateway: &Gateway) -> (JoinSet<BTreeMap<String, u32>>, Arc<AtomicU32>) {
    let (next, answered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let (acme, next, answered) = (gateway.acme(), next.clone(), answered.clone());
        callers.spawn(async move {
            let mut accepted = BTreeMap::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                // A connection that broke off, or a 503: whatever it was, it is not accepted.
                match acme.try_send(&body(n)).await {
                    Ok(answer) if answer.status == 202 => drop(accepted.insert(answer.message_id(), n)),
                    Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
                    Err(_) => return accepted,
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    (callers, answered)
}

#[tokio::test]
async fn a_stop_under_load_loses_nothing_and_doubles_nothing() {
    let upstream = Mitto::start();
    upstream.receipts(Some(ReceiptPlan::delivered(Duration::from_millis(20))));
    let mut gateway = gateway(&upstream).await;
    let (callers, answered) = load(&gateway);
    eventually("load", PATIENCE, async || (answered.load(Ordering::Relaxed) >= 300).then_some(())).await;

    gateway.term();
    let status = gateway.ended(Duration::from_secs(12)).await;
    assert_eq!(status.code(), Some(0), "{}", gateway.logs());
    let accepted: BTreeMap<String, u32> = callers.join_all().await.into_iter().flatten().collect();
    assert!(accepted.len() >= 300, "{}", accepted.len());

    gateway.restart().await;
    let acme = gateway.acme();
    for (id, n) in &accepted {
        acme.wait_any_status(id, &["sent", "delivered"], PATIENCE).await;
        assert_eq!(upstream.sends_to(&swiss(*n)).len(), 1, "{id}");
    }
}

#[tokio::test]
async fn readiness_goes_first_and_waiting_callers_are_served() {
    let upstream = Mitto::start();
    upstream.behave_for(&swiss(1), Behaviour::HangAfterRead);
    let mut gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let waiting = tokio::spawn({
        let acme = acme.clone();
        async move { acme.send_and_wait(5, &body(1)).await }
    });
    assert!(upstream.wait_for_sends(1, PATIENCE).await);
    assert_eq!(gateway.readyz().await, Some(200));

    gateway.term();
    let not_ready = async || (gateway.readyz().await == Some(503)).then_some(());
    eventually("readiness is gone while the work goes on", PATIENCE, not_ready).await;
    assert!(!waiting.is_finished(), "the caller is still being served");
    let live = gateway.http().get(format!("{}/livez", gateway.ops_url())).send().await.expect("the ops listener lives");
    assert_eq!(live.status().as_u16(), 200);

    let answer = waiting.await.expect("no panic");
    assert!([200, 202].contains(&answer.status), "{} {}", answer.status, answer.text());
    let id = answer.message_id();
    assert_eq!(gateway.ended(Duration::from_secs(12)).await.code(), Some(0));
    gateway.restart().await;
    upstream.behave_for(&swiss(1), Behaviour::Accept);
    acme.wait_any_status(&id, &["sent", "unknown"], PATIENCE).await;
    assert!(upstream.sends_to(&swiss(1)).len() <= 2);
}

#[tokio::test]
async fn what_waits_for_a_provider_waits_over_the_restart() {
    let upstream = Mitto::start();
    upstream.behave(Behaviour::RefuseConnect);
    let mut gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(acme.accepted(&body(n)).await);
    }
    gateway.term();
    assert_eq!(gateway.ended(Duration::from_secs(12)).await.code(), Some(0));
    assert_eq!(upstream.sends().len(), 0);
    upstream.behave(Behaviour::Accept);
    gateway.restart().await;
    for (id, n) in ids.iter().zip(0..) {
        acme.wait_status(id, "sent").await;
        assert_eq!(upstream.sends_to(&swiss(n)).len(), 1);
    }
}

#[tokio::test]
async fn a_stop_with_nothing_to_do_is_quick() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    let id = gateway.acme().accepted(&body(1)).await;
    gateway.acme().wait_status(&id, "sent").await;
    gateway.term();
    // Idle connections of the client do not hold it up for the whole of `drain`, which is 10 s.
    assert_eq!(gateway.ended(Duration::from_secs(5)).await.code(), Some(0));
    assert_eq!(gateway.readyz().await, None);
}
