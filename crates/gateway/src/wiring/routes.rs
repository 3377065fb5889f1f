//! `[[routes]]` as the engine reads them.

use sms_core::options::{OneOrMany, Span};
use sms_core::{ProviderName, TenantId};
use sms_engine::plan::{self, Choice, ClassTtl, Rule};

use crate::config::schema::{self, Prefer, Route, When};

pub(super) fn rule(route: Route) -> Rule {
    let Route { id, max_copies, prefer, sender, split, template, ttl, unknown_wait, uses, when } = route;
    let prefer = match prefer {
        Prefer::Delivery => plan::Prefer::Delivery,
        Prefer::Latency => plan::Prefer::Latency,
        // Prices are not known yet: the order or weights as written hold.
        Prefer::Cost | Prefer::None => plan::Prefer::None,
    };
    let schema::ClassTtl { otp, transactional } = ttl;
    let uses = uses.into_iter().map(ProviderName::new);
    let choice = if split.is_empty() {
        Choice::Use(uses.collect())
    } else {
        // Those of `use` are never drawn and come last, as written.
        let weighed = split.into_iter().map(|(name, weight)| (ProviderName::new(name), weight));
        Choice::Split(weighed.chain(uses.map(|name| (name, 0))).collect())
    };
    Rule {
        id,
        when: conditions(when),
        choice,
        prefer,
        template,
        sender,
        copies_max: max_copies,
        unknown_wait: unknown_wait.as_duration(),
        ttl: ClassTtl { otp: otp.map(Span::as_duration), transactional: transactional.map(Span::as_duration) },
    }
}

fn conditions(when: When) -> plan::When {
    let When { action, channel, class, client_id, country, factor, hours, language, metadata, prefix, tenant } = when;
    plan::When {
        tenant: list(tenant.as_ref(), |name| Some(TenantId::new(name))),
        client_id: list(client_id.as_ref(), Some),
        language: list(language.as_ref(), |language| plan::Language::parse(language.as_str())),
        country: list(country.as_ref(), Some),
        prefix: list(prefix.as_ref(), |prefix| Some(prefix.as_str().trim_start_matches('+').to_owned())),
        channel: list(channel.as_ref(), Some),
        class: list(class.as_ref(), Some),
        action: list(action.as_ref(), Some),
        factor: list(factor.as_ref(), Some),
        hours: list(hours.as_ref(), |hours| Some(span_of_day(&hours))),
        metadata: metadata.into_iter().map(|(key, values)| (key, list(Some(&values), Some))).collect(),
    }
}

fn span_of_day(hours: &schema::Hours) -> plan::Hours {
    plan::Hours {
        from: hours.from_minute(),
        to: hours.to_minute(),
        zone: hours.zone().clone(),
        text: hours.as_str().to_owned(),
    }
}

fn list<T: Clone, U>(values: Option<&OneOrMany<T>>, each: impl Fn(T) -> Option<U>) -> Vec<U> {
    values.into_iter().flat_map(OneOrMany::as_slice).cloned().filter_map(each).collect()
}
