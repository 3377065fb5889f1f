//! How much may be in work, and whose: what is above is refused at once, and no tenant takes what others need. A tenant
//! may use a multiple of what is free, so one alone gets nearly everything and the next one always finds room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use sms_core::TenantId;
use tokio::time::Instant;

/// Requests on their way to the store at a time: more would only wait for the disk.
const ACCEPTING_MAX: usize = 1_024;

/// Of these, a tenant may have so many times what is free.
const ACCEPTING_SHARE: usize = 2;

/// The same for messages that are not settled yet.
const UNSETTLED_SHARE: usize = 8;

/// While providers take messages, no more are accepted than they take in this time: what is above would only grow old.
const AHEAD: Duration = Duration::from_secs(10);

/// Fewer than so many a second is no measure: providers are down, or nobody asks.
const PACE_MIN: f64 = 200.0;

/// Always accepted, as far as the configuration lets: a burst is no overload.
const AHEAD_MIN: usize = 20_000;

/// Over how long the pace is averaged.
const PACE_OVER: Duration = Duration::from_secs(5);

/// Counts what is in work.
#[derive(Debug)]
pub(crate) struct Load {
    all: Work,
    tenants: RwLock<HashMap<TenantId, Arc<Work>>>,
    /// Messages taken by providers since the pace was looked at.
    taken: AtomicUsize,
    /// Unsettled messages at most, by the pace.
    ahead: AtomicUsize,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    per_second: f64,
    at: Instant,
}

#[derive(Debug, Default)]
struct Work {
    /// Requests on their way to the store.
    accepting: AtomicUsize,
    /// Accepted messages that no provider took and that did not end yet.
    unsettled: AtomicUsize,
}

/// A place on the way to the store; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place<'l> {
    load: &'l Load,
    tenant: Arc<Work>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            all: Work::default(),
            tenants: RwLock::default(),
            taken: AtomicUsize::new(0),
            ahead: AtomicUsize::new(usize::MAX),
            pace: Mutex::new(Pace { per_second: 0.0, at: Instant::now() }),
        }
    }
}

