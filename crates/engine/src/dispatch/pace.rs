//! How fast attempts may follow each other: the provider's configured throughput, and pauses it asked for.

use std::time::Duration;

use tokio::time::Instant;

/// How much of a second's throughput may go out in one burst.
const BURST: Duration = Duration::from_millis(50);

/// Spaces attempts evenly (GCRA); bursts up to [`BURST`]'s worth.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Option<Duration>,
    /// When the bucket would be empty again; earlier than now means spare capacity.
    next: Instant,
    paused_until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(interval: Option<Duration>) -> Self {
        Self { interval, next: Instant::now(), paused_until: None }
    }

    /// Takes over another throughput; a pause goes on.
    pub(super) fn reconfigure(&mut self, interval: Option<Duration>) {
        if self.interval != interval {
            *self = Self { paused_until: self.paused_until, ..Self::new(interval) };
        }
    }

    /// Takes one place, or says when to ask again.
    pub(super) fn try_take(&mut self, now: Instant) -> Result<(), Instant> {
        if let Some(until) = self.paused_until {
            if now < until {
                return Err(until);
            }
            self.paused_until = None;
        }
        let Some(interval) = self.interval else { return Ok(()) };
        let next = self.next.max(now);
        if next.duration_since(now) > BURST.saturating_sub(interval) {
            return Err(next - BURST.saturating_sub(interval));
        }
        self.next = next + interval;
        Ok(())
    }

    /// A place was not used.
    pub(super) fn give_back(&mut self) {
        if let Some(interval) = self.interval {
            self.next = self.next.checked_sub(interval).unwrap_or(self.next);
        }
    }

    /// The provider asked for a pause.
    pub(super) fn pause_until(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }
}
