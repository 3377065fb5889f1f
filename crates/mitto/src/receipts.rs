//! Mitto's delivery reports. Their form is a template that each customer agrees with Mitto (GET or POST,
//! query, form or JSON, names to taste), so this reads them all. They carry no signature: the token in
//! the URL proves who calls, and *what* it proves differs:
//!
//! - the token of a message (handed out with that message) proves reports about this message only;
//! - the token of the instance (configured at Mitto for the whole account) proves any report of it.

use serde_json::Value;
use sms_core::callback_token_matches as matches_token;
use sms_core::{CallbackError, CallbackRequest, DeliveryState, MessageId, ProviderName, Receipt, Secret, UnixMs};
use sms_rest::form_fields;

use crate::wire::{canonical_id, scalar};

/// Verifies, then parses. A report that cannot be read does not spoil its neighbours in the same call.
pub(crate) fn read(
    callback: &CallbackRequest,
    secret: &Secret,
    name: &ProviderName,
) -> Result<Vec<Receipt>, CallbackError> {
    let query = Report::of_fields(form_fields(callback.query.as_bytes(), FIELDS_MAX));
    let reports = reports(&callback.body, &query);
    let proof = proof(&callback.token, secret, name, query.reference.iter().chain(references(&reports)))?;
    let reports = reports?;
    let read: Vec<Receipt> = reports.iter().filter_map(|report| report.receipt(&proof)).collect();
    if read.is_empty() { Err(CallbackError::Malformed("no report with a status and an id")) } else { Ok(read) }
}

/// What the token proves.
enum Proof {
    Account,
    Message(MessageId),
}

fn proof<'a>(
    token: &str,
    secret: &Secret,
    name: &ProviderName,
    references: impl Iterator<Item = &'a MessageId>,
) -> Result<Proof, CallbackError> {
    if matches_token(secret, name.as_str(), token) {
        return Ok(Proof::Account);
    }
    let mut candidates = references.take(PROOFS_MAX);
    let proved = candidates.find(|id| matches_token(secret, &id.to_string(), token));
    proved.copied().map(Proof::Message).ok_or(CallbackError::Forged)
}

/// One report, by the names in use among Mitto's customers.
#[derive(Clone, Debug, Default)]
struct Report {
    at: Option<UnixMs>,
    code: Option<String>,
    reference: Option<MessageId>,
    status: Option<String>,
    upstream_id: String,
}

impl Report {
    /// The first of several fields with the same meaning wins.
    fn of_fields(fields: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut report = Self::default();
        for (key, value) in fields.into_iter().take(FIELDS_MAX) {
            report.note(&key, value.trim());
        }
        report
    }

    fn note(&mut self, key: &str, value: &str) {
        let key: String = key.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        match key.to_ascii_lowercase().as_str() {
            "messageid" | "msgid" | "id" if self.upstream_id.is_empty() => self.upstream_id = canonical_id(value),
            "status" | "deliverystatus" | "dlrstatus" if self.status.is_none() && !value.is_empty() => {
                self.status = Some(value.chars().take(STATUS_CHARS_MAX).collect());
            }
            "errorcode" | "error" | "err" => self.code = self.code.take().or_else(|| token(value)),
            "reference" | "clientref" | "ref" => self.reference = self.reference.or_else(|| MessageId::parse(value)),
            "timestamp" | "time" | "updatedat" => self.at = self.at.or_else(|| moment(value)),
            _ => {}
        }
    }

    /// What is missing in the body may stand in the query.
    fn completed_by(mut self, query: &Self) -> Self {
        if self.upstream_id.is_empty() {
            self.upstream_id.clone_from(&query.upstream_id);
        }
        self.at = self.at.or(query.at);
        self.code = self.code.or_else(|| query.code.clone());
        self.reference = self.reference.or(query.reference);
        self.status = self.status.or_else(|| query.status.clone());
        self
    }

    /// `None` for a report that says nothing, or that is about another message than the token proves.
    fn receipt(&self, proof: &Proof) -> Option<Receipt> {
        let message = match proof {
            Proof::Account => self.reference,
            Proof::Message(id) if self.reference.is_none_or(|reference| reference == *id) => Some(*id),
            Proof::Message(_) => return None,
        };
        if message.is_none() && self.upstream_id.is_empty() {
            return None;
        }
        Some(Receipt {
            message,
            upstream_id: self.upstream_id.clone(),
            state: state(self.status.as_deref()?),
            provider_code: self.code.clone(),
            at: self.at,
            part: None, // the template may name each part's id, never its place
        })
    }
}

/// Every report of the call; a call without a body is one report in the query.
fn reports(body: &[u8], query: &Report) -> Result<Vec<Report>, CallbackError> {
    let body = body.trim_ascii();
    let reports = match body.first() {
        None => vec![query.clone()],
        Some(b'{' | b'[') => {
            let json = serde_json::from_slice(body).map_err(|_| CallbackError::Malformed("not JSON"))?;
            let items = match json {
                Value::Array(items) => items,
                Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![json],
            };
            items.iter().take(REPORTS_MAX).map(|item| json_report(item).completed_by(query)).collect()
        }
        Some(_) => vec![Report::of_fields(form_fields(body, FIELDS_MAX)).completed_by(query)],
    };
    Ok(reports)
}

