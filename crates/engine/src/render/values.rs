//! The values of a template's variables: found in the request, cleaned, and refused where a stranger hides a link in
//! one. Only what the template names is looked at.

use std::borrow::Cow;
use std::collections::BTreeMap;

use minijinja::Value;
use serde_json::Value as Json;
use sms_core::text::{contains_link, strip_invisible};

use super::autofill::told_code;
use crate::admission::{Admitted, TEXT_CHARS_MAX, VALUE_CHARS_MAX};
use crate::refusal::{Code, Problem};
use crate::request::Variables;

/// Longest name of a person or organisation, in characters; what is longer is cut.
const NAME_CHARS_MAX: usize = 64;

/// What can be asked of the user.
const USER_FIELDS: [&str; 4] = ["email", "given_name", "id", "name"];

/// One variable that a template names, such as `user.name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    root: String,
    field: Option<String>,
}

impl Reference {
    /// The variables that every template can name, for people.
    pub(super) const AVAILABLE: &'static str = "code, text, client_name, client_id, client_metadata.KEY, \
         user.{id,name,given_name,email}, organization, action, factor, locale, ip, minutes";

    /// Reads what the template compiler calls it.
    pub(super) fn parse(name: &str) -> Self {
        let mut parts = name.split('.').map(str::to_owned);
        let root = parts.next().unwrap_or_default();
        Self { field: parts.next().filter(|_| is_nested(&root)), root }
    }

    pub(super) fn name(&self) -> Cow<'_, str> {
        match &self.field {
            Some(field) => Cow::Owned(format!("{}.{field}", self.root)),
            None => Cow::Borrowed(&self.root),
        }
    }

    /// Strangers choose its value: people name themselves, and callers pass on what people typed. An e-mail address is
    /// a link by nature, so that naming it in a template is consent; it is only held to its form.
    pub(super) fn is_guarded(&self) -> bool {
        match self.root.as_str() {
            "user" => self.field.as_deref() != Some("email"),
            root => !is_trusted(root),
        }
    }

    /// One of [`Self::AVAILABLE`], not the caller's own.
    pub(super) fn is_available(&self) -> bool {
        matches!(self.root.as_str(), "organization" | "user") || is_trusted(&self.root)
    }

    /// A template that takes `user` or `client_metadata` as a whole gets all there is.
    pub(super) fn expand<'k>(&self, metadata: impl Iterator<Item = &'k str>) -> Vec<Cow<'_, Self>> {
        let below = |field: &str| Cow::Owned(Self { root: self.root.clone(), field: Some(field.to_owned()) });
        match (self.root.as_str(), &self.field) {
            ("user", None) => USER_FIELDS.into_iter().map(below).collect(),
            ("client_metadata", None) => metadata.map(below).collect(),
            _ => vec![Cow::Borrowed(self)],
        }
    }

    /// `user.shoe_size` does not.
    pub(super) fn can_exist(&self) -> bool {
        self.root != "user" || self.field.as_deref().is_none_or(|field| USER_FIELDS.contains(&field))
    }
}

/// Whether the operator or the platform itself chooses the variable's value.
pub(super) fn is_trusted(root: &str) -> bool {
    matches!(
        root,
        "action"
            | "client_id"
            | "client_metadata"
            | "client_name"
            | "code"
            | "factor"
            | "ip"
            | "locale"
            | "minutes"
            | "text"
    )
}

fn is_nested(root: &str) -> bool {
    matches!(root, "client_metadata" | "user")
}

/// Puts `user.name` and the like below their roots.
pub(super) fn nested<'r>(values: impl Iterator<Item = (&'r Reference, Value)>) -> Variables {
    let mut flat = Variables::new();
    let mut below: BTreeMap<&str, Variables> = BTreeMap::new();
    for (reference, value) in values {
        match &reference.field {
            Some(field) => drop(below.entry(&reference.root).or_default().insert(field.clone(), value)),
            None => drop(flat.insert(reference.root.clone(), value)),
        }
    }
    flat.extend(below.into_iter().map(|(root, fields)| (root.to_owned(), Value::from(fields))));
    flat
}

/// The values for one message.
pub(super) struct Filled {
    pub(super) variables: Variables,
    /// Names that the request has no value for.
    pub(super) absent: Vec<String>,
}

