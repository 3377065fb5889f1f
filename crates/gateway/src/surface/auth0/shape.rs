//! The four shapes in which Auth0 asks for a message, made one. Fields are taken by name, so that nothing else of the
//! body (secrets, metadata of the account, security context) goes any further.

use serde_json::{Map, Value};
use sms_core::{Body, Channel, Class};
use sms_engine::{EndUser, SendRequest};

use crate::surface::hook::{self, Sameness};

/// A request, and what makes another one the same.
pub(super) fn read(json: &Value) -> (SendRequest, Sameness) {
    let told = if json.get("message_options").is_some_and(Value::is_object) {
        send_phone_message(json)
    } else if json.get("notification").is_some_and(Value::is_object) {
        custom_phone_provider(json)
    } else if json.get("context").is_some_and(Value::is_object) {
        legacy_hook(json)
    } else {
        sample_body(json)
    };
    let same = sameness(&told);
    (request(told), same)
}

/// What all shapes tell, as far as they do.
#[derive(Default)]
struct Told<'a> {
    recipient: Option<String>,
    text: Option<String>,
    code: Option<String>,
    voice: bool,
    action: Option<String>,
    factor: Option<String>,
    language: Option<String>,
    sender: Option<String>,
    client_id: Option<String>,
    client_name: Option<String>,
    client_metadata: Option<&'a Value>,
    organization: Option<String>,
    user: Option<&'a Value>,
    ip: Option<String>,
    user_agent: Option<String>,
    country: Option<String>,
}

/// `{recipient, text, context}` of the phone hook; the client flat, as the guide documents it, or nested, as it comes.
fn legacy_hook(json: &Value) -> Told<'_> {
    let context = |path: &[&str]| json.get("context").and_then(|context| at(context, path));
    let word = |path: &[&str]| context(path).and_then(text);
    let metadata = [&["client", "client_metadata"][..], &["client", "metadata"], &["client_metadata"]];
    Told {
        recipient: json.get("recipient").and_then(text),
        text: json.get("text").and_then(text),
        code: word(&["code"]),
        voice: is_voice(context(&["message_type"])),
        action: word(&["action"]),
        factor: word(&["factor_type"]),
        language: word(&["language"]),
        client_id: word(&["client", "client_id"]).or_else(|| word(&["client_id"])),
        client_name: word(&["client", "name"]).or_else(|| word(&["name"])),
        client_metadata: metadata.iter().find_map(|path| context(path).filter(|value| value.is_object())),
        organization: word(&["organization", "name"]),
        user: context(&["user"]),
        ip: word(&["ip"]),
        user_agent: word(&["user_agent"]),
        ..Told::default()
    }
}

/// The event of the Action `send-phone-message`.
fn send_phone_message(json: &Value) -> Told<'_> {
    let word = |path: &[&str]| at(json, path).and_then(text);
    Told {
        recipient: word(&["message_options", "recipient"]),
        text: word(&["message_options", "text"]),
        code: word(&["message_options", "code"]),
        voice: is_voice(at(json, &["message_options", "message_type"])),
        action: word(&["message_options", "action"]),
        language: word(&["request", "language"]),
        ..event(json)
    }
}

/// The event of the Action `custom-phone-provider`.
fn custom_phone_provider(json: &Value) -> Told<'_> {
    let word = |path: &[&str]| at(json, path).and_then(text);
    let voice = is_voice(at(json, &["notification", "delivery_method"]));
    let spoken = if voice { word(&["notification", "as_voice"]) } else { None };
    Told {
        recipient: word(&["notification", "recipient"]),
        text: spoken.or_else(|| word(&["notification", "as_text"])),
        code: word(&["notification", "code"]),
        voice,
        action: word(&["notification", "message_type"]),
        language: word(&["notification", "locale"]).or_else(|| word(&["request", "language"])),
        sender: word(&["notification", "from"]),
        ..event(json)
    }
}

/// What both Actions tell beside the message.
fn event(json: &Value) -> Told<'_> {
    let word = |path: &[&str]| at(json, path).and_then(text);
    let metadata = [&["client", "metadata"][..], &["client", "client_metadata"]];
    Told {
        client_id: word(&["client", "client_id"]),
        client_name: word(&["client", "name"]),
        client_metadata: metadata.iter().find_map(|path| at(json, path).filter(|value| value.is_object())),
        organization: word(&["organization", "display_name"]).or_else(|| word(&["organization", "name"])),
        user: json.get("user"),
        ip: word(&["request", "ip"]),
        user_agent: word(&["request", "user_agent"]),
        country: word(&["request", "geoip", "countryCode"]),
        ..Told::default()
    }
}

