//! What several nodes do together: limits, idempotency, receipts, questions, webhooks.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::{
    Gateway, Mitto, PATIENCE, Postgres, ReceiptPlan, Reply, Request, Tenant, Upstream, Verdict, eventually, swiss,
};
use serde_json::json;
use tokio::task::JoinSet;

use super::nodes::{body, node, start};

#[tokio::test]
async fn limits_are_exact_over_three_nodes() {
    const ALLOWED: usize = 5;
    let Some(postgres) = Postgres::start().await else { return };
    let upstream = Mitto::start();
    let limit = "per = [\"tenant\", \"recipient\"]\nallow = [\"5/10m\"]";
    let nodes = start(3, &node(&upstream, &postgres.url()).limit("per_recipient", limit)).await;
    for n in 1..=4 {
        let mut senders = JoinSet::new();
        for sender in 0..64 {
            let acme = nodes.get(sender % 3).expect("three").acme();
            senders.spawn(async move { acme.send(&json!({ "to": swiss(n), "text": "123456" })).await.status });
        }
        let statuses = senders.join_all().await;
        let accepted = statuses.iter().filter(|status| **status == 202).count();
        let refused = statuses.iter().filter(|status| **status == 429).count();
        assert_eq!((accepted, refused), (ALLOWED, 64 - ALLOWED), "{statuses:?}");
    }
}

#[tokio::test]
async fn one_key_is_one_message_whichever_nodes_are_asked() {
    let Some(postgres) = Postgres::start().await else { return };
    let upstream = Mitto::start();
    let nodes = start(3, &node(&upstream, &postgres.url())).await;
    let mut senders = JoinSet::new();
    for sender in 0..48 {
        let acme = nodes.get(sender % 3).expect("three").acme();
        senders.spawn(async move {
            loop {
                let answer = acme.send_with(&[("idempotency-key", "login-1")], &body(1)).await;
                if answer.status != 409 {
                    return answer.expect(202).body;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    let answers: BTreeSet<Vec<u8>> = senders.join_all().await.into_iter().collect();
    assert_eq!(answers.len(), 1, "one answer, byte for byte");
    assert!(upstream.wait_for_sends(1, PATIENCE).await);
    for node in &nodes {
        let other = node.acme().send_with(&[("idempotency-key", "login-1")], &body(2)).await;
        other.problem(422, "idempotency_key_reuse");
    }
    assert_eq!(upstream.sends().len(), 1);
}

#[tokio::test]
async fn receipts_questions_and_webhooks_work_on_any_node() {
    const MESSAGES: u32 = 30;
    let Some(postgres) = Postgres::start().await else { return };
    let upstream = Mitto::start();
    upstream.receipts(Some(ReceiptPlan::delivered(Duration::from_millis(100))));
    let receiver = Upstream::start(|_: &Request, _: Verdict| Reply::text(204, ""));
    let webhook = format!(
        "webhook = {{ url = \"{}\", secret = {{ env = \"E2E_WEBHOOK_SECRET\" }}, private = true }}",
        receiver.url()
    );
    let tenant = Tenant::new("acme").set(&webhook);
    let nodes = start(3, &node(&upstream, &postgres.url()).tenant(tenant)).await;
    let [one, two, three] = nodes.as_slice() else { panic!("three") };
    let mut ids = Vec::new();
    for n in 0..MESSAGES {
        let sender = nodes.get(usize::try_from(n).expect("small") % 3).expect("three");
        ids.push(sender.acme().accepted(&body(4 * n + 1)).await);
    }
    for id in &ids {
        for node in [one, two, three] {
            node.acme().wait_status(id, "delivered").await;
        }
    }
    let page = two.acme().list(&[("limit", "100")]).await.expect(200).json();
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(ids.len()), "{page}");
    let told = |id: &String| {
        let of_it = |request: &std::sync::Arc<Request>| {
            request.json().is_some_and(|body| body["type"] == "message.delivered" && body["data"]["id"] == **id)
        };
        receiver.requests().into_iter().filter(of_it).count()
    };
    eventually("every delivery is told", PATIENCE, async || ids.iter().all(|id| told(id) > 0).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(2)).await; // a second telling would come by now
    let times: Vec<usize> = ids.iter().map(told).collect();
    assert!(times.iter().all(|times| *times == 1), "told by one node only: {times:?}");
}

#[tokio::test]
async fn a_provider_s_throughput_is_shared_and_shared_anew_after_a_death() {
    const PER_SECOND: usize = 40;
    const WINDOW: Duration = Duration::from_secs(5);
    let Some(postgres) = Postgres::start().await else { return };
    let upstream = Mitto::start();
    let builder = Gateway::builder().postgres(&postgres.url());
    let builder = builder.mitto_with("mitto", &upstream, &format!("throughput = \"{PER_SECOND}/s\""));
    let mut nodes = start(2, &builder.route("default", "use = [\"mitto\"]")).await;
    tokio::time::sleep(Duration::from_secs(3)).await; // they have heard of each other
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        let acme = nodes.get(sender % 2).expect("two").acme();
        senders.spawn(async move {
            for n in 0..120 {
                acme.accepted(&json!({ "to": swiss(n * 8 + u32::try_from(sender).expect("small")), "text": "1" }))
                    .await;
            }
        });
    }
    let in_window = async || {
        let before = upstream.sends().len();
        tokio::time::sleep(WINDOW).await;
        upstream.sends().len() - before
    };
    let whole = PER_SECOND * 5;
    let together = in_window().await;
    assert!((whole * 7 / 10..=whole * 11 / 10).contains(&together), "{together} of {whole} by two nodes");
    senders.join_all().await;
    nodes.first_mut().expect("two").kill9();
    tokio::time::sleep(Duration::from_secs(8)).await;
    let alone = in_window().await;
    eprintln!("{PER_SECOND}/s: {together} in 5 s by two nodes, {alone} by the one that is left");
    assert!((whole * 7 / 10..=whole * 11 / 10).contains(&alone), "{alone} of {whole} by the other alone");
}
