//! One TOML document: what figment merges, and the map from key path to place in the text.

use std::ops::Range;

use figment::value::{Dict, Map, Value as Merged};
use figment::{Metadata, Profile, Provider};
use sms_core::options::{Path, Step};
use toml_edit::{Array, ArrayOfTables, InlineTable, Item, Table, TableLike, TomlError, Value};

/// A parsed document. `number` is its position among the sources.
#[derive(Debug)]
pub(super) struct Document {
    doc: toml_edit::Document<String>,
    pub(super) name: String,
    number: usize,
    pub(super) text: String,
}

/// A text that is no TOML.
#[derive(Debug)]
pub(super) struct NotToml {
    pub(super) error: TomlError,
    pub(super) name: String,
    pub(super) text: String,
}

/// Where a path stands in a document.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans {
    /// How many steps of the path exist here.
    pub(super) depth: usize,
    /// Bytes of the deepest key.
    pub(super) key: Option<Range<usize>>,
    /// Bytes of the deepest value.
    pub(super) value: Option<Range<usize>>,
}

impl Document {
    pub(super) fn parse(number: usize, name: String, text: String) -> Result<Self, Box<NotToml>> {
        match toml_edit::Document::parse(text.clone()) {
            Ok(doc) => Ok(Self { doc, name, number, text }),
            Err(error) => Err(Box::new(NotToml { error, name, text })),
        }
    }

    /// Its position among the sources.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The place of `path`, or of as much of it as exists.
    pub(super) fn spans(&self, path: &Path) -> Spans {
        let (mut at, mut spans) = (Cursor::Table(self.doc.as_table()), Spans::default());
        for step in path.steps() {
            let Some((key, value, next)) = at.step(step) else { return spans };
            spans = Spans { depth: spans.depth + 1, key: key.or(spans.key), value };
            at = next;
        }
        spans
    }

    /// Calls `visit` with the nearest keys (`api_key.value`; of a reference only `env`), the text and the place of every
    /// string, and of every number with an empty text.
    pub(super) fn each_text(&self, visit: &mut dyn FnMut(&str, &str, Range<usize>)) {
        texts_of_table("", self.doc.as_table(), visit);
    }
}

impl Provider for &Document {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.number.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(dict(self.doc.as_table(), self.number)))
    }
}

type Place = Option<Range<usize>>;

enum Cursor<'a> {
    Array(&'a Array),
    Inline(&'a InlineTable),
    Leaf,
    Table(&'a Table),
    Tables(&'a ArrayOfTables),
}

impl<'a> Cursor<'a> {
    /// The places of key and value that one step leads to, and what stands there.
    fn step(&self, step: &Step) -> Option<(Place, Place, Self)> {
        match (self, step) {
            (Self::Array(array), Step::Index(at)) => {
                array.get(*at).map(|value| (None, value.span(), Self::of_value(value)))
            }
            (Self::Tables(tables), Step::Index(at)) => {
                tables.get(*at).map(|table| (table.span(), table.span(), Self::Table(table)))
            }
            (Self::Inline(table), Step::Key(key)) => {
                table.get_key_value(key).map(|(key, item)| (key.span(), item.span(), Self::of_item(item)))
            }
            (Self::Table(table), Step::Key(key)) => {
                table.get_key_value(key).map(|(key, item)| (key.span(), item.span(), Self::of_item(item)))
            }
            (Self::Array(_) | Self::Inline(_) | Self::Leaf | Self::Table(_) | Self::Tables(_), _) => None,
        }
    }

    fn of_item(item: &'a Item) -> Self {
        match item {
            Item::ArrayOfTables(tables) => Self::Tables(tables),
            Item::None => Self::Leaf,
            Item::Table(table) => Self::Table(table),
            Item::Value(value) => Self::of_value(value),
        }
    }

    fn of_value(value: &'a Value) -> Self {
        match value {
            Value::Array(array) => Self::Array(array),
            Value::InlineTable(table) => Self::Inline(table),
            Value::Boolean(_) | Value::Datetime(_) | Value::Float(_) | Value::Integer(_) | Value::String(_) => {
                Self::Leaf
            }
        }
    }
}

fn texts_of_table(outer: &str, table: &dyn TableLike, visit: &mut dyn FnMut(&str, &str, Range<usize>)) {
    for (key, item) in table.iter() {
        match item {
            Item::ArrayOfTables(tables) => tables.iter().for_each(|table| texts_of_table(key, table, visit)),
            Item::None => {}
            Item::Table(table) => texts_of_table(key, table, visit),
            Item::Value(value) if outer.is_empty() || REFERENCES.contains(&key) => {
                texts_of_value(key, key, value, visit);
            }
            Item::Value(value) => texts_of_value(&format!("{outer}.{key}"), key, value, visit),
        }
    }
}

/// Keys of a secret's place, which is none itself.
const REFERENCES: [&str; 3] = ["credential", "env", "file"];

/// `keys` names the value, `key` what lies in it.
fn texts_of_value(keys: &str, key: &str, value: &Value, visit: &mut dyn FnMut(&str, &str, Range<usize>)) {
    match value {
        Value::Array(array) => array.iter().for_each(|value| texts_of_value(keys, key, value, visit)),
        Value::InlineTable(table) => texts_of_table(key, table, visit),
        Value::String(text) => {
            if let Some(span) = value.span() {
                visit(keys, text.value(), span);
            }
        }
        Value::Float(_) | Value::Integer(_) => {
            if let Some(span) = value.span() {
                visit(keys, "", span);
            }
        }
        Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

/// Begins the keys under which a list of tables travels through figment: it replaces lists, but
/// joins tables, so a table keyed by source and position makes lists append.
pub(super) const LIST_MARK: char = '\u{0}';

fn dict(table: &dyn TableLike, number: usize) -> Dict {
    table.iter().map(|(key, item)| (key.to_owned(), merged_item(item, number))).collect()
}

fn merged_item(item: &Item, number: usize) -> Merged {
    match item {
        Item::ArrayOfTables(tables) => list_of_tables(tables.iter().map(|table| dict(table, number)), number),
        Item::None => Dict::new().into(),
        Item::Table(table) => dict(table, number).into(),
        Item::Value(value) => merged(value, number),
    }
}

fn merged(value: &Value, number: usize) -> Merged {
    match value {
        Value::Array(array) if !array.is_empty() && array.iter().all(Value::is_inline_table) => {
            list_of_tables(array.iter().filter_map(Value::as_inline_table).map(|table| dict(table, number)), number)
        }
        Value::Array(array) => array.iter().map(|value| merged(value, number)).collect::<Vec<_>>().into(),
        Value::Boolean(value) => (*value.value()).into(),
        Value::Datetime(value) => value.value().to_string().into(),
        Value::Float(value) => (*value.value()).into(),
        Value::InlineTable(table) => dict(table, number).into(),
        Value::Integer(value) => (*value.value()).into(),
        Value::String(value) => value.value().as_str().into(),
    }
}

fn list_of_tables(tables: impl Iterator<Item = Dict>, number: usize) -> Merged {
    let marked = tables
        .enumerate()
        .map(|(at, table)| (format!("{LIST_MARK}{number:06}{LIST_MARK}{at:06}"), Merged::from(table)));
    marked.collect::<Dict>().into()
}
