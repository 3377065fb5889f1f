//! What the native API answers: the acceptance, and a message as it stands. Texts and codes never come back.

use serde::Serialize;
use serde_json::{Map, Value};
use sms_core::store::{Attempted, Entry, Record, What};
use sms_core::{ProviderName, Status};
use sms_engine::Acceptance;

#[derive(Serialize)]
struct Accepted<'a> {
    id: String,
    status: &'static str,
    to: String,
    encoding: &'static str,
    segments: u16,
    created_at: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
}

/// The answer at acceptance; kept and replayed byte for byte.
pub(super) fn accepted(acceptance: &Acceptance) -> Vec<u8> {
    decided(acceptance, Status::Queued, None)
}

/// The answer to a caller that waited.
pub(super) fn decided(acceptance: &Acceptance, status: Status, provider: Option<&ProviderName>) -> Vec<u8> {
    let answer = Accepted {
        id: acceptance.id.to_string(),
        status: status.as_str(),
        to: acceptance.to.expose(),
        encoding: acceptance.encoding.as_str(),
        segments: acceptance.segments,
        created_at: acceptance.created.to_string(),
        expires_at: acceptance.expires.to_string(),
        provider: provider.map(ProviderName::as_str),
    };
    serde_json::to_vec(&answer).unwrap_or_default() // texts and numbers can always be written
}

#[derive(Serialize)]
pub(super) struct Brief {
    pub(super) id: String,
    pub(super) status: &'static str,
}

#[derive(Serialize)]
pub(super) struct Outcome {
    pub(super) id: String,
    pub(super) outcome: &'static str,
}

/// A message as it stands.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    id: String,
    status: &'static str,
    /// `null` once the number was forgotten.
    to: Option<String>,
    country: &'a str,
    class: &'static str,
    channel: &'static str,
    sender: &'a str,
    encoding: &'static str,
    segments: u16,
    created_at: String,
    expires_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<Attempt<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<Event>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Route<'a>>,
}

#[derive(Serialize)]
struct Attempt<'a> {
    provider: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<&'a str>,
    started_at: String,
    duration_ms: u32,
}

#[derive(Serialize)]
struct Event {
    at: String,
    kind: &'static str,
    source: String,
    detail: String,
}

#[derive(Serialize)]
struct Route<'a> {
    rule: &'a str,
    candidates: Vec<&'a str>,
    why: &'a str,
}

impl<'a> Message<'a> {
    /// For lists.
    pub(super) fn brief(record: &'a Record) -> Self {
        let details = &record.details;
        Self {
            id: record.id.to_string(),
            status: record.status.as_str(),
            to: record.to.map(|to| to.expose()),
            country: record.country.as_str(),
            class: details.class.as_str(),
            channel: details.channel.as_str(),
            sender: details.sender.as_str(),
            encoding: details.encoding.as_str(),
            segments: details.segments,
            created_at: record.created.to_string(),
            expires_at: record.expires.to_string(),
            updated_at: record.updated.to_string(),
            provider: record.provider.as_ref().map(ProviderName::as_str),
            client_id: details.client_id.as_deref(),
            language: details.language.as_deref(),
            template: details.template.as_deref(),
            reference: details.reference.as_deref(),
            metadata: details.metadata.as_ref(),
            attempts: None,
            events: None,
            route: None,
        }
    }

    /// With its story.
    pub(super) fn whole(record: &'a Record) -> Self {
        let route = &record.details.route;
        Self {
            attempts: Some(record.history.iter().filter_map(attempt).collect()),
            events: Some(record.history.iter().map(event).collect()),
            route: Some(Route {
                rule: &route.rule,
                candidates: route.candidates.iter().map(ProviderName::as_str).collect(),
                why: &route.why,
            }),
            ..Self::brief(record)
        }
    }
}

fn attempt(entry: &Entry) -> Option<Attempt<'_>> {
    let What::Outcome(attempted) = &entry.what else { return None };
    Some(Attempt {
        provider: attempted.provider.as_str(),
        outcome: attempted.outcome.as_str(),
        error_kind: attempted.kind.map(sms_core::Kind::as_str),
        provider_code: attempted.code.as_deref(),
        started_at: attempted.started.to_string(),
        duration_ms: attempted.took_ms,
    })
}

fn event(entry: &Entry) -> Event {
    let (kind, source, detail) = match &entry.what {
        What::Accepted => ("accepted", GATEWAY, String::new()),
        What::Blocked { code } => ("blocked", GATEWAY, code.clone()),
        What::Canceled => ("canceled", CALLER, String::new()),
        What::Expired => ("expired", GATEWAY, "its time to live passed".to_owned()),
        What::Feedback { outcome } => ("feedback", CALLER, outcome.clone()),
        What::Intent { attempt, provider } => {
            ("attempt_started", GATEWAY, format!("attempt {attempt} with {provider}"))
        }
        What::Outcome(attempted) => ("attempt_ended", attempted.provider.as_str(), ended(attempted)),
        What::Receipt { provider, state, code, their_time, part } => {
            let code = code.as_ref().map(|code| format!(", code {code}")).unwrap_or_default();
            let time = their_time.map(|at| format!(", at {at} by their clock")).unwrap_or_default();
            let part = part.map(|part| format!(" (part {part})")).unwrap_or_default();
            ("receipt", provider.as_str(), format!("{state}{part}{code}{time}"))
        }
        What::Status(status) => ("status", GATEWAY, status.as_str().to_owned()),
        What::Waiting { lane, until } => ("waiting", GATEWAY, format!("next with {lane}, not before {until}")),
    };
    Event { at: entry.at.to_string(), kind, source: source.to_owned(), detail }
}

