//! Providers: known kinds, options their factory takes, safe URLs.

use sms_core::options::{BaseUrl, Node, Path, Span, Value};

use super::{Check, Mode, codes};
use crate::config::nearest::nearest;
use crate::config::problem::{Problem, insecure_url};
use crate::config::schema::Provider;

impl Check<'_> {
    pub(super) fn providers(&mut self) {
        for (name, provider) in &self.config.providers {
            let path = Path::new().key("providers").key(name);
            self.kind(name, provider, &path);
            let tenants = path.clone().key("tenants");
            for (at, tenant) in provider.common.tenants.iter().flatten().enumerate() {
                let path = self.item(&tenants, at);
                self.reference(&codes::NO_SUCH_TENANT, "tenants", path, tenant);
            }
            if provider.common.concurrency == 0 {
                self.bound(path.clone().key("concurrency"), "at least 1");
            }
            if provider.common.timeout == Span::default() {
                self.bound(path.clone().key("timeout"), "more than nothing");
            }
            self.urls(provider, &path);
        }
        let public = self.config.server.public_url.is_some();
        let reports = self.config.providers.values().any(|provider| provider.common.kind != MOCK);
        if reports && !public && self.mode == Mode::Serve {
            let title = "no receipts will come: server.public_url is not set".to_owned();
            self.at_key(
                &codes::NO_PUBLIC_URL,
                Path::new().key("server").key("public_url"),
                title,
                "set it to the https:// address that leads to server.listen",
            );
        }
    }

    fn kind(&mut self, name: &str, provider: &Provider, path: &Path) {
        let kind = provider.common.kind.as_str();
        if !self.hooks.kinds.contains(&kind) {
            let known = self.hooks.kinds.join(", ");
            let help = match nearest(kind, self.hooks.kinds.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"? this build knows: {known}"),
                None => format!("this build knows: {known}"),
            };
            let title = format!("provider `{name}` is of a kind this build does not have");
            self.at_value(&codes::NO_SUCH_KIND, path.clone().key("kind"), title, help);
            return;
        }
        for fault in (self.hooks.provider)(name, provider) {
            self.problems.push(Problem::of_fault(fault, self.tree));
        }
        if kind == MOCK && self.mode == Mode::Serve {
            let title = format!("provider `{name}` is a mock: what is routed to it reaches nobody");
            self.at_value(&codes::MOCK_IN_SERVE, path.clone().key("kind"), title, "fine for tests");
        }
    }

    /// Whatever the kind: no URL of a provider leads to another machine in clear unannounced.
    fn urls(&mut self, provider: &Provider, path: &Path) {
        let options = provider.options.node();
        let insecure = options.table(&Path::new()).any(|(key, node)| {
            key == "insecure" && matches!(&node.value, Value::Bool(true)) || is_true_text(key, node)
        });
        let urls: Vec<_> = options
            .table(&Path::new())
            .filter(|(key, node)| key.ends_with("url") && leads_away(node, insecure))
            .map(|(key, _)| path.clone().key(key))
            .collect();
        for url in urls {
            self.problems.push(insecure_url(url, self.tree));
        }
    }
}

/// `insecure` from the environment.
fn is_true_text(key: &str, node: &Node) -> bool {
    key == "insecure" && node.origin.text_only && matches!(&node.value, Value::Text(text) if text.trim() == "true")
}

fn leads_away(node: &Node, insecure: bool) -> bool {
    let Value::Text(text) = &node.value else { return false };
    text.trim().parse::<BaseUrl>().is_ok_and(|url| url.checked(insecure).is_err())
}

/// The kind that reaches nobody.
const MOCK: &str = "mock";
