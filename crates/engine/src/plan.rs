//! The running configuration as the engine reads it: immutable, swapped whole by a reload.
//! Built by the gateway from its config file; knows no file.

mod language;
mod rule;

pub use language::Language;
pub use rule::{Choice, ClassTtl, Hours, Prefer, Rule, When};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sms_core::store::Charging;
use sms_core::{Country, LimitId, ProviderName, Secret, Sender, SmsProvider, TenantId, Window};

use crate::render::Templates;

/// Everything that decides about a message.
#[derive(Debug)]
pub struct Plan {
    /// Tenants by name.
    pub tenants: BTreeMap<TenantId, Arc<Tenant>>,
    /// SHA-256 of each API key and whose it is.
    pub keys: HashMap<[u8; 32], TenantId>,
    /// Providers by name.
    pub providers: BTreeMap<ProviderName, Arc<Provider>>,
    /// Routing rules; the first match wins.
    pub rules: Vec<Rule>,
    /// Limits; every one must allow.
    pub limits: Vec<Limit>,
    /// Which countries may be sent to.
    pub countries: Countries,
    /// Compiled templates.
    pub templates: Templates,
    /// Accepted messages that no provider took yet, at most; further ones are refused.
    pub unsettled_max: usize,
    /// Test numbers are exempt from limits (`gateway dev`).
    pub test_numbers_unlimited: bool,
}

/// One tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name in the configuration.
    pub id: TenantId,
    /// Its name for people: the default `client_name`.
    pub name: String,
    /// Client ids it may use; `None`: any.
    pub clients: Option<BTreeSet<String>>,
    /// Senders it may use; the first is the default.
    pub senders: Vec<Sender>,
    /// Default sender by destination.
    pub sender_by_country: BTreeMap<Country, Sender>,
    /// Languages of its texts; the first is the fallback.
    pub languages: Vec<Language>,
    /// Template for requests and routes that name none.
    pub template: Option<String>,
    /// Country of numbers without a country code.
    pub default_country: Option<Country>,
    /// Where to tell of status changes.
    pub webhook: Option<Webhook>,
}

/// A tenant's webhook endpoint.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where to POST.
    pub url: String,
    /// The address may lie inside our own network.
    pub private: bool,
    /// Signing secrets (`whsec_…` or plain text); two during a rotation, newest first.
    pub secrets: Vec<Secret>,
    /// It is called no more when no call succeeded for so long.
    pub disable_after: Duration,
}

/// One provider instance with the settings that are not its own business.
#[derive(Debug)]
pub struct Provider {
    /// The instance.
    pub instance: Arc<dyn SmsProvider>,
    /// Longest time one attempt may take.
    pub timeout: Duration,
    /// Least time between two attempts, from `throughput`.
    pub interval: Option<Duration>,
    /// Most attempts at a time.
    pub concurrency: usize,
    /// Tenants that may use it; `None`: all.
    pub tenants: Option<BTreeSet<TenantId>>,
}

/// One limit.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Its name.
    pub id: LimitId,
    /// The facts whose combination is counted.
    pub per: Vec<Dimension>,
    /// `N/W` each.
    pub windows: Arc<[Window]>,
    /// Refuse, or only report.
    pub charging: Charging,
}

/// A fact that limits may count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// Calling application.
    ClientId,
    /// Destination country.
    Country,
    /// The caller's id of the person.
    EndUser,
    /// Address of the person's device; IPv6 by /64.
    Ip,
    /// The number without its last four digits.
    Prefix,
    /// The number.
    Recipient,
    /// The tenant.
    Tenant,
}

impl Dimension {
    /// Spelling in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientId => "client_id",
            Self::Country => "country",
            Self::EndUser => "end_user",
            Self::Ip => "ip",
            Self::Prefix => "prefix",
            Self::Recipient => "recipient",
            Self::Tenant => "tenant",
        }
    }
}

/// Which countries may be sent to.
#[derive(Clone, Debug, Default)]
pub struct Countries {
    /// What holds for a country in neither list is "blocked".
    pub default_block: bool,
    /// Allowed in any case.
    pub allow: BTreeSet<Country>,
    /// Blocked in any case.
    pub block: BTreeSet<Country>,
}

impl Countries {
    /// May a message go there?
    pub fn allows(&self, country: Country) -> bool {
        !self.block.contains(&country) && (!self.default_block || self.allow.contains(&country))
    }
}
