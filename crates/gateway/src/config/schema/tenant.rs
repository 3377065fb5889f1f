//! `[tenants.NAME]`: who may send, and as whom.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use sha2::{Digest as _, Sha256};
use sms_core::options::{Span, deserialize_guarded};
use sms_core::{Country, Secret, Sender};

use super::json;
use super::values::{Language, WebhookUrl};

/// Who may send, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tenant {
    /// Client ids this tenant may use; without the key any.
    pub clients: Option<Vec<String>>,
    /// Country whose national form of a number is understood too (`0151…`).
    #[schemars(with = "Option<json::CountryText>")]
    pub default_country: Option<Country>,
    /// API keys: `"sha256:<64 hex digits>"` as `gateway keys create` prints it, or a reference to
    /// such a hash or to a key. Every one of them is valid.
    #[schemars(with = "Vec<json::KeyText>")]
    pub keys: Vec<KeyHash>,
    /// Languages of this tenant's texts; the first is the fallback.
    #[schemars(with = "Vec<json::LanguageText>")]
    pub languages: Vec<Language>,
    /// What end users know this tenant as: the default of `client_name` in texts.
    pub name: Option<String>,
    /// Auth0's passwordless gateway: checks its signed tokens.
    pub passwordless: Option<Passwordless>,
    /// Senders by country (`us = "+12025550100"`), ahead of `senders`.
    #[schemars(schema_with = "json::senders_by_country")]
    pub sender_by_country: BTreeMap<Country, Sender>,
    /// Senders this tenant may use; the first is the default.
    #[schemars(with = "Vec<json::SenderText>")]
    pub senders: Vec<Sender>,
    /// Template of requests that name none and whose route names none.
    pub template: Option<String>,
    /// Where status changes are reported.
    pub webhook: Option<Webhook>,
}

/// Where status changes of a tenant's messages are reported.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// It is called no more when no call succeeded for so long; `POST /admin/v1/webhooks/TENANT/enable` calls it again.
    #[serde(default = "disable_after")]
    #[schemars(with = "json::SpanText")]
    pub disable_after: Span,
    /// The secret before the last rotation: signatures with both are sent while it stands here.
    #[serde(default)]
    #[schemars(with = "Option<json::SecretTable>")]
    pub old_secret: Option<Secret>,
    /// The URL may be `http://` and lead inside the own network. Without it, and for a caller's `callback_url` always,
    /// private and special addresses are refused.
    #[serde(default)]
    pub private: bool,
    /// Signs the reports (Standard Webhooks; `whsec_…` is understood).
    #[schemars(with = "json::SecretTable")]
    pub secret: Secret,
    /// Where to.
    #[schemars(with = "json::UrlText")]
    pub url: WebhookUrl,
}

fn disable_after() -> Span {
    Span::from_secs(5 * 86_400)
}

/// What Auth0's passwordless gateway signs its tokens with.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Passwordless {
    /// Claim `aud` of its tokens (`gateway_authentication.audience`).
    pub audience: String,
    /// The shared secret (`gateway_authentication.secret`).
    #[schemars(with = "json::SecretTable")]
    pub secret: Secret,
    /// The secret is base64 (`gateway_authentication.secret_base64_encoded`).
    #[serde(default)]
    pub secret_base64: bool,
    /// Claim `sub` of its tokens (`gateway_authentication.subject`).
    pub subject: String,
}

/// The SHA-256 of a whole API key; the key itself is never kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Hashes a key.
    pub fn of_key(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Reads `sha256:` and 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(PREFIX)?.as_bytes();
        let (pairs, rest) = hex.as_chunks::<2>();
        let mut bytes = [0; 32];
        if !rest.is_empty() || pairs.len() != bytes.len() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self(bytes))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.0;
        write!(f, "KeyHash({first:02x}{second:02x}…)")
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserialize_guarded(deserializer, |text| text.starts_with(PREFIX))?;
        let text = text.expose();
        if text.starts_with(PREFIX) {
            return Self::parse(text).ok_or_else(|| de::Error::custom("expected sha256: and 64 lower-case hex digits"));
        }
        if text.chars().count() < KEY_CHARS_MIN {
            return Err(de::Error::custom("expected a key of at least 20 characters, or its sha256:…"));
        }
        Ok(Self::of_key(text))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

const PREFIX: &str = "sha256:";

/// Shorter ones could be guessed.
const KEY_CHARS_MIN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_and_shows_as_written() {
        let text = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!(KeyHash::parse(text), Some(KeyHash::of_key("test")));
        assert_eq!(KeyHash::of_key("test").to_string(), text);
    }

    #[test]
    fn anything_else_is_no_hash() {
        let short = "sha256:9f86d0";
        let upper = "sha256:9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08";
        let long = format!("sha256:{}", "0".repeat(66));
        for text in
            [short, upper, long.as_str(), "", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
        {
            assert_eq!(KeyHash::parse(text), None, "{text}");
        }
    }
}