fn references(reports: &Result<Vec<Report>, CallbackError>) -> impl Iterator<Item = &MessageId> {
    reports.iter().flatten().filter_map(|report| report.reference.as_ref())
}

fn json_report(item: &Value) -> Report {
    let fields = item.as_object().into_iter().flatten();
    Report::of_fields(fields.filter_map(|(key, value)| Some((key.clone(), scalar(value)?))))
}

/// Mitto's words, SMPP's words and SMPP's numbers; anything else is kept as it is.
fn state(status: &str) -> DeliveryState {
    match status.to_ascii_lowercase().as_str() {
        "delivered" | "delivrd" | "2" => DeliveryState::Delivered,
        "sent" | "buffered" | "acceptd" | "accepted" | "enroute" | "pending" | "1" | "6" => DeliveryState::Pending,
        "failure" | "failed" | "undeliverable" | "undelivered" | "undeliv" | "5" | "rejected" | "rejectd" | "8"
        | "deleted" | "4" => DeliveryState::Undelivered,
        "expired" | "3" => DeliveryState::Expired,
        _ => DeliveryState::Unrecognised(status.to_owned()),
    }
}

/// A code is a short word; what else stands in its place could be anything, a phone number included.
fn token(value: &str) -> Option<String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let bytes_max = if value.bytes().all(|byte| byte.is_ascii_digit()) { CODE_DIGITS_MAX } else { CODE_BYTES_MAX };
    ((1..=bytes_max).contains(&value.len()) && value.bytes().all(word)).then(|| value.to_owned())
}

/// RFC 3339 (Mitto writes seven decimals), without an offset meaning UTC, or seconds or milliseconds since 1970.
fn moment(value: &str) -> Option<UnixMs> {
    if let Ok(number) = value.parse::<i64>() {
        let ms = if number < MS_FROM { number.checked_mul(1000)? } else { number };
        return (0..MS_MAX).contains(&ms).then(|| UnixMs::new(ms));
    }
    let at = value.parse::<jiff::Timestamp>().or_else(|_| format!("{value}Z").parse()).ok()?;
    Some(UnixMs::new(at.as_millisecond()))
}

const CODE_BYTES_MAX: usize = 16;
const CODE_DIGITS_MAX: usize = 6;
const FIELDS_MAX: usize = 64;
/// Bounds what a stranger can make us compute.
const PROOFS_MAX: usize = 16;
const REPORTS_MAX: usize = 1000;
const STATUS_CHARS_MAX: usize = 32;

/// As seconds, the year 5138; as milliseconds, 1973: numbers from here on are milliseconds.
const MS_FROM: i64 = 100_000_000_000;
/// The year 9999, the last one that RFC 3339 can show.
const MS_MAX: i64 = 253_402_300_800_000;

#[cfg(test)]
mod tests {
    use sms_core::callback_token;

    use super::*;

    fn secret() -> Secret {
        Secret::new("s3cret")
    }

    fn name() -> ProviderName {
        ProviderName::new("mitto")
    }

    fn id(n: u8) -> MessageId {
        MessageId::from_bytes([n; 16])
    }