fn ended(attempted: &Attempted) -> String {
    let kind = attempted.kind.map(|kind| format!(": {}", kind.as_str())).unwrap_or_default();
    let code = attempted.code.as_ref().map(|code| format!(" (code {code})")).unwrap_or_default();
    format!("attempt {} {}{kind}{code} after {} ms", attempted.attempt, attempted.outcome.as_str(), attempted.took_ms)
}

const CALLER: &str = "caller";
const GATEWAY: &str = "gateway";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sms_core::store::{Details, Outcome as Ended, RouteTrace};
    use sms_core::{Channel, Class, Country, Encoding, Kind, MessageId, Msisdn, Sender, TenantId, UnixMs};
    use std::time::Duration;

    fn at(ms: i64) -> UnixMs {
        UnixMs::new(1_795_500_000_000 + ms)
    }

    fn acceptance() -> Acceptance {
        Acceptance {
            id: MessageId::new(at(0), [1; 10]),
            to: Msisdn::parse("+447700900000", None).unwrap(),
            encoding: Encoding::Gsm7,
            segments: 1,
            units: 20,
            created: at(0),
            expires: at(300_000),
            provider: ProviderName::new("mock"),
        }
    }

    #[test]
    fn the_acceptance_is_the_contracts() {
        let id = acceptance().id.to_string();
        assert_eq!(
            String::from_utf8(accepted(&acceptance())).unwrap(),
            format!(
                r#"{{"id":"{id}","status":"queued","to":"+447700900000","encoding":"gsm7","segments":1,"created_at":"{}","expires_at":"{}"}}"#,
                at(0),
                at(300_000)
            )
        );
        let json: Value =
            serde_json::from_slice(&decided(&acceptance(), Status::Sent, Some(&ProviderName::new("mock")))).unwrap();
        assert_eq!((json["status"].as_str(), json["provider"].as_str()), (Some("sent"), Some("mock")));
        assert!(json["created_at"].as_str().unwrap().ends_with('Z'));
    }

    fn record() -> Record {
        let mock = ProviderName::new("mock");
        let attempted = Attempted {
            attempt: 1,
            provider: mock.clone(),
            outcome: Ended::Refused,
            kind: Some(Kind::Throttled),
            code: Some("429".to_owned()),
            started: at(5),
            took_ms: 12,
        };
        let entries = [
            (0, What::Accepted),
            (5, What::Intent { attempt: 1, provider: mock.clone() }),
            (17, What::Outcome(attempted)),
            (17, What::Waiting { lane: mock.clone(), until: at(1_000) }),
            (
                30,
                What::Receipt {
                    provider: mock.clone(),
                    state: "delivered".to_owned(),
                    code: None,
                    their_time: None,
                    part: None,
                },
            ),
            (30, What::Status(Status::Delivered)),
        ];
        Record {
            id: MessageId::new(at(0), [1; 10]),
            tenant: TenantId::new("acme"),
            status: Status::Delivered,
            created: at(0),
            expires: at(300_000),
            updated: at(30),
            to: Some(Msisdn::parse("+447700900000", None).unwrap()),
            country: Country::parse("GB").unwrap(),
            details: Details {
                class: Class::Otp,
                channel: Channel::Sms,
                sender: Sender::parse("Acme").unwrap(),
                encoding: Encoding::Gsm7,
                units: 20,
                segments: 1,
                client_id: None,
                language: None,
                template: None,
                reference: Some("order 7".to_owned()),
                metadata: None,
                callback_url: None,
                notify: false,
                route: RouteTrace {
                    rule: "default".to_owned(),
                    candidates: vec![mock.clone()],
                    why: "rule `default` matched; mock first".to_owned(),
                    copies_max: 2,
                    unknown_wait: Duration::from_secs(8),
                },
            },
            provider: Some(mock),
            upstream_id: Some("u1".to_owned()),
            history: entries.into_iter().map(|(ms, what)| Entry { at: at(ms), what }).collect(),
        }
    }

    #[test]
    fn a_message_tells_its_story() {
        let record = record();
        let json = serde_json::to_value(Message::whole(&record)).unwrap();
        assert_eq!(
            json["attempts"],
            json!([{ "provider": "mock", "outcome": "refused", "error_kind": "throttled", "provider_code": "429",
                     "started_at": at(5).to_string(), "duration_ms": 12 }])
        );
        let events: Vec<_> = json["events"].as_array().unwrap().iter().map(|e| (&e["kind"], &e["source"])).collect();
        let expected = [
            ("accepted", "gateway"),
            ("attempt_started", "gateway"),
            ("attempt_ended", "mock"),
            ("waiting", "gateway"),
            ("receipt", "mock"),
            ("status", "gateway"),
        ];
        assert!(events.iter().zip(expected).all(|((kind, source), (k, s))| **kind == k && **source == s), "{json}");
        assert_eq!(
            json["route"],
            json!({ "rule": "default", "candidates": ["mock"], "why": "rule `default` matched; mock first" })
        );
        assert_eq!((&json["reference"], &json["provider"]), (&json!("order 7"), &json!("mock")));
    }

    #[test]
    fn a_forgotten_number_is_null_and_lists_are_brief() {
        let mut record = record();
        record.to = None;
        let json = serde_json::to_value(Message::brief(&record)).unwrap();
        assert_eq!(json["to"], Value::Null);
        assert!(json.get("events").is_none() && json.get("attempts").is_none() && json.get("route").is_none());
    }
}
