//! The way to one provider: how many attempts at a time, how fast, and whether at all.
//! Knows neither messages nor the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sms_core::{Fate, Kind};
use sms_core::{ProviderName, SendError, Submission};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::breaker::{Breaker, Circuit, Health};

/// Longest pause a provider's `Retry-After` may impose on its lane.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How much of a second's throughput may go out in one burst.
const BURST: Duration = Duration::from_millis(50);

/// One provider's lane; lives as long as a provider of that name is configured or has messages waiting.
#[derive(Debug)]
pub(crate) struct Lane {
    /// The provider.
    pub(crate) name: ProviderName,
    /// Wakes the lane's worker: a message began to wait.
    pub(crate) wake: Notify,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    concurrency: usize,
    pace: Pace,
}

/// The right to make one attempt; the slot is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _slot: OwnedSemaphorePermit,
}

impl Lane {
    pub(crate) fn new(name: ProviderName, concurrency: usize, interval: Option<Duration>) -> Self {
        Self {
            name,
            wake: Notify::new(),
            slots: Arc::new(Semaphore::new(concurrency)),
            state: Mutex::new(State { breaker: Breaker::default(), concurrency, pace: Pace::new(interval) }),
        }
    }

    /// Takes over changed settings without forgetting what is in flight.
    pub(crate) fn reconfigure(&self, concurrency: usize, interval: Option<Duration>) {
        let mut state = self.state();
        if concurrency > state.concurrency {
            self.slots.add_permits(concurrency - state.concurrency);
        } else {
            let excess = state.concurrency - concurrency;
            let removed = self.slots.forget_permits(excess);
            // What could not be taken now is in flight; it is forgotten when it comes back.
            if removed < excess {
                let (slots, rest) = (Arc::clone(&self.slots), u32::try_from(excess - removed).unwrap_or(u32::MAX));
                tokio::spawn(async move {
                    if let Ok(permits) = slots.acquire_many(rest).await {
                        permits.forget();
                    }
                });
            }
        }
        state.concurrency = concurrency;
        if state.pace.interval != interval {
            state.pace = Pace { paused_until: state.pace.paused_until, ..Pace::new(interval) };
        }
    }

    /// A permit if one is free right now.
    pub(crate) fn try_begin(&self) -> Option<Permit> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        self.state().pace.try_take(Instant::now()).ok()?;
        Some(Permit { _slot: slot })
    }

    /// Waits for a permit; `None` once the lane is closed.
    pub(crate) async fn begin(&self) -> Option<Permit> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        loop {
            let taken = self.state().pace.try_take(Instant::now());
            match taken {
                Ok(()) => return Some(Permit { _slot: slot }),
                Err(free_at) => tokio::time::sleep_until(free_at).await,
            }
        }
    }

    /// Returns a permit that was not used, with its place in the pace.
    pub(crate) fn give_back(&self, permit: Permit) {
        self.state().pace.give_back();
        drop(permit);
    }

    /// New messages should rather go elsewhere.
    pub(crate) fn is_open(&self) -> bool {
        self.state().breaker.is_open(Instant::now())
    }

    /// May an attempt be made? Counts as the probe of a half-open breaker.
    pub(crate) fn admits(&self) -> bool {
        self.state().breaker.admits(Instant::now())
    }

    /// Learns from an attempt's result.
    pub(crate) fn record(&self, result: &Result<Submission, SendError>) {
        let now = Instant::now();
        let mut state = self.state();
        state.breaker.record(health(result), now);
        if let Err(SendError { kind: Kind::Throttled, retry_after: Some(pause), .. }) = result {
            state.pace.pause_until(now + (*pause).min(PAUSE_MAX));
        }
    }

    pub(crate) fn circuit(&self) -> Circuit {
        self.state().breaker.circuit(Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table of architecture.md §3, column "breaker".
fn health(result: &Result<Submission, SendError>) -> Health {
    match result {
        Ok(_) => Health::Healthy,
        Err(error) => match (error.kind, error.fate) {
            (Kind::Account, _) => Health::AccountRefused,
            (Kind::Throttled, _) => Health::Neutral,
            (Kind::Recipient | Kind::Content, Fate::NotSent | Fate::Refused) => Health::Healthy,
            (Kind::Deadline | Kind::Protocol | Kind::Unavailable, _) | (_, Fate::Unknown) => Health::Faulty,
        },
    }
}

/// Spaces attempts evenly (GCRA); bursts up to [`BURST`]'s worth.
#[derive(Debug)]
struct Pace {
    interval: Option<Duration>,
    /// When the bucket would be empty again; earlier than now means spare capacity.
    next: Instant,
    paused_until: Option<Instant>,
}

impl Pace {
    fn new(interval: Option<Duration>) -> Self {
        Self { interval, next: Instant::now(), paused_until: None }
    }

    /// Takes one place, or says when to ask again.
    fn try_take(&mut self, now: Instant) -> Result<(), Instant> {
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

    fn give_back(&mut self) {
        if let Some(interval) = self.interval {
            self.next = self.next.checked_sub(interval).unwrap_or(self.next);
        }
    }

    fn pause_until(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(concurrency: usize, per_second: Option<u32>) -> Lane {
        Lane::new(ProviderName::new("p"), concurrency, per_second.map(|n| Duration::from_secs(1) / n))
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_attempts_at_a_time_than_configured() {
        let lane = lane(2, None);
        let held = (lane.try_begin().unwrap(), lane.try_begin().unwrap());
        assert!(lane.try_begin().is_none());
        drop(held);
        assert!(lane.try_begin().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn throughput_is_kept_over_time() {
        let (lane, started) = (lane(1_000, Some(100)), Instant::now());
        for _ in 0..300 {
            drop(lane.begin().await.unwrap());
        }
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(2_900), "{took:?}");
        assert!(took <= Duration::from_millis(3_100), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_throughputs_are_kept_too() {
        let (lane, started) = (lane(10, Some(1)), Instant::now());
        for _ in 0..4 {
            drop(lane.begin().await.unwrap());
        }
        assert!(started.elapsed() >= Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_permit_does_not_cost_throughput() {
        let lane = lane(10, Some(1));
        let permit = lane.try_begin().unwrap();
        assert!(lane.try_begin().is_none());
        lane.give_back(permit);
        assert!(lane.try_begin().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_provider_is_left_alone_for_as_long_as_it_asks() {
        let lane = lane(10, None);
        let throttled = SendError::new(Kind::Throttled, Fate::Refused, "").with_retry_after(Duration::from_secs(2));
        lane.record(&Err(throttled));
        assert!(lane.try_begin().is_none());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(lane.try_begin().is_some());
        assert!(!lane.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn less_concurrency_holds_after_attempts_in_flight_return() {
        let lane = lane(3, None);
        let held: Vec<Permit> = (0..3).map(|_| lane.try_begin().unwrap()).collect();
        lane.reconfigure(1, None);
        drop(held);
        tokio::task::yield_now().await;
        let _one = lane.try_begin().unwrap();
        assert!(lane.try_begin().is_none());
    }
}
