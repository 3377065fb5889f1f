//! Secrets by reference: `{ env = "…" }`, `{ file = "…" }` or `{ credential = "…" }`. The loader
//! resolves every such table before anything is parsed ([`resolve_secrets`]); a field of type
//! [`Secret`] then reads the result, and refuses text that stands in a file in clear.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use serde::de::{self, Deserialize as _, Deserializer, Visitor};

use super::deserializer::{GUARDED, SECRET};
use super::error::INLINE_SECRET;
use super::node::{Node, Value};
use super::parse::{Fault, What};
use super::path::Path;
use crate::Secret;

/// Where secrets are looked up; implemented by the gateway, and by tests without a machine.
pub trait SecretSource {
    /// An environment variable; `None` when it is not set or no Unicode.
    fn env(&self, name: &str) -> Option<String>;

    /// The content of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    fn file(&self, path: &str) -> io::Result<String>;

    /// A credential that the service manager handed over (systemd `LoadCredential`).
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be read.
    fn credential(&self, name: &str) -> io::Result<String>;
}

/// A reference to a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// Name of a credential of the service manager.
    Credential(String),
    /// Name of an environment variable.
    Env(String),
    /// Path of a file; line ends at its end do not count.
    File(String),
}

impl SecretRef {
    /// The reference a table with exactly one of the three keys stands for.
    pub fn of(value: &Value) -> Option<Self> {
        let Value::Table(table) = value else { return None };
        let mut entries = table.iter();
        let (Some((key, Node { value: Value::Text(name), .. })), None) = (entries.next(), entries.next()) else {
            return None;
        };
        match key.as_str() {
            "credential" => Some(Self::Credential(name.clone())),
            "env" => Some(Self::Env(name.clone())),
            "file" => Some(Self::File(name.clone())),
            _ => None,
        }
    }

    /// Looks the secret up.
    ///
    /// # Errors
    /// [`What::EmptySecret`] when it is not set or holds nothing, [`What::UnreadableSecret`] when it
    /// cannot be read.
    pub fn resolve(&self, source: &dyn SecretSource) -> Result<Secret, What> {
        let text = match self {
            Self::Credential(name) => source.credential(name),
            Self::Env(name) => match source.env(name) {
                Some(text) => Ok(text),
                None => return Err(What::EmptySecret(format!("{self} (not set)"))),
            },
            Self::File(path) => source.file(path),
        };
        let text = text.map_err(|error| What::UnreadableSecret(format!("{self}: {}", error.kind())))?;
        let secret = Secret::new(text.trim_end_matches(['\r', '\n']));
        if secret.expose().is_empty() {
            return Err(What::EmptySecret(format!("{self} (0 characters)")));
        }
        Ok(secret)
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential {name}"),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {path}"),
        }
    }
}

/// Replaces every reference below `at` by the secret it refers to. Returns what each stood for, so
/// that the place can be shown later, and the faults; what could not be resolved stays hidden.
pub fn resolve_secrets(
    root: &mut Node,
    at: &Path,
    source: &dyn SecretSource,
) -> (BTreeMap<Path, SecretRef>, Vec<Fault>) {
    let mut references = BTreeMap::new();
    if let Some(node) = root.find(at) {
        node.walk(at, &mut |path, node| {
            if let Some(reference) = SecretRef::of(&node.value) {
                references.insert(path.clone(), reference);
            }
        });
    }
    let mut faults = Vec::new();
    for (path, reference) in &references {
        let Some(node) = root.find_mut(path) else { continue };
        match reference.resolve(source) {
            Ok(secret) => node.value = Value::Secret(secret),
            Err(what) => {
                node.pruned = true;
                faults.push(Fault { path: path.clone(), what });
            }
        }
    }
    (references, faults)
}

/// Reads a [`Secret`]; text in clear only where its origin allows that. Works on configuration
/// trees only: other formats have no notion of a reference.
///
/// # Errors
/// The deserializer's, and for a secret in clear.
pub fn deserialize_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    deserializer.deserialize_newtype_struct(SECRET, SecretVisitor { is_public: |_| false })
}

/// Reads text that may stand in clear where `is_public` says so (`sqlite:…`, `sha256:…`), and must
/// be a reference otherwise.
///
/// # Errors
/// The deserializer's, and for a secret in clear.
pub fn deserialize_guarded<'de, D: Deserializer<'de>>(
    deserializer: D,
    is_public: fn(&str) -> bool,
) -> Result<Secret, D::Error> {
    deserializer.deserialize_newtype_struct(GUARDED, SecretVisitor { is_public })
}

