//! Guarantees 8 and 11: time. Nothing is handed over after its time to live, also over an outage, a kill and steps of the
//! wall clock; and a stepped wall clock moves no timer of a running process.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{Behaviour, Gateway, Luck, Mitto, swiss};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::audit::{messages, quiet, text};
use crate::figures::ms;
use crate::load::{Load, Pace, Sent, send};
use crate::plan::Scale;
use crate::rows::faketime::{MISSING, WallClock};
use crate::table::{Outcome, note};

/// A message that began its way in time may be read this much later on a busy machine.
const ON_THE_WAY: Duration = Duration::from_millis(500);

/// Seconds to live of the `n`th message.
fn ttl(n: u32) -> u32 {
    4 + n % 9
}

fn short_lived(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913", "ttl_s": ttl(n) })
}

/// An outage longer than any time to live, with a kill -9 and steps of the clock in it; then the provider is back.
pub(crate) async fn expired(scale: Scale) -> Outcome {
    let Some(clock) = WallClock::new() else { return Outcome::left_out(MISSING) };
    let (rate, outage_s) = (scale.of(500, 200), scale.of(600, 8));
    let (upstream, mut luck) = (Mitto::start(), Luck::thrown());
    let builder = clock.on(Gateway::builder()).log("error").mitto_with("mitto", &upstream, "concurrency = 64");
    let mut gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    let load = Load::start(gateway.acme(), Pace::otp(rate).of(short_lived));
    sleep(Duration::from_secs(2)).await;
    upstream.behave(Behaviour::RefuseConnect);
    for step in 0..scale.of(4, 2) {
        sleep(Duration::from_secs(1) * outage_s / scale.of(4, 2)).await;
        if step == 1 {
            // What is written down is wall time: a clock that is set between two lives of a process shifts it.
            clock.step_to(0);
            gateway.kill9();
            gateway.restart().await;
        } else {
            clock.step_to(*luck.pick(&[3600, -3600, 0]));
        }
    }
    upstream.behave(Behaviour::Accept);
    sleep(Duration::from_secs(5)).await;
    let sent = load.stop().await;
    quiet(&gateway, Duration::from_mins(1)).await;

    let begun: BTreeMap<String, &Sent> = sent.iter().filter_map(|sent| Some((sent.id.clone()?, sent))).collect();
    let (mut late, mut latest, mut handed) = (0, Duration::ZERO, 0);
    for send in upstream.sends() {
        let Some(sent) = begun.get(&send.reference) else { continue };
        handed += 1;
        let end = sent.began + sent.took + Duration::from_secs(u64::from(ttl(sent.n)));
        let over = send.at.saturating_duration_since(end);
        latest = latest.max(over);
        late += usize::from(over > ON_THE_WAY);
    }
    let result = format!(
        "{} accepted, {handed} handed over, {late} of them after their time (latest {} over); {outage_s} s outage, one kill -9, steps of ±1 h",
        begun.len(),
        ms(latest)
    );
    Outcome::new(format!("{} messages, real binary", begun.len()), result, late == 0)
}

/// What one step of the clock did to three timers.
#[derive(Default)]
struct Stepped {
    trials: usize,
    copies_off: usize,
    expired_off: usize,
    limits_off: usize,
    worst: Duration,
}

pub(crate) async fn steps(scale: Scale) -> Outcome {
    let Some(clock) = WallClock::new() else { return Outcome::left_out(MISSING) };
    let all = [3_600_i64, -3_600, -600, 1, -1];
    let steps = scale.of(all.as_slice(), &[3_600, -3_600]);
    let mut sum = Stepped::default();
    for (nth, step) in (0..).zip(steps) {
        let seen = one_step(&clock, *step, nth, scale.of(20, 5)).await;
        note(&format!(
            "  {step:+} s: {} trials, second copy off {}, expiry off {}, limit off {}, worst {}",
            seen.trials,
            seen.copies_off,
            seen.expired_off,
            seen.limits_off,
            ms(seen.worst)
        ));
        sum.trials += seen.trials;
        sum.copies_off += seen.copies_off;
        sum.expired_off += seen.expired_off;
        sum.limits_off += seen.limits_off;
        sum.worst = sum.worst.max(seen.worst);
    }
    let Stepped { trials, copies_off, expired_off, limits_off, worst } = sum;
    let result = format!(
        "second copies > 1 s early or late: {copies_off} (worst {}); ends by time to live > 1 s off: {expired_off}; limits that forgot or over-refused: {limits_off}",
        ms(worst)
    );
    Outcome::new(format!("{trials} timers over steps {steps:?} s"), result, copies_off + expired_off + limits_off == 0)
}

