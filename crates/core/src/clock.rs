//! Wall time as a value and as a port. Timers use `tokio::time::Instant`; this is for what is stored and shown.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMs(i64);

impl UnixMs {
    /// Wraps a count of milliseconds.
    pub const fn new(ms: i64) -> Self {
        Self(ms)
    }

    /// The count of milliseconds.
    pub fn get(self) -> i64 {
        self.0
    }

    /// `self + span`, saturating.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// `self - span`, saturating.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// RFC 3339 in UTC with milliseconds.
impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Tells wall time. Production has [`SystemClock`]; tests may have their own.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Now. Never goes back while the process lives.
    fn now(&self) -> UnixMs;
}

/// Wall time read once and then carried forward by the monotonic clock, so that a step of the
/// system clock neither expires nor revives anything while the process runs.
#[derive(Debug)]
pub struct SystemClock {
    wall: UnixMs,
    started: Instant,
}

impl SystemClock {
    /// Reads the system clock.
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the injected clock's source")]
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map(|since| UnixMs::default().plus(since))
            .unwrap_or_default();
        Self { wall, started: Instant::now() }
    }

    /// A clock that starts at `wall`: with paused tokio time it moves only when told.
    pub fn starting_at(wall: UnixMs) -> Self {
        Self { wall, started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMs {
        self.wall.plus(self.started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_rfc_3339_with_milliseconds() {
        assert_eq!(UnixMs::new(1_764_000_000_007).to_string(), "2025-11-24T16:00:00.007Z");
    }

    #[tokio::test(start_paused = true)]
    async fn clock_follows_monotonic_time() {
        let clock = SystemClock::starting_at(UnixMs::new(10));
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(clock.now(), UnixMs::new(15));
    }

    #[test]
    fn time_since_a_later_moment_is_zero() {
        assert_eq!(UnixMs::new(5).since(UnixMs::new(9)), Duration::ZERO);
    }
}
