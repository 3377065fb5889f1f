//! `config show`: every value that is set, and where it came from. Secrets are never shown: what
//! was resolved shows its reference, what stands in clear (development, environment) shows nothing.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use sms_core::options::{Node, Path, Step, Value};

use super::document::Document;
use super::mask;
use super::reference::REFERENCE;
use super::schema::COMMON_KEYS;
use super::tree::{Source, Tree, variable_of};

/// One value.
struct Line {
    from: String,
    path: Path,
    value: String,
}

/// `KEY = VALUE` lines, the set ones and then the built-in defaults.
pub(super) fn show(tree: &Tree, origin: bool) -> String {
    let mut lines = set(tree);
    lines.extend(defaults(tree));
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    let mut text = String::new();
    for Line { from, path, value } in lines {
        let from = if origin { format!("  # {from}") } else { String::new() };
        writeln!(text, "{path} = {value}{from}").unwrap_or_default(); // writing to a String cannot fail
    }
    text
}

/// Twelve hex digits that change with every shown value.
pub(super) fn hash(tree: &Tree) -> String {
    let digest = Sha256::digest(show(tree, false));
    let mut hex = String::new();
    for byte in digest.iter().take(6) {
        write!(hex, "{byte:02x}").unwrap_or_default(); // writing to a String cannot fail
    }
    hex
}

fn set(tree: &Tree) -> Vec<Line> {
    let mut lines = Vec::new();
    tree.root.walk(&Path::new(), &mut |path, node| {
        if let Some(value) = shown(tree, path, node) {
            lines.push(Line { from: from(tree, path), path: path.clone(), value });
        }
    });
    lines
}

/// What the reference sets and nobody else did.
fn defaults(tree: &Tree) -> Vec<Line> {
    let Ok(document) = Document::parse(0, "default".to_owned(), REFERENCE.to_owned()) else { return Vec::new() };
    let Ok(reference) = Tree::merge(vec![document], &[], &[], false) else { return Vec::new() };
    set(&reference)
        .into_iter()
        .filter(|line| !is_set(tree, &line.path))
        .map(|line| Line { from: "default".to_owned(), ..line })
        .collect()
}

/// A list replaces the default list as a whole.
fn is_set(tree: &Tree, path: &Path) -> bool {
    let keys: Vec<_> = path.steps().iter().take_while(|step| matches!(step, Step::Key(_))).cloned().collect();
    tree.root.find(&Path::from(keys)).is_some()
}

/// A value as TOML; `None` for what its children show.
fn shown(tree: &Tree, path: &Path, node: &Node) -> Option<String> {
    match &node.value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::List(items) => items.is_empty().then(|| "[]".to_owned()),
        Value::Secret(_) => Some(match tree.references.get(path) {
            Some(reference) => format!("(secret, from {reference})"),
            None => HIDDEN.to_owned(),
        }),
        Value::Table(table) => (table.is_empty() && !path.is_empty()).then(|| "{}".to_owned()),
        Value::Text(text) if hides(path, node, text) => Some(HIDDEN.to_owned()),
        Value::Text(text) => Some(format!("{text:?}")),
    }
}

/// Only a factory knows which of its options are secrets, so where those may stand in clear all of
/// them are hidden.
fn hides(path: &Path, node: &Node, text: &str) -> bool {
    let of_factory = match path.steps() {
        [Step::Key(section), Step::Key(_), Step::Key(key), ..] => {
            section == "providers" && !COMMON_KEYS.contains(&key.as_str())
        }
        [] | [_] | [_, _] | [_, _, _, ..] => false,
    };
    node.origin.inline_secrets && (of_factory || mask::looks_secret(text))
}

fn from(tree: &Tree, path: &Path) -> String {
    match tree.source(path) {
        Some(Source::Document(_)) | None => tree.line_of(path).unwrap_or_default(),
        Some(Source::Environment) => variable_of(path),
        Some(Source::Flag(name)) => name,
    }
}

const HIDDEN: &str = "(secret)";
