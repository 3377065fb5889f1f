//! Parses a [`Node`] into ordinary `#[derive(Deserialize)]` types and reports every fault, not the
//! first: parse; on an error note it, hide the offending value, parse again. Every round hides or
//! adds one node, so it ends. Fault texts never quote a value: it may be a secret.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::deserializer::NodeDeserializer;
use super::error::{Error, Raw};
use super::node::{Node, Origin, Value};
use super::path::{Path, Step};
use crate::Secret;

/// One thing that is wrong with the configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The value's path; of a missing key, the path it should have.
    pub path: Path,
    /// What is wrong.
    pub what: What,
}

impl Fault {
    /// The same fault, seen from a table that holds the parsed one at `path`.
    #[must_use]
    pub fn under(self, path: &Path) -> Self {
        Self { path: path.join(&self.path), what: self.what }
    }
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The secret referred to is not set or empty; says where it was looked for.
    EmptySecret(String),
    /// A secret stands in the file in clear.
    InlineSecret,
    /// `http://` to another machine without `insecure = true`.
    InsecureUrl,
    /// Wrong type or form; says what was expected.
    Invalid(String),
    /// The key itself has a wrong form; says what was expected.
    InvalidKey(String),
    /// A key that must be there is not.
    Missing,
    /// No such key; the known ones.
    Unknown(Vec<&'static str>),
    /// The secret's file or credential could not be read; says why.
    UnreadableSecret(String),
}

/// The outcome of [`parse_all`].
#[derive(Debug)]
pub struct Parsed<T> {
    /// What could be parsed, without the values that had faults: good for further checks only,
    /// unless `faults` is empty. `None` when nothing could.
    pub value: Option<T>,
    /// Everything that is wrong.
    pub faults: Vec<Fault>,
}

/// Parses `root` and collects every fault. Faulty values stay hidden (`pruned`) in `root`, and
/// texts that turned out to be secrets become [`Value::Secret`].
pub fn parse_all<T: DeserializeOwned>(root: &mut Node) -> Parsed<T> {
    let mut run = Run::default();
    loop {
        let seen = RefCell::new(Vec::new());
        let result = T::deserialize(NodeDeserializer::new(root, &seen));
        run.note_secrets(root, &seen.into_inner());
        let goes_on = match result {
            Ok(_) if !run.incomplete.is_empty() => run.hide_incomplete(root),
            Ok(value) => {
                run.conceal(root);
                return Parsed { value: Some(value), faults: run.faults };
            }
            Err(error) => run.learn(root, error),
        };
        if !goes_on {
            run.conceal(root);
            return Parsed { value: None, faults: run.faults };
        }
    }
}

/// What the rounds so far have found.
#[derive(Default)]
struct Run {
    faults: Vec<Fault>,
    /// Tables that lack a key: given stand-ins to find what else is wrong, hidden in the end.
    incomplete: BTreeSet<Path>,
    secrets: BTreeSet<Path>,
    /// What stood there before, if anything.
    stand_ins: BTreeMap<Path, Option<Node>>,
}

impl Run {
    /// Notes an error and changes `root` so that the next round gets further; false when it cannot.
    fn learn(&mut self, root: &mut Node, error: Error) -> bool {
        let (path, raw) = error.into_parts();
        let what = match raw {
            Raw::InlineSecret => What::InlineSecret,
            Raw::Invalid(text) => What::Invalid(text),
            Raw::InvalidKey(text) => What::InvalidKey(text),
            Raw::Missing(field) => return self.stand_in(root, &path, field),
            Raw::Unknown(known) => What::Unknown(known.to_vec()),
        };
        if let Some(made_up) = self.stand_ins.keys().find(|made_up| path.is_within(made_up)).cloned() {
            return self.stand_in_differently(root, &made_up);
        }
        self.faults.push(Fault { path: path.clone(), what });
        !path.is_empty() && root.prune(&path)
    }

    /// A key is missing: notes that, and puts an empty text there so that the next missing key of
    /// the same table is found too.
    fn stand_in(&mut self, root: &mut Node, parent: &Path, field: &'static str) -> bool {
        let path = parent.clone().key(field);
        let hidden = root.find(&path).is_some_and(|node| node.pruned);
        if !hidden {
            self.faults.push(Fault { path: path.clone(), what: What::Missing });
        }
        let Some(node) = root.find_mut(parent) else { return false };
        let origin = Origin { inline_secrets: true, text_only: false, ..node.origin };
        let Value::Table(table) = &mut node.value else { return false };
        let before = table.insert(field.to_owned(), Node::new(Value::Text(String::new()), origin));
        self.incomplete.insert(parent.clone());
        self.stand_ins.insert(path, before).is_none()
    }

