//! Guarantees 20 and 21: a start with a hundred thousand due messages, and messages that nothing can send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Behaviour, Gateway, Mitto, swiss};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::audit::{Audit, messages, quiet, text, wire};
use crate::figures::{percent, ratio};
use crate::load::{Load, Pace, Sent};
use crate::plan::Scale;
use crate::table::{Outcome, note};

/// What the provider allows.
const CONCURRENCY: usize = 32;
const PER_SECOND: usize = 2_000;

fn patient(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913", "ttl_s": 600 })
}

pub(crate) async fn cold_start(scale: Scale) -> Outcome {
    let count = scale.of(100_000_u32, 4_000);
    let upstream = Arc::new(Mitto::start());
    upstream.behave(Behaviour::RefuseConnect);
    let lines = format!("throughput = \"{PER_SECOND}/s\"\nconcurrency = {CONCURRENCY}");
    let builder = Gateway::builder().log("error").mitto_with("mitto", &upstream, &lines);
    let mut gateway = builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await;
    let sent = Load::exactly(gateway.acme(), Pace::otp(0).of(patient), count).await;
    let accepted = sent.iter().filter(|sent| sent.accepted()).count();
    gateway.kill9();
    upstream.forget();
    upstream.answer_after(Duration::from_millis(8));
    upstream.behave(Behaviour::Accept);
    let most = Arc::new(AtomicUsize::new(0));
    let watch = tokio::spawn(watch(Arc::clone(&upstream), Arc::clone(&most)));
    let began = Instant::now();
    gateway.restart().await;
    let ready = began.elapsed();
    quiet(&gateway, Duration::from_secs(400)).await;
    let took = began.elapsed();
    watch.abort();
    let sends = upstream.sends();
    let times: Vec<Instant> = sends.iter().map(|send| send.at).collect();
    let busiest = busiest_second(&times);
    let newest = newest_first(&sent, sends.iter().map(|send| send.reference.as_str()));
    let audit = Audit::of(&gateway.acme(), &sent, &wire(&[&upstream])).await;
    let most = most.load(Ordering::Relaxed);
    let result = format!(
        "ready after {ready:.1?}, all sent after {took:.1?}; connections at once <= {most} (allowed {CONCURRENCY}), busiest second {busiest} (allowed {PER_SECOND}); \
         of the first tenth sent {} were of the newest tenth; {} lost of {accepted}",
        percent(newest.0, newest.1),
        audit.lost.len()
    );
    let met = most <= CONCURRENCY
        && busiest <= PER_SECOND + PER_SECOND / 20
        && audit.lost.is_empty()
        && ratio(newest.0, newest.1) >= 0.9;
    Outcome::new(format!("{accepted} due messages"), result, met)
}

async fn watch(upstream: Arc<Mitto>, most: Arc<AtomicUsize>) {
    loop {
        most.fetch_max(upstream.upstream().open_connections(), Ordering::Relaxed);
        sleep(Duration::from_millis(1)).await;
    }
}

/// Most sends in any second; `times` in order.
fn busiest_second(times: &[Instant]) -> usize {
    let (mut from, mut most) = (0, 0);
    for (at, time) in times.iter().enumerate() {
        while times.get(from).is_some_and(|first| *time - *first > Duration::from_secs(1)) {
            from += 1;
        }
        most = most.max(at + 1 - from);
    }
    most
}

/// How many of the first tenth that went out belong to the tenth that was accepted last, and how many there were.
fn newest_first<'a>(sent: &[Sent], order: impl Iterator<Item = &'a str>) -> (usize, usize) {
    let mut by_age: Vec<&Sent> = sent.iter().filter(|sent| sent.accepted()).collect();
    by_age.sort_by_key(|sent| std::cmp::Reverse(sent.began));
    let ranks: BTreeMap<&str, usize> =
        by_age.iter().zip(0..).filter_map(|(sent, rank)| Some((sent.id.as_deref()?, rank))).collect();
    let tenth = by_age.len() / 10;
    let first: Vec<usize> = order.take(tenth).filter_map(|id| ranks.get(id).copied()).collect();
    (first.iter().filter(|rank| **rank < tenth).count(), first.len())
}

/// Every twentieth message is one that the provider chokes on.
const EVERY: u32 = 20;

