//! Tenants' own endpoints: since when one fails, and whether it is called at all. What changes is handed back to be
//! written down; what is written down is read at the start. Knows no store and no clock. Callers' URLs are not followed:
//! anybody can think up any number of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sms_core::store::Endpoint;
use sms_core::{TenantId, UnixMs};

/// Why an endpoint is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No call succeeded for too long.
    Failing,
    /// It answered 410: no more calls, please.
    Gone,
    /// The operator said so.
    Operator,
}

impl Why {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Gone => "gone",
            Self::Operator => "operator",
        }
    }
}

/// One endpoint: a tenant's, at a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) tenant: TenantId,
    /// [`super::call::digest`] of the URL.
    pub(super) url: [u8; 16],
}

/// What is known of every tenant's endpoint; a tenant that is not in here has a healthy one.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(Mutex<BTreeMap<TenantId, Endpoint>>);

impl Endpoints {
    pub(crate) fn new(known: Vec<Endpoint>) -> Self {
        Self(Mutex::new(known.into_iter().map(|endpoint| (endpoint.tenant.clone(), endpoint)).collect()))
    }

    /// Takes over what is written down, by whichever node.
    pub(crate) fn replace(&self, known: Vec<Endpoint>) {
        *self.lock() = Self::new(known).0.into_inner().unwrap_or_else(PoisonError::into_inner);
    }

    /// As it stands; a new URL is a healthy one.
    pub(super) fn get(&self, name: &Name) -> Endpoint {
        let known = self.lock();
        known.get(&name.tenant).filter(|known| known.url == name.url).cloned().unwrap_or_else(|| healthy(name))
    }

    pub(super) fn is_disabled(&self, name: &Name) -> bool {
        let known = self.lock();
        known.get(&name.tenant).is_some_and(|known| known.url == name.url && known.disabled_since.is_some())
    }

    /// A call was taken. Returns what to write down, if anything changed.
    pub(super) fn succeeded(&self, name: &Name) -> Option<Endpoint> {
        let mut known = self.lock();
        let endpoint = known.get_mut(&name.tenant).filter(|known| known.url == name.url)?;
        endpoint.failing_since.take()?;
        Some(endpoint.clone())
    }

    /// A call was not taken: the endpoint is disabled when none was for `patience`. Returns what to write down, if
    /// anything changed.
    pub(super) fn failed(&self, name: &Name, now: UnixMs, patience: Duration) -> Option<Endpoint> {
        let mut known = self.lock();
        let endpoint = entry(&mut known, name);
        let Some(since) = endpoint.failing_since else {
            endpoint.failing_since = Some(now);
            return Some(endpoint.clone());
        };
        if endpoint.disabled_since.is_some() || now.since(since) < patience {
            return None;
        }
        endpoint.disabled_since = Some(now);
        endpoint.why = Some(Why::Failing.as_str().to_owned());
        Some(endpoint.clone())
    }

    /// It is not called any more. Returns what to write down.
    pub(super) fn disable(&self, name: &Name, now: UnixMs, why: Why) -> Endpoint {
        let mut known = self.lock();
        let endpoint = entry(&mut known, name);
        endpoint.disabled_since.get_or_insert(now);
        endpoint.why.get_or_insert_with(|| why.as_str().to_owned());
        endpoint.clone()
    }

    /// It is called again, as if it had never failed. Returns what to write down.
    pub(super) fn enable(&self, name: &Name) -> Endpoint {
        let endpoint = healthy(name);
        self.lock().insert(name.tenant.clone(), endpoint.clone());
        endpoint
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, Endpoint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry<'a>(known: &'a mut BTreeMap<TenantId, Endpoint>, name: &Name) -> &'a mut Endpoint {
    let endpoint = known.entry(name.tenant.clone()).or_insert_with(|| healthy(name));
    if endpoint.url != name.url {
        *endpoint = healthy(name);
    }
    endpoint
}

fn healthy(name: &Name) -> Endpoint {
    Endpoint { tenant: name.tenant.clone(), url: name.url, failing_since: None, disabled_since: None, why: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_hours(120);

    fn name(url: u8) -> Name {
        Name { tenant: TenantId::new("acme"), url: [url; 16] }
    }

    fn at(hours: i64) -> UnixMs {
        UnixMs::new(hours * 3_600_000)
    }

    #[test]
    fn days_of_failure_disable_it_and_nothing_less() {
        let endpoints = Endpoints::default();
        assert_eq!(endpoints.failed(&name(1), at(0), PATIENCE).unwrap().failing_since, Some(at(0)));
        assert_eq!(endpoints.failed(&name(1), at(119), PATIENCE), None, "nothing new to write down");
        assert!(!endpoints.is_disabled(&name(1)));
        let disabled = endpoints.failed(&name(1), at(120), PATIENCE).unwrap();
        assert_eq!((disabled.disabled_since, disabled.why.as_deref()), (Some(at(120)), Some("failing")));
        assert!(endpoints.is_disabled(&name(1)));
        assert_eq!(endpoints.failed(&name(1), at(121), PATIENCE), None, "told once");
    }

    #[test]
    fn one_success_begins_the_days_anew() {
        let endpoints = Endpoints::default();
        assert_eq!(endpoints.succeeded(&name(1)), None);
        endpoints.failed(&name(1), at(0), PATIENCE);
        assert_eq!(endpoints.succeeded(&name(1)).unwrap().failing_since, None);
        assert_eq!(endpoints.succeeded(&name(1)), None);
        endpoints.failed(&name(1), at(119), PATIENCE);
        assert_eq!(endpoints.failed(&name(1), at(120), PATIENCE), None);
    }

    #[test]
    fn another_url_is_another_endpoint() {
        let endpoints = Endpoints::default();
        endpoints.disable(&name(1), at(0), Why::Gone);
        assert!(endpoints.is_disabled(&name(1)) && !endpoints.is_disabled(&name(2)));
        assert_eq!(endpoints.get(&name(2)).disabled_since, None);
        assert_eq!(endpoints.failed(&name(2), at(1), PATIENCE).unwrap().disabled_since, None);
        assert!(!endpoints.is_disabled(&name(2)));
    }

    #[test]
    fn the_first_reason_stays_and_enabling_forgets_everything() {
        let endpoints = Endpoints::default();
        endpoints.failed(&name(1), at(0), PATIENCE);
        endpoints.disable(&name(1), at(1), Why::Gone);
        let again = endpoints.disable(&name(1), at(2), Why::Operator);
        assert_eq!((again.disabled_since, again.why.as_deref()), (Some(at(1)), Some("gone")));
        assert_eq!(endpoints.enable(&name(1)), healthy(&name(1)));
        assert!(!endpoints.is_disabled(&name(1)));
    }

    #[test]
    fn what_was_written_down_holds_after_a_restart() {
        let before = Endpoints::default();
        let written = before.disable(&name(1), at(0), Why::Gone);
        assert!(Endpoints::new(vec![written]).is_disabled(&name(1)));
    }
}
