//! A disk that fails under the real binary: a power cut that takes what was never synced, and an fsync that reports an
//! error. `E2E_POWER_CUTS`, `E2E_FSYNCS` and `E2E_KEYS` ask for more, `E2E_SEED` for the same again.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

mod shim;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::{Gateway, Luck, Mitto, PATIENCE, eventually, knob, swiss};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::crash::{CONCURRENCY, kill_under_load};
use shim::Shim;

fn body(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913", "class": "otp" })
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_was_accepted() {
    let Some(shim) = Shim::build() else { return };
    let upstream = Mitto::start();
    upstream.answer_after(Duration::from_millis(20));
    let builder = Gateway::builder().mitto_with("mitto", &upstream, &format!("concurrency = {CONCURRENCY}"));
    let gateway = shim.under(builder).route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await;
    shim.is_loaded(&gateway);
    let (mut luck, mut cut) = (Luck::thrown(), [0, 0]);
    let cuts = knob("E2E_POWER_CUTS", 12);
    kill_under_load(gateway, &[&upstream], cuts, || {
        let how = *luck.pick(&["all", "some", "torn"]);
        let (undurable, dropped) = shim.cut_the_power(how, luck.of_range(1..1 << 40));
        cut = [cut[0] + undurable, cut[1] + dropped];
    })
    .await;
    eprintln!("{cuts} power cuts, 0 accepted lost: {} writes were undurable, {} of them dropped", cut[0], cut[1]);
    assert!(cut[1] > 0, "the cuts took nothing away");
}

#[tokio::test]
async fn a_failed_fsync_stops_all_writes_until_the_restart() {
    let Some(shim) = Shim::build() else { return };
    let upstream = Mitto::start();
    upstream.answer_after(Duration::from_millis(20));
    let builder = shim.under(Gateway::builder().mitto("mitto", &upstream));
    let mut gateway = builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await;
    shim.is_loaded(&gateway);
    let (mut luck, mut accepted, mut n) = (Luck::thrown(), Vec::new(), 0);
    let runs = knob("E2E_FSYNCS", 3);
    for run in 0..runs {
        for _ in 0..luck.of_range(1..20) {
            n += 1;
            accepted.push(gateway.acme().accepted(&body(n)).await);
        }
        shim.fail_next_fsync("gateway.db-wal");
        let mut refused = 0;
        for _ in 0..20 {
            n += 1;
            let answer = ask(&gateway.acme(), n).await.unwrap();
            if answer.status == 202 {
                assert_eq!(refused, 0, "accepted after a failed fsync");
                accepted.push(answer.message_id());
            } else {
                answer.problem(503, "store_unavailable");
                // What was not synced may be seen in the log, but is no answer.
                ask(&gateway.acme(), n).await.unwrap().problem(503, "store_unavailable");
                refused += 1;
            }
        }
        assert!(refused >= 18, "{refused} of 20 were refused");
        eventually("the gateway is not ready", PATIENCE, async || (gateway.readyz().await == Some(503)).then_some(()))
            .await;
        gateway.acme().message(accepted.first().unwrap()).await; // questions are answered meanwhile
        if run % 2 == 0 {
            gateway.kill9();
        } else {
            gateway.term();
            gateway.ended(PATIENCE).await;
        }
        shim.cut_the_power("all", 1);
        gateway.restart().await;
        n += 1;
        accepted.push(gateway.acme().accepted(&body(n)).await);
    }
    let mut twice = 0;
    for id in &accepted {
        let message = gateway.acme().wait_any_status(id, &["sent", "delivered", "unknown"], PATIENCE).await;
        if message["status"] == "unknown" {
            // The second copy was under way at the next end: nobody knows of either, and no third one follows.
            let attempts = message["attempts"].as_array().unwrap();
            let interrupted = attempts.iter().filter(|attempt| attempt["provider_code"] == "interrupted").count();
            assert_eq!(interrupted, 2, "unknown without a reason: {message}");
            twice += 1;
        }
    }
    eprintln!(
        "{runs} failed fsyncs, {} accepted, 0 lost ({twice} interrupted twice), 0 accepted between fault and restart",
        accepted.len()
    );
}

/// The answer of an accepted request is lost with the process: the same request again must find the message.
#[tokio::test]
async fn a_key_survives_a_kill_between_accept_and_answer() {
    const AT_ONCE: u32 = 24;
    let upstream = Mitto::start();
    let builder = Gateway::builder().mitto("mitto", &upstream);
    let mut gateway = builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await;
    let (mut luck, mut first) = (Luck::thrown(), 0);
    let (mut unanswered, mut found_again) = (0_u32, 0_u32);
    let kills = knob("E2E_KEYS", 8);
    for _ in 0..kills {
        let requests: Vec<_> = (first..first + AT_ONCE)
            .map(|n| {
                let caller = gateway.acme();
                tokio::spawn(async move { ask(&caller, n).await.ok() })
            })
            .collect();
        first += AT_ONCE;
        sleep(Duration::from_micros(luck.of_range(500..25_000))).await;
        gateway.kill9();
        gateway.restart().await;
        for (request, n) in requests.into_iter().zip(first - AT_ONCE..) {
            let before = request.await.unwrap();
            let again = ask(&gateway.acme(), n).await.unwrap().expect(202);
            let is_replay = again.headers.get("idempotent-replayed").is_some();
            if let Some(before) = before {
                assert!(is_replay, "accepted twice: {} and {}", before.text(), again.text());
                assert_eq!(before.body, again.body, "byte for byte");
            } else {
                unanswered += 1;
                found_again += u32::from(is_replay);
            }
        }
    }
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    eventually("everything is sent", 2 * PATIENCE, async || {
        let sent: BTreeSet<String> = upstream.sends().into_iter().map(|send| send.to).collect();
        (sent.len() == usize::try_from(first).unwrap()).then_some(())
    })
    .await;
    for send in upstream.sends() {
        ids.entry(send.to).or_default().insert(send.reference);
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "two messages for one key: {ids:?}");
    eprintln!(
        "{kills} kills, {first} requests with a key, {unanswered} lost their answer, {found_again} of those had been \
         accepted, 0 doubled"
    );
}

async fn ask(caller: &e2e::Caller, n: u32) -> Result<e2e::Answer, reqwest::Error> {
    let request = caller.request(reqwest::Method::POST, "/v1/messages").json(&body(n));
    e2e::Answer::to(request.header("idempotency-key", format!("key-{n}"))).await
}
