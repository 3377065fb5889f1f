//! Guarantees 9 and 10: one key, one message, one answer; also over kills, for a day, and in little space.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use e2e::{Answer, Caller, Gateway, Luck, Mitto, PATIENCE, swiss};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::audit::{Audit, quiet, wire};
use crate::load::{Load, Pace, Sent, key};
use crate::plan::Scale;
use crate::rows::faketime::{MISSING, WallClock};
use crate::table::{Outcome, note};

/// Identical requests at the same time.
pub(crate) const PARALLEL: usize = 50;

pub(crate) fn gateway(upstream: &Mitto) -> e2e::Builder {
    let builder = Gateway::builder().log("error").mitto_with("mitto", upstream, "concurrency = 128");
    builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"500ms\"")
}

pub(crate) fn body(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913" })
}

pub(crate) async fn post(caller: &Caller, n: u32, body: &Value) -> Option<Answer> {
    let request = caller.request(Method::POST, "/v1/messages").json(body);
    Answer::to(request.header("idempotency-key", key(n))).await.ok()
}

/// What fifty identical requests were told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) bodies: BTreeSet<Vec<u8>>,
    replayed: usize,
    in_flight: usize,
    broken_off: usize,
    pub(crate) strange: Vec<String>,
    id: Option<String>,
}

impl Told {
    /// The acceptance of the message to the `n`th number.
    pub(crate) fn accepted(&self, n: u32) -> Option<Sent> {
        let id = Some(self.id.clone()?);
        Some(Sent { n, began: Instant::now(), took: Duration::ZERO, status: Some(202), retry_after: false, id })
    }
}

pub(crate) async fn parallel(scale: Scale) -> Outcome {
    let (runs, mut luck) = (scale.of(100_u32, 5), Luck::thrown());
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).start().await;
    let (mut all, mut two_answers, mut reuse_refused, mut hit) = (Told::default(), 0, 0, 0);
    let mut accepted = Vec::new();
    for n in 0..runs {
        let acme = gateway.acme();
        let asked: JoinSet<Told> = (0..PARALLEL).map(|_| ask(acme.clone(), n)).collect();
        sleep(luck.pause(0..15)).await;
        gateway.kill9();
        gateway.restart().await;
        let told = asked.join_all().await;
        accepted.extend(told.iter().find_map(|told| told.accepted(n)));
        let bodies: BTreeSet<Vec<u8>> = told.iter().flat_map(|told| told.bodies.clone()).collect();
        two_answers += usize::from(bodies.len() != 1);
        hit += usize::from(
            told.iter().any(|told| told.broken_off > 0)
                && told.iter().any(|told| told.broken_off == 0 || told.replayed > 0),
        );
        for told in told {
            all.replayed += told.replayed;
            all.in_flight += told.in_flight;
            all.strange.extend(told.strange);
        }
        let other = post(&acme, n, &body(n + 1_000_000)).await.expect("an answer");
        reuse_refused += u32::from(other.status == 422 && other.field("code") == "idempotency_key_reuse");
    }
    quiet(&gateway, Duration::from_secs(30)).await;
    let audit = Audit::of(&gateway.acme(), &accepted, &wire(&[&upstream])).await;
    let mut ids = BTreeMap::<String, BTreeSet<String>>::new();
    let mut copies = BTreeMap::<String, usize>::new();
    for send in upstream.sends() {
        ids.entry(send.to).or_default().insert(send.reference.clone());
        *copies.entry(send.reference).or_default() += 1;
    }
    let doubles = ids.values().filter(|ids| ids.len() > 1).count();
    let most = copies.values().max().copied().unwrap_or_default();
    for strange in all.strange.iter().take(5) {
        note(&format!("  {strange}"));
    }
    let met = doubles == 0
        && two_answers == 0
        && reuse_refused == runs
        && all.strange.is_empty()
        && most <= 2
        && audit.accepted == runs as usize
        && audit.lost.is_empty();
    let result = format!(
        "{doubles} doubles, {two_answers} runs with two answers, {} replays, {} answers 409, {} others; other body refused {reuse_refused} of {runs}; \
         {hit} runs met the kill half-way; {} accepted, {} lost, copies on the wire <= {most}",
        all.replayed,
        all.in_flight,
        all.strange.len(),
        audit.accepted,
        audit.lost.len()
    );
    Outcome::new(format!("{runs} runs of {PARALLEL} parallel requests, a kill -9 in each"), result, met)
}

