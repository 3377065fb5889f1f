//! The line by which phones offer a code to one site only (`WebOTP`, Apple's domain-bound codes). It must be the last one.

use sms_core::text::strip_invisible;

use crate::request::SendRequest;

/// Whether the text ends in such a line already.
pub(super) fn is_bound(text: &str) -> bool {
    let last = text.rsplit('\n').next().unwrap_or_default();
    last.strip_prefix('@')
        .and_then(|line| line.split_once(" #"))
        .is_some_and(|(host, code)| is_word(host) && code.split(' ').next().is_some_and(is_word))
}

/// Adds the line for `code`.
pub(super) fn bind(text: &mut String, domain: &str, code: &str) {
    if is_word(code) && !is_bound(text) {
        for part in ["\n\n@", domain, " #", code] {
            text.push_str(part);
        }
    }
}

/// The code of a request: told as such, or the only number of 4 to 10 digits in its text.
pub(super) fn code_of(request: &SendRequest) -> Option<String> {
    if let Some(code) = told_code(request) {
        return Some(code);
    }
    let text = request.text.as_ref()?;
    let mut runs = text.expose().split(|c: char| !c.is_ascii_digit()).filter(|run| CODE_DIGITS.contains(&run.len()));
    let only = runs.next()?;
    runs.next().is_none().then(|| only.to_owned())
}

/// The code as the platform or the caller told it.
pub(super) fn told_code(request: &SendRequest) -> Option<String> {
    if let Some(code) = &request.code {
        return Some(cleaned(code.expose()));
    }
    match request.variables.get("code")? {
        serde_json::Value::String(text) => Some(cleaned(text)),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Array(_)
        | serde_json::Value::Bool(_)
        | serde_json::Value::Null
        | serde_json::Value::Object(_) => None,
    }
}

fn cleaned(code: &str) -> String {
    strip_invisible(code).trim().to_owned()
}

const CODE_DIGITS: std::ops::RangeInclusive<usize> = 4..=10;

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}
