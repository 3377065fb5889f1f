//! Guarantees 17 and 18: more than can be sent, from everybody or from one.

use std::time::Duration;

use e2e::{Gateway, Mitto, Tenant, swiss};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::audit::{quiet, wire};
use crate::figures::{change, ms, per_second, quantile, ratio};
use crate::load::{Load, Pace, Sent};
use crate::machine::{Watch, rss_kib};
use crate::plan::Scale;
use crate::rows::outage::latencies;
use crate::table::{Outcome, note};

/// What the provider takes, a second: the peak.
const PEAK: u32 = 300;

/// Within this time of its request a message is with the provider when all is well.
const WELL: Duration = Duration::from_secs(1);

pub(crate) async fn five_times(scale: Scale) -> Outcome {
    let time = Duration::from_secs(scale.overload_s);
    // How long the peak is held before, and watched after.
    let around = Duration::from_secs(scale.of(15, 6));
    let upstream = Mitto::start();
    upstream.answer_after(Duration::from_millis(10));
    let lines = format!("throughput = \"{PEAK}/s\"\nconcurrency = 64");
    let builder = Gateway::builder().log("error").mitto_with("mitto", &upstream, &lines);
    let gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    Load::run(gateway.acme(), Pace::otp(PEAK).from(3_000_000), around / 3).await;
    let before = upstream.wire_requests();
    let began = Instant::now();
    Load::run(gateway.acme(), Pace::otp(PEAK).from(2_000_000), around).await;
    let peak = per_second(upstream.wire_requests() - before, began.elapsed());
    let steady = rss_kib(gateway.pid());

    let (before, began) = (upstream.wire_requests(), Instant::now());
    let load = Load::start(gateway.acme(), Pace::otp(5 * PEAK));
    let mut most = steady;
    while began.elapsed() < time {
        most = most.max(rss_kib(gateway.pid()));
        sleep(Duration::from_millis(250)).await;
    }
    let goodput = per_second(upstream.wire_requests() - before, began.elapsed());
    let sent = load.stop().await;
    upstream.forget();
    let after = Load::run(gateway.acme(), Pace::otp(PEAK / 2).from(4_000_000), around).await;
    sleep(WELL).await;
    let recovered = recovery(&after, &upstream);

    let accepted = sent.iter().filter(|sent| sent.accepted()).count();
    let refusals: Vec<&Sent> = sent.iter().filter(|sent| matches!(sent.status, Some(429 | 503))).collect();
    let strange = sent.len() - accepted - refusals.len();
    let mute = refusals.iter().filter(|sent| !sent.retry_after).count();
    let times: Vec<Duration> = refusals.iter().map(|sent| sent.took).collect();
    let p99 = quantile(&times, 0.99);
    let (share, growth) = (goodput / peak.max(1e-9), kib(most) / kib(steady));
    let back = recovered.map_or_else(|| format!("not within {around:?}"), |time| format!("{time:.1?}"));
    let result = format!(
        "offered {:.0}/s, peak {peak:.0}/s, goodput {goodput:.0}/s ({:.0} %); {accepted} accepted, {} refused ({mute} without Retry-After, median {}, p99 {}), {strange} other; \
         RSS {growth:.2}× of {} MB; recovered after {back}",
        per_second(sent.len(), time),
        share * 100.0,
        refusals.len(),
        ms(quantile(&times, 0.5)),
        ms(p99),
        steady / 1024
    );
    let limits = !refusals.is_empty() && mute == 0 && p99 <= Duration::from_millis(10);
    let met = share >= 0.9
        && limits
        && strange == 0
        && growth <= 1.5
        && recovered.is_some_and(|time| time <= Duration::from_secs(5));
    Outcome::new(format!("{} requests in {time:?}", sent.len()), result, met)
}

#[expect(clippy::cast_precision_loss, reason = "memory of one process")]
fn kib(value: u64) -> f64 {
    value as f64
}

