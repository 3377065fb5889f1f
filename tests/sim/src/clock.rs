//! Time as the simulation counts it: milliseconds since it began, across the lives of the process, and the wall clock
//! that a machine shows, which may be set forward or back. Must never read the system's clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sms_core::{Clock, SystemClock, UnixMs};
use tokio::time::Instant;

/// The wall clock when a simulation begins.
const BEGINNING: UnixMs = UnixMs::new(1_764_000_000_000);

/// The clock of one machine; the process on it sees what [`SystemClock`] makes of it.
#[derive(Debug, Default)]
pub(crate) struct MachineClock(Mutex<Time>);

#[derive(Debug, Default)]
struct Time {
    /// Simulated time when the present life began, or when the last one ended.
    ms: u64,
    /// How long no process ran.
    down_ms: u64,
    /// By how much the wall clock is wrong.
    off_ms: i64,
    /// The process that runs: what it took for the time at its start, and when that was.
    life: Option<(SystemClock, Instant)>,
}

impl MachineClock {
    /// Milliseconds since the simulation began.
    pub(crate) fn ms(&self) -> u64 {
        self.time().ms()
    }

    /// The same without the time in which no process ran: what a scenario goes by.
    pub(crate) fn up_ms(&self) -> u64 {
        let time = self.time();
        time.ms() - time.down_ms
    }

    /// The moment of the running life that is `at`.
    pub(crate) fn instant(&self, at: u64) -> Instant {
        let now = self.ms();
        Instant::now() + Duration::from_millis(at.saturating_sub(now))
    }

    /// A process starts and reads the wall clock. Call inside its runtime.
    pub(crate) fn begin_life(&self) {
        let mut time = self.time();
        let wall = UnixMs::new(time.wall());
        time.life = Some((SystemClock::starting_at(wall), Instant::now()));
    }

    /// The process ends. Call inside its runtime.
    pub(crate) fn end_life(&self) {
        let mut time = self.time();
        time.ms = time.ms();
        time.life = None;
    }

    /// Nobody runs for a while.
    pub(crate) fn pass(&self, ms: u64) {
        let mut time = self.time();
        time.ms += ms;
        time.down_ms += ms;
    }

    /// Somebody sets the wall clock; a running process must not notice.
    pub(crate) fn step(&self, by_ms: i64) {
        self.time().off_ms += by_ms;
    }

    /// By how much the wall clock is wrong.
    pub(crate) fn off_ms(&self) -> i64 {
        self.time().off_ms
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for MachineClock {
    fn now(&self) -> UnixMs {
        let time = self.time();
        time.life.as_ref().map_or_else(|| UnixMs::new(time.wall()), |(clock, _)| clock.now())
    }
}

impl Time {
    fn ms(&self) -> u64 {
        let lived = self.life.as_ref().map_or(Duration::ZERO, |(_, began)| began.elapsed());
        self.ms + u64::try_from(lived.as_millis()).unwrap_or(u64::MAX)
    }

    fn wall(&self) -> i64 {
        BEGINNING.get().saturating_add_unsigned(self.ms()).saturating_add(self.off_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_wall_clock_is_seen_by_the_next_life_only() {
        let clock = MachineClock::default();
        clock.begin_life();
        tokio::time::advance(Duration::from_secs(1)).await;
        clock.step(-3_600_000);
        assert_eq!(clock.now(), UnixMs::new(BEGINNING.get() + 1_000));
        clock.end_life();
        clock.pass(500);
        clock.begin_life();
        assert_eq!((clock.ms(), clock.up_ms()), (1_500, 1_000));
        assert_eq!(clock.now(), UnixMs::new(BEGINNING.get() + 1_500 - 3_600_000));
    }
}
