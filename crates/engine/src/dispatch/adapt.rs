//! How many attempts of one provider and country may run at a time: grows while answers come as fast as they use to,
//! shrinks when they slow down or fail. Never above the configured number, and never to nothing: what is slow must not
//! tie up what others need, but still be used where there is nothing else.

use std::time::Duration;

use tokio::time::Instant;

/// Attempts allowed before anything is known.
const START: usize = 32;

/// Shrunk to this part of the cap at least.
const LEAST: usize = 4;

/// Answers that tell what is usual.
const SAMPLES_MIN: u32 = 10;

/// So many times the usual is slow ...
const SLOW_TIMES: f64 = 4.0;

/// ... and at least so much more.
const SLOW_MORE: f64 = 0.5;

/// After this long, the new normal counts.
const USUAL_OVER: Duration = Duration::from_mins(5);

/// Without any answer for so long while attempts run, the provider stalls.
const STALL: Duration = Duration::from_secs(5);

/// Two shrinks in a row are so far apart at least: one bad moment counts once.
const SHRINK_EVERY: Duration = Duration::from_millis(250);

/// The limit with what it learned from.
#[derive(Debug)]
pub(super) struct Adapt {
    limit: f64,
    shrunk: Option<Instant>,
    /// Seconds from offering a message to the answer: of late, and as usual.
    recent: f64,
    usual: f64,
    samples: u32,
    answered: Instant,
}

/// How an attempt went, as far as speed is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// It failed, or was refused for being one too many.
    Badly,
    /// It was answered.
    Well,
}

impl Adapt {
    pub(super) fn new(cap: usize, now: Instant) -> Self {
        let limit = f64::from(u32::try_from(cap.min(START)).unwrap_or(u32::MAX));
        Self { limit, shrunk: None, recent: 0.0, usual: 0.0, samples: 0, answered: now }
    }

    /// An attempt begins while `running` others run.
    pub(super) fn began(&mut self, running: usize, now: Instant) {
        if running == 0 {
            self.answered = now; // nothing was due before
        }
    }

    /// An attempt ended; `running` ran of `cap` that may, itself included. Says whether answers are slow.
    pub(super) fn ended(&mut self, went: Went, took: Duration, (running, cap): (usize, usize), now: Instant) -> bool {
        let since = now.saturating_duration_since(self.answered);
        self.answered = now;
        if went == Went::Badly {
            self.shrink(0.7, cap, now);
            return false;
        }
        let took = took.as_secs_f64();
        self.samples = self.samples.saturating_add(1);
        let weight = 1.0 / f64::from(self.samples.min(SAMPLES_MIN));
        self.recent += (took - self.recent) * weight;
        if self.samples <= SAMPLES_MIN {
            self.usual = self.recent;
        } else {
            let share = 1.0 - (-since.as_secs_f64() / USUAL_OVER.as_secs_f64()).exp();
            let faster = if took < self.usual { 0.1 } else { 0.0 };
            self.usual += (took - self.usual) * share.max(faster);
        }
        if self.is_slow() {
            self.shrink(0.8, cap, now);
        } else if running * 2 >= self.limit(cap) {
            self.limit = (self.limit + 1.0).min(as_f64(cap));
        }
        self.is_slow()
    }

    /// An answer that took so long is no sign of slowness.
    pub(super) fn is_usual(&self, took: Duration) -> bool {
        let took = took.as_secs_f64();
        took <= self.usual * SLOW_TIMES || took <= self.usual + SLOW_MORE
    }

    /// What was slow is fast again, as one answer showed.
    pub(super) fn recovered(&mut self, took: Duration) {
        self.recent = took.as_secs_f64();
    }

    /// Attempts run and none was answered for long.
    pub(super) fn stalls(&self, running: usize, now: Instant) -> bool {
        let patience = STALL.max(Duration::from_secs_f64(self.usual * SLOW_TIMES).min(STALL * 2));
        running > 0 && now.saturating_duration_since(self.answered) >= patience
    }

    /// Lets the limit fall to its least: a provider that stalls tells nothing by answering.
    pub(super) fn stalled(&mut self, cap: usize) {
        self.limit = self.limit.min(as_f64(least(cap)));
    }

