//! `[[routes]]`: which providers a message may use.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use sms_core::options::{OneOrMany, Span};
use sms_core::{Channel, Class, Country, Sender};

use super::json;
use super::values::{Hours, Language, Prefix};

/// One route. The first that matches a message is taken.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Name of the route, in explanations.
    pub id: String,
    /// Copies of one message at most when it stays unknown whether a provider took it (1 or 2).
    #[serde(default = "Route::max_copies")]
    #[schemars(range(min = 1, max = 2))]
    pub max_copies: u8,
    /// What decides among providers that are usable alike.
    #[serde(default)]
    pub prefer: Prefer,
    /// Sender of messages that name none, ahead of the tenant's.
    #[serde(default)]
    #[schemars(with = "Option<json::SenderText>")]
    pub sender: Option<Sender>,
    /// Weights of providers: one is drawn, the others are its fail-over, then come those of `use`.
    #[serde(default)]
    pub split: BTreeMap<String, u32>,
    /// Template of requests that name none.
    #[serde(default)]
    pub template: Option<String>,
    /// Time to live of messages whose request names none.
    #[serde(default)]
    pub ttl: ClassTtl,
    /// How long to wait for a receipt when a provider did not answer, before a second copy.
    #[serde(default = "Route::unknown_wait")]
    #[schemars(with = "json::SpanText")]
    pub unknown_wait: Span,
    /// Providers in order: the first, and its fail-over.
    #[serde(default, rename = "use")]
    pub uses: Vec<String>,
    /// Which messages; without the key all.
    #[serde(default)]
    pub when: When,
}

impl Route {
    /// Built-in default of `max_copies`.
    pub fn max_copies() -> u8 {
        2
    }

    /// Built-in default of `unknown_wait`.
    pub fn unknown_wait() -> Span {
        Span::from_secs(8)
    }
}

/// Conditions of a route: all of them hold, each by any of its values.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// What the end user is doing, as the identity platform calls it.
    #[schemars(with = "Option<json::OneOrMany<String>>")]
    pub action: Option<OneOrMany<String>>,
    /// `sms` or `voice`.
    #[schemars(with = "Option<json::OneOrMany<json::ChannelWord>>")]
    pub channel: Option<OneOrMany<Channel>>,
    /// `otp` or `transactional`.
    #[schemars(with = "Option<json::OneOrMany<json::ClassWord>>")]
    pub class: Option<OneOrMany<Class>>,
    /// The application that asks.
    #[schemars(with = "Option<json::OneOrMany<String>>")]
    pub client_id: Option<OneOrMany<String>>,
    /// Country of the recipient.
    #[schemars(with = "Option<json::OneOrMany<json::CountryText>>")]
    pub country: Option<OneOrMany<Country>>,
    /// Which factor the code belongs to, as the identity platform calls it.
    #[schemars(with = "Option<json::OneOrMany<String>>")]
    pub factor: Option<OneOrMany<String>>,
    /// Time of day, such as `"22:00-06:00 Europe/Prague"`.
    #[schemars(with = "Option<json::OneOrMany<json::HoursText>>")]
    pub hours: Option<OneOrMany<Hours>>,
    /// Language of the request; `fr` matches `fr-CA` too.
    #[schemars(with = "Option<json::OneOrMany<json::LanguageText>>")]
    pub language: Option<OneOrMany<Language>>,
    /// Values of the request's metadata, by key.
    #[schemars(with = "BTreeMap<String, json::OneOrMany<String>>")]
    pub metadata: BTreeMap<String, OneOrMany<String>>,
    /// Beginning of the number, such as `"+1876"`.
    #[schemars(with = "Option<json::OneOrMany<json::PrefixText>>")]
    pub prefix: Option<OneOrMany<Prefix>>,
    /// Who asks.
    #[schemars(with = "Option<json::OneOrMany<String>>")]
    pub tenant: Option<OneOrMany<String>>,
}

/// Times to live by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassTtl {
    /// Of one-time codes: 5 min without the key, 10 min at most.
    #[schemars(with = "Option<json::SpanText>")]
    pub otp: Option<Span>,
    /// Of everything else: one hour without the key, 10 hours at most.
    #[schemars(with = "Option<json::SpanText>")]
    pub transactional: Option<Span>,
}

/// What decides among providers that are usable alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prefer {
    /// The cheaper one.
    Cost,
    /// The one that delivers more.
    Delivery,
    /// The faster one.
    Latency,
    /// The order or weights as written.
    #[default]
    None,
}
