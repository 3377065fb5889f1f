//! Guarantees 8 and 11: time. Nothing is handed over after its time to live, also over an outage, a kill and steps of the
//! wall clock; and a stepped wall clock moves no timer of a running process.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{Behaviour, Gateway, Luck, Mitto, eventually, swiss};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::audit::{messages, quiet, text};
use crate::figures::ms;
use crate::load::{Load, Pace, Sent};
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
    let (rate, outage_s) = (scale.of(500, 200), scale.of(40, 8));
    let (upstream, mut luck) = (Mitto::start(), Luck::thrown());
    let builder = clock.on(Gateway::builder()).log("error").mitto_with("mitto", &upstream, "concurrency = 64");
    let mut gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    let load = Load::start(gateway.acme(), Pace::otp(rate).of(short_lived));
    sleep(Duration::from_secs(2)).await;
    upstream.behave(Behaviour::RefuseConnect);
    for step in 0..scale.of(4, 2) {
        sleep(Duration::from_secs(1) * outage_s / scale.of(4, 2)).await;
        if step == 1 {
            gateway.kill9();
            gateway.restart().await;
        } else {
            clock.step_to(*luck.pick(&[3600, -3600, 0]));
        }
    }
    upstream.behave(Behaviour::Accept);
    sleep(Duration::from_secs(5)).await;
    let sent = load.stop().await;
    quiet(&gateway, Duration::from_secs(60)).await;

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
    Outcome::new(format!("{} messages, real binary (scaled from 10 min)", begun.len()), result, late == 0)
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
        let seen = one_step(&clock, *step, nth, scale.of(40, 5)).await;
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

/// Second copies are due 3 s after the first; messages for the dead provider end after 5 s; a number may have one in 4 s.
async fn one_step(clock: &WallClock, step: i64, nth: u32, each: u32) -> Stepped {
    clock.step_to(0);
    let (hanging, dead) = (Mitto::start(), Mitto::start());
    hanging.behave(Behaviour::HangAfterRead);
    dead.behave(Behaviour::RefuseConnect);
    let lines = "timeout = \"1s\"\nconcurrency = 256";
    let builder = clock
        .on(Gateway::builder())
        .log("error")
        .mitto_with("hanging", &hanging, lines)
        .mitto_with("dead", &dead, lines);
    let builder = builder.route("dead", "use = [\"dead\"]\nwhen = { client_id = \"dead\" }");
    let builder = builder.route("default", "use = [\"hanging\"]\nunknown_wait = \"2s\"\nmax_copies = 2");
    let builder = builder.limit("own", "per = [\"tenant\", \"recipient\"]\nallow = [\"1/4s\"]");
    let gateway = builder.start().await;
    let (acme, base) = (gateway.acme(), nth * 100_000);
    let copies = |n: u32| json!({ "to": swiss(n), "text": "Your code is 482913" });
    let ends = |n: u32| json!({ "to": swiss(n), "text": "Your code is 482913", "client_id": "dead", "ttl_s": 5 });
    let mut seen = Stepped::default();
    let began = Instant::now();
    for n in 0..each {
        acme.accepted(&copies(base + n)).await;
    }
    let mut dying = Vec::new();
    for n in 0..each {
        let body = ends(base + 50_000 + n);
        dying.push(crate::load::send(&acme, base + 50_000 + n, &body).await);
    }
    sleep(Duration::from_millis(500)).await;
    clock.step_to(step);
    // Within the window: still refused. After it: allowed, whatever the wall clock says.
    sleep((began + Duration::from_millis(1_500)).saturating_duration_since(Instant::now())).await;
    let early = acme.send(&copies(base)).await;
    seen.limits_off += usize::from(early.status != 429);
    sleep((began + Duration::from_millis(5_500)).saturating_duration_since(Instant::now())).await;
    let due = acme.send(&copies(base + each - 1)).await;
    seen.limits_off += usize::from(due.status != 202);
    for n in 0..each - 1 {
        let sends = hanging.sends_to(&swiss(base + n));
        let [first, second, ..] = sends.as_slice() else {
            seen.copies_off += 1;
            continue;
        };
        let due = Duration::from_secs(3);
        let took = second.at - first.at;
        let off = took.saturating_sub(due).max(due.saturating_sub(took));
        seen.worst = seen.worst.max(off);
        seen.copies_off += usize::from(off > Duration::from_secs(1));
    }
    seen.expired_off += not_ended_in_time(&gateway, &dying).await;
    seen.trials = (2 * each + 1) as usize;
    seen
}

/// Messages to the dead provider that have not ended 1 s after their time, or ended otherwise.
async fn not_ended_in_time(gateway: &Gateway, dying: &[Sent]) -> usize {
    let last = dying.iter().map(|sent| sent.began + sent.took).max().expect("some messages");
    sleep((last + Duration::from_millis(6_000)).saturating_duration_since(Instant::now())).await;
    let told = messages(&gateway.acme(), dying).await;
    let off = told.iter().filter(|message| !matches!(text(message, "status"), "expired" | "failed"));
    let off: Vec<&Value> = off.collect();
    if let Some(message) = off.first() {
        note(&format!("  not ended: {message}"));
    }
    eventually("the gateway lives", Duration::from_secs(5), async || {
        gateway.readyz().await.filter(|code| *code == 200)
    })
    .await;
    off.len()
}
