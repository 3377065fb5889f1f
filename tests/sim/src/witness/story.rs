//! One message as it is seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sms_core::store::{Admit, Attempted, Outcome};
use sms_core::{Class, DeliveryState, Kind, ProviderName, Status, TenantId, UnixMs};

use super::WireRequest;

/// A message from its acceptance on.
#[derive(Debug)]
pub(crate) struct Story {
    /// Of the request that it was accepted for.
    pub(crate) number: u32,
    pub(crate) tenant: TenantId,
    pub(super) class: Class,
    pub(super) to: String,
    pub(super) text: String,
    pub(super) copies_max: usize,
    pub(super) unknown_wait: Duration,
    pub(crate) expires: UnixMs,
    pub(super) notify: bool,
    /// Where it stands.
    pub(crate) status: Status,
    /// Where it ever stood.
    pub(super) statuses: Vec<Status>,
    /// When it came to stand there, in simulated time.
    pub(super) since_ms: u64,
    /// Attempts that were written down before they began, with whom.
    pub(super) intents: BTreeMap<u16, ProviderName>,
    pub(crate) requests: Vec<WireRequest>,
    /// Outcomes that the store took, by attempt.
    pub(super) recorded: BTreeMap<u16, Attempted>,
    /// What providers that took it said of it and the store knows.
    pub(super) said: Vec<Said>,
    /// Its caller asked for that.
    pub(crate) cancel_asked: bool,
    /// Statuses that its tenant was told of.
    pub(super) told: BTreeSet<Status>,
}

/// A receipt that belongs to the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) provider: ProviderName,
    pub(crate) state: DeliveryState,
}

impl Story {
    pub(super) fn of(admit: &Admit, number: u32) -> Self {
        let message = &admit.message;
        Self {
            number,
            tenant: message.tenant.clone(),
            class: message.details.class,
            to: message.to.expose(),
            text: message.body.expose().to_owned(),
            copies_max: match message.details.class {
                Class::Otp => usize::from(message.details.route.copies_max),
                Class::Transactional => 1,
            },
            unknown_wait: message.details.route.unknown_wait,
            expires: message.expires,
            notify: message.details.notify,
            status: Status::Queued,
            statuses: vec![Status::Queued],
            since_ms: 0,
            intents: BTreeMap::new(),
            requests: Vec::new(),
            recorded: BTreeMap::new(),
            said: Vec::new(),
            cancel_asked: false,
            told: BTreeSet::new(),
        }
    }

    /// The store knows of a copy that a provider holds or may hold.
    pub(super) fn holds_recorded(&self) -> bool {
        self.recorded.values().any(|ended| matches!(ended.outcome, Outcome::Accepted | Outcome::Unknown))
    }

    /// A provider that answered no, or was never reached, holds nothing; every other one may.
    pub(super) fn held(&self) -> impl Iterator<Item = &WireRequest> {
        self.requests.iter().filter(|request| request.may_be_held())
    }

    pub(super) fn refused_for_its_recipient(&self) -> bool {
        let by_kind = |ended: &Attempted| ended.outcome == Outcome::Refused && ended.kind == Some(Kind::Recipient);
        self.recorded.values().any(by_kind)
    }

    pub(super) fn was_said(&self, states: &[DeliveryState]) -> bool {
        self.said.iter().any(|said| states.contains(&said.state))
    }
}

/// The number of the request, which travels as the caller's reference.
pub(super) fn number(admit: &Admit) -> u32 {
    admit.message.details.reference.as_deref().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX)
}
