//! Guarantee 7: nobody knows whether the provider took it. Otp at most twice, transactional exactly once, and an end in
//! time. A fifth of the traffic meets the fault, so that no breaker hides it; at a crash all of it does.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{Behaviour, Gateway, Mitto, eventually, swiss};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::audit::{messages, quiet, text, wire};
use crate::load::{Load, Pace, Sent};
use crate::plan::Scale;
use crate::table::{Outcome, note};

/// Time to live of every message; by then it must have ended.
const TTL: Duration = Duration::from_mins(1);

/// Every fifth message meets the fault.
const EVERY: u32 = 5;

/// Attempts at the same time when the process dies: as many as a provider is trusted with before it has answered.
const CRASH_BATCH: u32 = 30;

/// Good traffic goes on until what met the fault has ended; in messages a second, and where its numbers begin.
const WELL_RATE: u32 = 100;
const FIRST_WELL: u32 = 1_000_000;

/// Between two looks at what has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What became of messages that met the fault.
#[derive(Default)]
struct Seen {
    trials: usize,
    otp_max: usize,
    transactional: BTreeMap<usize, usize>,
    endless: usize,
    statuses: BTreeMap<String, usize>,
    /// Messages for the fault that it passed by.
    passed_by: BTreeMap<String, usize>,
    slowest: Duration,
}

impl Seen {
    fn told(&self, mode: &str) -> String {
        let Self { trials, otp_max, transactional, endless, statuses, passed_by, slowest } = self;
        format!(
            "{mode}: {trials} trials, otp copies <= {otp_max}, transactional copies {transactional:?}, {endless} without an end, {statuses:?}, all ended {slowest:.1?} after the last was accepted (not met by the fault: {passed_by:?})"
        )
    }

    fn met(&self, wanted: usize) -> bool {
        let once = self.transactional.keys().all(|copies| *copies == 1);
        self.trials >= wanted && self.otp_max <= 2 && once && self.endless == 0 && self.slowest <= TTL + LOOK_EVERY
    }

    /// Counts what the upstreams read and what the gateway says.
    async fn add(&mut self, gateway: &Gateway, sent: &[Sent], upstreams: &[&Mitto]) {
        let wire = wire(upstreams);
        for message in messages(&gateway.acme(), sent).await {
            let copies = wire.get(text(&message, "id")).map_or(0, Vec::len);
            let attempts = message.get("attempts").and_then(Value::as_array).map_or([].as_slice(), Vec::as_slice);
            let status = text(&message, "status");
            if attempts.iter().all(|attempt| text(attempt, "outcome") != "unknown") {
                *self.passed_by.entry(status.to_owned()).or_default() += 1;
                continue;
            }
            self.trials += 1;
            self.endless += usize::from(matches!(status, "queued" | "sending"));
            *self.statuses.entry(status.to_owned()).or_default() += 1;
            if text(&message, "class") == "transactional" || attempts.is_empty() {
                *self.transactional.entry(copies).or_default() += 1;
            } else {
                self.otp_max = self.otp_max.max(copies);
            }
        }
    }
}

pub(crate) async fn unknown(scale: Scale) -> Outcome {
    let wanted = scale.of(1_000, 40);
    let (mut told, mut met, mut trials) = (Vec::new(), true, 0);
    let modes = [
        ("accept then RST", Behaviour::ResetAfterRead),
        ("accept then hang", Behaviour::HangAfterRead),
        ("500 after accept", Behaviour::ServerError),
    ];
    for (name, behaviour) in modes {
        let seen = answers(behaviour, wanted).await;
        note(&format!("  {}", seen.told(name)));
        (met, trials) = (met && seen.met(wanted as usize), trials + seen.trials);
        told.push(seen.told(name));
    }
    let seen = crash(wanted).await;
    note(&format!("  {}", seen.told("crash after send")));
    (met, trials) = (met && seen.met(wanted as usize), trials + seen.trials);
    told.push(seen.told("crash after send"));
    Outcome::new(format!("4 modes, {trials} in all"), told.join("; "), met)
}

/// Half of the messages that meet the fault are `transactional`; half meet it at both providers.
fn body(n: u32) -> Value {
    let class = if (n / EVERY / 2).is_multiple_of(2) { "transactional" } else { "otp" };
    json!({ "to": swiss(n), "text": "Your code is 482913", "class": class, "ttl_s": TTL.as_secs() })
}

async fn answers(behaviour: Behaviour, wanted: u32) -> Seen {
    // Some meet an open breaker instead; a tenth more than asked for.
    let count = wanted * EVERY * 11 / 10;
    let (one, two) = (Mitto::start(), Mitto::start());
    for n in (1..=count).filter(|n| n.is_multiple_of(EVERY)) {
        one.behave_for(&swiss(n), behaviour);
        if n.is_multiple_of(2 * EVERY) {
            two.behave_for(&swiss(n), behaviour);
        }
    }
    let lines = "timeout = \"1s\"\nconcurrency = 512";
    let builder = Gateway::builder().log("error").mitto_with("one", &one, lines).mitto_with("two", &two, lines);
    let gateway = builder.route("default", "use = [\"one\", \"two\"]\nunknown_wait = \"1s\"").start().await;
    let mut sent = Load::exactly(gateway.acme(), Pace::otp(400).of(body), count).await;
    sent.retain(|sent| sent.n.is_multiple_of(EVERY));
    let mut seen = Seen::default();
    let loaded = Instant::now();
    // Nothing but faults would be an outage, which a breaker ends.
    let well = Load::start(gateway.acme(), Pace::otp(WELL_RATE).from(FIRST_WELL));
    while under_way(&gateway, &sent).await && loaded.elapsed() < 2 * TTL {
        sleep(LOOK_EVERY).await;
    }
    seen.slowest = loaded.elapsed();
    well.stop().await;
    seen.add(&gateway, &sent, &[&one, &two]).await;
    seen
}

/// Whether one of these messages has no end yet.
async fn under_way(gateway: &Gateway, sent: &[Sent]) -> bool {
    let told = messages(&gateway.acme(), sent).await;
    told.iter().any(|message| matches!(text(message, "status"), "queued" | "sending"))
}

async fn crash(wanted: u32) -> Seen {
    let upstream = Mitto::start();
    let lines = "timeout = \"20s\"\nconcurrency = 512";
    let builder = Gateway::builder().log("error").mitto_with("mitto", &upstream, lines);
    let mut gateway = builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await;
    let (mut seen, mut first) = (Seen::default(), 1);
    while first <= wanted {
        let batch = CRASH_BATCH.min(wanted + 1 - first);
        upstream.behave(Behaviour::HangAfterRead);
        let before = upstream.wire_requests();
        let sent = Load::exactly(gateway.acme(), Pace::otp(0).of(body).from(first), batch).await;
        let all = before + batch as usize;
        let read = async || (upstream.wire_requests() >= all).then_some(());
        eventually("every message is with the provider", Duration::from_secs(20), read).await;
        gateway.kill9();
        upstream.behave(Behaviour::Accept);
        gateway.restart().await;
        let began = Instant::now();
        quiet(&gateway, 2 * TTL).await;
        seen.slowest = seen.slowest.max(began.elapsed());
        seen.add(&gateway, &sent, &[&upstream]).await;
        first += batch;
    }
    seen
}