/// Numbers of messages that nothing is wrong with, so that no breaker opens.
const WELL: u32 = 50_000;

/// Seconds to live of what waits behind the blocked provider.
const WAITS_S: u64 = 10;

/// A number may have one message in this time.
const WINDOW_MS: u64 = 4_000;

/// Second copies are due 3 s after the first; what waits behind the blocked provider ends after 10 s; a number may have one
/// message in 4 s. The step comes once all of them run.
async fn one_step(clock: &WallClock, step: i64, nth: u32, each: u32) -> Stepped {
    clock.step_to(0);
    let (upstream, blocked) = (Mitto::start(), Mitto::start());
    let (base, mut seen) = (nth * 100_000, Stepped::default());
    (base..base + each).for_each(|n| upstream.behave_for(&swiss(n), Behaviour::HangAfterRead));
    blocked.behave(Behaviour::HangAfterRead);
    let gateway = gateway_of_timers(clock, &upstream, &blocked).await;
    let acme = gateway.acme();
    let copies = |n: u32| json!({ "to": swiss(n), "text": "Your code is 482913" });
    let waits =
        |n: u32| json!({ "to": swiss(n), "text": "Your code is 482913", "client_id": "blocked", "ttl_s": WAITS_S });
    let well = Load::start(acme.clone(), Pace::otp(200).from(base + WELL));
    let mut waiting = vec![send(&acme, base + 2 * WELL - 1, &waits(base + 2 * WELL - 1)).await];
    let began = Instant::now();
    let until = |ms| sleep((began + Duration::from_millis(ms)).saturating_duration_since(Instant::now()));
    for n in base..base + each {
        acme.accepted(&copies(n)).await;
        waiting.push(send(&acme, n + WELL / 2, &waits(n + WELL / 2)).await);
        sleep(Duration::from_millis(40)).await; // their time-outs in a row would open the breaker
    }
    waiting.remove(0); // it holds the only place
    let accepting = began.elapsed();
    clock.step_to(step);
    // The last one's window is still open, the first one's is over, whatever the wall clock says; however long it took
    // to accept all of them.
    sleep(Duration::from_secs(2)).await;
    seen.limits_off += usize::from(acme.send(&copies(base + each - 1)).await.status != 429);
    until(WINDOW_MS + 1_500).await;
    seen.limits_off += usize::from(acme.send(&copies(base)).await.status != 202);
    until(WAITS_S * 1_000 - 1_500).await;
    seen.expired_off += without(&gateway, &waiting, "queued").await;
    sleep(
        (began + accepting + Duration::from_millis(WAITS_S * 1_000 + 1_000)).saturating_duration_since(Instant::now()),
    )
    .await;
    seen.expired_off += without(&gateway, &waiting, "expired").await;
    well.stop().await;
    for n in base..base + each - 1 {
        let sends = upstream.sends_to(&swiss(n));
        let due = Duration::from_secs(3);
        let off = match sends.as_slice() {
            [first, second, ..] => (second.at - first.at).abs_diff(due),
            _ => Duration::from_mins(1),
        };
        seen.worst = seen.worst.max(off);
        seen.copies_off += usize::from(off > Duration::from_secs(1));
    }
    seen.trials = (3 * each + 1) as usize;
    seen
}

async fn gateway_of_timers(clock: &WallClock, upstream: &Mitto, blocked: &Mitto) -> Gateway {
    let builder = clock.on(Gateway::builder()).log("error");
    let builder = builder.mitto_with("mitto", upstream, "timeout = \"1s\"\nconcurrency = 256");
    let builder = builder.mitto_with("blocked", blocked, "timeout = \"30s\"\nconcurrency = 1");
    let builder = builder.route("blocked", "use = [\"blocked\"]\nwhen = { client_id = \"blocked\" }");
    let builder = builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"2s\"");
    builder.limit("own", "per = [\"tenant\", \"recipient\"]\nallow = [\"1/4s\"]").start().await
}

/// How many of these messages are not in this status.
async fn without(gateway: &Gateway, sent: &[Sent], status: &str) -> usize {
    let told = messages(&gateway.acme(), sent).await;
    let off: Vec<&Value> = told.iter().filter(|message| text(message, "status") != status).collect();
    if let Some(message) = off.first() {
        note(&format!("  not {status}: {message}"));
    }
    off.len() + sent.len() - told.len()
}
