//! What receipts say of one provider in one country: how much is delivered, and whether of late nothing is. Honest with
//! small samples: a run of failures counts only once chance cannot explain it.

use std::time::Duration;

use tokio::time::Instant;

/// What is twice as old counts half as much.
const HALF_LIFE: Duration = Duration::from_mins(30);

/// Share that is delivered where nothing is known, and the receipts that this opinion weighs as much as.
pub(crate) const PRIOR: f64 = 0.85;
/// See [`PRIOR`].
pub(crate) const PRIOR_WEIGHT: f64 = 20.0;

/// Shortest run of undelivered messages that opens.
const RUN_MIN: u32 = 8;

/// A run this long opens whatever was usual.
const RUN_MAX: u32 = 100;

/// A run is no chance when it is less likely than this.
const CHANCE: f64 = 0.000_1;

/// How long it stays open before a message is tried; twice as long each time that changes nothing.
const OPEN_FOR: Duration = Duration::from_mins(1);

/// Longest time it stays open.
const OPEN_FOR_MAX: Duration = Duration::from_mins(10);

/// When half open, one message is tried in so long: its receipt takes time.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// The receipts of one provider and country.
#[derive(Debug, Default)]
pub(super) struct Quality {
    delivered: f64,
    undelivered: f64,
    counted: Option<Instant>,
    /// Undelivered ones in a row, and the share delivered before.
    run: u32,
    before: f64,
    opened: Option<Opened>,
}

#[derive(Clone, Copy, Debug)]
struct Opened {
    since: Instant,
    until: Instant,
    times: u32,
    tried: Option<Instant>,
}

impl Opened {
    /// A message of this age was accepted after it opened.
    fn knows(self, age: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= age
    }
}

impl Quality {
    /// A final receipt for a message that was accepted `age` ago. Says whether it opened now.
    pub(super) fn receipt(&mut self, delivered: bool, age: Duration, now: Instant) -> bool {
        self.age(now);
        if delivered {
            self.delivered += 1.0;
            self.run = 0;
            // What was sent before the opening and comes late tells nothing about today.
            if self.opened.is_some_and(|opened| opened.knows(age, now)) {
                self.opened = None;
            }
            return false;
        }
        if self.run == 0 {
            self.before = self.share();
        }
        self.undelivered += 1.0;
        self.run = self.run.saturating_add(1);
        match self.opened {
            None if self.run >= self.run_max() => {
                self.opened = Some(Opened { since: now, until: now + OPEN_FOR, times: 1, tried: None });
                true
            }
            Some(opened) if now >= opened.until && opened.knows(age, now) => {
                let times = opened.times.saturating_add(1);
                let longer = (OPEN_FOR * 2_u32.saturating_pow(opened.times.min(8))).min(OPEN_FOR_MAX);
                self.opened = Some(Opened { since: now, until: now + longer, times, tried: None });
                false
            }
            None | Some(_) => false,
        }
    }

    /// Messages should rather go elsewhere.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.opened.is_some_and(|opened| {
            let tried = opened.tried.is_some_and(|at| now.saturating_duration_since(at) < TRY_EVERY);
            now < opened.until || tried
        })
    }

    /// It is open, or half open until a message proves otherwise.
    pub(super) fn is_suspect(&self) -> bool {
        self.opened.is_some()
    }

    /// A message is sent: in half-open state it is the one that is tried.
    pub(super) fn began(&mut self, now: Instant) {
        if let Some(opened) = &mut self.opened {
            opened.tried = Some(now);
        }
    }

    /// Share of messages delivered, and the receipts (decayed) it is known from.
    pub(super) fn measured(&self, now: Instant) -> (f64, f64) {
        let factor = self.factor(now);
        let receipts = (self.delivered + self.undelivered) * factor;
        let share = if receipts > 0.0 { self.delivered * factor / receipts } else { 0.0 };
        (share, receipts)
    }

    /// The share delivered, leaning towards the prior opinion where little is known.
    fn share(&self) -> f64 {
        (self.delivered + PRIOR * PRIOR_WEIGHT) / (self.delivered + self.undelivered + PRIOR_WEIGHT)
    }

    /// The shortest run that chance does not explain.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between RUN_MIN and RUN_MAX")]
    fn run_max(&self) -> u32 {
        let run = CHANCE.ln() / (1.0 - self.before.clamp(0.01, 0.95)).ln();
        (run.ceil() as u32).clamp(RUN_MIN, RUN_MAX)
    }

    fn age(&mut self, now: Instant) {
        let factor = self.factor(now);
        self.delivered *= factor;
        self.undelivered *= factor;
        self.counted = Some(now);
    }

    fn factor(&self, now: Instant) -> f64 {
        let age = self.counted.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        (-age.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` receipts of messages accepted now; says whether any opened it.
    fn receipts(quality: &mut Quality, delivered: bool, n: u32) -> bool {
        let now = Instant::now();
        (0..n).fold(false, |opened, _| quality.receipt(delivered, Duration::ZERO, now) | opened)
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_of_undelivered_messages_opens_it() {
        let mut quality = Quality::default();
        receipts(&mut quality, true, 200);
        assert!(!receipts(&mut quality, false, RUN_MIN - 1));
        assert!(receipts(&mut quality, false, 1));
        assert!(quality.is_open(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn small_samples_prove_nothing() {
        let mut quality = Quality::default();
        assert!(!receipts(&mut quality, false, RUN_MIN - 1));
        assert!(!quality.is_suspect());
        receipts(&mut quality, true, 1);
        assert!(!receipts(&mut quality, false, RUN_MIN - 1), "the run began anew");
    }

    #[tokio::test(start_paused = true)]
    async fn where_half_is_lost_every_day_a_run_must_be_longer() {
        let mut quality = Quality::default();
        for _ in 0..200 {
            receipts(&mut quality, true, 1);
            receipts(&mut quality, false, 1);
        }
        receipts(&mut quality, true, 1);
        assert!(!receipts(&mut quality, false, 12));
        assert!(receipts(&mut quality, false, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn one_message_is_tried_after_a_while_and_its_receipt_decides() {
        let mut quality = Quality::default();
        receipts(&mut quality, false, RUN_MIN);
        tokio::time::advance(OPEN_FOR).await;
        assert!(!quality.is_open(Instant::now()));
        quality.began(Instant::now());
        assert!(quality.is_open(Instant::now()), "one at a time");
        receipts(&mut quality, false, 1);
        tokio::time::advance(OPEN_FOR).await;
        assert!(quality.is_open(Instant::now()), "twice as long now");
        tokio::time::advance(OPEN_FOR).await;
        assert!(!quality.is_open(Instant::now()));
        receipts(&mut quality, true, 1);
        assert!(!quality.is_suspect());
    }

    #[tokio::test(start_paused = true)]
    async fn receipts_of_what_was_sent_before_do_not_close_it() {
        let mut quality = Quality::default();
        receipts(&mut quality, false, RUN_MIN);
        quality.receipt(true, Duration::from_secs(1), Instant::now());
        assert!(quality.is_suspect());
    }

    #[tokio::test(start_paused = true)]
    async fn old_receipts_fade() {
        let mut quality = Quality::default();
        receipts(&mut quality, true, 100);
        tokio::time::advance(HALF_LIFE).await;
        let (share, known) = quality.measured(Instant::now());
        assert!((share - 1.0).abs() < 1e-9 && (known - 50.0).abs() < 1e-6, "{share} {known}");
    }
}
