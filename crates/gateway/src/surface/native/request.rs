//! `POST /v1/messages`: from JSON to a request. Must never quote a value in what it refuses.

use std::net::IpAddr;

use axum::http::HeaderMap;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use sms_core::store::Idempotency;
use sms_core::{Body, Channel, Class};
use sms_engine::{Code as Verdict, EndUser, Problem as Fault, SendRequest};

use super::answer;
use crate::surface::fields::Fields;
use crate::surface::problem::{Code, Problem};

/// The header of replay protection.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Longest key.
const KEY_BYTES_MAX: usize = 255;

/// What could be read, and what could not.
pub(super) struct Read {
    pub(super) request: SendRequest,
    pub(super) faults: Vec<Fault>,
}

/// The body as an object.
///
/// # Errors
/// `invalid_request` when it is JSON, but no object.
pub(super) fn object(json: Value) -> Result<Map<String, Value>, Problem> {
    match json {
        Value::Object(map) => Ok(map),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => Err(Problem::new(
            Code::Engine(Verdict::InvalidRequest),
            "The body is no JSON object.",
            "Send an object such as {\"to\":\"+41791234567\",\"text\":\"…\"}.",
        )),
    }
}

/// Reads a request; mistakes are collected.
pub(super) fn read(map: Map<String, Value>, headers: &HeaderMap) -> Read {
    let mut faults = Vec::new();
    let idempotency = idempotency(&map, headers).unwrap_or_else(|fault| {
        faults.push(*fault);
        None
    });
    let mut fields = Fields::new(map, "");
    let to = fields.text("to");
    if to.is_none() && faults.is_empty() && !fields.has_problem("to") {
        let fix = "Send the recipient in E.164, such as +41791234567.";
        faults.push(Fault::new(Verdict::InvalidRecipient, "to", "`to` is missing.", fix));
    }
    let mut request = SendRequest::new(to.unwrap_or_default(), answer::accepted);
    request.text = fields.text("text").map(Body::new);
    request.template = fields.text("template");
    request.variables = fields.object("variables").unwrap_or_default();
    request.client_id = fields.text("client_id");
    request.client_name = fields.text("client_name");
    request.language = fields.text("language");
    request.action = fields.text("action");
    request.class = fields.word("class", "`otp` or `transactional`", Class::parse).unwrap_or_default();
    request.channel = fields.word("channel", "`sms` or `voice`", channel).unwrap_or_default();
    request.sender = fields.text("sender");
    request.ttl_s = fields.integer("ttl_s");
    request.reference = fields.text("reference");
    request.metadata = fields.object("metadata");
    request.callback_url = fields.text("callback_url");
    if let Some(map) = fields.object("end_user") {
        let (end_user, wrong) = end_user(map);
        request.end_user = end_user;
        faults.extend(wrong);
    }
    request.idempotency = idempotency;
    faults.extend(fields.finish());
    Read { request, faults }
}

/// The contract's two words; other spellings belong to other surfaces.
fn channel(text: &str) -> Option<Channel> {
    Channel::parse(text).filter(|channel| channel.as_str() == text)
}

fn end_user(map: Map<String, Value>) -> (EndUser, Vec<Fault>) {
    let mut fields = Fields::new(map, "end_user.");
    let end_user = EndUser {
        ip: fields.word("ip", "an IPv4 or IPv6 address", |text| text.parse::<IpAddr>().ok()),
        user_agent: fields.text("user_agent"),
        id: fields.text("id"),
        country: fields.text("country"),
    };
    (end_user, fields.finish())
}

/// The key with the fingerprint of the body.
fn idempotency(map: &Map<String, Value>, headers: &HeaderMap) -> Result<Option<Idempotency>, Box<Fault>> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    if (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(Idempotency { key: key.to_owned(), fingerprint: fingerprint(map) }));
    }
    Err(Box::new(Fault::new(
        Verdict::InvalidRequest,
        "Idempotency-Key",
        format!("The Idempotency-Key is not 1 to {KEY_BYTES_MAX} visible ASCII characters."),
        "Send a UUID.",
    )))
}

/// The same for bodies that differ in white space and order of keys only.
fn fingerprint(map: &Map<String, Value>) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix("POST /v1/messages\n");
    feed_object(&mut hash, map);
    hash.finalize().into()
}