struct SecretVisitor {
    is_public: fn(&str) -> bool,
}

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ env = \"…\" }, { file = \"…\" } or { credential = \"…\" }")
    }

    /// What may be read, whatever it is.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }

    /// Text in a file in clear.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        if (self.is_public)(text) { Ok(Secret::new(text)) } else { Err(E::custom(INLINE_SECRET)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Origin, parse_all};
    use serde_json::json;

    struct Fake;

    impl SecretSource for Fake {
        fn env(&self, name: &str) -> Option<String> {
            match name {
                "EMPTY" => Some(String::new()),
                "KEY" => Some("0123".to_owned()),
                _ => None,
            }
        }

        fn file(&self, path: &str) -> io::Result<String> {
            if path == "/run/key" { Ok("from file\n".to_owned()) } else { Err(io::ErrorKind::NotFound.into()) }
        }

        fn credential(&self, _: &str) -> io::Result<String> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    #[derive(Debug, serde::Deserialize)]
    struct Config {
        #[serde(default)]
        key: Option<Secret>,
        #[serde(default)]
        url: Option<Guarded>,
    }

    #[derive(Debug)]
    struct Guarded(Secret);

    impl<'de> serde::Deserialize<'de> for Guarded {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserialize_guarded(deserializer, |text| text.starts_with("sqlite:")).map(Self)
        }
    }

    const FILE: Origin = Origin { inline_secrets: false, source: 0, text_only: false };

    fn resolved(json: serde_json::Value) -> (Node, Vec<Fault>) {
        let mut root = Node::from_json(json, FILE);
        let (_, faults) = resolve_secrets(&mut root, &Path::new(), &Fake);
        (root, faults)
    }

    #[test]
    fn references_become_secrets() {
        let (mut root, faults) = resolved(json!({ "key": { "env": "KEY" }, "url": { "file": "/run/key" } }));
        assert_eq!(faults, []);
        let config = parse_all::<Config>(&mut root).value.unwrap();
        assert_eq!(config.key.unwrap().expose(), "0123");
        assert_eq!(config.url.unwrap().0.expose(), "from file", "the line end is not part of it");
    }

    #[test]
    fn what_cannot_be_resolved_is_told_once_with_its_place() {
        let (mut root, faults) = resolved(
            json!({ "a": { "env": "EMPTY" }, "b": { "env": "NONE" }, "c": { "file": "/x" }, "key": { "credential": "y" } }),
        );
        let told: Vec<_> = faults.iter().map(|f| format!("{} {:?}", f.path, f.what)).collect();
        assert_eq!(
            told,
            [
                "a EmptySecret(\"environment variable EMPTY (0 characters)\")",
                "b EmptySecret(\"environment variable NONE (not set)\")",
                "c UnreadableSecret(\"file /x: entity not found\")",
                "key UnreadableSecret(\"credential y: permission denied\")",
            ]
        );
        assert_eq!(parse_all::<Config>(&mut root).faults, [], "and not again when it is parsed");
    }

    #[test]
    fn text_in_clear_is_refused_unless_it_is_public_or_its_origin_allows_it() {
        let text = json!({ "key": "clear", "url": "postgres://u:p@h/d" });
        let faults = parse_all::<Config>(&mut Node::from_json(text.clone(), FILE)).faults;
        assert!(faults.len() == 2 && faults.iter().all(|f| f.what == What::InlineSecret), "{faults:?}");
        let dev = Origin { inline_secrets: true, ..FILE };
        assert_eq!(parse_all::<Config>(&mut Node::from_json(text, dev)).faults, []);
        let public = json!({ "url": "sqlite:a.db" });
        assert_eq!(parse_all::<Config>(&mut Node::from_json(public, FILE)).faults, []);
    }

    #[test]
    fn two_keys_or_a_wrong_one_are_no_reference() {
        for json in [json!({ "env": "A", "file": "b" }), json!({ "evn": "A" }), json!({}), json!({ "env": 1 })] {
            let (mut root, _) = resolved(json!({ "key": json }));
            let faults = parse_all::<Config>(&mut root).faults;
            assert!(matches!(&faults[..], [Fault { what: What::Invalid(text), .. }] if text.contains("{ env")));
        }
    }

    #[test]
    fn a_reference_is_not_taken_for_plain_text() {
        #[derive(Debug, serde::Deserialize)]
        struct Plain {
            #[serde(rename = "name")]
            _name: String,
        }
        let (mut root, _) = resolved(json!({ "name": { "env": "KEY" } }));
        assert_eq!(parse_all::<Plain>(&mut root).faults.len(), 1);
    }
}
