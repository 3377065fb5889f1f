//! A fault or warning before it has a place: what the checks produce. Never quotes a value that
//! could be a secret.

use sms_core::options::{Fault, Path, Step, Value, What};

use super::codes::{self, Code};
use super::mask::sounds_secret;
use super::nearest::nearest;
use super::schema::COMMON_KEYS;
use super::tree::Tree;

/// One fault or warning.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) code: &'static Code,
    /// How to mend it; stands at the caret.
    pub(super) help: String,
    /// The value may be a secret, whatever its form.
    pub(super) hides: bool,
    pub(super) path: Path,
    pub(super) point: Point,
    pub(super) title: String,
}

/// What the caret points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    Key,
    Value,
}

impl Problem {
    pub(super) fn at_key(code: &'static Code, path: Path, title: String, help: impl Into<String>) -> Self {
        Self { code, help: help.into(), hides: false, path, point: Point::Key, title }
    }

    pub(super) fn at_value(code: &'static Code, path: Path, title: String, help: impl Into<String>) -> Self {
        Self { code, help: help.into(), hides: false, path, point: Point::Value, title }
    }

    /// Puts a parser's fault into words.
    pub(super) fn of_fault(fault: Fault, tree: &Tree) -> Self {
        let Fault { path, what } = fault;
        let (thing, place) = (thing(&path), place(&path, tree));
        match what {
            What::EmptySecret(from) => {
                let title = format!("the secret {thing}{place} is empty");
                Self::at_value(&codes::EMPTY_SECRET, path, title, format!("from {from}"))
            }
            What::InlineSecret => {
                let title = format!("{thing}{place} holds a secret in clear");
                let help = "write { env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }";
                Self { hides: true, ..Self::at_value(&codes::INLINE_SECRET, path, title, help) }
            }
            What::InsecureUrl => insecure_url(path, tree),
            What::Invalid(wanted) => {
                let title = format!("invalid value of {thing}{place}");
                Self::at_value(&codes::INVALID_VALUE, path, title, wanted)
            }
            What::InvalidKey(wanted) => {
                let title = format!("invalid key {thing}{place}");
                Self::at_key(&codes::INVALID_VALUE, path, title, wanted)
            }
            What::Missing => {
                let title = format!("{thing} is missing{place}");
                let help = format!("add `{} = …` here", path.last_key().unwrap_or_default());
                Self::at_key(&codes::MISSING_KEY, path, title, help)
            }
            What::Unknown(known) => unknown(path, known, tree),
            What::UnreadableSecret(from) => {
                let title = format!("the secret {thing}{place} cannot be read");
                Self::at_value(&codes::UNREADABLE_SECRET, path, title, format!("from {from}"))
            }
        }
    }
}

/// `http://` to another machine.
pub(super) fn insecure_url(path: Path, tree: &Tree) -> Problem {
    let title = format!("{}{} leads to another machine over http://", thing(&path), place(&path, tree));
    let help = "write https://, or add `insecure = true` beside it";
    Problem::at_value(&codes::INSECURE_URL, path, title, help)
}

fn unknown(path: Path, mut known: Vec<&'static str>, tree: &Tree) -> Problem {
    if let [Step::Key(section), Step::Key(_), Step::Key(_)] = path.steps()
        && section == "providers"
    {
        known.extend(COMMON_KEYS);
        known.sort_unstable();
    }
    let title = format!("unknown key {}{}", thing(&path), place(&path, tree));
    let suggestion = nearest(path.last_key().unwrap_or_default(), known.iter().copied());
    let hides = suggestion.is_none_or(sounds_secret);
    let help = match suggestion {
        Some(suggestion) => format!("did you mean `{suggestion}`?"),
        None if known.is_empty() => "nothing is known here".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    };
    Problem { hides, ..Problem::at_key(&codes::UNKNOWN_KEY, path, title, help) }
}

/// The last key of a path in backticks, with its position in a list.
fn thing(path: &Path) -> String {
    match path.steps() {
        [.., Step::Key(key), Step::Index(at)] => format!("`{key}[{at}]`"),
        [.., Step::Key(key)] => format!("`{key}`"),
        [.., Step::Index(at)] => format!("entry {at}"),
        [] => "the configuration".to_owned(),
    }
}

/// In whose table a path stands, in words, beginning with a space.
pub(super) fn place(path: &Path, tree: &Tree) -> String {
    match path.steps() {
        [Step::Key(section), Step::Key(name), _, ..] if singular(section).is_some() => {
            format!(" in {} `{name}`", singular(section).unwrap_or_default())
        }
        [Step::Key(section), Step::Index(at), _, ..] if singular(section).is_some() => {
            let id = tree.root.find(&Path::new().key(section).index(*at).key("id")).map(|node| &node.value);
            match id {
                Some(Value::Text(id)) => format!(" in {} `{id}`", singular(section).unwrap_or_default()),
                Some(
                    Value::Bool(_)
                    | Value::Float(_)
                    | Value::Int(_)
                    | Value::List(_)
                    | Value::Secret(_)
                    | Value::Table(_),
                )
                | None => format!(" in {} number {}", singular(section).unwrap_or_default(), at + 1),
            }
        }
        [Step::Key(section), _, ..] => format!(" in [{section}]"),
        [] | [_] | [Step::Index(_), ..] => String::new(),
    }
}

fn singular(section: &str) -> Option<&'static str> {
    match section {
        "limits" => Some("limit"),
        "providers" => Some("provider"),
        "routes" => Some("route"),
        "templates" => Some("template"),
        "tenants" => Some("tenant"),
        _ => None,
    }
}
