//! Routes: providers and templates that exist, conditions that can hold, an order that reaches all.

use std::collections::BTreeSet;
use std::time::Duration;

use sms_core::Class;
use sms_core::options::{OneOrMany, Path, Span};

use super::{Check, codes};
use crate::config::problem::place;
use crate::config::schema::{Prefer, Route, When};

impl Check<'_> {
    pub(super) fn routes(&mut self) {
        let (config, list) = (self.config, Path::new().key("routes"));
        let mut closed: Option<&str> = None;
        for (position, route) in self.positions(&list).into_iter().zip(&config.routes) {
            let path = list.clone().index(position);
            self.candidates(route, &path);
            self.conditions(&route.when, &path.clone().key("when"));
            self.bounds(route, &path);
            if route.prefer == Prefer::Cost {
                let title = format!("route `{}` has a preference that this version does not follow", route.id);
                self.at_value(
                    &codes::PREFER_NOT_BUILT,
                    path.clone().key("prefer"),
                    title,
                    "\"delivery\" and \"latency\" are measured; prices are not known yet",
                );
            }
            if let Some(template) = &route.template {
                self.reference(&codes::NO_SUCH_TEMPLATE, "templates", path.clone().key("template"), template);
            }
            if let Some(before) = closed {
                let title = format!("no message can reach route `{}`", route.id);
                let help = format!("route `{before}` before it takes every message");
                self.at_value(&codes::UNREACHABLE_ROUTE, path.clone().key("id"), title, help);
            // Conditions with faults are hidden: the route only looks as if it had none.
            } else if route.when == When::default() && !self.tree.has_faults(&path.clone().key("when")) {
                closed = Some(&route.id);
            }
        }
        let any = self.tree.root.find(&list).is_some();
        if !any {
            let title = "no message can be sent: there are no routes".to_owned();
            self.at_key(&codes::NO_ROUTES, list, title, "add a [[routes]] entry with `use`");
        }
    }

    fn candidates(&mut self, route: &Route, path: &Path) {
        let (uses, split) = (path.clone().key("use"), path.clone().key("split"));
        let mut seen = BTreeSet::new();
        for name in route.split.keys() {
            self.reference(&codes::NO_SUCH_PROVIDER, "providers", split.clone().key(name), name);
            seen.insert(name.as_str());
        }
        for (at, name) in route.uses.iter().enumerate() {
            let position = self.item(&uses, at);
            self.reference(&codes::NO_SUCH_PROVIDER, "providers", position.clone(), name);
            if !seen.insert(name) {
                let title = format!("route `{}` uses provider `{name}` twice", route.id);
                self.at_value(&codes::DUPLICATE_PROVIDER, position, title, "remove one of the two");
            }
        }
        if seen.is_empty() && !self.tree.has_faults(&uses) && !self.tree.has_faults(&split) {
            let title = format!("route `{}` uses no provider", route.id);
            self.at_value(&codes::NO_PROVIDER, path.clone().key("id"), title, "add `use = [\"NAME\"]`");
        }
        if !route.split.is_empty() && route.split.values().all(|weight| *weight == 0) {
            self.bound(split, "at least one weight above 0");
        }
    }

    fn conditions(&mut self, when: &When, path: &Path) {
        let (country, tenant) = (path.clone().key("country"), path.clone().key("tenant"));
        for (at, name) in when.tenant.iter().flat_map(OneOrMany::as_slice).enumerate() {
            let path = self.item(&tenant, at);
            self.reference(&codes::NO_SUCH_TENANT, "tenants", path, name);
        }
        if let Some(countries) = &when.country {
            self.countries_exist(&country, countries.as_slice());
        }
    }

    fn bounds(&mut self, route: &Route, path: &Path) {
        if !(1..=2).contains(&route.max_copies) {
            self.bound(path.clone().key("max_copies"), "1 or 2");
        }
        let ttl = path.clone().key("ttl");
        let classes =
            [("otp", route.ttl.otp, Class::Otp), ("transactional", route.ttl.transactional, Class::Transactional)];
        for (key, span, class) in classes {
            let max = class.ttl_max();
            if span.is_some_and(|span| span.as_duration() < TTL_MIN || span.as_duration() > max) {
                self.bound(ttl.clone().key(key), &format!("between 1s and {}", Span::from(max)));
            }
        }
        if route.when.metadata.keys().any(String::is_empty) {
            let path = path.clone().key("when").key("metadata");
            let title = format!("a metadata key{} is empty", place(&path, self.tree));
            self.at_key(&codes::INVALID_VALUE, path, title, "name the key");
        }
    }
}

/// Less cannot be kept.
const TTL_MIN: Duration = Duration::from_secs(1);
