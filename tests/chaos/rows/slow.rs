//! Guarantee 15: a provider that takes 30 s must not be felt on the routes of others. One gateway, windows with the slow
//! provider well and with it slow, close together and in alternating order, so that whatever else the machine does meets
//! both alike; the judgement is over the medians of many windows.

use std::time::Duration;

use e2e::{Gateway, Mitto, eventually, swiss};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::audit::{quiet, wire};
use crate::figures::{change, ms, quantile};
use crate::load::{Load, Pace};
use crate::machine::Watch;
use crate::plan::Scale;
use crate::rows::outage::latencies;
use crate::table::{Outcome, note};

const SLOW: Duration = Duration::from_secs(30);
const WELL: Duration = Duration::from_millis(5);

/// Messages a second on the other route, and on that of the slow provider.
const OTHERS: u32 = 200;
const TO_SLOW: u32 = 50;

/// How long a breaker may take to close and a backlog to drain between two windows.
const SETTLES_WITHIN: Duration = Duration::from_mins(1);

/// No two windows share a number.
const NUMBERS_A_WINDOW: u32 = 10_000;
const FIRST_TO_SLOW: u32 = 2_000_000;

struct Trial {
    gateway: Gateway,
    slow: Mitto,
    fast: Mitto,
    first: u32,
}

/// What was seen in one window.
struct Window {
    through: Vec<Duration>,
    refused: usize,
    /// When the slow provider's breaker was first seen not to be closed, from the onset on.
    acted: Option<Duration>,
}

pub(crate) async fn slow(scale: Scale) -> Outcome {
    let (pairs, time) = (scale.of(10, 3), Duration::from_secs(scale.of(10, 5)));
    let (slow, fast) = (Mitto::start(), Mitto::start());
    let builder = Gateway::builder().log("error").mitto("slow", &slow).mitto("fast", &fast);
    let builder = builder.route("slow", "use = [\"slow\"]\nwhen = { client_id = \"slow\" }\nmax_copies = 1");
    let gateway = builder.route("default", "use = [\"fast\"]").start().await;
    let mut trial = Trial { gateway, slow, fast, first: 1 };
    let watch = Watch::start();
    for disturbed in [false, true] {
        trial.window(disturbed, time).await; // nothing is warm yet: not counted
    }
    let (mut calm, mut slowed) = (Sum::default(), Sum::default());
    for pair in 0..pairs {
        let order = if pair % 2 == 0 { [false, true] } else { [true, false] };
        for disturbed in order {
            let seen = watch.calm(async || trial.window(disturbed, time).await).await;
            if disturbed { slowed.add(&seen) } else { calm.add(&seen) }
        }
        let last = |sum: &Sum| sum.p99.last().copied().map(ms).unwrap_or_default();
        note(&format!("  p99 {} well, {} slow", last(&calm), last(&slowed)));
    }
    judge(&calm, &slowed, (pairs, time)).undisturbed()
}

fn judge(calm: &Sum, slowed: &Sum, (pairs, time): (usize, Duration)) -> Outcome {
    let (before, during) = (quantile(&calm.p99, 0.5), quantile(&slowed.p99, 0.5));
    let apart = change(before, during);
    let acted = slowed.acted.iter().copied().collect::<Option<Vec<_>>>().and_then(|acted| acted.into_iter().max());
    let acts = acted.map_or_else(|| "did not open".to_owned(), |at| format!("opened after {at:.1?} at most"));
    // What two sets of windows without any difference between them come to.
    let (even, odd) = calm.halves();
    let result = format!(
        "median of the windows' p99 of the other route {} with the slow one well, {} with it 30 s slow ({apart:+.1} %; \
         two halves of the well windows: {:+.1} %); p99 of all samples {} and {}, median {} and {}; {} refused; its breaker {acts}",
        ms(before),
        ms(during),
        change(even, odd),
        ms(quantile(&calm.through, 0.99)),
        ms(quantile(&slowed.through, 0.99)),
        ms(quantile(&calm.through, 0.5)),
        ms(quantile(&slowed.through, 0.5)),
        calm.refused + slowed.refused,
    );
    let met =
        apart <= 5.0 && calm.refused + slowed.refused == 0 && acted.is_some_and(|at| at <= Duration::from_secs(10));
    Outcome::new(format!("{pairs} pairs of {time:?}, {} samples a side", calm.through.len()), result, met)
}

/// The windows of one kind.
#[derive(Default)]
struct Sum {
    through: Vec<Duration>,
    p99: Vec<Duration>,
    refused: usize,
    acted: Vec<Option<Duration>>,
}

impl Sum {
    fn add(&mut self, window: &Window) {
        self.p99.push(quantile(&window.through, 0.99));
        self.through.extend(&window.through);
        self.refused += window.refused;
        self.acted.push(window.acted);
    }

    /// The medians of every second window's p99, from the first and from the second on.
    fn halves(&self) -> (Duration, Duration) {
        let half = |from: usize| quantile(&self.p99.iter().copied().skip(from).step_by(2).collect::<Vec<_>>(), 0.5);
        (half(0), half(1))
    }
}

impl Trial {
    /// One window; before it ends nothing of it waits any more and the breaker is closed.
    async fn window(&mut self, disturbed: bool, time: Duration) -> Window {
        self.slow.forget();
        self.fast.forget();
        self.slow.answer_after(if disturbed { SLOW } else { WELL });
        let acme = self.gateway.acme();
        let side = Load::start(acme.clone(), Pace::otp(TO_SLOW).from(self.first + FIRST_TO_SLOW).of(to_slow));
        let (onset, pace) = (Instant::now(), Pace::otp(OTHERS).from(self.first));
        let main = tokio::spawn(Load::run(acme, pace, time));
        // Asked alike in every window: what it costs is no difference between them.
        let acted = self.breaker_acts(onset + time).await.map(|at| at - onset);
        let sent = main.await.expect("the load ends");
        self.slow.answer_after(WELL);
        if disturbed {
            self.closes().await;
        }
        side.stop().await;
        self.first += NUMBERS_A_WINDOW;
        quiet(&self.gateway, SETTLES_WITHIN).await;
        let through = latencies(&sent, &wire(&[&self.fast]));
        let refused = sent.iter().filter(|sent| !sent.accepted()).count();
        Window { through, refused, acted }
    }

    /// Watches until `end`: when the slow provider's breaker was first seen not to be closed.
    async fn breaker_acts(&self, end: Instant) -> Option<Instant> {
        let mut acted = None;
        while Instant::now() < end {
            if !self.closed().await && acted.is_none() {
                acted = Some(Instant::now());
            }
            sleep(Duration::from_millis(250)).await;
        }
        acted
    }

    /// The traffic to the slow provider goes on until its breaker is closed again.
    async fn closes(&self) {
        let closed = async || self.closed().await.then_some(());
        eventually("the breaker closes", SETTLES_WITHIN, closed).await;
    }

    async fn closed(&self) -> bool {
        let metrics = self.gateway.metrics().await;
        metrics.count("gateway_provider_circuit_state", &[("provider", "slow"), ("state", "closed")]) > 0.5
    }
}

fn to_slow(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913", "client_id": "slow", "class": "transactional", "ttl_s": 40 })
}