    /// A stand-in of the wrong type: tries the next one, or gives its table up.
    fn stand_in_differently(&mut self, root: &mut Node, made_up: &Path) -> bool {
        let Some(node) = root.find_mut(made_up) else { return false };
        let next = match &node.value {
            Value::Text(_) => Some(Value::List(Vec::new())),
            Value::List(_) => Some(Value::Table(BTreeMap::new())),
            Value::Bool(_) | Value::Float(_) | Value::Int(_) | Value::Secret(_) | Value::Table(_) => None,
        };
        if let Some(next) = next {
            node.value = next;
            return true;
        }
        let steps = made_up.steps();
        let parent = Path::from(steps.iter().take(steps.len() - 1).cloned().collect::<Vec<_>>());
        self.incomplete.remove(&parent);
        !parent.is_empty() && root.prune(&parent)
    }

    /// Takes the tables that lacked keys out of the final value.
    fn hide_incomplete(&mut self, root: &mut Node) -> bool {
        std::mem::take(&mut self.incomplete)
            .into_iter()
            .all(|path| !path.is_empty() && (root.prune(&path) || hidden_above(root, &path)))
    }

    fn note_secrets(&mut self, root: &Node, seen: &[&Node]) {
        if seen.is_empty() {
            return;
        }
        root.walk(&Path::new(), &mut |path, node| {
            if seen.iter().any(|secret| std::ptr::eq(*secret, node)) {
                self.secrets.insert(path.clone());
            }
        });
    }

    /// Turns texts that were read as secrets into secrets, after the stand-ins are gone.
    fn conceal(&mut self, root: &mut Node) {
        self.restore(root);
        for path in &self.secrets {
            let Some(node) = root.find_mut(path) else { continue };
            if let Value::Text(text) = &mut node.value {
                node.value = Value::Secret(Secret::new(std::mem::take(text)));
            }
        }
    }

    /// Takes the stand-ins out again, and puts back what a fault had hidden there.
    fn restore(&mut self, root: &mut Node) {
        for (path, before) in std::mem::take(&mut self.stand_ins) {
            let Some((Step::Key(last), parent)) = path.steps().split_last() else { continue };
            let parent = root.find_mut(&Path::from(parent.to_vec()));
            let Some(Node { value: Value::Table(table), .. }) = parent else { continue };
            match before {
                Some(node) => drop(table.insert(last.clone(), node)),
                None => drop(table.remove(last)),
            }
        }
    }
}

fn hidden_above(root: &Node, path: &Path) -> bool {
    let mut node = root;
    for step in path.steps() {
        if node.pruned {
            return true;
        }
        match node.child(step) {
            Some(child) => node = child,
            None => return true,
        }
    }
    node.pruned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Span;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Root {
        #[serde(default)]
        count: u16,
        #[serde(default)]
        items: Vec<Item>,
        #[serde(default)]
        named: BTreeMap<String, Item>,
        #[serde(default)]
        words: Vec<Word>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        id: String,
        key: Secret,
        #[serde(default, rename = "wait")]
        _wait: Option<Span>,
    }

    #[derive(Debug, Deserialize)]
    struct Lists {
        #[serde(rename = "first")]
        _first: Vec<Span>,
        #[serde(rename = "second")]
        _second: BTreeMap<String, Span>,
        #[serde(rename = "third")]
        _third: u8,
        #[serde(rename = "word")]
        _word: Word,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Block,
        Shadow,
    }

    const ENV: Origin = Origin { inline_secrets: true, source: 1, text_only: true };
    const FILE: Origin = Origin { inline_secrets: false, source: 0, text_only: false };

    fn told(root: &mut Node) -> Vec<String> {
        let faults = parse_all::<Root>(root).faults;
        let mut told: Vec<_> = faults.iter().map(|f| format!("{}: {:?}", f.path, f.what)).collect();
        told.sort();
        told
    }

    #[test]
    fn every_fault_is_found_in_one_go() {
        let mut root = Node::from_json(
            json!({
                "count": -1,
                "cuont": 1,
                "items": [{ "wait": "x" }, { "id": 5, "key": "clear" }, "no table"],
                "words": ["shadow", "shdow"],
            }),
            FILE,
        );
        assert_eq!(
            told(&mut root),
            [
                r#"count: Invalid("expected a whole number from 0 to 65535")"#,
                r#"cuont: Unknown(["count", "items", "named", "words"])"#,
                "items[0].id: Missing",
                "items[0].key: Missing",
                r#"items[0].wait: Invalid("expected a duration such as \"3s\", \"500ms\" or \"1h30m\"")"#,
                r#"items[1].id: Invalid("expected a string, found an integer")"#,
                "items[1].key: InlineSecret",
                r#"items[2]: Invalid("expected a table, found a string")"#,
                r#"words[1]: Invalid("expected one of block, shadow")"#,
            ]
        );
    }

    #[test]
    fn missing_lists_and_tables_do_not_hide_other_missing_keys() {
        let mut root = Node::from_json(json!({ "a": {} }), FILE);
        let faults = parse_all::<BTreeMap<String, Lists>>(&mut root).faults;
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.to_string()).collect();
        assert_eq!(paths, ["a.first", "a.second", "a.third"], "a number or word cannot be made up");
    }

