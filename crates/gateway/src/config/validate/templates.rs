//! Templates: texts that compile, tenants that exist.

use sms_core::options::{Path, Value};

use super::{Check, TextFinding, codes};
use crate::config::schema::Template;

impl Check<'_> {
    pub(super) fn templates(&mut self) {
        for (name, template) in &self.config.templates {
            let path = Path::new().key("templates").key(name);
            let tenants = path.clone().key("tenants");
            for (at, tenant) in template.tenants.iter().flatten().enumerate() {
                let path = self.item(&tenants, at);
                self.reference(&codes::NO_SUCH_TENANT, "tenants", path, tenant);
            }
            if template.texts.is_empty() && template.clients.is_empty() && !self.tree.has_faults(&path) {
                let title = format!("template `{name}` has no text");
                self.at_key(&codes::MISSING_KEY, path.clone(), title, "add `en = \"…\"`");
            }
            self.domain(template, &path);
        }
        for finding in (self.hooks.templates)(&self.config.templates) {
            self.text(finding);
        }
    }

    fn domain(&mut self, template: &Template, path: &Path) {
        let fits = |domain: &str| {
            domain.contains('.')
                && domain.split('.').all(|label| !label.is_empty())
                && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        };
        if template.autofill_domain.as_deref().is_some_and(|domain| !fits(domain)) {
            self.bound(path.clone().key("autofill_domain"), "a domain such as \"acme.example\"");
        }
    }

    fn text(&mut self, finding: TextFinding) {
        let TextFinding { client, help, language, message, template, warning } = finding;
        let mut path = Path::new().key("templates").key(&template);
        if let Some(client) = client {
            path = path.key("client").key(client);
        }
        if let Some(language) = &language {
            path = self.written(&path, language);
        }
        let code = if warning { &codes::DOUBTFUL_TEXT } else { &codes::BAD_TEMPLATE };
        let title = match language {
            Some(language) => format!("template `{template}` in `{language}`: {message}"),
            None => format!("template `{template}`: {message}"),
        };
        if self.tree.root.find(&path).is_some_and(|node| matches!(node.value, Value::Text(_))) {
            self.at_value(code, path, title, help);
        } else {
            self.at_key(code, path, title, help);
        }
    }

    /// The path of a language as it was written: `pt_BR` is kept as `pt-BR`.
    fn written(&self, table: &Path, language: &str) -> Path {
        let same = |key: &str| key.replace('_', "-").eq_ignore_ascii_case(language);
        let key = self.tree.root.table(table).map(|(key, _)| key).find(|key| same(key)).unwrap_or(language);
        table.clone().key(key)
    }
}
