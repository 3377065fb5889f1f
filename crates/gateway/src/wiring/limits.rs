//! `[[limits]]` and `[countries]` as the engine reads them.

use sms_core::LimitId;
use sms_core::store::Charging;
use sms_engine::plan::{self, Dimension};

use crate::config::schema::{Countries, CountryDefault, Limit, LimitKey, LimitMode};

pub(super) fn limit(limit: Limit) -> plan::Limit {
    let Limit { allow, id, mode, per } = limit;
    let charging = match mode {
        LimitMode::Block => Charging::Block,
        LimitMode::Shadow => Charging::Shadow,
    };
    plan::Limit { id: LimitId::new(id), per: per.into_iter().map(dimension).collect(), windows: allow.into(), charging }
}

pub(super) fn countries(countries: Countries) -> plan::Countries {
    let Countries { allow, block, default } = countries;
    plan::Countries {
        default_block: default == CountryDefault::Block,
        allow: allow.into_iter().collect(),
        block: block.into_iter().collect(),
    }
}

fn dimension(key: LimitKey) -> Dimension {
    match key {
        LimitKey::ClientId => Dimension::ClientId,
        LimitKey::Country => Dimension::Country,
        LimitKey::EndUser => Dimension::EndUser,
        LimitKey::Ip => Dimension::Ip,
        LimitKey::Prefix => Dimension::Prefix,
        LimitKey::Recipient => Dimension::Recipient,
        LimitKey::Tenant => Dimension::Tenant,
    }
}
