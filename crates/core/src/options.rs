//! The configuration tree a provider factory parses its options from, and the value types all
//! configuration shares. Every value remembers where it came from, and a parse reports every fault
//! with its path, so that the loader can point at file, line and column. Knows no file format and
//! no merger; never reads the environment or a file (that comes in through [`SecretSource`]).

mod base_url;
mod deserializer;
mod error;
mod node;
mod one_or_many;
mod parse;
mod path;
mod secret;
mod size;
mod span;
mod window;

pub use base_url::{BaseUrl, NotAUrl};
pub use node::{Node, Origin, Value};
pub use one_or_many::OneOrMany;
pub use parse::{Fault, Parsed, What, parse_all};
pub use path::{Path, Step};
pub use secret::{SecretRef, SecretSource, deserialize_guarded, deserialize_secret, resolve_secrets};
pub use size::{NotASize, Size};
pub use span::{NotASpan, Span};
pub use window::{NotARate, Rate};

use std::fmt;

use serde::de::DeserializeOwned;

/// The options of one provider instance: everything under its table that the gateway does not
/// read itself. Secret references are resolved already, so a factory simply declares
/// `api_key: Secret` in its own derived struct.
///
/// ```
/// use sms_core::Secret;
/// use sms_core::options::{Options, Span};
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Config { api_key: Secret, poll: Span }
///
/// let options = Options::from_json(serde_json::json!({ "api_key": "k", "poll": "3s" }));
/// let config: Config = options.parse().expect("no faults");
/// assert_eq!(config.poll.to_string(), "3s");
/// ```
#[derive(Clone)]
pub struct Options {
    node: Node,
    path: Path,
}

impl Options {
    /// Options found at `path` of the configuration.
    pub fn new(node: Node, path: Path) -> Self {
        Self { node, path }
    }

    /// Options of a test or of a built-in instance: secrets may stand in clear, the path is empty.
    pub fn from_json(json: serde_json::Value) -> Self {
        Self::new(Node::from_json(json, Origin::BUILT_IN), Path::new())
    }

    /// Parses into the provider's own type.
    ///
    /// # Errors
    /// Every fault, not the first, each with its full path.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Vec<Fault>> {
        let parsed = parse_all::<T>(&mut self.node.clone());
        match parsed.value {
            Some(value) if parsed.faults.is_empty() => Ok(value),
            Some(_) | None => Err(parsed.faults.into_iter().map(|fault| fault.under(&self.path)).collect()),
        }
    }

    /// A fault at one of these options, for what a factory finds after parsing.
    pub fn fault(&self, key: &str, what: What) -> Fault {
        Fault { path: self.path.clone().key(key), what }
    }

    /// Where these options stand.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tree itself, for checks that hold for every provider.
    pub fn node(&self) -> &Node {
        &self.node
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options(redacted, at `{}`)", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use serde_json::json;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        api_key: Secret,
        #[serde(default)]
        poll: Option<Span>,
    }

    #[test]
    fn a_factory_gets_its_struct() {
        let options = Options::from_json(json!({ "api_key": "k", "poll": "1m30s" }));
        let config: Config = options.parse().unwrap();
        assert_eq!(config.api_key.expose(), "k");
        assert_eq!(config.poll.unwrap().to_string(), "1m30s");
    }

    #[test]
    fn faults_carry_the_full_path() {
        let path = Path::new().key("providers").key("mitto");
        let node = Node::from_json(json!({ "poll": "soon", "tyop": 1 }), Origin::BUILT_IN);
        let faults = Options::new(node, path).parse::<Config>().unwrap_err();
        let mut paths: Vec<String> = faults.iter().map(|f| f.path.to_string()).collect();
        paths.sort();
        assert_eq!(paths, ["providers.mitto.api_key", "providers.mitto.poll", "providers.mitto.tyop"]);
    }

    #[test]
    fn debug_shows_no_value() {
        let options = Options::from_json(json!({ "api_key": "hunter2" }));
        assert!(!format!("{options:?}").contains("hunter2"));
        assert!(!format!("{:?}", options.node()).contains("hunter2"));
    }
}