/// Finds and cleans the values of `references`.
///
/// # Errors
/// Every variable that holds a link although the template does not allow that.
pub(super) fn fill(references: &[Reference], admitted: &Admitted, allow_links: bool) -> Result<Filled, Vec<Problem>> {
    let mut found = Vec::with_capacity(references.len());
    let mut absent = Vec::new();
    let mut problems = Vec::new();
    let mut roots = Variables::new();
    let keys = || admitted.request().client_metadata.keys().map(String::as_str);
    let expanded: Vec<Cow<'_, Reference>> = references.iter().flat_map(|reference| reference.expand(keys())).collect();
    for reference in &expanded {
        if reference.field.is_some() {
            roots.entry(reference.root.clone()).or_insert_with(|| Value::from(Variables::new()));
        }
        match fact(reference, admitted) {
            Some(fact) if !allow_links && fact.is_link() => problems.push(link_problem(reference)),
            Some(fact) => found.push((reference.as_ref(), fact.value)),
            None => absent.push(reference.name().into_owned()),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut variables = nested(found.into_iter());
    for (root, empty) in roots {
        variables.entry(root).or_insert(empty); // so that `user.name` is what is missing, not `user`
    }
    Ok(Filled { variables, absent })
}

/// A cleaned value.
struct Fact {
    value: Value,
    kind: FactKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FactKind {
    /// Held to the form of an address.
    Email,
    /// Chosen by a stranger.
    Guarded,
    Trusted,
}

impl Fact {
    fn text(text: &str, kind: FactKind, chars_max: usize) -> Self {
        let visible = strip_invisible(text);
        let mut words = visible.split_whitespace();
        let mut line = String::with_capacity(visible.len());
        line.extend(words.next());
        words.for_each(|word| line.extend([" ", word]));
        if let Some((end, _)) = line.char_indices().nth(chars_max) {
            line.truncate(end);
        }
        Self { value: Value::from(line), kind }
    }

    fn is_link(&self) -> bool {
        let text = self.value.to_string();
        match self.kind {
            FactKind::Email => !is_plain_address(&text),
            FactKind::Guarded => contains_link(&text),
            FactKind::Trusted => false,
        }
    }
}

fn fact(reference: &Reference, admitted: &Admitted) -> Option<Fact> {
    let request = admitted.request();
    let trusted = |text: &str| Some(Fact::text(text, FactKind::Trusted, VALUE_CHARS_MAX));
    let own = || scalar(request.variables.get(&reference.root)?, FactKind::Guarded, VALUE_CHARS_MAX);
    match (reference.root.as_str(), reference.field.as_deref()) {
        ("action", _) => request.action.as_deref().and_then(trusted).or_else(own),
        ("client_id", _) => request.client_id.as_deref().and_then(trusted).or_else(own),
        ("client_metadata", Some(key)) => scalar(request.client_metadata.get(key)?, FactKind::Trusted, VALUE_CHARS_MAX),
        ("client_name", _) => trusted(request.client_name.as_deref().unwrap_or(&admitted.tenant().name)),
        ("code", _) => trusted(&told_code(request)?),
        ("factor", _) => request.factor.as_deref().and_then(trusted).or_else(own),
        ("ip", _) => request.end_user.ip.and_then(|ip| trusted(&ip.to_string())).or_else(own),
        ("locale", _) => trusted(admitted.language()?.as_str()),
        ("minutes", _) => {
            let minutes = admitted.ttl().as_secs().div_ceil(60).max(1);
            Some(Fact { value: Value::from(minutes), kind: FactKind::Trusted })
        }
        ("organization", _) => {
            let told = request.organization.as_deref();
            told.map(|name| Fact::text(name, FactKind::Guarded, NAME_CHARS_MAX)).or_else(own)
        }
        ("text", _) => match &request.text {
            Some(text) => Some(Fact { value: Value::from(whole_text(text.expose())), kind: FactKind::Trusted }),
            None => own(),
        },
        ("user", Some(field)) => {
            let kind = if field == "email" { FactKind::Email } else { FactKind::Guarded };
            scalar(request.user.get(field)?, kind, NAME_CHARS_MAX)
        }
        _ => own(),
    }
}

/// Lines stay lines in the one variable that is a text.
fn whole_text(text: &str) -> String {
    let mut text = strip_invisible(text);
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(end);
    }
    text
}

fn scalar(json: &Json, kind: FactKind, chars_max: usize) -> Option<Fact> {
    let value = match json {
        Json::String(text) => return Some(Fact::text(text, kind, chars_max)),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::from(number),
            (None, Some(number), _) => Value::from(number),
            (None, None, Some(number)) => Value::from(number),
            (None, None, None) => return None,
        },
        Json::Array(_) | Json::Null | Json::Object(_) => return None,
    };
    Some(Fact { value, kind })
}

/// One ordinary mail address and nothing else.
fn is_plain_address(text: &str) -> bool {
    let is_word = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    text.split_once('@').is_some_and(|(local, domain)| is_word(local, "._+-") && is_word(domain, ".-"))
}

fn link_problem(reference: &Reference) -> Problem {
    let name = reference.name();
    let field = if reference.is_available() { name.to_string() } else { format!("variables.{name}") };
    Problem::new(
        Code::InvalidRequest,
        field,
        format!(
            "The variable `{name}` holds what a handset shows as a link: a URL, a domain, an address or a phone number."
        ),
        "Send it without that, or set `allow_links = true` for the template if its values are all yours.",
    )
}
