//! A serde deserializer over [`Node`] that knows the path of every error and converts text by the
//! field's type where the source knows text only. Error texts never quote a value.

use std::cell::RefCell;
use std::collections::btree_map;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::error::{Error, INLINE_SECRET};
use super::node::{Node, Value};
use super::path::Step;

/// Newtype names by which [`super::deserialize_secret`], [`super::deserialize_guarded`] and
/// [`super::OneOrMany`] tell this deserializer what they read.
pub(super) const GUARDED: &str = "$sms_core::options::Guarded";
pub(super) const ONE_OR_MANY: &str = "$sms_core::options::OneOrMany";
pub(super) const SECRET: &str = "$sms_core::Secret";

/// Reads one node; `seen` collects the nodes whose text was read as a secret.
#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'a, 's> {
    node: &'a Node,
    seen: &'s RefCell<Vec<&'a Node>>,
}

impl<'a, 's> NodeDeserializer<'a, 's> {
    pub(super) fn new(node: &'a Node, seen: &'s RefCell<Vec<&'a Node>>) -> Self {
        Self { node, seen }
    }

    fn expected(self, what: &str) -> Error {
        de::Error::custom(format_args!("expected {what}, found {}", self.node.value.kind()))
    }

    /// The text of a source that knows nothing else.
    fn bare_text(self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) if self.node.origin.text_only => Some(text),
            Value::Bool(_)
            | Value::Float(_)
            | Value::Int(_)
            | Value::List(_)
            | Value::Secret(_)
            | Value::Table(_)
            | Value::Text(_) => None,
        }
    }

    /// A secret, or text that counts as one where secrets may stand in clear.
    fn secret<'de, V: Visitor<'de>>(self, guarded: bool, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Secret(secret) => visitor.visit_newtype_struct(StrDeserializer::new(secret.expose())),
            Value::Text(text) if self.node.origin.inline_secrets => {
                self.seen.borrow_mut().push(self.node);
                visitor.visit_newtype_struct(StrDeserializer::new(text))
            }
            Value::Text(text) if guarded => visitor.visit_str(text),
            Value::Text(_) => Err(de::Error::custom(INLINE_SECRET)),
            Value::Bool(_) | Value::Float(_) | Value::Int(_) | Value::List(_) | Value::Table(_) => {
                Err(self.expected("{ env = \"…\" }, { file = \"…\" } or { credential = \"…\" }"))
            }
        }
    }
}

/// A whole number of any width: from text where the source knows text only.
macro_rules! integers {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let range = || format!("a whole number from {} to {}", <$type>::MIN, <$type>::MAX);
            if let Some(text) = self.bare_text() {
                return match text.trim().parse::<$type>() {
                    Ok(number) => visitor.$visit(number),
                    Err(_) => Err(de::Error::custom(format_args!("expected {}, found other text", range()))),
                };
            }
            let Value::Int(number) = self.node.value else { return Err(self.expected(&range())) };
            match <$type>::try_from(number) {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(de::Error::custom(format_args!("expected {}", range()))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Secret(_) => Err(de::Error::custom("a secret reference is not allowed here")),
            Value::Table(_) => self.deserialize_map(visitor),
            Value::Text(text) => visitor.visit_str(text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (self.bare_text().map(str::trim), &self.node.value) {
            (Some("true"), _) => visitor.visit_bool(true),
            (Some("false"), _) => visitor.visit_bool(false),
            (Some(_), _) => Err(de::Error::custom("expected true or false, found other text")),
            (None, Value::Bool(value)) => visitor.visit_bool(*value),
            (None, _) => Err(self.expected("true or false")),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.bare_text().map(|text| text.trim().parse()) {
            Some(Ok(number)) => visitor.visit_f64(number),
            Some(Err(_)) => Err(de::Error::custom("expected a number, found other text")),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Secret(_) => Err(de::Error::custom("a secret reference is not allowed here")),
            Value::Bool(_) | Value::Float(_) | Value::Int(_) | Value::List(_) | Value::Table(_) => {
                Err(self.expected("a string"))
            }
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match name {
            GUARDED => self.secret(true, visitor),
            ONE_OR_MANY if self.bare_text().is_none() && !matches!(self.node.value, Value::List(_)) => {
                visitor.visit_seq(Single(Some(self)))
            }
            ONE_OR_MANY => self.deserialize_seq(visitor),
            SECRET => self.secret(false, visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if let Some(text) = self.bare_text() {
            return visitor.visit_seq(Words { node: self.node, seen: self.seen, rest: Some(text) });
        }
        let Value::List(items) = &self.node.value else { return Err(self.expected("a list")) };
        visitor.visit_seq(Items { items: items.iter().enumerate(), seen: self.seen })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Table(table) = &self.node.value else { return Err(self.expected("a table")) };
        visitor.visit_map(Entries { current: None, rest: table.iter(), seen: self.seen })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_enum(text.trim().into_deserializer()),
            Value::Bool(_) | Value::Float(_) | Value::Int(_) | Value::List(_) | Value::Secret(_) | Value::Table(_) => {
                Err(self.expected(&format!("one of {}", words.join(", "))))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// The items of a list that are not hidden.
struct Items<'a, 's> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    seen: &'s RefCell<Vec<&'a Node>>,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((at, node)) = self.items.find(|(_, node)| !node.pruned) else { return Ok(None) };
        let item = NodeDeserializer { node, seen: self.seen };
        seed.deserialize(item).map(Some).map_err(|error| error.under(Step::Index(at)))
    }
}

/// A value that stands where a list may: its errors stay at the value itself.
struct Single<'a, 's>(Option<NodeDeserializer<'a, 's>>);

impl<'de> de::SeqAccess<'de> for Single<'_, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.0.take().map(|value| seed.deserialize(value)).transpose()
    }
}

/// The comma-separated words of a text-only source; its errors stay at the text itself.
struct Words<'a, 's> {
    node: &'a Node,
    seen: &'s RefCell<Vec<&'a Node>>,
    rest: Option<&'a str>,
}

impl<'de> de::SeqAccess<'de> for Words<'_, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(rest) = self.rest.take().filter(|rest| !rest.trim().is_empty()) else { return Ok(None) };
        let (word, rest) = match rest.split_once(',') {
            Some((word, rest)) => (word, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        let word = Node::new(Value::Text(word.trim().to_owned()), self.node.origin);
        let secrets = RefCell::new(Vec::new());
        let value = seed.deserialize(NodeDeserializer::new(&word, &secrets));
        if !secrets.into_inner().is_empty() {
            self.seen.borrow_mut().push(self.node);
        }
        value.map(Some).map_err(Error::here)
    }
}

/// The entries of a table that are not hidden.
struct Entries<'a, 's> {
    current: Option<(&'a String, &'a Node)>,
    rest: btree_map::Iter<'a, String, Node>,
    seen: &'s RefCell<Vec<&'a Node>>,
}

impl<'de> de::MapAccess<'de> for Entries<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.rest.find(|(_, node)| !node.pruned);
        let Some((key, _)) = self.current else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(key))
            .map(Some)
            .map_err(|error: Error| error.of_key().under(Step::Key(key.clone())))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some((key, node)) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(NodeDeserializer { node, seen: self.seen })
            .map_err(|error| error.under(Step::Key(key.clone())))
    }
}
