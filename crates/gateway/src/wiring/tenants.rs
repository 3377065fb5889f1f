//! `[tenants.NAME]` as the engine reads them, with what the surfaces need beside.

use std::collections::BTreeMap;
use std::sync::Arc;

use sms_core::TenantId;
use sms_engine::plan::{self, Language};

use super::{Keys, Unwired};
use crate::config::schema::{self, Tenant};
use crate::surface::{Passwordless, Verifier};

/// Whose each key is.
pub(super) fn keys(tenants: &BTreeMap<String, Tenant>) -> Keys {
    let of_tenant = |(name, tenant): (&String, &Tenant)| {
        let id = TenantId::new(name.as_str());
        tenant.keys.iter().map(move |key| (*key.as_bytes(), id.clone())).collect::<Vec<_>>()
    };
    tenants.iter().flat_map(of_tenant).collect()
}

/// What the engine and what the surfaces read of tenants.
type Wired = (BTreeMap<TenantId, Arc<plan::Tenant>>, Vec<Passwordless>);

pub(super) fn wire(tenants: BTreeMap<String, Tenant>) -> Result<Wired, Unwired> {
    let (mut wired, mut verifiers) = (BTreeMap::new(), Vec::new());
    for (name, tenant) in tenants {
        let Tenant {
            clients,
            default_country,
            keys: _, // hashed into one table for all tenants
            languages,
            name: shown,
            passwordless,
            sender_by_country,
            senders,
            template,
            webhook,
        } = tenant;
        let id = TenantId::new(name.as_str());
        if let Some(settings) = passwordless {
            verifiers.push(passwordless_of(&id, settings)?);
        }
        let tenant = plan::Tenant {
            name: shown.unwrap_or(name),
            id: id.clone(),
            clients: clients.map(|clients| clients.into_iter().collect()),
            senders,
            sender_by_country,
            languages: languages.iter().filter_map(|language| Language::parse(language.as_str())).collect(),
            template,
            default_country,
            webhook: webhook.map(webhook_of),
        };
        wired.insert(id, Arc::new(tenant));
    }
    Ok((wired, verifiers))
}

fn webhook_of(webhook: schema::Webhook) -> plan::Webhook {
    let schema::Webhook { disable_after, old_secret, private, secret, url } = webhook;
    plan::Webhook {
        url: url.as_str().to_owned(),
        private,
        secrets: std::iter::once(secret).chain(old_secret).collect(),
        disable_after: disable_after.as_duration(),
    }
}

fn passwordless_of(tenant: &TenantId, settings: schema::Passwordless) -> Result<Passwordless, Unwired> {
    let schema::Passwordless { audience, secret, secret_base64, subject } = settings;
    let verifier = Verifier::new(&secret, secret_base64, subject, audience)
        .ok_or_else(|| Unwired::new(format!("tenants.{tenant}.passwordless.secret is not base64")))?;
    Ok(Passwordless { tenant: tenant.clone(), verifier })
}
