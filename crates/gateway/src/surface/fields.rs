//! Reads the fields of a JSON object and collects everything that is wrong with them, so that a caller learns of all
//! mistakes at once. Must never quote a value: it may be a code or a number.

use serde_json::{Map, Value};
use sms_engine::{Code, Problem};

use crate::config::nearest;

/// A JSON object whose fields are taken out one by one.
pub(super) struct Fields {
    map: Map<String, Value>,
    /// Path before the field's name, such as `end_user.`.
    prefix: &'static str,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl Fields {
    pub(super) fn new(map: Map<String, Value>, prefix: &'static str) -> Self {
        Self { map, prefix, known: Vec::new(), problems: Vec::new() }
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        if let Value::String(text) = value { Some(text) } else { self.wrong(key, "a text", &value) }
    }

    /// A whole number that is not negative.
    pub(super) fn integer(&mut self, key: &'static str) -> Option<u64> {
        let value = self.take(key)?;
        match value.as_u64() {
            Some(number) => Some(number),
            None => self.wrong(key, "a whole number", &value),
        }
    }

    /// An object.
    pub(super) fn object(&mut self, key: &'static str) -> Option<Map<String, Value>> {
        let value = self.take(key)?;
        if let Value::Object(map) = value { Some(map) } else { self.wrong(key, "an object", &value) }
    }

    /// A text of a certain form.
    pub(super) fn word<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.note(key, format!("`{}{key}` is not what it can be.", self.prefix), format!("Send {wanted}."));
        }
        parsed
    }

    /// Adds a problem of a field.
    pub(super) fn note(&mut self, key: &str, detail: String, fix: impl Into<String>) {
        self.problems.push(Problem::new(Code::InvalidRequest, format!("{}{key}", self.prefix), detail, fix));
    }

    /// Something was wrong with this field already.
    pub(super) fn has_problem(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| problem.field.strip_prefix(self.prefix) == Some(key))
    }

    /// What was wrong, unknown fields included.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        let left: Vec<String> = std::mem::take(&mut self.map).into_iter().map(|(key, _)| key).collect();
        if left.len() > UNKNOWN_MAX {
            self.note("", format!("There are {} unknown fields.", left.len()), self.all_known());
            return self.problems;
        }
        for key in left {
            let fix = match nearest(&key, self.known.iter().copied()) {
                Some(near) => format!("Did you mean `{}{near}`?", self.prefix),
                None => self.all_known(),
            };
            let shown = if is_name(&key) { key } else { "…".to_owned() };
            self.note(&shown, format!("There is no field `{}{shown}`.", self.prefix), fix);
        }
        self.problems
    }

    /// `null` is the same as nothing.
    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.map.remove(key).filter(|value| !value.is_null())
    }

    fn wrong<T>(&mut self, key: &'static str, wanted: &str, found: &Value) -> Option<T> {
        let found = match found {
            Value::Array(_) => "a list",
            Value::Bool(_) => "a boolean",
            Value::Null => "nothing",
            Value::Number(_) => "a number",
            Value::Object(_) => "an object",
            Value::String(_) => "a text",
        };
        self.note(key, format!("`{}{key}` is {found}.", self.prefix), format!("Send {wanted}."));
        None
    }

    fn all_known(&self) -> String {
        format!("Known here: {}.", self.known.join(", "))
    }
}

/// Unknown fields that are named one by one.
const UNKNOWN_MAX: usize = 16;

/// A key that looks like a field's name and not like a value that got into the wrong place.
fn is_name(key: &str) -> bool {
    key.len() <= 40
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(json: Value) -> Fields {
        let Value::Object(map) = json else { panic!("an object") };
        Fields::new(map, "")
    }

    #[test]
    fn every_mistake_is_told_with_its_field() {
        let mut fields =
            fields(json!({ "to": 447_700_900_000_u64, "ttl_s": -1, "txet": "123456", "+447700900000": 1 }));
        assert_eq!(fields.text("to"), None);
        assert_eq!(fields.integer("ttl_s"), None);
        assert_eq!(fields.text("text"), None);
        let problems = fields.finish();
        let told: Vec<_> = problems.iter().map(|p| (p.field.as_str(), p.fix.as_str())).collect();
        assert_eq!(
            told,
            [
                ("to", "Send a text."),
                ("ttl_s", "Send a whole number."),
                ("…", "Known here: to, ttl_s, text."),
                ("txet", "Did you mean `text`?"),
            ]
        );
        assert!(!format!("{problems:?}").contains("447700900000"));
        assert!(!format!("{problems:?}").contains("123456"));
    }

    #[test]
    fn null_is_the_same_as_nothing() {
        let mut fields = fields(json!({ "text": null, "end_user": null }));
        assert!(fields.text("text").is_none() && fields.object("end_user").is_none());
        assert_eq!(fields.finish(), []);
    }

    #[test]
    fn a_flood_of_unknown_fields_is_one_problem() {
        let map = (0..1_000).map(|n| (format!("k{n}"), json!(1))).collect();
        assert_eq!(Fields::new(map, "").finish().len(), 1);
    }
}
