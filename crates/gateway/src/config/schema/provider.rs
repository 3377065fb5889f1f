//! `[providers.NAME]`: the keys every instance has, and the rest for the factory of its kind.

use schemars::JsonSchema;
use serde::Deserialize;
use sms_core::options::{Options, Rate, Span};

use super::json;

/// One provider instance.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What the gateway itself reads.
    pub common: Common,
    /// All other keys, for the factory of the kind.
    pub options: Options,
}

impl PartialEq for Provider {
    /// Options are opaque: instances are equal when their common keys and places are.
    fn eq(&self, other: &Self) -> bool {
        self.common == other.common && self.options.path() == other.options.path()
    }
}

/// The keys that every provider instance has, whatever its kind.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// Requests at the same time.
    #[serde(default = "Common::concurrency")]
    pub concurrency: u32,
    /// Which implementation: `mitto`, `mock`, …
    pub kind: String,
    /// Tenants that may use this instance; without the key every one.
    #[serde(default)]
    pub tenants: Option<Vec<String>>,
    /// Messages per time; without the key as many as the provider takes.
    #[serde(default)]
    #[schemars(with = "Option<json::RateText>")]
    pub throughput: Option<Rate>,
    /// How long an attempt may take.
    #[serde(default = "Common::timeout")]
    #[schemars(with = "json::SpanText")]
    pub timeout: Span,
}

impl Common {
    /// Built-in default of `concurrency`.
    pub fn concurrency() -> u32 {
        64
    }

    /// Built-in default of `timeout`.
    pub fn timeout() -> Span {
        Span::from_secs(3)
    }
}

/// The keys of [`Common`]: these never reach a factory.
pub const COMMON_KEYS: [&str; 5] = ["concurrency", "kind", "tenants", "throughput", "timeout"];