    #[test]
    fn what_is_left_can_be_checked_further() {
        let mut root = Node::from_json(
            json!({ "items": [{ "id": "a" }, { "id": "b", "key": "k" }], "words": ["x", "block"] }),
            Origin::BUILT_IN,
        );
        let parsed = parse_all::<Root>(&mut root);
        let value = parsed.value.unwrap();
        assert_eq!(value.items.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(root.visible(&Path::new().key("items")), [1]);
        assert_eq!((value.words, root.visible(&Path::new().key("words"))), (vec![Word::Block], vec![1]));
        assert!(root.find(&Path::new().key("items").index(0).key("key")).is_none(), "no stand-in stays");
    }

    #[test]
    fn environment_text_is_converted_by_the_field() {
        let text = |text: &str| Node::new(Value::Text(text.to_owned()), ENV);
        let item = Value::Table(BTreeMap::from([
            ("id".to_owned(), text("0123")),
            ("key".to_owned(), text("+447700900000")),
            ("wait".to_owned(), text("3s")),
        ]));
        let mut root = Node::new(
            Value::Table(BTreeMap::from([
                ("count".to_owned(), text("17")),
                (
                    "named".to_owned(),
                    Node::new(Value::Table(BTreeMap::from([("a".to_owned(), Node::new(item, ENV))])), ENV),
                ),
                ("words".to_owned(), text("block, shadow")),
            ])),
            ENV,
        );
        let parsed = parse_all::<Root>(&mut root);
        assert_eq!(parsed.faults, []);
        let value = parsed.value.unwrap();
        assert_eq!((value.count, value.words), (17, vec![Word::Block, Word::Shadow]));
        let item = value.named.get("a").unwrap();
        assert_eq!((item.id.as_str(), item.key.expose()), ("0123", "+447700900000"));
        let key = root.find(&Path::new().key("named").key("a").key("key")).unwrap();
        assert!(matches!(key.value, Value::Secret(_)), "what was read as a secret is one from then on");
    }

    #[test]
    fn a_bad_word_in_an_environment_list_is_one_fault_and_the_parse_ends() {
        let node = |text: &str| Node::new(Value::Text(text.to_owned()), ENV);
        let mut root = Node::new(
            Value::Table(BTreeMap::from([
                ("words".to_owned(), node("block,blok")),
                ("count".to_owned(), node("many")),
            ])),
            ENV,
        );
        assert_eq!(
            told(&mut root),
            [
                r#"count: Invalid("expected a whole number from 0 to 65535, found other text")"#,
                r#"words: Invalid("expected one of block, shadow")"#,
            ]
        );
    }

    #[test]
    fn a_root_that_is_no_table_is_a_fault() {
        let parsed = parse_all::<Root>(&mut Node::new(Value::Int(1), FILE));
        assert!(parsed.value.is_none());
        assert_eq!(parsed.faults.len(), 1);
    }

    #[test]
    fn no_fault_quotes_a_value() {
        let mut root = Node::from_json(
            json!({ "count": "hunter2", "words": ["hunter2"], "items": [{ "id": ["hunter2"], "key": "hunter2", "wait": "hunter2" }] }),
            FILE,
        );
        assert!(!told(&mut root).join("\n").contains("hunter2"));
    }
}
