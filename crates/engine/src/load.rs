//! How much may be in work, and whose: what is above is refused at once, and no tenant takes what others need. A tenant
//! may use a multiple of what is free, so one alone gets nearly everything and the next one always finds room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sms_core::TenantId;

/// Requests on their way to the store at a time: more would only wait for the disk.
const ACCEPTING_MAX: usize = 1_024;

/// Of these, a tenant may have so many times what is free.
const ACCEPTING_SHARE: usize = 2;

/// The same for messages that are not settled yet.
const UNSETTLED_SHARE: usize = 8;

/// Counts what is in work.
#[derive(Debug, Default)]
pub(crate) struct Load {
    all: Work,
    tenants: RwLock<HashMap<TenantId, Arc<Work>>>,
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

impl Load {
    /// Messages that an earlier process left; whose they are is not known any more.
    pub(crate) fn found(&self, unsettled: u64) {
        self.all.unsettled.fetch_add(usize::try_from(unsettled).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// A place for one more request of `tenant`; `None`: it must come again later.
    pub(crate) fn enter(&self, tenant: &TenantId, unsettled_max: usize) -> Option<Place<'_>> {
        let mine = self.of(tenant);
        let unsettled = self.all.unsettled.load(Ordering::Relaxed);
        let free = unsettled_max.saturating_sub(unsettled);
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

    /// No attempt will follow for a message of `tenant`.
    pub(crate) fn settled(&self, tenant: &TenantId) {
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
            load.settled(&tenant("loud"));
        }
        assert!(accept("loud"));
    }

    #[test]
    fn what_an_earlier_process_left_counts_too() {
        let load = Load::default();
        load.found(9_000);
        assert!(load.enter(&tenant("acme"), 9_000).is_none());
        load.settled(&tenant("acme"));
        assert!(load.enter(&tenant("acme"), 9_000).is_some());
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
