//! The JSON that Mitto reads and writes, tolerant where its own examples disagree. The only file that
//! sees numbers and texts in clear.

use serde::Serialize;
use serde_json::Value;
use sms_core::{Attempt, Encoding, OutboundSms, Sender};
use sms_rest::HeaderName;

/// Where the account's key travels.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-mitto-api-key");

/// Body of `POST /sms.json`.
#[derive(Serialize)]
pub(crate) struct SendBody<'a> {
    from: &'a str,
    to: String,
    text: &'a str,
    #[serde(rename = "type")]
    encoding: &'static str,
    reference: String,
    validity: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    test: bool,
}

impl<'a> SendBody<'a> {
    /// `None` when Mitto cannot show the sender: it takes 3–11 letters, digits or spaces, or 3–14 digits.
    pub(crate) fn new(sms: &'a OutboundSms, attempt: &Attempt) -> Option<Self> {
        Some(Self {
            from: sender(&sms.sender)?,
            to: sms.to.expose_digits(),
            text: sms.body.expose(),
            encoding: match sms.segmentation.encoding {
                Encoding::Gsm7 => "GSM",
                Encoding::Ucs2 => "Unicode",
            },
            reference: sms.id.to_string(),
            validity: validity_minutes(attempt),
            callback: None,
            test: false,
        })
    }

    /// Asks for receipts at `url`.
    pub(crate) fn with_callback(mut self, url: Option<String>) -> Self {
        self.callback = url;
        self
    }

    /// Asks for a check without delivery.
    pub(crate) fn marked_test(mut self, test: bool) -> Self {
        self.test = test;
        self
    }
}

fn sender(sender: &Sender) -> Option<&str> {
    let text = sender.as_str();
    if sender.is_numeric() {
        let digits = text.strip_prefix('+').unwrap_or(text);
        (3..=14).contains(&digits.len()).then_some(digits)
    } else {
        (3..=11).contains(&text.len()).then_some(text)
    }
}

/// Whole minutes, rounded up: the network may try a little longer than the code lives, never shorter.
fn validity_minutes(attempt: &Attempt) -> u64 {
    u64::try_from(attempt.valid_for.as_millis().div_ceil(60_000))
        .unwrap_or(VALIDITY_MINUTES_MAX)
        .clamp(1, VALIDITY_MINUTES_MAX)
}

/// Mitto's own default.
const VALIDITY_MINUTES_MAX: u64 = 2880;

/// Body of `POST /sms/converted`.
#[derive(Serialize)]
pub(crate) struct ConvertedBody<'a> {
    #[serde(rename = "messageId")]
    pub(crate) message_id: &'a str,
}

/// Body of the probe: no recipient and no text, so that there is nothing to send, and marked as a test.
#[derive(Serialize)]
pub(crate) struct ProbeBody {
    test: bool,
}

impl ProbeBody {
    pub(crate) const NEW: Self = Self { test: true };
}

/// What of an answer counts: `responseText`, `timestamp`, `to` and `textLength` differ from example to
/// example and decide nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SendAnswer {
    /// `responseCode`, a number or a text of digits.
    pub(crate) code: Option<i64>,
    /// `id` in canonical form; empty where there is none (tests, errors).
    pub(crate) id: String,
}

impl SendAnswer {
    /// Never fails: what is not there is not there.
    pub(crate) fn parse(json: Option<&Value>) -> Self {
        let field = |name: &str| json.and_then(|json| json.get(name)).and_then(scalar);
        Self {
            code: field("responseCode").and_then(|code| code.trim().parse().ok()),
            id: field("id").map(|id| canonical_id(&id)).unwrap_or_default(),
        }
    }
}

/// Texts and numbers as a text; nothing else is a value of Mitto's.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Mitto writes one id with and without dashes and in either case; empty when it cannot be an id.
pub(crate) fn canonical_id(id: &str) -> String {
    let id: String = id.trim().chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let plausible = id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
    if plausible { id } else { String::new() }
}

const ID_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn senders_that_mitto_cannot_show_are_told_apart() {
        let told = |text: &str| sender(&Sender::parse(text).unwrap()).map(str::to_owned);
        assert_eq!(told("Acme").as_deref(), Some("Acme"));
        assert_eq!(told("MITTO SMS").as_deref(), Some("MITTO SMS"));
        assert_eq!(told("+447700900000").as_deref(), Some("447700900000"));
        for bad in ["AB", "123456789012345"] {
            assert_eq!(told(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_vendors_own_examples_are_read() {
        let sent = json!({"id":"715118EF-01aa4480bbd67324a0459b0b","responseCode":0,"textLength":" 13"});
        let expected = SendAnswer { code: Some(0), id: "715118ef01aa4480bbd67324a0459b0b".to_owned() };
        assert_eq!(SendAnswer::parse(Some(&sent)), expected);
        let test = json!({"timestamp":"…","test":true,"responseCode":"0"});
        assert_eq!(SendAnswer::parse(Some(&test)), SendAnswer { code: Some(0), id: String::new() });
    }

    #[test]
    fn other_shapes_hold_no_code() {
        for odd in [
            json!(null),
            json!([{"responseCode":0}]),
            json!("0"),
            json!({"responseCode":"x"}),
            json!({"responseCode":0.5}),
        ] {
            assert_eq!(SendAnswer::parse(Some(&odd)), SendAnswer::default(), "{odd}");
        }
        assert_eq!(SendAnswer::parse(None), SendAnswer::default());
    }

    #[test]
    fn ids_have_one_form() {
        assert_eq!(canonical_id(" 7151-18EF "), "715118ef");
        for bad in ["a b", "ü", "a\nb", &"a".repeat(65)] {
            assert_eq!(canonical_id(bad), "", "{bad}");
        }
    }
}
