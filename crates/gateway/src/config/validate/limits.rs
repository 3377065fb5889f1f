//! Limits and countries: entries that limit something, lists that do not contradict each other.

use std::collections::BTreeSet;

use sms_core::options::Path;

use super::{Check, codes};

impl Check<'_> {
    pub(super) fn limits(&mut self) {
        let (config, list) = (self.config, Path::new().key("limits"));
        if config.limits.is_empty() && !self.tree.has_faults(&list) {
            let title = "no limit holds: one number can be sent any number of messages".to_owned();
            self.at_value(&codes::NO_LIMITS, list.clone(), title, "remove the line to have the built-in limit");
        }
        for (position, limit) in self.positions(&list).into_iter().zip(&config.limits) {
            let path = list.clone().index(position);
            let (allow, per) = (path.clone().key("allow"), path.clone().key("per"));
            if limit.allow.is_empty() && !self.tree.has_faults(&allow) {
                self.bound(allow, "at least one, such as \"5/10m\"");
            }
            if limit.per.is_empty() && !self.tree.has_faults(&per) {
                self.bound(per.clone(), "at least one, such as \"recipient\"");
            }
            let distinct: BTreeSet<_> = limit.per.iter().collect();
            if distinct.len() < limit.per.len() {
                self.bound(per, "each key once");
            }
        }
        self.countries();
    }

    fn countries(&mut self) {
        let (countries, path) = (&self.config.countries, Path::new().key("countries"));
        let (allow, block) = (path.clone().key("allow"), path.key("block"));
        self.countries_exist(&allow, &countries.allow);
        self.countries_exist(&block, &countries.block);
        for (at, country) in countries.block.iter().enumerate() {
            if countries.allow.contains(country) {
                let item = self.item(&block, at);
                let title = format!("country {country} is both allowed and blocked");
                self.at_value(&codes::CONTRADICTION, item, title, "remove it from one of the lists");
            }
        }
    }
}