/// From when on every message was accepted and soon with the provider.
fn recovery(after: &[Sent], upstream: &Mitto) -> Option<Duration> {
    let wire = wire(&[upstream]);
    let start = after.iter().map(|sent| sent.began).min()?;
    let well = |sent: &&Sent| {
        let read = sent.id.as_ref().and_then(|id| wire.get(id)?.first().copied());
        read.is_some_and(|read| read.saturating_duration_since(sent.began) <= WELL)
    };
    let last_ill = after.iter().filter(|sent| !well(sent)).map(|sent| sent.began).max();
    let last = after.iter().map(|sent| sent.began).max()?;
    match last_ill {
        None => Some(Duration::ZERO),
        Some(ill) if ill + WELL < last => Some(ill - start),
        Some(_) => None,
    }
}

/// What each of the others sends, a second.
const SHARE: u32 = 20;

const OTHERS: [&str; 4] = ["anna", "bert", "cleo", "dora"];

fn short(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913", "ttl_s": 10 })
}

pub(crate) async fn one_tenant(scale: Scale) -> Outcome {
    let (rounds, window) = (scale.of(6, 2), Duration::from_secs(scale.of(10, 4)));
    let upstream = Mitto::start();
    upstream.answer_after(Duration::from_millis(10));
    let tenants = ["bully"].iter().chain(&OTHERS);
    let builder = tenants.fold(Gateway::builder().log("error"), |builder, name| builder.tenant(Tenant::new(name)));
    let builder = builder.mitto_with("mitto", &upstream, "throughput = \"400/s\"\nconcurrency = 64");
    let gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    let (watch, mut first) = (Watch::start(), 0);
    let mut one = async |bullied| {
        first += 20_000;
        one_window(&gateway, &upstream, (bullied, first, window)).await
    };
    one(true).await; // nothing is warm yet: not counted
    let (mut alone, mut beside, mut errors, mut requests) = (Vec::new(), Vec::new(), 0, 0);
    for round in 0..rounds {
        let order = if round % 2 == 0 { [false, true] } else { [true, false] };
        for bullied in order {
            let (through, sent) = watch.calm(async || one(bullied).await).await;
            errors += sent - through.len();
            requests += sent;
            let p99 = quantile(&through, 0.99);
            let word = if bullied { "with" } else { "without" };
            note(&format!("  {word}: p99 of the others {}, {} of {sent} through", ms(p99), through.len()));
            if bullied { &mut beside } else { &mut alone }.push(p99);
        }
    }
    let (before, during) = (quantile(&alone, 0.5), quantile(&beside, 0.5));
    let apart = change(before, during);
    let result = format!(
        "median of the others' p99 {} alone, {} beside a tenant at 50× ({apart:+.1} %); {errors} of {requests} not sent ({:.3} %)",
        ms(before),
        ms(during),
        ratio(errors, requests) * 100.0
    );
    let met = apart <= 10.0 && errors == 0;
    Outcome::new(format!("{rounds} pairs of {window:?}, 4 others"), result, met).undisturbed()
}

/// From the others' requests to the upstream, and how many these were; a bully beside them or none.
async fn one_window(
    gateway: &Gateway,
    upstream: &Mitto,
    (bullied, first, window): (bool, u32, Duration),
) -> (Vec<Duration>, usize) {
    upstream.forget();
    let pace = Pace::otp(50 * SHARE).from(first + 5_000_000).of(short);
    let bully = bullied.then(|| Load::start(gateway.tenant("bully"), pace));
    let loads = OTHERS.iter().zip(0..).map(|(name, nth)| {
        let pace = Pace::otp(SHARE).from(first + 1_000_000 * (nth + 1)).of(short);
        tokio::spawn(Load::run(gateway.tenant(name), pace, window))
    });
    let loads: Vec<_> = loads.collect();
    let mut sent = Vec::new();
    for load in loads {
        sent.extend(load.await.expect("the load ends"));
    }
    if let Some(bully) = bully {
        bully.stop().await;
    }
    quiet(gateway, Duration::from_mins(1)).await;
    (latencies(&sent, &wire(&[upstream])), sent.len())
}