    fn call(subject: &str, query: &str, body: &str) -> Result<Vec<Receipt>, CallbackError> {
        let callback = CallbackRequest {
            method: if body.is_empty() { "GET" } else { "POST" }.to_owned(),
            token: callback_token(&secret(), subject),
            query: query.to_owned(),
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        read(&callback, &secret(), &name())
    }

    fn one(subject: &str, query: &str, body: &str) -> Receipt {
        let mut receipts = call(subject, query, body).unwrap();
        assert_eq!(receipts.len(), 1);
        receipts.remove(0)
    }

    #[test]
    fn query_form_and_json_say_the_same() {
        let ours = format!("ref={}", id(1));
        let fields = "messageId=AB-12&status=Delivered&errorcode=0&timestamp=2026-04-13T12:07:57.8625574Z";
        let json =
            r#"{"messageId":"AB-12","status":"Delivered","errorcode":0,"timestamp":"2026-04-13T12:07:57.8625574Z"}"#;
        let expected = Receipt {
            message: Some(id(1)),
            upstream_id: "ab12".to_owned(),
            state: DeliveryState::Delivered,
            provider_code: Some("0".to_owned()),
            at: Some(UnixMs::new(1_776_082_077_862)),
            part: None,
        };
        let subject = id(1).to_string();
        assert_eq!(one(&subject, &format!("{ours}&{fields}"), ""), expected);
        assert_eq!(one(&subject, &ours, fields), expected);
        assert_eq!(one(&subject, &ours, json), expected);
        assert_eq!(one(&subject, &ours, &format!(" [{json}] ")), expected);
    }

    #[test]
    fn names_are_taken_in_every_spelling() {
        for body in [
            r#"{"msgid":"7","dlrStatus":"2"}"#,
            r#"{"MessageId":7,"deliveryStatus":2}"#,
            r#"{"id":"7","STATUS":"DELIVRD","to":"41751231234","text":null,"parts":[1]}"#,
            "msg_id=7&status=delivered&msisdn=41751231234",
        ] {
            let receipt = one("mitto", "", body);
            assert_eq!((receipt.upstream_id.as_str(), receipt.state), ("7", DeliveryState::Delivered), "{body}");
        }
    }

    #[test]
    fn the_accounts_token_proves_every_report() {
        let body = format!(r#"[{{"id":"1","status":"Sent"}},{{"id":"2","status":"Failure","reference":"{}"}}]"#, id(2));
        let receipts = call("mitto", "", &body).unwrap();
        assert_eq!(receipts.iter().map(|r| r.message).collect::<Vec<_>>(), [None, Some(id(2))]);
        assert_eq!(receipts[1].state, DeliveryState::Undelivered);
    }

    #[test]
    fn a_messages_token_proves_this_message_only() {
        let subject = id(1).to_string();
        let other = format!(r#"{{"id":"2","status":"Delivered","reference":"{}"}}"#, id(2));
        assert_eq!(call(&subject, "", &other), Err(CallbackError::Forged));
        assert!(matches!(call(&subject, &format!("ref={}", id(1)), &other), Err(CallbackError::Malformed(_))));
        let both = format!(r#"[{other},{{"id":"1","status":"Delivered","reference":"{}"}}]"#, id(1));
        assert_eq!(one(&subject, "", &both).message, Some(id(1)));
        assert_eq!(call("another_instance", "", r#"{"id":"1","status":"Delivered"}"#), Err(CallbackError::Forged));
    }

    #[test]
    fn a_wrong_token_is_forged_whatever_it_carries() {
        for (query, body) in [("", ""), ("", "{"), ("status=2&id=1", ""), ("", r#"{"id":"1","status":"2"}"#)] {
            for subject in ["", "msg_", &id(9).to_string()] {
                assert_eq!(call(subject, query, body), Err(CallbackError::Forged));
            }
        }
    }

    #[test]
    fn a_proven_call_that_says_nothing_is_malformed() {
        for (query, body) in
            [("", ""), ("id=1", ""), ("status=2", ""), ("", "{"), ("", "[]"), ("", "[1,null]"), ("", "\u{0}")]
        {
            assert!(matches!(call("mitto", query, body), Err(CallbackError::Malformed(_))), "{query} {body}");
        }
    }

    #[test]
    fn an_unreadable_report_does_not_spoil_its_neighbours() {
        let receipts = call("mitto", "", r#"[1,{"id":"1"},{"id":"2","status":"Delivered"}]"#).unwrap();
        assert_eq!(receipts.len(), 1);
    }

    #[test]
    fn states_follow_the_table() {
        use DeliveryState::{Delivered, Expired, Pending, Undelivered};
        let table = [
            (Delivered, "Delivered DELIVRD delivered 2"),
            (Pending, "Sent Buffered ACCEPTD ENROUTE Pending 1 6"),
            (Undelivered, "Failure Failed Undeliverable UNDELIV 5 Rejected REJECTD 8 DELETED 4"),
            (Expired, "EXPIRED expired 3"),
        ];
        for (expected, words) in table {
            for word in words.split(' ') {
                assert_eq!(state(word), expected, "{word}");
            }
        }
    }

    #[test]
    fn an_unknown_state_is_kept_and_bounded() {
        let long = "x".repeat(500);
        let receipt = one("mitto", &format!("id=1&status={long}"), "");
        assert_eq!(receipt.state, DeliveryState::Unrecognised("x".repeat(32)));
        assert_eq!(one("mitto", "id=1&status=UNKNOWN", "").state, DeliveryState::Unrecognised("UNKNOWN".to_owned()));
    }

    #[test]
    fn only_a_short_word_is_a_code() {
        let code = |text: &str| one("mitto", &format!("id=1&status=2&err={text}"), "").provider_code;
        assert_eq!(code("EC-27").as_deref(), Some("EC-27"));
        for bad in ["", "no+such+number", "%2B41751231234", "41751231234", &"x".repeat(17)] {
            assert_eq!(code(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments_come_in_three_forms() {
        assert_eq!(moment("1776082077"), Some(UnixMs::new(1_776_082_077_000)));
        assert_eq!(moment("1776082077862"), Some(UnixMs::new(1_776_082_077_862)));
        assert_eq!(moment("2026-04-13T12:07:57"), Some(UnixMs::new(1_776_082_077_000)));
        for junk in ["", "yesterday", "-1", "99999999999999999999", "9999999999999999"] {
            assert_eq!(moment(junk), None, "{junk}");
        }
    }
}