/// The flat body that Auth0's own sample Action posts.
fn sample_body(json: &Value) -> Told<'_> {
    let word = |key: &str| json.get(key).and_then(text);
    Told {
        recipient: word("recipient"),
        text: word("text"),
        code: word("code"),
        voice: is_voice(json.get("message_type")),
        action: word("action"),
        language: word("language").or_else(|| word("locale")),
        sender: word("from"),
        client_id: word("client_id"),
        client_name: word("client_name"),
        ip: word("ip"),
        user_agent: word("user_agent"),
        ..Told::default()
    }
}

fn request(told: Told<'_>) -> SendRequest {
    let class = if told.code.is_some() { Class::Otp } else { Class::Transactional };
    let object = |value: &Value| value.as_object().cloned();
    SendRequest {
        text: told.text.map(Body::new),
        code: told.code.map(Body::new),
        client_id: told.client_id,
        client_name: told.client_name,
        client_metadata: told.client_metadata.and_then(object).unwrap_or_default(),
        language: told.language,
        action: told.action,
        factor: told.factor,
        class,
        channel: if told.voice { Channel::Voice } else { Channel::Sms },
        sender_hint: told.sender,
        end_user: EndUser {
            ip: told.ip.and_then(|ip| ip.parse().ok()),
            user_agent: told.user_agent,
            id: told.user.and_then(|user| user.get("user_id")).and_then(text),
            country: told.country,
        },
        user: told.user.map(account).unwrap_or_default(),
        organization: told.organization,
        ..SendRequest::new(told.recipient.unwrap_or_default(), hook::accepted)
    }
}

/// What texts may say about the person.
fn account(user: &Value) -> Map<String, Value> {
    [("id", "user_id"), ("name", "name"), ("given_name", "given_name"), ("email", "email")]
        .into_iter()
        .filter_map(|(to, from)| Some((to.to_owned(), Value::String(user.get(from).and_then(text)?))))
        .collect()
}

/// The same person, number, code (else text) and way.
fn sameness(told: &Told<'_>) -> Sameness {
    let user = told.user.and_then(|user| user.get("user_id")).and_then(text).unwrap_or_default();
    let content = told.code.as_ref().or(told.text.as_ref()).map_or("", String::as_str);
    let recipient = told.recipient.as_deref().unwrap_or_default();
    Sameness::of("auth0", &[&user, recipient, content, if told.voice { "voice" } else { "sms" }])
}

fn is_voice(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|word| word.eq_ignore_ascii_case("voice"))
}

fn at<'a>(json: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(json, |value, key| value.get(key))
}

