//! Merges all sources into one tree that knows where each value came from. figment merges and
//! nothing else: it sees text from the environment as text, and lists of tables as tables.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Num, Tag, Value as Merged};
use figment::{Figment, Metadata, Profile, Provider};
use sms_core::options::{Node, Origin, Path, SecretRef, Step, Value};

use super::document::{Document, LIST_MARK, Spans};

/// A value given on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Its key path, such as `server.listen`.
    pub key: String,
    /// How it was given, such as `--listen`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The merged configuration.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) documents: Vec<Document>,
    flags: Vec<Flag>,
    /// Lists of tables: where each entry came from, as document and position in it.
    lists: BTreeMap<Path, Vec<(usize, usize)>>,
    /// What each resolved secret stood for.
    pub(super) references: BTreeMap<Path, SecretRef>,
    pub(super) root: Node,
    /// Paths by which the environment or a flag reached into a list.
    pub(super) strays: Vec<Path>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Document(usize),
    Environment,
    Flag(String),
}

impl Tree {
    /// Later sources win: documents in order, then the environment, then flags.
    pub(super) fn merge(
        documents: Vec<Document>,
        env: &[(String, String)],
        flags: &[Flag],
        inline_secrets: bool,
    ) -> Result<Self, Box<figment::Error>> {
        let count = documents.len();
        let env = Text { name: count, values: env.iter().filter_map(override_of).collect() };
        let by_flag = flags.iter().map(|flag| (flag.key.split('.').map(str::to_owned).collect(), flag.text.clone()));
        let by_flag = Text { name: count + 1, values: by_flag.collect() };
        let figment = documents.iter().fold(Figment::new(), |merged, document| merged.merge(document));
        let figment = figment.merge(env).merge(by_flag);
        let root = figment.find_value("")?;
        let origin = |tag: Tag| {
            let source = figment.get_metadata(tag).and_then(|data| data.name.parse().ok()).unwrap_or(count);
            let text_only = source >= count;
            Origin { inline_secrets: inline_secrets || text_only, source, text_only }
        };
        let mut build = Build { lists: BTreeMap::new(), origin: &origin, strays: Vec::new() };
        let root = build.node(&root, &Path::new());
        let Build { lists, strays, .. } = build;
        let (flags, references) = (flags.to_vec(), BTreeMap::new());
        Ok(Self { documents, flags, lists, references, root, strays })
    }

    /// Where the value at `path` came from; `None` when nothing stands there.
    pub(super) fn source(&self, path: &Path) -> Option<Source> {
        if self.strays.contains(path) {
            return Some(Source::Environment);
        }
        let node = self.root.find(path)?;
        let number = node.origin.source;
        if number < self.documents.len() {
            return Some(Source::Document(number));
        }
        let shown = path.to_string();
        let flag = self.flags.iter().rfind(|flag| number > self.documents.len() && flag.key == shown);
        Some(flag.map_or(Source::Environment, |flag| Source::Flag(flag.name.clone())))
    }

    /// The document to point at for `path`, and the path's place in it: the value's own document;
    /// for a table or a missing key the one that has most of the path, the last of equals.
    pub(super) fn place(&self, path: &Path) -> Option<(&Document, Spans)> {
        let (fixed, local) = self.local(path);
        let node = self.root.find(path);
        if fixed.is_none() && node.is_some_and(|node| node.origin.text_only) {
            return None;
        }
        let own =
            node.filter(|node| !matches!(node.value, Value::Table(_) | Value::List(_))).map(|node| node.origin.source);
        if let Some(document) = fixed.or(own).and_then(|number| self.documents.get(number)) {
            if node.is_some_and(|node| node.origin.text_only) {
                return None;
            }
            return Some((document, document.spans(&local)));
        }
        self.documents
            .iter()
            .map(|document| (document, document.spans(&local)))
            .filter(|(_, spans)| spans.depth > 0)
            .max_by_key(|(_, spans)| spans.depth)
    }

    /// Whether a fault was found at `path` or below, so that what is left there says little.
    pub(super) fn has_faults(&self, path: &Path) -> bool {
        self.root.find(path).is_some_and(Node::has_pruned)
    }

    /// `file:line` of a path.
    pub(super) fn line_of(&self, path: &Path) -> Option<String> {
        let (document, spans) = self.place(path)?;
        let at = spans.key.or(spans.value)?.start;
        let line = document.text.get(..at)?.matches('\n').count() + 1;
        Some(format!("{}:{line}", document.name))
    }

    /// The names under a top-level table, faulty entries included.
    pub(super) fn names(&self, section: &str) -> Vec<&str> {
        self.root.table(&Path::new().key(section)).map(|(name, _)| name).collect()
    }

