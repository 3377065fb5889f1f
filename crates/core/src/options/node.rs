//! A configuration value that remembers its origin. Its `Debug` never shows a value, since any
//! text may be a secret written in the wrong place.

use std::collections::BTreeMap;
use std::fmt;

use super::path::{Path, Step};
use crate::Secret;

/// One value and its origin.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value came from.
    pub origin: Origin,
    /// Hidden from the next parse because a fault was reported for it.
    pub pruned: bool,
    /// The value itself.
    pub value: Value,
}

/// Where a value came from, as far as parsing has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// A secret may stand here in clear: development mode, the environment, flags.
    pub inline_secrets: bool,
    /// The source's position in the loader's list of sources.
    pub source: usize,
    /// The source knows text only (environment, flags): the field decides the type.
    pub text_only: bool,
}

impl Origin {
    /// Values written in the program itself: tests and built-in instances.
    pub const BUILT_IN: Self = Self { inline_secrets: true, source: 0, text_only: false };
}

/// What a node holds.
#[derive(Clone)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A number with a fraction.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// A list.
    List(Vec<Node>),
    /// A secret, resolved by the loader.
    Secret(Secret),
    /// A table.
    Table(BTreeMap<String, Node>),
    /// Text; from the environment also every other scalar.
    Text(String),
}

impl Value {
    /// What a reader of the file would call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "true or false",
            Self::Float(_) => "a fraction",
            Self::Int(_) => "an integer",
            Self::List(_) => "a list",
            Self::Secret(_) => "a secret reference",
            Self::Table(_) => "a table",
            Self::Text(_) => "a string",
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(items) => items.fmt(f),
            Self::Table(table) => table.fmt(f),
            Self::Bool(_) | Self::Float(_) | Self::Int(_) | Self::Secret(_) | Self::Text(_) => f.write_str(self.kind()),
        }
    }
}

impl Node {
    /// An unhidden value.
    pub fn new(value: Value, origin: Origin) -> Self {
        Self { origin, pruned: false, value }
    }

    /// A tree of one origin; `null` becomes an empty table.
    pub fn from_json(json: serde_json::Value, origin: Origin) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Table(BTreeMap::new()),
            Json::Bool(value) => Value::Bool(value),
            Json::Number(number) => match number.as_i64() {
                Some(value) => Value::Int(value),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::List(items.into_iter().map(|item| Self::from_json(item, origin)).collect()),
            Json::Object(object) => {
                Value::Table(object.into_iter().map(|(key, item)| (key, Self::from_json(item, origin))).collect())
            }
        };
        Self::new(value, origin)
    }

    /// The node at `path`, hidden or not.
    pub fn find(&self, path: &Path) -> Option<&Self> {
        path.steps().iter().try_fold(self, Self::child)
    }

    /// The table at `path`; empty when there is none.
    pub fn table(&self, path: &Path) -> impl Iterator<Item = (&str, &Self)> {
        let table = match self.find(path).map(|node| &node.value) {
            Some(Value::Table(table)) => Some(table),
            Some(
                Value::Bool(_) | Value::Float(_) | Value::Int(_) | Value::List(_) | Value::Secret(_) | Value::Text(_),
            )
            | None => None,
        };
        table.into_iter().flatten().map(|(key, node)| (key.as_str(), node))
    }

    /// Whether this value or one below it was hidden.
    pub fn has_pruned(&self) -> bool {
        let mut found = false;
        self.walk(&Path::new(), &mut |_, node| found |= node.pruned);
        found
    }

    /// The positions of a list that the last parse saw, in order: what was hidden is left out, so
    /// the n-th parsed element stood at the n-th of these.
    pub fn visible(&self, path: &Path) -> Vec<usize> {
        let Some(Self { value: Value::List(items), .. }) = self.find(path) else { return Vec::new() };
        items.iter().enumerate().filter(|(_, item)| !item.pruned).map(|(at, _)| at).collect()
    }

    /// Hides the deepest value that exists on `path`. False when that one was hidden before, so a
    /// caller who loops can stop.
    pub fn prune(&mut self, path: &Path) -> bool {
        let mut node = self;
        for step in path.steps() {
            if node.child(step).is_none() {
                break;
            }
            node = match node.child_mut(step) {
                Some(child) => child,
                None => return false,
            };
        }
        !std::mem::replace(&mut node.pruned, true)
    }

    /// The child that one step leads to.
    pub fn child(&self, step: &Step) -> Option<&Self> {
        match (&self.value, step) {
            (Value::Table(table), Step::Key(key)) => table.get(key),
            (Value::List(items), Step::Index(at)) => items.get(*at),
            (
                Value::Bool(_)
                | Value::Float(_)
                | Value::Int(_)
                | Value::List(_)
                | Value::Secret(_)
                | Value::Table(_)
                | Value::Text(_),
                _,
            ) => None,
        }
    }

    /// As [`Node::child`], to change it.
    pub fn child_mut(&mut self, step: &Step) -> Option<&mut Self> {
        match (&mut self.value, step) {
            (Value::Table(table), Step::Key(key)) => table.get_mut(key),
            (Value::List(items), Step::Index(at)) => items.get_mut(*at),
            (
                Value::Bool(_)
                | Value::Float(_)
                | Value::Int(_)
                | Value::List(_)
                | Value::Secret(_)
                | Value::Table(_)
                | Value::Text(_),
                _,
            ) => None,
        }
    }

    /// The node at `path`, to change it.
    pub fn find_mut(&mut self, path: &Path) -> Option<&mut Self> {
        path.steps().iter().try_fold(self, Self::child_mut)
    }

    /// Calls `visit` for this node and every node below it, parents first.
    pub fn walk<'a>(&'a self, path: &Path, visit: &mut dyn FnMut(&Path, &'a Self)) {
        visit(path, self);
        match &self.value {
            Value::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    item.walk(&path.clone().index(at), visit);
                }
            }
            Value::Table(table) => {
                for (key, item) in table {
                    item.walk(&path.clone().key(key), visit);
                }
            }
            Value::Bool(_) | Value::Float(_) | Value::Int(_) | Value::Secret(_) | Value::Text(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree() -> Node {
        Node::from_json(json!({ "a": [{ "b": 1 }, { "b": 2 }], "c": null }), Origin::BUILT_IN)
    }

    #[test]
    fn hidden_list_items_keep_the_positions_of_the_others() {
        let (mut root, list) = (tree(), Path::new().key("a"));
        assert!(root.prune(&list.clone().index(0)));
        assert_eq!(root.visible(&list), [1]);
        assert!(root.find(&list.index(0)).unwrap().pruned);
    }

    #[test]
    fn pruning_a_path_that_ends_early_hides_the_deepest_value_once() {
        let mut root = tree();
        let path = Path::new().key("a").index(1).key("b").index(7);
        assert!(root.prune(&path));
        assert!(root.find(&Path::new().key("a").index(1).key("b")).unwrap().pruned);
        assert!(!root.prune(&path), "a second time it says so");
    }

    #[test]
    fn walk_reaches_every_node() {
        let (root, mut paths) = (tree(), Vec::new());
        root.walk(&Path::new(), &mut |path, _| paths.push(path.to_string()));
        assert_eq!(paths, ["", "a", "a[0]", "a[0].b", "a[1]", "a[1].b", "c"]);
    }
}
