//! `[templates.NAME]`: texts by language, and by application. Languages are keys beside the fixed
//! ones, so this table is read by hand.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::values::Language;

/// Texts by language.
pub type Texts = BTreeMap<Language, String>;

/// One message text in its languages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Whether variables may hold links.
    pub allow_links: bool,
    /// Adds the line `@DOMAIN #CODE` by which phones offer the code to that site only.
    pub autofill_domain: Option<String>,
    /// Texts of single applications, by client id; languages they lack fall back to `texts`.
    pub clients: BTreeMap<String, Texts>,
    /// Tenants that may use this template; `None` is every one.
    pub tenants: Option<Vec<String>>,
    /// Texts by language.
    pub texts: Texts,
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TemplateVisitor)
    }
}

struct TemplateVisitor;

impl<'de> Visitor<'de> for TemplateVisitor {
    type Value = Template;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Template, A::Error> {
        let mut template = Template::default();
        while let Some(key) = entries.next_key()? {
            match key {
                Key::AllowLinks => template.allow_links = entries.next_value()?,
                Key::AutofillDomain => template.autofill_domain = Some(entries.next_value()?),
                Key::Client => template.clients = entries.next_value()?,
                Key::Text(language) => drop(template.texts.insert(language, entries.next_value()?)),
                Key::Tenants => template.tenants = Some(entries.next_value()?),
            }
        }
        Ok(template)
    }
}

enum Key {
    AllowLinks,
    AutofillDomain,
    Client,
    Tenants,
    Text(Language),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key of a template, or a language such as \"fr\"")
            }

            fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
                match key {
                    "allow_links" => Ok(Key::AllowLinks),
                    "autofill_domain" => Ok(Key::AutofillDomain),
                    "client" => Ok(Key::Client),
                    "tenants" => Ok(Key::Tenants),
                    language => match language.parse() {
                        Ok(language) => Ok(Key::Text(language)),
                        Err(_) => Err(E::unknown_field(key, KEYS)),
                    },
                }
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// The fixed keys, and how a language looks.
pub(super) const KEYS: &[&str] =
    &["allow_links", "autofill_domain", "client", "tenants", "a language such as en or pt-BR"];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sms_core::options::{Node, Origin, What, parse_all};

    #[test]
    fn languages_stand_beside_the_fixed_keys() {
        let json =
            json!({ "autofill_domain": "a.example", "en": "1", "pt_BR": "2", "client": { "ios": { "en": "3" } } });
        let template = parse_all::<Template>(&mut Node::from_json(json, Origin::BUILT_IN)).value.unwrap();
        let texts: Vec<_> = template.texts.iter().map(|(l, t)| (l.as_str(), t.as_str())).collect();
        assert_eq!(texts, [("en", "1"), ("pt-BR", "2")]);
        assert_eq!(template.clients.get("ios").unwrap().len(), 1);
    }

    #[test]
    fn a_key_that_is_no_language_is_unknown() {
        let json = json!({ "autofil_domain": "a", "english": "x", "en": 5, "client": { "ios": { "englisch": "x" } } });
        let faults = parse_all::<Template>(&mut Node::from_json(json, Origin::BUILT_IN)).faults;
        let mut told: Vec<_> =
            faults.iter().map(|f| (f.path.to_string(), matches!(f.what, What::Unknown(_)))).collect();
        told.sort();
        let expected = [("autofil_domain", true), ("client.ios.englisch", false), ("en", false), ("english", true)];
        assert_eq!(told, expected.map(|(path, unknown)| (path.to_owned(), unknown)));
    }
}
