//! What a client of Mitto asks for. Fields that mean nothing here (`type`, `flash`, `udh`, `callback`, …) are ignored.

use serde_json::Value;
use sms_core::{Body, Class};
use sms_engine::{Acceptance, SendRequest};

use crate::surface::code::only_code;
use crate::surface::query::Query;

/// The fields of Mitto's request.
#[derive(Default)]
pub(super) struct Wish {
    pub(super) from: Option<String>,
    pub(super) to: String,
    pub(super) text: Option<String>,
    pub(super) reference: Option<String>,
    /// Minutes.
    pub(super) validity: Option<u64>,
    /// Check only.
    pub(super) test: bool,
}

impl Wish {
    /// The query-string form.
    pub(super) fn of_query(query: &Query) -> Self {
        let text = |name: &str| query.get(name).map(str::to_owned);
        Self {
            from: text("from"),
            to: query.number("to").unwrap_or_default(),
            text: text("text"),
            reference: text("reference").or_else(|| text("ClientRef")),
            validity: query.get("validity").and_then(|minutes| minutes.parse().ok()),
            test: query.get("test").is_some_and(|word| matches!(word, "1" | "true")),
        }
    }

    /// The JSON form; what it names wins over the query string.
    pub(super) fn read_json(&mut self, json: &Value) {
        let text = |name: &str| match json.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
        };
        self.from = text("from").or_else(|| self.from.take());
        self.to = text("to").unwrap_or_else(|| std::mem::take(&mut self.to));
        self.text = text("text").or_else(|| self.text.take());
        self.reference = text("reference").or_else(|| text("ClientRef")).or_else(|| self.reference.take());
        self.validity = text("validity").and_then(|minutes| minutes.parse().ok()).or(self.validity);
        self.test |= json.get("test").is_some_and(|test| test == &Value::Bool(true) || test == &Value::from(1));
    }

    /// One message of it.
    pub(super) fn request(&self, to: String) -> SendRequest {
        let class = Class::default();
        let ttl_s = self.validity.map(|minutes| minutes.saturating_mul(60).clamp(60, class.ttl_max().as_secs()));
        SendRequest {
            text: self.text.clone().map(Body::new),
            code: self.text.as_deref().and_then(only_code).map(|code| Body::new(code.to_owned())),
            class,
            sender: self.from.clone().filter(|from| !from.is_empty()),
            ttl_s,
            reference: self.reference.clone(),
            ..SendRequest::new(international(to), no_answer)
        }
    }
}

/// Mitto takes international numbers without a plus.
fn international(to: String) -> String {
    let bare = !to.is_empty() && !to.starts_with('0') && to.bytes().all(|byte| byte.is_ascii_digit());
    if bare { format!("+{to}") } else { to }
}

/// There is no key to replay an answer for.
fn no_answer(_: &Acceptance) -> Vec<u8> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of_json(json: &Value) -> Wish {
        let mut wish = Wish::default();
        wish.read_json(json);
        wish
    }

    #[test]
    fn the_json_form_is_read() {
        let wish =
            of_json(&json!({ "from": "Mitto SMS", "to": "+491725551234", "text": "Code 123456", "reference": "r",
                                    "validity": 2880, "type": "Unicode", "flash": true, "test": true }));
        let request = wish.request(wish.to.clone());
        assert_eq!((request.to.as_str(), request.sender.as_deref()), ("+491725551234", Some("Mitto SMS")));
        assert_eq!((request.ttl_s, request.code.as_ref().map(Body::expose)), (Some(600), Some("123456")));
        assert!(wish.test);
    }

    #[test]
    fn the_query_form_is_read_and_json_wins() {
        let query = Query::of(&"/sms?from=A&to=+491725551234&text=Hi&ClientRef=r&test=1".parse().unwrap());
        let mut wish = Wish::of_query(&query);
        assert_eq!((wish.to.as_str(), wish.reference.as_deref(), wish.test), ("+491725551234", Some("r"), true));
        wish.read_json(&json!({ "text": "Ho" }));
        assert_eq!((wish.text.as_deref(), wish.from.as_deref()), (Some("Ho"), Some("A")));
    }

    #[test]
    fn numbers_without_a_plus_are_international() {
        for (given, read) in
            [("491725551234", "+491725551234"), ("00491725551234", "00491725551234"), ("+49 172", "+49 172"), ("", "")]
        {
            assert_eq!(international(given.to_owned()), read);
        }
        assert_eq!(of_json(&json!({ "to": 491_725_551_234_u64 })).to, "491725551234");
    }
}