    /// A path of the merged tree as its document counts list positions.
    fn local(&self, path: &Path) -> (Option<usize>, Path) {
        let (mut document, mut seen, mut local) = (None, Path::new(), Path::new());
        for step in path.steps() {
            match step {
                Step::Index(at) => {
                    let entry = self.lists.get(&seen).and_then(|list| list.get(*at));
                    if let Some((number, _)) = entry {
                        document = Some(*number);
                    }
                    local = local.index(entry.map_or(*at, |(_, position)| *position));
                    seen = seen.index(*at);
                }
                Step::Key(key) => {
                    local = local.key(key);
                    seen = seen.key(key);
                }
            }
        }
        (document, local)
    }
}

/// The variable by which a key is overridden.
pub(super) fn variable_of(path: &Path) -> String {
    path.steps().iter().fold("GATEWAY".to_owned(), |name, step| match step {
        Step::Index(_) => name,
        Step::Key(key) => format!("{name}__{}", key.to_ascii_uppercase()),
    })
}

/// The key path and text of a variable that overrides something.
fn override_of((name, text): &(String, String)) -> Option<(Vec<String>, String)> {
    let keys = name.strip_prefix("GATEWAY__")?;
    Some((keys.splitn(DEPTH_MAX, "__").map(str::to_ascii_lowercase).collect(), text.clone()))
}

/// No key lies deeper; a longer variable ends in a key that does not exist.
const DEPTH_MAX: usize = 16;

/// Values by key path, as text, exactly as written.
struct Text {
    name: usize,
    values: Vec<(Vec<String>, String)>,
}

impl Provider for Text {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut root = Dict::new();
        for (keys, text) in &self.values {
            put(&mut root, keys, text);
        }
        Ok(Profile::Default.collect(root))
    }
}

fn put(table: &mut Dict, keys: &[String], text: &str) {
    let Some((first, rest)) = keys.split_first() else { return };
    if rest.is_empty() {
        table.insert(first.clone(), text.into());
        return;
    }
    let inner = table.entry(first.clone()).or_insert_with(|| Dict::new().into());
    if !matches!(inner, Merged::Dict(..)) {
        *inner = Dict::new().into();
    }
    if let Merged::Dict(_, inner) = inner {
        put(inner, rest, text);
    }
}

/// Turns what figment merged into our tree.
struct Build<'a> {
    lists: BTreeMap<Path, Vec<(usize, usize)>>,
    origin: &'a dyn Fn(Tag) -> Origin,
    strays: Vec<Path>,
}

impl Build<'_> {
    fn node(&mut self, merged: &Merged, path: &Path) -> Node {
        let value = match merged {
            Merged::Array(_, items) => {
                let items = items.iter().enumerate();
                Value::List(items.map(|(at, item)| self.node(item, &path.clone().index(at))).collect())
            }
            Merged::Bool(_, value) => Value::Bool(*value),
            Merged::Char(_, value) => Value::Text(value.to_string()),
            Merged::Dict(_, table) if table.keys().any(|key| key.starts_with(LIST_MARK)) => self.list(table, path),
            Merged::Dict(_, table) => {
                let entries = table.iter();
                Value::Table(
                    entries.map(|(key, item)| (key.clone(), self.node(item, &path.clone().key(key)))).collect(),
                )
            }
            Merged::Empty(..) => Value::Text(String::new()),
            Merged::Num(_, number) => numeric(*number),
            Merged::String(_, text) => Value::Text(text.clone()),
        };
        Node::new(value, (self.origin)(merged.tag()))
    }

    /// A list of tables that several documents may have added to.
    fn list(&mut self, table: &Dict, path: &Path) -> Value {
        let (mut items, mut places) = (Vec::new(), Vec::new());
        for (key, item) in table {
            let Some((number, position)) = entry_of(key) else {
                self.strays.push(leaf(item, path.clone().key(key)));
                continue;
            };
            items.push(self.node(item, &path.clone().index(items.len())));
            places.push((number, position));
        }
        self.lists.insert(path.clone(), places);
        Value::List(items)
    }
}

/// The path of the first value below `merged`.
fn leaf(merged: &Merged, path: Path) -> Path {
    match merged.as_dict().and_then(|table| table.iter().next()) {
        Some((key, item)) => leaf(item, path.key(key)),
        None => path,
    }
}

fn entry_of(key: &str) -> Option<(usize, usize)> {
    let (number, position) = key.strip_prefix(LIST_MARK)?.split_once(LIST_MARK)?;
    Some((number.parse().ok()?, position.parse().ok()?))
}

/// TOML's numbers are 64 bits wide, so nothing is lost.
fn numeric(number: Num) -> Value {
    match number {
        Num::F32(value) => Value::Float(f64::from(value)),
        Num::F64(value) => Value::Float(value),
        Num::I8(_)
        | Num::I16(_)
        | Num::I32(_)
        | Num::I64(_)
        | Num::I128(_)
        | Num::ISize(_)
        | Num::U8(_)
        | Num::U16(_)
        | Num::U32(_)
        | Num::U64(_)
        | Num::U128(_)
        | Num::USize(_) => {
            let value = number.to_i128().and_then(|value| i64::try_from(value).ok());
            Value::Int(
                value.or_else(|| number.to_u128().and_then(|value| i64::try_from(value).ok())).unwrap_or(i64::MAX),
            )
        }
    }
}
