//! Templates: texts that compile and say something, tenants that exist.

use sms_core::options::Path;

use super::{Check, codes};
use crate::config::schema::{Template, Texts};

impl Check<'_> {
    pub(super) fn templates(&mut self) {
        for (name, template) in &self.config.templates {
            let path = Path::new().key("templates").key(name);
            let tenants = path.clone().key("tenants");
            for (position, tenant) in self.positions(&tenants).into_iter().zip(template.tenants.iter().flatten()) {
                self.reference(&codes::NO_SUCH_TENANT, "tenants", tenants.clone().index(position), tenant);
            }
            if template.texts.is_empty() && template.clients.is_empty() && !self.tree.has_faults(&path) {
                let title = format!("template `{name}` has no text");
                self.at_key(&codes::MISSING_KEY, path.clone(), title, "add `en = \"…\"`");
            }
            self.domain(template, &path);
            self.texts(name, &template.texts, &path);
            for (client, texts) in &template.clients {
                self.texts(name, texts, &path.clone().key("client").key(client));
            }
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

    fn texts(&mut self, name: &str, texts: &Texts, path: &Path) {
        for (language, text) in texts {
            let path = self.written(path, language.as_str());
            match (self.hooks.template)(text) {
                Ok(variables) => {
                    let says = |variable: &String| {
                        let first = variable.split('.').next().unwrap_or_default();
                        VARIABLES.contains(&first)
                    };
                    if !variables.iter().any(says) {
                        let title = format!("template `{name}` names no variable in `{language}`");
                        self.at_value(&codes::NO_VARIABLE, path, title, "use {{ code }} or {{ text }}");
                    }
                }
                Err(error) => {
                    let title = format!("template `{name}` cannot be compiled in `{language}`");
                    self.at_value(&codes::BAD_TEMPLATE, path, title, error);
                }
            }
        }
    }

    /// The path of a language as it was written: `pt_BR` is kept as `pt-BR`.
    fn written(&self, table: &Path, language: &str) -> Path {
        let same = |key: &str| key.replace('_', "-").eq_ignore_ascii_case(language);
        let key = self.tree.root.table(table).map(|(key, _)| key).find(|key| same(key)).unwrap_or(language);
        table.clone().key(key)
    }
}

/// What every text may name; requests can bring more.
const VARIABLES: [&str; 12] = [
    "action",
    "client_id",
    "client_metadata",
    "client_name",
    "code",
    "factor",
    "ip",
    "locale",
    "minutes",
    "organization",
    "text",
    "user",
];