fn feed(hash: &mut Sha256, json: &Value) {
    match json {
        Value::Array(items) => {
            hash.update("[");
            for item in items {
                feed(hash, item);
                hash.update(",");
            }
            hash.update("]");
        }
        Value::Object(map) => feed_object(hash, map),
        Value::String(string) => text(hash, string),
        Value::Bool(_) | Value::Null | Value::Number(_) => hash.update(json.to_string()),
    }
}

fn feed_object(hash: &mut Sha256, map: &Map<String, Value>) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    hash.update("{");
    for (key, value) in entries {
        text(hash, key);
        feed(hash, value);
        hash.update(",");
    }
    hash.update("}");
}

/// With its length before it, so that no text can look like two.
fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};
    use serde_json::json;

    fn map(json: Value) -> Map<String, Value> {
        object(json).unwrap()
    }

    fn keyed(key: &str) -> HeaderMap {
        let value = HeaderValue::from_bytes(key.as_bytes()).unwrap();
        HeaderMap::from_iter([(HeaderName::from_static(IDEMPOTENCY_KEY), value)])
    }

    #[test]
    fn every_field_is_read() {
        let json = json!({
            "to": "+41791234567", "template": "otp", "variables": { "code": "1" }, "client_id": "ios", "client_name": "A",
            "language": "fr", "action": "login", "class": "transactional", "channel": "voice", "sender": "Acme",
            "ttl_s": 60, "reference": "r", "metadata": { "k": 1 }, "callback_url": "https://a.example/",
            "end_user": { "ip": "::1", "user_agent": "x", "id": "u", "country": "CH" },
        });
        let Read { request, faults } = read(map(json), &keyed("k"));
        assert_eq!(faults, []);
        assert_eq!(
            (request.to.as_str(), request.class, request.channel),
            ("+41791234567", Class::Transactional, Channel::Voice)
        );
        assert_eq!((request.ttl_s, request.client_id.as_deref()), (Some(60), Some("ios")));
        assert!(request.end_user.ip.is_some() && request.metadata.is_some() && request.variables.len() == 1);
        assert_eq!(request.idempotency.unwrap().key, "k");
    }

    #[test]
    fn all_mistakes_of_form_come_together() {
        let json = json!({ "text": 5, "class": "marketing", "ttl_s": "60", "colour": "red", "end_user": { "ip": "x", "age": 7 } });
        let Read { faults, .. } = read(map(json), &HeaderMap::new());
        let mut fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["class", "colour", "end_user.age", "end_user.ip", "text", "to", "ttl_s"]);
    }

    #[test]
    fn other_json_than_an_object_is_refused_once() {
        for json in [json!([]), json!("x"), json!(null)] {
            assert_eq!(object(json).unwrap_err().code().as_str(), "invalid_request");
        }
    }

    #[test]
    fn keys_have_a_form() {
        let long = "k".repeat(256);
        for bad in ["", "a b", "é", &long] {
            let Read { request, faults } = read(map(json!({ "to": "+41791234567" })), &keyed(bad));
            assert_eq!(faults.first().map(|fault| fault.field.as_str()), Some("Idempotency-Key"), "{bad}");
            assert_eq!(request.idempotency, None);
        }
        let max = "k".repeat(255);
        assert_eq!(read(map(json!({ "to": "+41791234567" })), &keyed(&max)).faults, []);
    }

    #[test]
    fn the_fingerprint_is_of_the_content() {
        let one: Value = serde_json::from_str(r#"{"to":"+1","variables":{"a":1,"b":[true,null]}}"#).unwrap();
        let same: Value = serde_json::from_str(r#"{ "variables" : {"b":[true,null],"a":1}, "to":"+1" }"#).unwrap();
        assert_eq!(fingerprint(&map(one.clone())), fingerprint(&map(same)));
        for other in [
            json!({ "to": "+1", "variables": { "a": 1, "b": [true] } }),
            json!({ "to": "+1", "variables": { "a": "1", "b": [true, null] } }),
            json!({ "to": "+1" }),
            json!({ "to": ["+1"] }),
        ] {
            assert_ne!(fingerprint(&map(one.clone())), fingerprint(&map(other)));
        }
    }
}
