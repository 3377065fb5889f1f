//! The way to one provider: how many attempts at a time, how fast, and whether at all, by country.
//! Knows neither messages nor the store.

mod state;
#[cfg(test)]
mod tests;
mod turns;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sms_core::{Country, Fate, Kind, ProviderName, SendError, Submission, TenantId, UnixMs};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::breaker::Health;
use super::chances::Hopeful;
use super::pair::Gate;
use crate::cluster::Share;
use crate::measure::Measured;
use crate::status::ProviderStatus;
use state::{Disabled, State};

/// Longest pause a provider's `Retry-After` may impose on its lane.
const PAUSE_MAX: Duration = Duration::from_secs(30);

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

/// The right to make one attempt; the slot is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    lane: Arc<Lane>,
    /// `None` until it is known for which message it is.
    country: Option<Country>,
    /// The lane has heard how the attempt went.
    told: bool,
    _slot: OwnedSemaphorePermit,
}

impl Lane {
    pub(crate) fn new(name: ProviderName, Share { concurrency, interval }: Share) -> Self {
        let state = Mutex::new(State::new(concurrency, interval));
        Self { name, wake: Notify::new(), slots: Arc::new(Semaphore::new(concurrency)), state }
    }

    /// Takes over changed settings without forgetting what is in flight.
    pub(crate) fn reconfigure(&self, Share { concurrency, interval }: Share) {
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
        state.pace.reconfigure(interval);
    }

    /// May a message to this country go there?
    pub(crate) fn gate(&self, country: Country) -> Gate {
        self.state().gate(country, Instant::now())
    }

    /// Nothing goes there at present, wherever to.
    pub(crate) fn is_shut(&self) -> bool {
        self.state().is_shut(Instant::now())
    }

    /// A permit for a new message of `tenant` if one is free right now. One of a tenant of which messages wait, beside
    /// others', takes its turn with them; one of a tenant of which none wait has a share of its own, so that it need not
    /// stand behind those who send more than goes through.
    pub(crate) fn try_begin(self: &Arc<Self>, tenant: &TenantId, country: Country) -> Option<Permit> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let begun = self.state().try_begin(tenant, country, Instant::now());
        begun.then(|| Permit { lane: Arc::clone(self), country: Some(country), told: false, _slot: slot })
    }

    /// Waits for a permit for whichever message comes next; `None` once nothing may go there.
    pub(crate) async fn begin(self: &Arc<Self>) -> Option<Permit> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        loop {
            let taken = self.state().try_take(Instant::now());
            match taken {
                Ok(true) => return Some(Permit { lane: Arc::clone(self), country: None, told: false, _slot: slot }),
                Ok(false) => return None,
                Err(free_at) => tokio::time::sleep_until(free_at).await,
            }
        }
    }

    /// One more permit if one is free right now.
    pub(crate) fn try_begin_any(self: &Arc<Self>) -> Option<Permit> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let taken = self.state().try_take(Instant::now());
        matches!(taken, Ok(true)).then(|| Permit { lane: Arc::clone(self), country: None, told: false, _slot: slot })
    }

    /// Returns a permit that was not used, with its place in the pace.
    pub(crate) fn give_back(&self, permit: Permit) {
        self.state().pace.give_back();
        drop(permit);
    }

    /// Countries with room for less than `max` waiting messages, and how many.
    pub(crate) fn room(&self, max: usize) -> Vec<(Country, usize)> {
        self.state().room(max, Instant::now())
    }

    /// Countries to which nothing goes at present, or no more because it is slow.
    pub(crate) fn stranded_countries(&self) -> Vec<Country> {
        self.state().stranded_countries(Instant::now())
    }

    /// A message of `tenant` began to wait.
    pub(crate) fn waits(&self, tenant: &TenantId) {
        self.state().turns.waits(tenant);
        self.wake.notify_one();
    }

    /// A waiting message of `tenant` was taken.
    pub(crate) fn took(&self, tenant: &TenantId) {
        self.state().turns.took(tenant);
    }

    /// Nothing waits that could go.
    pub(crate) fn nothing_waits(&self) {
        self.state().turns.clear();
    }

    /// How long a repetition must be put off so that repetitions stay few; it counts from now on. `None`: not for less
    /// than `within`.
    pub(crate) fn book_repetition(&self, within: Duration) -> Option<Duration> {
        self.state().budget.book(Instant::now(), within)
    }

    /// A message waits for which no repetition could be booked.
    pub(crate) fn hopes(&self, hopeful: Hopeful) {
        self.state().chances.add(hopeful);
    }

    /// Messages for which repetitions became free; these count from now on.
    pub(crate) fn chances(&self, now: UnixMs) -> Vec<Hopeful> {
        self.state().chances(now, Instant::now())
    }

    /// A booked repetition will not be made.
    pub(crate) fn cancel_repetition(&self) {
        self.state().budget.cancel();
    }

    /// A receipt with a final word on a message that was accepted `age` ago.
    pub(crate) fn receipt(&self, country: Country, delivered: bool, age: Duration) {
        if age <= RECEIPT_AGE_MAX && self.state().receipt(country, delivered, age, Instant::now()) {
            tracing::warn!(
                provider.name = %self.name, country = %country,
                "provider `{}` delivers nothing to {country} of late: others are preferred", self.name
            );
        }
    }

    /// Makes no attempts until [`Self::enable`], or for so long.
    pub(crate) fn disable(&self, period: Option<Duration>) {
        let until = period.map(|period| Instant::now() + period);
        self.state().disabled = until.map_or(Disabled::UntilEnabled, Disabled::Until);
    }

    /// Ends [`Self::disable`].
    pub(crate) fn enable(&self) {
        self.state().disabled = Disabled::No;
        self.wake.notify_one();
    }

    /// Notices attempts that do not come back; called now and then.
    pub(crate) fn watch(&self) {
        self.state().watch(Instant::now());
    }

    pub(crate) fn measured(&self, country: Country) -> Measured {
        self.state().measured(country, Instant::now())
    }

    pub(crate) fn status(&self) -> ProviderStatus {
        self.state().status(self.name.clone(), Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The message it is used for; says nothing new for one that knew.
    pub(crate) fn assign(&mut self, country: Country) {
        if self.country.is_none() {
            self.country = Some(country);
            self.lane.state().assigned(country, Instant::now());
        }
    }

    /// Learns from an attempt's result; `first`: the message was not offered to this provider before.
    pub(crate) fn learn(&mut self, result: &Result<Submission, SendError>, took: Duration, first: bool) {
        let Some(country) = self.country else { return };
        self.told = true;
        let now = Instant::now();
        let mut state = self.lane.state();
        if first {
            state.budget.offered(now);
        }
        state.ended(country, health(result), took, now);
        if let Err(SendError { kind: Kind::Throttled, retry_after: Some(pause), .. }) = result {
            state.pace.pause_until(now + (*pause).min(PAUSE_MAX));
        }
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.told {
            self.lane.state().dropped(self.country, Instant::now());
        }
    }
}

/// Receipts that come later than this after their message tell nothing about today.
const RECEIPT_AGE_MAX: Duration = Duration::from_mins(30);

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
