//! Routing rules as data: conditions and the providers they choose. Matching is in [`crate::route`].

use std::collections::BTreeMap;
use std::time::Duration;

use sms_core::{Channel, Class, Country, ProviderName, Sender, TenantId};

use super::Language;

/// One `[[routes]]` entry.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// All conditions must hold.
    pub when: When,
    /// Whom it chooses.
    pub choice: Choice,
    /// What was measured and decides who comes first, where the difference is clear.
    pub prefer: Prefer,
    /// Template for requests that name none.
    pub template: Option<String>,
    /// Sender for requests that name none; must be one of the tenant's.
    pub sender: Option<Sender>,
    /// Most copies of an otp that may ever be handed over after unknown outcomes, 1 or 2.
    pub copies_max: u8,
    /// How long to wait for a receipt before the second copy after an unanswered attempt.
    pub unknown_wait: Duration,
    /// Time to live of requests that name none.
    pub ttl: ClassTtl,
}

/// Times to live by class; `None`: the class's own default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassTtl {
    /// Of one-time codes.
    pub otp: Option<Duration>,
    /// Of everything else.
    pub transactional: Option<Duration>,
}

impl ClassTtl {
    /// The one of a class.
    pub fn of(self, class: Class) -> Option<Duration> {
        match class {
            Class::Otp => self.otp,
            Class::Transactional => self.transactional,
        }
    }
}

/// Conditions; an empty list is no condition, a list holds when any of its values does.
#[derive(Clone, Debug, Default)]
pub struct When {
    /// Tenants.
    pub tenant: Vec<TenantId>,
    /// Calling applications.
    pub client_id: Vec<String>,
    /// Languages; `fr` covers `fr-CA`.
    pub language: Vec<Language>,
    /// Destination countries.
    pub country: Vec<Country>,
    /// Leading digits of the number, country code first.
    pub prefix: Vec<String>,
    /// Channels.
    pub channel: Vec<Channel>,
    /// Classes.
    pub class: Vec<Class>,
    /// Actions, such as `enrollment`.
    pub action: Vec<String>,
    /// Factors, `first` or `second`.
    pub factor: Vec<String>,
    /// Times of day.
    pub hours: Vec<Hours>,
    /// Values of the client's (or the request's) metadata by key.
    pub metadata: BTreeMap<String, Vec<String>>,
}

/// A span of the day in a time zone; may wrap over midnight.
#[derive(Clone, Debug)]
pub struct Hours {
    /// Minute of the day it begins, inclusive.
    pub from: u16,
    /// Minute of the day it ends, exclusive.
    pub to: u16,
    /// Where.
    pub zone: jiff::tz::TimeZone,
    /// As written, for explanations.
    pub text: String,
}

/// What decides among providers that are usable alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// Who delivers more.
    Delivery,
    /// Who answers faster.
    Latency,
    /// The order or weights as written.
    #[default]
    None,
}

impl Prefer {
    /// Spelling in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Latency => "latency",
            Self::None => "none",
        }
    }
}

/// Whom a rule chooses.
#[derive(Clone, Debug)]
pub enum Choice {
    /// The first is drawn by weight; the others follow as fail-over, heaviest first.
    Split(Vec<(ProviderName, u32)>),
    /// In this order.
    Use(Vec<ProviderName>),
}

impl Choice {
    /// The providers named, in the order written.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderName> {
        let (used, split) = match self {
            Self::Use(list) => (Some(list), None),
            Self::Split(list) => (None, Some(list)),
        };
        used.into_iter().flatten().chain(split.into_iter().flatten().map(|(name, _)| name))
    }
}