impl Load {
    /// Looks how fast providers take messages; called now and then.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages, not negative")]
    pub(crate) fn look(&self) {
        let now = Instant::now();
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(pace.at).as_secs_f64();
        if passed <= 0.0 {
            return;
        }
        pace.at = now;
        let taken = u32::try_from(self.taken.swap(0, Ordering::Relaxed)).unwrap_or(u32::MAX);
        let share = 1.0 - (-passed / PACE_OVER.as_secs_f64()).exp();
        pace.per_second += (f64::from(taken) / passed - pace.per_second) * share;
        let ahead = (pace.per_second * AHEAD.as_secs_f64()) as usize;
        let ahead = if pace.per_second < PACE_MIN { usize::MAX } else { ahead.max(AHEAD_MIN) };
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// Messages that an earlier process left; whose they are is not known any more.
    pub(crate) fn found(&self, unsettled: u64) {
        self.all.unsettled.fetch_add(usize::try_from(unsettled).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// So many are unsettled on all nodes together: what others settled was not counted here.
    pub(crate) fn count_again(&self, unsettled: u64) {
        let all = usize::try_from(unsettled).unwrap_or(usize::MAX);
        self.all.unsettled.store(all, Ordering::Relaxed);
        for tenant in self.tenants.read().unwrap_or_else(PoisonError::into_inner).values() {
            tenant.unsettled.fetch_min(all, Ordering::Relaxed); // whose the others are is not known
        }
    }

    /// A place for one more request of `tenant`; `None`: it must come again later.
    pub(crate) fn enter(&self, tenant: &TenantId, unsettled_max: usize) -> Option<Place<'_>> {
        let mine = self.of(tenant);
        let unsettled = self.all.unsettled.load(Ordering::Relaxed);
        let free = unsettled_max.min(self.ahead.load(Ordering::Relaxed)).saturating_sub(unsettled);
        if mine.unsettled.load(Ordering::Relaxed) >= free.saturating_mul(UNSETTLED_SHARE) {
            return None;
        }
        // Taken before it is looked at, so that a crowd cannot slip in together.
        let accepting = self.all.accepting.fetch_add(1, Ordering::Relaxed);
        let own = mine.accepting.fetch_add(1, Ordering::Relaxed);
        let place = Place { load: self, tenant: mine };
        let free = ACCEPTING_MAX.saturating_sub(accepting);
        (own < free.saturating_mul(ACCEPTING_SHARE)).then_some(place)
    }

    /// A message of `tenant` was accepted.
    pub(crate) fn accepted(&self, tenant: &TenantId) {
        self.all.unsettled.fetch_add(1, Ordering::Relaxed);
        self.of(tenant).unsettled.fetch_add(1, Ordering::Relaxed);
    }

    /// No attempt will follow for a message of `tenant`; `taken`: because a provider has it.
    pub(crate) fn settled(&self, tenant: &TenantId, taken: bool) {
        self.taken.fetch_add(usize::from(taken), Ordering::Relaxed);
        less(&self.all.unsettled);
        less(&self.of(tenant).unsettled);
    }

    fn of(&self, tenant: &TenantId) -> Arc<Work> {
        let known = self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned();
        known.unwrap_or_else(|| {
            // Configured tenants only come here, so there are few.
            let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tenants.entry(tenant.clone()).or_default())
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        less(&self.load.all.accepting);
        less(&self.tenant.accepting);
    }
}

/// Never below nothing: messages of an earlier process were not counted by tenant.
fn less(count: &AtomicUsize) {
    let lower = |n: usize| n.checked_sub(1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lower).ok(); // an error says that it was nothing already
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name)
    }

    /// Places that `name` gets until it is refused.
    fn fill<'l>(load: &'l Load, name: &str) -> Vec<Place<'l>> {
        std::iter::from_fn(|| load.enter(&tenant(name), usize::MAX)).collect()
    }

    #[test]
    fn one_tenant_cannot_take_every_place() {
        let load = Load::default();
        let loud = fill(&load, "loud");
        assert!((600..700).contains(&loud.len()), "{}", loud.len());
        let quiet = fill(&load, "quiet");
        assert!(quiet.len() > 200, "{}", quiet.len());
        assert!(load.enter(&tenant("loud"), usize::MAX).is_none());
        drop(loud);
        assert!(load.enter(&tenant("loud"), usize::MAX).is_some());
    }

    #[test]
    fn the_number_of_messages_that_wait_is_bounded_and_shared() {
        let (load, max) = (Load::default(), 9_000);
        let accept = |name: &str| {
            let place = load.enter(&tenant(name), max);
            if place.is_some() {
                load.accepted(&tenant(name));
            }
            place.is_some()
        };
        let loud = (0..max).filter(|_| accept("loud")).count();
        assert!((7_990..=8_001).contains(&loud), "{loud}");
        assert!(accept("quiet"), "there is room for others");
        for _ in 0..loud {
            load.settled(&tenant("loud"), true);
        }
        assert!(accept("loud"));
    }

    #[test]
    fn what_an_earlier_process_left_counts_too() {
        let load = Load::default();
        load.found(9_000);
        assert!(load.enter(&tenant("acme"), 9_000).is_none());
        load.settled(&tenant("acme"), true);
        assert!(load.enter(&tenant("acme"), 9_000).is_some());
    }

    #[test]
    fn what_other_nodes_settled_is_not_counted_for_ever() {
        let (load, acme) = (Load::default(), tenant("acme"));
        for _ in 0..8_999 {
            load.accepted(&acme);
        }
        assert!(load.enter(&acme, 9_000).is_none());
        load.count_again(3);
        assert!(load.enter(&acme, 9_000).is_some());
        assert_eq!(load.of(&acme).unsettled.load(Ordering::Relaxed), 3);
    }

    /// Accepts and settles as if providers took `per_second` for `seconds`.
    async fn takes(load: &Load, per_second: usize, seconds: usize) {
        for _ in 0..seconds * 2 {
            tokio::time::advance(Duration::from_millis(500)).await;
            for _ in 0..per_second / 2 {
                load.accepted(&tenant("acme"));
                load.settled(&tenant("acme"), true);
            }
            load.look();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_wait_than_providers_take_in_ten_seconds() {
        let load = Load::default();
        takes(&load, 4_000, 30).await;
        load.found(35_000);
        assert!(load.enter(&tenant("acme"), 250_000).is_some());
        load.found(6_000);
        assert!(load.enter(&tenant("acme"), 250_000).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn while_providers_are_down_only_the_configured_bound_holds() {
        let load = Load::default();
        takes(&load, 4_000, 30).await;
        takes(&load, 0, 30).await;
        load.found(200_000);
        assert!(load.enter(&tenant("acme"), 250_000).is_some());
    }

    #[test]
    fn a_refused_request_leaves_no_trace() {
        let load = Load::default();
        let held = fill(&load, "loud");
        for _ in 0..5_000 {
            assert!(load.enter(&tenant("loud"), usize::MAX).is_none());
        }
        assert_eq!(load.all.accepting.load(Ordering::Relaxed), held.len());
    }
}
