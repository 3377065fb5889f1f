//! Tenants: keys that tell who asks, and what tenants refer to.

use std::collections::BTreeMap;

use sms_core::options::Path;

use super::{Check, codes};
use crate::config::schema::KeyHash;

impl Check<'_> {
    pub(super) fn tenants(&mut self) {
        let mut owners: BTreeMap<KeyHash, &str> = BTreeMap::new();
        for (name, tenant) in &self.config.tenants {
            let path = Path::new().key("tenants").key(name);
            if let Some(template) = &tenant.template {
                self.reference(&codes::NO_SUCH_TEMPLATE, "templates", path.clone().key("template"), template);
            }
            let keys = path.clone().key("keys");
            for (at, key) in tenant.keys.iter().enumerate() {
                let owner = *owners.entry(*key).or_insert(name);
                if owner != name {
                    let title = format!("tenants `{owner}` and `{name}` have the same key");
                    let path = self.item(&keys, at);
                    self.at_value(&codes::DUPLICATE_KEY, path, title, "create another one for one of them");
                }
            }
            let faulty = self.tree.has_faults(&path);
            if tenant.keys.is_empty() && tenant.passwordless.is_none() && !faulty {
                let title = format!("tenant `{name}` has no key, so nobody can use it");
                let help = format!("run `gateway keys create --tenant {name}`");
                self.at_key(&codes::NO_KEYS, path.clone(), title, help);
            }
        }
    }
}
