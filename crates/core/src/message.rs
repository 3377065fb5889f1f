//! What a message is: class, channel, sender, and the form in which a provider gets it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Body, MessageId, Msisdn, Segmentation};

/// What the message is for; decides its time to live and whether an unknown outcome may be repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A one-time code: useless late, so short-lived; a second copy does no harm.
    #[default]
    Otp,
    /// Anything else a customer asked for; never sent twice.
    Transactional,
}

impl Class {
    /// Spelling in requests, configuration and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Otp => "otp",
            Self::Transactional => "transactional",
        }
    }

    /// Parses [`Class::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "otp" => Some(Self::Otp),
            "transactional" => Some(Self::Transactional),
            _ => None,
        }
    }

    /// Time to live when the caller names none.
    pub fn ttl_default(self) -> Duration {
        match self {
            Self::Otp => Duration::from_mins(5),
            Self::Transactional => Duration::from_hours(1),
        }
    }

    /// Longest time to live (ASVS 6.5.5 gives a code ten minutes).
    pub fn ttl_max(self) -> Duration {
        match self {
            Self::Otp => Duration::from_mins(10),
            Self::Transactional => Duration::from_hours(10),
        }
    }
}

/// How the message reaches the handset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A short message.
    #[default]
    Sms,
    /// A call that reads the text out.
    Voice,
}

impl Channel {
    /// Spelling in requests, configuration and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Voice => "voice",
        }
    }

    /// Parses [`Channel::as_str`]; `text` is what some identity platforms call `sms`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "sms" | "text" => Some(Self::Sms),
            "voice" => Some(Self::Voice),
            _ => None,
        }
    }
}

/// The sender shown on the handset: 1–11 letters, digits or spaces with at least one letter,
/// or 3–15 digits with an optional plus.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Sender(String);

impl Sender {
    /// Parses a sender id; `None` says it has neither of the two forms.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        (is_numeric(text) || is_alphanumeric(text)).then(|| Self(text.to_owned()))
    }

    /// The sender as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Made of digits only (apart from a plus).
    pub fn is_numeric(&self) -> bool {
        is_numeric(&self.0)
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sender {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(
                "expected a sender of 1-11 letters, digits or spaces (at least one letter), or 3-15 digits",
            )
        })
    }
}

fn is_numeric(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (3..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_alphanumeric(text: &str) -> bool {
    (1..=11).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-' | b'_' | b'.' | b'&'))
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// One fully rendered message, as a provider gets it.
#[derive(Clone, Debug)]
pub struct OutboundSms {
    /// Our id: a provider passes it on as its reference.
    pub id: MessageId,
    /// Who receives it.
    pub to: Msisdn,
    /// Sender shown on the handset.
    pub sender: Sender,
    /// The text; never logged.
    pub body: Body,
    /// Encoding and number of parts of `body`.
    pub segmentation: Segmentation,
    /// What it is for.
    pub class: Class,
    /// How it travels.
    pub channel: Channel,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_have_two_forms() {
        for good in ["Acme", "MITTO SMS", "A", "12345", "+447700900000", "3com"] {
            assert!(Sender::parse(good).is_some(), "{good}");
        }
        for bad in ["", "12", "ABCDEFGHIJKL", "Ac\nme", "+", "Ünïcode", "1234567890123456", "..."] {
            assert!(Sender::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_otp_lives_ten_minutes_at_most() {
        assert!(Class::Otp.ttl_max() <= Duration::from_mins(10));
        assert!(Class::Otp.ttl_default() <= Class::Otp.ttl_max());
        assert!(Class::Transactional.ttl_default() <= Class::Transactional.ttl_max());
    }
}
