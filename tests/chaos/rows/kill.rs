//! Guarantees 1 and 2: the process ends, politely or not, under load, and starts again on the same file.

use std::time::Duration;

use e2e::{Builder, Gateway, Luck, Mitto};
use tokio::time::{Instant, sleep};

use crate::audit::{Audit, quiet, wire};
use crate::figures::per_second;
use crate::load::{Load, Pace};
use crate::plan::Scale;
use crate::table::{Outcome, note};

/// How long the upstream takes.
const LATENCY: Duration = Duration::from_millis(20);

/// Attempts at the same time.
const CONCURRENCY: usize = 128;

/// Kills of one gateway; the upstream remembers only so many messages.
const KILLS_A_RUN: u64 = 20;

/// The gateway's `server.drain`.
const DRAIN: Duration = Duration::from_secs(30);

const SETTLES_WITHIN: Duration = Duration::from_mins(1);

pub(crate) fn upstream() -> Mitto {
    let upstream = Mitto::start();
    upstream.answer_after(LATENCY);
    upstream
}

pub(crate) fn builder(upstream: &Mitto) -> Builder {
    let builder = Gateway::builder().server("drain = \"30s\"").log("error");
    let builder = builder.mitto_with("mitto", upstream, &format!("concurrency = {CONCURRENCY}"));
    builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"")
}

/// Figures over several gateways.
#[derive(Default)]
struct Sum {
    audit: Audit,
    requests: usize,
    loaded: Duration,
}

impl Sum {
    async fn finish(&mut self, gateway: &Gateway, upstream: &Mitto, load: Load, began: Instant) {
        let sent = load.stop().await;
        self.loaded += began.elapsed();
        self.requests += sent.len();
        quiet(gateway, SETTLES_WITHIN).await;
        self.audit.merge(Audit::of(&gateway.acme(), &sent, &wire(&[upstream])).await);
        note(&format!("  {} accepted so far, {} lost", self.audit.accepted, self.audit.lost.len()));
    }

    fn told(&self) -> String {
        let Self { audit, loaded, .. } = self;
        for lost in audit.lost.iter().take(10) {
            note(&format!("  LOST {lost}"));
        }
        let rate = per_second(audit.accepted, *loaded);
        format!("{} accepted ({rate:.0}/s, down times included), {} lost", audit.accepted, audit.lost.len())
    }
}

pub(crate) async fn kill_9(scale: Scale) -> Outcome {
    let (mut luck, mut sum, kills) = (Luck::thrown(), Sum::default(), scale.of(100, 5));
    let mut left = kills;
    while left > 0 {
        let upstream = upstream();
        let mut gateway = builder(&upstream).start().await;
        let (load, began) = (Load::start(gateway.acme(), Pace::mixed(2_000)), Instant::now());
        for _ in 0..left.min(KILLS_A_RUN) {
            sleep(luck.pause(100..1_000)).await;
            gateway.kill9();
            gateway.restart().await;
        }
        left = left.saturating_sub(KILLS_A_RUN);
        sum.finish(&gateway, &upstream, load, began).await;
    }
    let told = sum.told();
    let Audit { lost, doubled, doubled_without_reason, interrupted, copies_max: [otp, transactional], .. } = &sum.audit;
    let met = lost.is_empty() && *doubled_without_reason == 0 && *otp <= 2 && *transactional <= 1;
    let result = format!(
        "{told}; {interrupted} in flight at a kill, {doubled} of them doubled; copies at most: otp {otp}, transactional {transactional}"
    );
    Outcome::new(format!("{kills} kills"), result, met && doubled <= interrupted)
}

/// What was seen of one polite end.
pub(crate) struct Stop {
    pub(crate) took: Duration,
    clean: bool,
    /// `/readyz` said 503 while the process lived.
    told: bool,
}

pub(crate) async fn sigterm(scale: Scale, rate: u32) -> Outcome {
    let (mut luck, mut sum, stops) = (Luck::thrown(), Sum::default(), scale.of(20, 3));
    let (mut seen, mut left) = (Vec::new(), stops);
    while left > 0 {
        let upstream = upstream();
        let mut gateway = builder(&upstream).start().await;
        let (load, began) = (Load::start(gateway.acme(), Pace::mixed(rate)), Instant::now());
        for _ in 0..left.min(KILLS_A_RUN) {
            sleep(luck.pause(300..1_500)).await;
            seen.push(stop(&mut gateway).await);
            gateway.restart().await;
        }
        left = left.saturating_sub(KILLS_A_RUN);
        sum.finish(&gateway, &upstream, load, began).await;
    }
    let slowest = seen.iter().map(|stop| stop.took).max().unwrap_or_default();
    let (clean, told) = (seen.iter().filter(|stop| stop.clean).count(), seen.iter().filter(|stop| stop.told).count());
    let audit = &sum.audit;
    let met = audit.lost.is_empty() && audit.doubled == 0 && slowest <= DRAIN && clean == seen.len();
    let result = format!(
        "{}; {} doubled; slowest exit {slowest:.1?}, {clean} clean; readiness told first {told} times",
        sum.told(),
        audit.doubled
    );
    Outcome::new(format!("{stops} stops"), result, met && told == seen.len())
}

pub(crate) async fn stop(gateway: &mut Gateway) -> Stop {
    let (began, mut told) = (Instant::now(), false);
    gateway.term();
    let readyz = format!("{}/readyz", gateway.ops_url());
    while let Ok(answer) = gateway.http().get(&readyz).send().await {
        told |= answer.status().as_u16() == 503;
        if began.elapsed() > DRAIN {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    let status = gateway.ended(DRAIN).await;
    Stop { took: began.elapsed(), clean: status.code() == Some(0), told }
}