/// A text, or a number that was meant as one; empty is nothing.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn code(request: &SendRequest) -> Option<&str> {
        request.code.as_ref().map(Body::expose)
    }

    fn body_of_hook(client: &Value) -> Value {
        let mut context = json!({
            "message_type": "sms", "action": "second-factor-authentication", "language": "en_US", "code": "123456",
            "ip": "127.0.0.1", "user_agent": "Mozilla", "factor_type": "first",
            "user": { "user_id": "auth0|test12345", "name": "Ann", "email": "a@acme.example", "app_metadata": { "x": 1 } },
            "webtask": { "secrets": { "GATEWAY_KEY": "sk_live_secret" } },
        });
        context.as_object_mut().unwrap().extend(client.as_object().cloned().unwrap());
        json!({ "recipient": "1-808-555-5555", "text": "Here is your code 123456", "context": context })
    }

    #[test]
    fn the_hook_is_read_with_its_client_flat_or_nested() {
        let flat = json!({ "client_id": "cli_1", "name": "Shop", "client_metadata": { "tier": "gold" } });
        let nested =
            json!({ "client": { "client_id": "cli_1", "name": "Shop", "client_metadata": { "tier": "gold" } } });
        for client in [flat, nested] {
            let (request, _) = read(&body_of_hook(&client));
            assert_eq!((request.to.as_str(), code(&request)), ("1-808-555-5555", Some("123456")));
            assert_eq!((request.client_id.as_deref(), request.client_name.as_deref()), (Some("cli_1"), Some("Shop")));
            assert_eq!(request.client_metadata.get("tier"), Some(&json!("gold")));
            assert_eq!((request.language.as_deref(), request.factor.as_deref()), (Some("en_US"), Some("first")));
            assert_eq!((request.class, request.channel), (Class::Otp, Channel::Sms));
            assert_eq!(request.end_user.id.as_deref(), Some("auth0|test12345"));
            assert!(request.end_user.ip.is_some());
            let keys: Vec<_> = request.user.keys().map(String::as_str).collect();
            assert_eq!(keys, ["email", "id", "name"], "nothing else of the account");
        }
    }

    #[test]
    fn the_event_of_send_phone_message_is_read() {
        let json = json!({
            "client": { "client_id": "cli_1", "name": "Shop", "metadata": { "tier": "gold" } },
            "message_options": { "action": "enrollment", "code": "123456", "message_type": "voice",
                                 "recipient": "+41791234567", "text": "123456" },
            "request": { "ip": "192.0.2.1", "method": "POST", "language": "de-CH,en;q=0.9", "user_agent": "x",
                         "geoip": { "countryCode": "CH" } },
            "user": { "user_id": "u1" }, "secrets": { "GATEWAY_KEY": "sk" }, "tenant": { "id": "t" },
        });
        let (request, _) = read(&json);
        assert_eq!((request.channel, request.action.as_deref()), (Channel::Voice, Some("enrollment")));
        assert_eq!(request.language.as_deref(), Some("de-CH,en;q=0.9"));
        assert_eq!(request.end_user.country.as_deref(), Some("CH"));
        assert_eq!(request.client_metadata.get("tier"), Some(&json!("gold")));
    }

    #[test]
    fn the_event_of_custom_phone_provider_is_read_and_notices_are_transactional() {
        let mut json = json!({
            "client": { "client_id": "cli_1", "name": "Shop", "metadata": {} },
            "notification": { "from": "Acme", "locale": "en_US", "message_type": "otp_verify", "recipient": "+41791234567",
                              "delivery_method": "text", "code": "123456", "as_text": "123456 is it", "as_voice": "1 2 3" },
            "organization": { "id": "o", "name": "acme", "display_name": "Acme Inc" }, "user": { "user_id": "u1" },
        });
        let (request, _) = read(&json);
        assert_eq!(
            (request.class, request.channel, request.action.as_deref()),
            (Class::Otp, Channel::Sms, Some("otp_verify"))
        );
        assert_eq!((request.sender_hint.as_deref(), request.organization.as_deref()), (Some("Acme"), Some("Acme Inc")));
        assert_eq!(request.text.as_ref().unwrap().expose(), "123456 is it");
        let notification = json["notification"].as_object_mut().unwrap();
        notification.remove("code");
        notification.insert("delivery_method".to_owned(), json!("voice"));
        let (request, _) = read(&json);
        assert_eq!((request.class, request.channel), (Class::Transactional, Channel::Voice));
        assert_eq!(request.text.as_ref().unwrap().expose(), "1 2 3");
    }

    #[test]
    fn the_flat_sample_body_is_read() {
        let json = json!({ "from": "Acme", "action": "second-factor-authenticator", "language": "fr", "recipient": "+41791234567",
                           "message_type": "text", "text": "123456", "code": 123_456 });
        let (request, _) = read(&json);
        assert_eq!(
            (request.channel, code(&request), request.language.as_deref()),
            (Channel::Sms, Some("123456"), Some("fr"))
        );
    }

    #[test]
    fn secrets_of_auth0_go_nowhere() {
        let (request, _) = read(&body_of_hook(&json!({})));
        let everything = format!("{:?}{:?}{:?}", request.variables, request.user, request.client_metadata);
        assert!(!everything.contains("sk_live_secret"));
    }

    #[test]
    fn a_repeat_is_the_same_whatever_else_changes() {
        let (_, one) = read(&body_of_hook(&json!({ "ip": "192.0.2.1" })));
        let (_, repeat) = read(&body_of_hook(&json!({ "ip": "192.0.2.9", "user_agent": "y" })));
        let (_, other) = read(&body_of_hook(&json!({ "code": "654321" })));
        let (_, voice) = read(&body_of_hook(&json!({ "message_type": "voice" })));
        assert!(one == repeat && one != other && one != voice);
    }

    #[test]
    fn odd_bodies_give_an_empty_recipient_and_no_panic() {
        for json in [json!(null), json!([]), json!("x"), json!({ "context": 5 }), json!({ "notification": {} })] {
            assert_eq!(read(&json).0.to, "");
        }
    }
}