/// One caller: asks until it has the acceptance.
pub(crate) async fn ask(caller: Caller, n: u32) -> Told {
    let (mut told, end) = (Told::default(), Instant::now() + PATIENCE);
    while told.bodies.is_empty() && Instant::now() < end {
        match post(&caller, n, &body(n)).await {
            None => told.broken_off += 1,
            Some(answer) if answer.status == 202 => {
                told.replayed += usize::from(answer.header("idempotent-replayed") == "true");
                told.id = Some(answer.message_id());
                told.bodies.insert(answer.body);
                return told;
            }
            Some(answer) if answer.status == 409 => told.in_flight += 1,
            Some(answer) => told.strange.push(format!("{} {}", answer.status, answer.text())),
        }
        sleep(Duration::from_millis(20)).await;
    }
    told
}

/// Bytes of the database and its log after a polite end.
async fn size_after_end(gateway: &mut Gateway) -> u64 {
    quiet(gateway, Duration::from_mins(2)).await;
    gateway.term();
    gateway.ended(Duration::from_mins(1)).await;
    let files = fs::read_dir(gateway.dir()).expect("the gateway's directory").filter_map(Result::ok);
    let of_store = files.filter(|file| file.file_name().to_string_lossy().starts_with("gateway.db"));
    of_store.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

/// Longer than until the next purge, and than that takes.
const PURGED: Duration = Duration::from_mins(2);

/// The same messages with and without keys: the difference is what the keys take. A day later that space must be free for
/// other messages: the files do not grow by a tenth as many.
pub(crate) async fn a_day(scale: Scale) -> Outcome {
    let Some(clock) = WallClock::new() else { return Outcome::left_out(MISSING) };
    let keys = scale.of(1_000_000, 2_000);
    let upstream = Mitto::start();
    let mut plain = clock.on(gateway(&upstream)).start().await;
    send(&plain, Pace::otp(0).of(body), keys).await;
    let without = size_after_end(&mut plain).await;
    drop(plain);
    upstream.forget();
    let mut gateway = clock.on(gateway(&upstream)).start().await;
    let ids = send(&gateway, Pace::otp(0).of(body).keyed(), keys).await;
    let with = size_after_end(&mut gateway).await;
    let each = with.saturating_sub(without) / u64::from(keys);
    let (replayed, asked, fresh, fresh_asked) = over_a_day(&mut gateway, &clock, &ids).await;
    sleep(PURGED).await;
    upstream.forget();
    send(&gateway, Pace::otp(0).from(keys + 1).of(body).keyed(), keys / 10).await;
    let grown = size_after_end(&mut gateway).await.saturating_sub(with);
    let would_take = with / 10;
    let met = each <= 200 && replayed == asked && fresh == fresh_asked && grown <= would_take / 10;
    let result = format!(
        "{each} bytes a key, {} MB in all; replayed the same 23 h 50 min later (stepped clock, restart): {replayed} of {asked}; \
         a new message 24 h 10 min later: {fresh} of {fresh_asked}; then {} messages more took {} kB of new space ({} kB without what was freed)",
        each * u64::from(keys) / 1_000_000,
        keys / 10,
        grown / 1_000,
        would_take / 1_000
    );
    Outcome::new(format!("{keys} keys"), result, met)
}

/// Has so many messages accepted; their ids by number.
async fn send(gateway: &Gateway, pace: Pace, count: u32) -> BTreeMap<u32, String> {
    let sent = Load::exactly(gateway.acme(), pace, count).await;
    let refused = sent.iter().filter(|sent| !sent.accepted()).count();
    assert_eq!(refused, 0, "every message is accepted");
    sent.iter().filter_map(|sent| Some((sent.n, sent.id.clone()?))).collect()
}

/// How many keys are replayed shortly before a day has passed, and how many make a new message after it.
async fn over_a_day(
    gateway: &mut Gateway,
    clock: &WallClock,
    ids: &BTreeMap<u32, String>,
) -> (usize, usize, usize, usize) {
    let some: Vec<(&u32, &String)> = ids.iter().step_by(ids.len().div_ceil(100)).collect();
    let (before, after) = some.split_at(some.len() / 2);
    clock.step_to(24 * 3600 - 600);
    gateway.restart().await;
    let acme = gateway.acme();
    let (mut replayed, mut fresh) = (0, 0);
    for (n, id) in before {
        let answer = post(&acme, **n, &body(**n)).await.expect("an answer");
        replayed += usize::from(
            answer.status == 202 && answer.message_id() == **id && answer.header("idempotent-replayed") == "true",
        );
    }
    // A running process does not follow a step; one that starts does.
    clock.step_to(24 * 3600 + 600);
    gateway.restart().await;
    for (n, id) in after {
        let answer = post(&acme, **n, &body(**n)).await.expect("an answer");
        fresh += usize::from(answer.status == 202 && answer.message_id() != **id);
    }
    (replayed, before.len(), fresh, after.len())
}
