//! The remaining fields of a request, each against its bound. Must never echo a value: texts hold codes, variables and
//! metadata hold names.

use std::io;

use serde_json::{Map, Value};

use crate::refusal::{Code, Problem};
use crate::request::SendRequest;

/// Longest text, in characters.
pub(crate) const TEXT_CHARS_MAX: usize = 1_600;

/// Longest value of a variable, in characters.
pub(crate) const VALUE_CHARS_MAX: usize = 200;

const CALLBACK_URL_BYTES_MAX: usize = 2_048;
const CLIENT_ID_CHARS_MAX: usize = 256;
const METADATA_BYTES_MAX: usize = 1_024;
const REFERENCE_CHARS_MAX: usize = 256;
const VARIABLES_MAX: usize = 64;
const VARIABLE_NAME_BYTES_MAX: usize = 64;

/// Adds what is wrong with the content to `problems`.
pub(super) fn check(request: &SendRequest, problems: &mut Vec<Problem>) {
    problems.extend(content_problem(request));
    problems.extend(ttl_problem(request));
    problems.extend(too_long("client_id", request.client_id.as_deref(), CLIENT_ID_CHARS_MAX));
    problems.extend(too_long("reference", request.reference.as_deref(), REFERENCE_CHARS_MAX));
    problems.extend(request.metadata.as_ref().and_then(metadata_problem));
    problems.extend(request.callback_url.as_deref().and_then(callback_problem));
    variable_problems(&request.variables, problems);
}

fn content_problem(request: &SendRequest) -> Option<Problem> {
    let text = request.text.as_ref()?;
    if request.template.is_some() {
        return Some(invalid(
            "template",
            "The request has both `text` and `template`.",
            "Send one of the two: a finished text, or a template with its variables.",
        ));
    }
    if text.expose().trim().is_empty() {
        return Some(invalid("text", "`text` is empty.", "Write a text, or name a template."));
    }
    (text.len_chars() > TEXT_CHARS_MAX).then(|| {
        invalid(
            "text",
            format!("`text` is longer than {TEXT_CHARS_MAX} characters."),
            "Shorten it: one SMS holds 160 plain characters, or 70 of other scripts.",
        )
    })
}

fn ttl_problem(request: &SendRequest) -> Option<Problem> {
    let max = request.class.ttl_max().as_secs();
    let wanted = request.ttl_s?;
    (!(1..=max).contains(&wanted)).then(|| {
        let class = request.class.as_str();
        invalid(
            "ttl_s",
            format!("`ttl_s` must be 1 to {max} for class {class}."),
            format!("Send at most {max}, or leave `ttl_s` out for {}.", request.class.ttl_default().as_secs()),
        )
    })
}

fn too_long(field: &'static str, text: Option<&str>, max: usize) -> Option<Problem> {
    (text?.chars().count() > max).then(|| {
        invalid(
            field,
            format!("`{field}` is longer than {max} characters."),
            format!("Shorten it to {max} characters."),
        )
    })
}

fn metadata_problem(metadata: &Map<String, Value>) -> Option<Problem> {
    let mut size = Counter(0);
    let written = serde_json::to_writer(&mut size, metadata);
    (written.is_err() || size.0 > METADATA_BYTES_MAX).then(|| {
        invalid(
            "metadata",
            format!("`metadata` is larger than {METADATA_BYTES_MAX} bytes of JSON."),
            "Keep what you need to find the message again, such as an id, and leave the rest with you.",
        )
    })
}

/// Counts what is written instead of keeping it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Only the form: whether the address may be called is decided where it is called.
fn callback_problem(url: &str) -> Option<Problem> {
    let wrong = if url.len() > CALLBACK_URL_BYTES_MAX {
        format!("`callback_url` is longer than {CALLBACK_URL_BYTES_MAX} bytes.")
    } else {
        format!("`callback_url` {}.", callback_fault(url)?)
    };
    Some(invalid("callback_url", wrong, "Use a URL such as https://example.com/sms, without a user name or password."))
}

fn callback_fault(url: &str) -> Option<&'static str> {
    if url.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Some("holds a space, a backslash or a control character");
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some("is not an absolute URL");
    };
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Some("is neither https nor http");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("holds a user name or password");
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port),
        None => authority.split_at_checked(authority.find(':').unwrap_or(authority.len())).unwrap_or_default(),
    };
    if host.is_empty() {
        return Some("has no host");
    }
    let port = port.strip_prefix(':').unwrap_or(port);
    (!port.is_empty() && !port.parse::<u16>().is_ok_and(|port| port > 0)).then_some("has an impossible port")
}

fn variable_problems(variables: &Map<String, Value>, problems: &mut Vec<Problem>) {
    if variables.len() > VARIABLES_MAX {
        problems.push(invalid(
            "variables",
            format!("There are more than {VARIABLES_MAX} variables."),
            "Send only those that the template names.",
        ));
        return;
    }
    problems.extend(variables.iter().filter_map(|(name, value)| variable_problem(name, value)));
}

fn variable_problem(name: &str, value: &Value) -> Option<Problem> {
    if !is_variable_name(name) {
        // The name is the caller's free text, so it is not repeated.
        return Some(invalid(
            "variables",
            "A variable's name is not letters, digits and underscores, beginning with a letter or an underscore.",
            "Rename it as in `order_number`.",
        ));
    }
    let wrong = match value {
        Value::String(text) if text.chars().count() > VALUE_CHARS_MAX => {
            format!("is longer than {VALUE_CHARS_MAX} characters")
        }
        Value::Array(_) | Value::Object(_) => "is a list or an object".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    Some(invalid(
        format!("variables.{name}"),
        format!("The variable `{name}` {wrong}."),
        format!("Send a text, a number or a boolean of at most {VALUE_CHARS_MAX} characters."),
    ))
}

fn is_variable_name(name: &str) -> bool {
    (1..=VARIABLE_NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn invalid(field: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, field, detail, fix)
}
