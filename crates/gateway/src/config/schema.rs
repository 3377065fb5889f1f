//! The configuration as the operator writes it: one struct a table, one field a key, the doc comment
//! of a field is its description in the published JSON Schema. Plain data: what a key means is
//! decided where it is wired, what no single field can know in `validate`. No `flatten`, no
//! untagged or internally tagged enums: they lose the place of a fault.

mod json;
mod limit;
mod provider;
mod route;
mod server;
mod template;
mod tenant;
mod values;

pub use limit::{Countries, CountryDefault, Guard, GuardMode, Limit, LimitKey, LimitMode};
pub use provider::{COMMON_KEYS, Common, Provider};
pub use route::{ClassTtl, Prefer, Route, When};
pub use server::{Log, LogFormat, Server, Store};
pub use template::{Template, Texts};
pub use tenant::{KeyHash, Passwordless, Tenant, Webhook};
pub use values::{Hours, Language, NotA, Prefix, PublicUrl, WebhookUrl};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

/// The whole configuration of an SMS gateway.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Countries that messages may go to.
    pub countries: Countries,
    /// Abuse protection.
    pub guard: Guard,
    /// Limits on acceptances. Without this key the built-in default holds (one per 30 s, 5 per
    /// 10 min, 10 per hour and 20 per day for each recipient of a tenant); any entry replaces it.
    pub limits: Vec<Limit>,
    /// What is logged, and how.
    pub log: Log,
    /// Provider instances by name. Keys of the instance's kind stand beside the common ones.
    #[serde(deserialize_with = "later")]
    #[schemars(schema_with = "json::providers")]
    pub providers: BTreeMap<String, Provider>,
    /// Routes; the first that matches a message is taken.
    pub routes: Vec<Route>,
    /// Listeners and their bounds.
    pub server: Server,
    /// Where messages are kept.
    pub store: Store,
    /// Message texts by name.
    pub templates: BTreeMap<String, Template>,
    /// Who may send, by name.
    pub tenants: BTreeMap<String, Tenant>,
}

impl Config {
    /// What a reload to `new` cannot change: these keep their running values until a restart.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let changed = [
            ("server.listen", self.server.listen != new.server.listen),
            ("server.ops", self.server.ops != new.server.ops),
            ("store", self.store != new.store),
        ];
        changed.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            countries: Countries::default(),
            guard: Guard::default(),
            limits: vec![Limit::per_recipient()],
            log: Log::default(),
            providers: BTreeMap::new(),
            routes: Vec::new(),
            server: Server::default(),
            store: Store::default(),
            templates: BTreeMap::new(),
            tenants: BTreeMap::new(),
        }
    }
}

/// Providers are read by the loader, in two steps: what the gateway needs, and what the kind needs.
fn later<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Provider>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| BTreeMap::new())
}

/// The JSON Schema of the configuration file, for editors and `gateway config schema`.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}
