//! A key that takes one value or a list of them: `country = "DE"`, `country = ["DE", "AT"]`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

use super::deserializer::ONE_OR_MANY;

/// One value or several, in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(Vec<T>);

impl<T> OneOrMany<T> {
    /// The values.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The values, owned.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T> From<Vec<T>> for OneOrMany<T> {
    fn from(values: Vec<T>) -> Self {
        Self(values)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ONE_OR_MANY, Values(PhantomData))
    }
}

struct Values<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Values<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            values.push(value);
        }
        Ok(OneOrMany(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Node, Origin, Value, parse_all};
    use serde_json::json;

    fn values(node: Node) -> Vec<String> {
        parse_all::<OneOrMany<String>>(&mut { node }).value.map(OneOrMany::into_vec).unwrap_or_default()
    }

    #[test]
    fn one_value_a_list_and_environment_text_all_do() {
        assert_eq!(values(Node::from_json(json!("a,b"), Origin::BUILT_IN)), ["a,b"]);
        assert_eq!(values(Node::from_json(json!(["a", "b"]), Origin::BUILT_IN)), ["a", "b"]);
        let env = Origin { text_only: true, ..Origin::BUILT_IN };
        assert_eq!(values(Node::new(Value::Text("a, b".to_owned()), env)), ["a", "b"]);
    }

    #[test]
    fn a_fault_in_the_only_value_points_at_it() {
        let mut node = Node::from_json(json!({ "k": 5 }), Origin::BUILT_IN);
        let faults = parse_all::<std::collections::BTreeMap<String, OneOrMany<String>>>(&mut node).faults;
        assert_eq!(faults.iter().map(|f| f.path.to_string()).collect::<Vec<_>>(), ["k"]);
    }
}
