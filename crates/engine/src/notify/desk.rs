//! What an operator may ask and say about tenants' endpoints.

use sms_core::store::{Endpoint, Retelling};
use sms_core::{StoreError, TenantId, UnixMs};

use super::call::digest;
use super::endpoints::{Name, Why};
use crate::Engine;

/// A tenant's endpoint, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointState {
    /// Whose it is.
    pub tenant: TenantId,
    /// Host of its URL; the rest may hold a secret.
    pub host: String,
    /// Since when no call succeeded.
    pub failing_since: Option<UnixMs>,
    /// Since when it is not called any more.
    pub disabled_since: Option<UnixMs>,
    /// Why it is not called any more: `failing`, `gone` or `operator`.
    pub why: Option<String>,
}

/// Most changes told again by one request.
const RETELL_MAX: usize = 10_000;

/// Of these, changed in one commit: accepts must not wait for the others.
const RETELL_BATCH: usize = 500;

impl Engine {
    /// The endpoints of all tenants that have one.
    pub fn endpoints(&self) -> Vec<EndpointState> {
        let plan = self.plan();
        plan.tenants.keys().filter_map(|tenant| self.endpoint(tenant)).collect()
    }

    /// A tenant's endpoint; `None` when there is no such tenant, or it has none.
    pub fn endpoint(&self, tenant: &TenantId) -> Option<EndpointState> {
        let (name, host) = self.named(tenant)?;
        Some(shown(self.core.endpoints.get(&name), host))
    }

    /// Calls a tenant's endpoint no more; what it would be told is shelved.
    ///
    /// # Errors
    /// The store cannot be written: it holds until the next start.
    pub async fn disable_endpoint(&self, tenant: &TenantId) -> Result<Option<EndpointState>, StoreError> {
        let Some((name, host)) = self.named(tenant) else { return Ok(None) };
        let endpoint = self.core.endpoints.disable(&name, self.core.clock.now(), Why::Operator);
        self.core.telemetry.endpoint_disabled(tenant, true);
        tracing::warn!(tenant = %tenant, "the webhook of tenant {tenant} was disabled by the operator");
        self.core.store.set_endpoint(endpoint.clone()).await?;
        Ok(Some(shown(endpoint, host)))
    }

    /// Calls a tenant's endpoint again. What was shelved stays so until it is asked for: [`Engine::retell`].
    ///
    /// # Errors
    /// The store cannot be written: it holds until the next start.
    pub async fn enable_endpoint(&self, tenant: &TenantId) -> Result<Option<EndpointState>, StoreError> {
        let Some((name, host)) = self.named(tenant) else { return Ok(None) };
        let endpoint = self.core.endpoints.enable(&name);
        self.core.telemetry.endpoint_disabled(tenant, false);
        tracing::info!(tenant = %tenant, "the webhook of tenant {tenant} was enabled by the operator");
        self.core.store.set_endpoint(endpoint.clone()).await?;
        Ok(Some(shown(endpoint, host)))
    }

    /// Has a tenant told once more, up to a bound a time; says of how many changes.
    ///
    /// # Errors
    /// The store cannot be written; some may be told nevertheless.
    pub async fn retell(&self, tenant: &TenantId, what: Retelling) -> Result<u64, StoreError> {
        let now = self.core.clock.now();
        let told = match what {
            Retelling::Message(_) => self.core.store.retell(tenant, what, now).await?,
            Retelling::Shelved { since, until, max } => {
                let (mut told, mut left) = (0, max.min(RETELL_MAX));
                while left > 0 {
                    let some = Retelling::Shelved { since, until, max: left.min(RETELL_BATCH) };
                    let found = self.core.store.retell(tenant, some, now).await?;
                    if found == 0 {
                        break;
                    }
                    told += found;
                    left = left.saturating_sub(usize::try_from(found).unwrap_or(usize::MAX));
                }
                told
            }
        };
        self.core.told.notify_one();
        Ok(told)
    }

    fn named(&self, tenant: &TenantId) -> Option<(Name, String)> {
        let plan = self.plan();
        let webhook = plan.tenants.get(tenant)?.webhook.as_ref()?;
        Some((Name { tenant: tenant.clone(), url: digest(&webhook.url) }, host(&webhook.url)))
    }
}

/// Host and port of a URL that the configuration has checked.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned()
}

fn shown(endpoint: Endpoint, host: String) -> EndpointState {
    let Endpoint { tenant, url: _, failing_since, disabled_since, why } = endpoint;
    EndpointState { tenant, host, failing_since, disabled_since, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_the_host_is_shown() {
        for (url, shown) in [
            ("https://acme.example/sms?token=hidden", "acme.example"),
            ("https://acme.example:8443?t=hidden", "acme.example:8443"),
            ("http://[::1]:80/a", "[::1]:80"),
            ("https://acme.example", "acme.example"),
        ] {
            assert_eq!(host(url), shown);
        }
    }
}