const POISONS: [(&str, Behaviour); 7] = [
    ("500", Behaviour::ServerError),
    ("garbage", Behaviour::Garbage),
    ("endless body", Behaviour::HugeBody),
    ("endless header", Behaviour::SlowHeaders),
    ("reset", Behaviour::ResetAfterRead),
    ("silence", Behaviour::HangAfterRead),
    (BUSY, Behaviour::Throttle(Duration::from_secs(1))),
];

/// Says that the provider is busy and nothing of the message, so that it is no poison: it is asked again after each pause,
/// up to the engine's four rounds, and then must have ended with that reason.
const BUSY: &str = "429";
const ROUNDS_MAX: usize = 4;

/// The kind of poison in the `n`th message.
fn poison_of(n: u32) -> (&'static str, Behaviour) {
    *POISONS.get((n / EVERY) as usize % POISONS.len()).expect("below the length")
}

fn body(n: u32) -> Value {
    let class = if (n / EVERY).is_multiple_of(2) { "otp" } else { "transactional" };
    json!({ "to": swiss(n), "text": "Your code is 482913", "class": class, "ttl_s": 60 })
}

pub(crate) async fn poison(scale: Scale) -> Outcome {
    let count = scale.of(14_000_u32, 1_400);
    let upstream = Mitto::start();
    for n in (0..=count).filter(|n| n.is_multiple_of(EVERY)) {
        let (_, behaviour) = poison_of(n);
        upstream.behave_for(&swiss(n), behaviour);
    }
    let builder = Gateway::builder().log("error").mitto_with("mitto", &upstream, "timeout = \"1s\"\nconcurrency = 256");
    let gateway = builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await;
    let pid = gateway.pid();
    let sent = Load::exactly(gateway.acme(), Pace::otp(scale.of(400, 300)).of(body), count).await;
    quiet(&gateway, Duration::from_mins(2)).await;
    let refused = sent.iter().filter(|sent| !sent.accepted()).count();
    let bad: BTreeMap<String, u32> = sent
        .iter()
        .filter(|sent| sent.n.is_multiple_of(EVERY))
        .filter_map(|sent| Some((sent.id.clone()?, sent.n)))
        .collect();
    let (mut harmed, mut attempts_max, mut endless, mut mute, mut poisons) = (0, [0, 0], 0, 0, 0);
    let mut statuses = BTreeMap::<String, usize>::new();
    for message in messages(&gateway.acme(), &sent).await {
        let status = text(&message, "status").to_owned();
        let Some(n) = bad.get(text(&message, "id")) else {
            if !matches!(status.as_str(), "sent" | "delivered") {
                harmed += 1;
                if harmed < 4 {
                    note(&format!("  harmed: {message}"));
                }
            }
            continue;
        };
        let attempts = message.get("attempts").and_then(Value::as_array).map_or([].as_slice(), Vec::as_slice);
        // What an open breaker held back did not reach the provider.
        let tried = attempts.iter().filter(|attempt| text(attempt, "provider_code") != "circuit_open").count();
        poisons += 1;
        let [poisoned, busy] = &mut attempts_max;
        let most = if poison_of(*n).0 == BUSY { busy } else { poisoned };
        *most = (*most).max(tried);
        endless += usize::from(matches!(status.as_str(), "queued" | "sending"));
        mute += usize::from(attempts.iter().all(|attempt| text(attempt, "error_kind").is_empty()));
        *statuses.entry(status).or_default() += 1;
    }
    let alive = gateway.pid() == pid && gateway.readyz().await == Some(200);
    let [poisoned, busy] = attempts_max;
    let kinds: Vec<&str> = POISONS.iter().map(|(name, _)| *name).collect();
    let result = format!(
        "{poisons} poisoned ({}): <= {poisoned} attempts each, {BUSY} <= {busy}, {endless} without an end, {mute} without a reason, {statuses:?}; \
         others: {harmed} harmed and {refused} refused of {}; the process {}. Panics in a provider: unit tests of the engine",
        kinds.join(", "),
        sent.len() - bad.len(),
        if alive { "lives" } else { "DIED" }
    );
    let met = poisoned <= 3 && busy <= ROUNDS_MAX && endless == 0 && mute == 0 && harmed == 0 && refused == 0 && alive;
    Outcome::new(format!("{} messages", sent.len()), result, met)
}
