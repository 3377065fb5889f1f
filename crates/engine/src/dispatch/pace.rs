//! How fast attempts may follow each other: the provider's configured throughput, and pauses it asked for.

use std::time::Duration;

use tokio::time::Instant;

/// How much of a second's throughput may go out in one burst.
const BURST: Duration = Duration::from_millis(50);

/// How much of a burst is left to tenants of which nothing waits, so that a tenant that sends too much delays nobody else.
const RESERVE: Duration = Duration::from_millis(12);

/// Which part of a burst may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Burst {
    /// All of it.
    Whole,
    /// All but [`RESERVE`].
    Common,
}

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
    pub(super) fn try_take(&mut self, burst: Burst, now: Instant) -> Result<(), Instant> {
        if let Some(until) = self.paused_until {
            if now < until {
                return Err(until);
            }
            self.paused_until = None;
        }
        let Some(interval) = self.interval else { return Ok(()) };
        let next = self.next.max(now);
        let burst = match burst {
            Burst::Whole => BURST,
            Burst::Common => BURST.saturating_sub(RESERVE),
        };
        let ahead = burst.saturating_sub(interval);
        if next.duration_since(now) > ahead {
            return Err(next - ahead);
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
