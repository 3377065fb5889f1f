//! Ids: their form, and that each stands once.

use std::collections::BTreeMap;

use sms_core::options::Path;

use super::{Check, codes};

impl Check<'_> {
    pub(super) fn names(&mut self) {
        for section in ["providers", "templates", "tenants"] {
            for name in self.tree.names(section) {
                if !is_id(name) {
                    let title = format!("`{name}` is no name for a {}", section.trim_end_matches('s'));
                    self.at_key(&codes::INVALID_ID, Path::new().key(section).key(name), title, FORM);
                }
            }
        }
        let config = self.config;
        self.list_ids("limits", config.limits.iter().map(|limit| limit.id.as_str()).collect());
        self.list_ids("routes", config.routes.iter().map(|route| route.id.as_str()).collect());
    }

    fn list_ids(&mut self, section: &str, ids: Vec<&str>) {
        let list = Path::new().key(section);
        let what = section.trim_end_matches('s');
        let mut first: BTreeMap<&str, Path> = BTreeMap::new();
        for (position, id) in self.positions(&list).into_iter().zip(ids) {
            let path = list.clone().index(position).key("id");
            if !is_id(id) {
                self.at_value(&codes::INVALID_ID, path, format!("`{id}` is no id for a {what}"), FORM);
            } else if let Some(before) = first.get(id) {
                let help = match self.tree.line_of(before) {
                    Some(place) => format!("first used at {place}"),
                    None => "rename one of them".to_owned(),
                };
                self.at_value(&codes::DUPLICATE_ID, path, format!("two {section} have the id `{id}`"), help);
            } else {
                first.insert(id, path);
            }
        }
    }
}

/// `[a-z][a-z0-9_]*`, at most 64 characters.
fn is_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && text.len() <= 64
}

const FORM: &str = "expected lower-case letters, digits and underscores, beginning with a letter";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_words() {
        for id in ["a", "acme", "o2_smpp", "a1"] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "1a", "_a", "Acme", "a-b", "a.b", "ä", "a b"] {
            assert!(!is_id(id), "{id}");
        }
        assert!(!is_id(&"a".repeat(65)));
    }
}