    /// Attempts allowed at a time.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and the cap")]
    pub(super) fn limit(&self, cap: usize) -> usize {
        (self.limit as usize).clamp(least(cap), cap)
    }

    /// Mean time to an answer of late; `None` before any.
    pub(super) fn latency(&self) -> Option<Duration> {
        (self.samples > 0).then(|| Duration::from_secs_f64(self.recent))
    }

    /// Answers seen.
    pub(super) fn samples(&self) -> u32 {
        self.samples
    }

    fn is_slow(&self) -> bool {
        self.samples > SAMPLES_MIN && self.recent > self.usual * SLOW_TIMES && self.recent > self.usual + SLOW_MORE
    }

    fn shrink(&mut self, to: f64, cap: usize, now: Instant) {
        if self.shrunk.is_none_or(|at| now.saturating_duration_since(at) >= SHRINK_EVERY) {
            self.shrunk = Some(now);
            self.limit = (self.limit.min(as_f64(cap)) * to).max(as_f64(least(cap)));
        }
    }
}

fn least(cap: usize) -> usize {
    (cap / LEAST).max(1)
}

fn as_f64(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: usize = 64;

    /// `n` answers after `took` each, one after the other.
    async fn answers(adapt: &mut Adapt, n: u32, took: Duration, running: usize) -> bool {
        let mut slow = false;
        for _ in 0..n {
            tokio::time::advance(took / 8).await;
            slow = adapt.ended(Went::Well, took, (running, CAP), Instant::now());
        }
        slow
    }

    #[tokio::test(start_paused = true)]
    async fn it_grows_to_the_cap_while_it_is_used() {
        let mut adapt = Adapt::new(CAP, Instant::now());
        assert_eq!(adapt.limit(CAP), START);
        assert!(!answers(&mut adapt, 100, Duration::from_millis(50), CAP).await);
        assert_eq!(adapt.limit(CAP), CAP);
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_grow_while_nobody_needs_more() {
        let mut adapt = Adapt::new(CAP, Instant::now());
        answers(&mut adapt, 100, Duration::from_millis(50), 3).await;
        assert_eq!(adapt.limit(CAP), START);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_answers_shrink_it_to_a_quarter_and_a_new_normal_lets_it_grow_again() {
        let mut adapt = Adapt::new(CAP, Instant::now());
        answers(&mut adapt, 100, Duration::from_millis(50), CAP).await;
        assert!(answers(&mut adapt, 20, Duration::from_secs(3), CAP).await);
        assert!(adapt.limit(CAP) <= 20, "{}", adapt.limit(CAP));
        assert!(!answers(&mut adapt, 600, Duration::from_secs(3), CAP).await);
        assert_eq!(adapt.limit(CAP), CAP);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_shrink_it_but_never_to_nothing() {
        let mut adapt = Adapt::new(CAP, Instant::now());
        for _ in 0..100 {
            tokio::time::advance(SHRINK_EVERY).await;
            adapt.ended(Went::Badly, Duration::ZERO, (CAP, CAP), Instant::now());
        }
        assert_eq!(adapt.limit(CAP), CAP / LEAST);
        assert_eq!(Adapt::new(1, Instant::now()).limit(1), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_noticed_within_ten_seconds_whatever_was_usual() {
        let mut adapt = Adapt::new(CAP, Instant::now());
        answers(&mut adapt, 20, Duration::from_secs(9), 4).await;
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(!adapt.stalls(0, Instant::now()), "nothing runs");
        adapt.began(0, Instant::now());
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(!adapt.stalls(1, Instant::now()));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(adapt.stalls(1, Instant::now()));
        adapt.stalled(CAP);
        assert_eq!(adapt.limit(CAP), CAP / LEAST);
    }

    #[tokio::test(start_paused = true)]
    async fn an_even_pace_is_never_slow_however_slow_it_is() {
        let mut adapt = Adapt::new(CAP, Instant::now());
        assert!(!answers(&mut adapt, 300, Duration::from_secs(2), CAP).await);
        assert_eq!(adapt.limit(CAP), CAP);
    }
}
