//! Guarantees 20 and 21: a start with a hundred thousand due messages, and messages that nothing can send.

use std::collections::{BTreeMap, BTreeSet};
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

const POISONS: [(&str, Behaviour); 6] = [
    ("500", Behaviour::ServerError),
    ("garbage", Behaviour::Garbage),
    ("endless body", Behaviour::HugeBody),
    ("endless header", Behaviour::SlowHeaders),
    ("reset", Behaviour::ResetAfterRead),
    ("silence", Behaviour::HangAfterRead),
];

/// Says that the provider is busy and nothing of the message: no poison, so what it does to others is told, not judged.
const BUSY: [(&str, Behaviour); 1] = [("429 with Retry-After 1 s", Behaviour::Throttle(Duration::from_secs(1)))];

fn body(n: u32) -> Value {
    let class = if (n / EVERY).is_multiple_of(2) { "otp" } else { "transactional" };
    json!({ "to": swiss(n), "text": "Your code is 482913", "class": class, "ttl_s": 60 })
}

pub(crate) async fn poison(scale: Scale) -> Outcome {
    let rate = scale.of(400, 300);
    let seen = Poisoned::of(&POISONS, scale.of(14_000, 1_400), rate).await;
    let busy = Poisoned::of(&BUSY, scale.of(4_000, 800), rate).await;
    let result = format!(
        "{}. Panics in a provider: unit tests of the engine. Beside it, not judged: {}",
        seen.told(&POISONS),
        busy.told(&BUSY)
    );
    Outcome::new(format!("{} messages, a twentieth poisoned", seen.messages), result, seen.met())
}

/// What became of traffic a twentieth of which the provider chokes on.
#[derive(Default)]
struct Poisoned {
    messages: usize,
    poisons: usize,
    attempts_max: usize,
    /// Poisoned, without an end, and without a reason in the ledger.
    endless: usize,
    mute: usize,
    statuses: BTreeMap<String, usize>,
    /// Others that were not sent, or not accepted.
    harmed: usize,
    refused: usize,
    alive: bool,
}

impl Poisoned {
    async fn of(kinds: &[(&str, Behaviour)], count: u32, rate: u32) -> Self {
        let upstream = Mitto::start();
        for (n, (_, behaviour)) in (0..=count).step_by(EVERY as usize).zip(kinds.iter().cycle()) {
            upstream.behave_for(&swiss(n), *behaviour);
        }
        let lines = "timeout = \"1s\"\nconcurrency = 256";
        let builder = Gateway::builder().log("error").mitto_with("mitto", &upstream, lines);
        let gateway = builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await;
        let pid = gateway.pid();
        let sent = Load::exactly(gateway.acme(), Pace::otp(rate).of(body), count).await;
        quiet(&gateway, Duration::from_mins(2)).await;
        let refused = sent.iter().filter(|sent| !sent.accepted()).count();
        let bad = sent.iter().filter(|sent| sent.n.is_multiple_of(EVERY));
        let bad: BTreeSet<String> = bad.filter_map(|sent| sent.id.clone()).collect();
        let mut seen = Self { messages: sent.len(), refused, ..Self::default() };
        for message in messages(&gateway.acme(), &sent).await {
            seen.add(&message, bad.contains(text(&message, "id")));
        }
        seen.alive = gateway.pid() == pid && gateway.readyz().await == Some(200);
        seen
    }

    fn add(&mut self, message: &Value, is_bad: bool) {
        let status = text(message, "status");
        if !is_bad {
            if !matches!(status, "sent" | "delivered") {
                self.harmed += 1;
                if self.harmed < 3 {
                    note(&format!("  harmed: {message}"));
                }
            }
            return;
        }
        let attempts = message.get("attempts").and_then(Value::as_array).map_or([].as_slice(), Vec::as_slice);
        self.poisons += 1;
        self.attempts_max = self.attempts_max.max(attempts.len());
        self.endless += usize::from(matches!(status, "queued" | "sending"));
        self.mute += usize::from(attempts.iter().all(|attempt| text(attempt, "error_kind").is_empty()));
        *self.statuses.entry(status.to_owned()).or_default() += 1;
    }

    fn told(&self, kinds: &[(&str, Behaviour)]) -> String {
        let Self { messages, poisons, attempts_max, endless, mute, statuses, harmed, refused, alive } = self;
        let kinds: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
        format!(
            "{poisons} poisoned ({}): <= {attempts_max} attempts each, {endless} without an end, {mute} without a reason, \
             {statuses:?}; others: {harmed} harmed and {refused} refused of {}; the process {}",
            kinds.join(", "),
            messages - poisons,
            if *alive { "lives" } else { "DIED" }
        )
    }

    fn met(&self) -> bool {
        let isolated = self.attempts_max <= 3 && self.endless == 0 && self.mute == 0;
        isolated && self.harmed == 0 && self.refused == 0 && self.alive
    }
}
