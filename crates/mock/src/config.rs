//! The options of one mock. The keys all providers share are the gateway's and never arrive here.

use serde::Deserialize;
use sms_core::options::Span;

use crate::Behaviour;

/// `[providers.NAME]` of `kind = "mock"`; every key is optional.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What happens to numbers that have no script of their own.
    pub behaviour: Behaviour,
    /// How long it thinks before it takes a message.
    pub latency: Span,
    /// How long after a message was taken its receipt comes, where the script says nothing else.
    pub receipt_after: Span,
    /// Makes receipts at all.
    pub receipts: bool,
    /// Offers the voice channel as well.
    pub voice: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            behaviour: Behaviour::default(),
            latency: Span::default(),
            receipt_after: Span::from_millis(5),
            receipts: true,
            voice: false,
        }
    }
}
