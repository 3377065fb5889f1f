//! Requests refused for their destination or by a limit: counted, and written into the history without text.
//! How many a tenant may write is bounded: an attack must not fill the disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sms_core::store::{Blocked, Details, Leased, NewMessage, RouteTrace};
use sms_core::{Body, Channel, Class, Encoding, MessageId, Msisdn, Sender, TenantId};
use tokio::time::Instant;

use crate::plan::Tenant;
use crate::refusal::Code;
use crate::request::SendRequest;
use crate::shared::Core;

/// Lines per tenant and second, on all nodes together.
const LINES_MAX: u32 = 100;

/// One bucket a tenant; tenants are configured, so the map is bounded.
#[derive(Debug, Default)]
pub(crate) struct BlockedBudget {
    seconds: Mutex<HashMap<TenantId, (Instant, u32)>>,
}

impl BlockedBudget {
    /// Takes one line of this second's budget.
    pub(crate) fn allows(&self, tenant: &TenantId, nodes: usize, now: Instant) -> bool {
        let share = LINES_MAX / u32::try_from(nodes.max(1)).unwrap_or(u32::MAX);
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, lines) = seconds.entry(tenant.clone()).or_insert((now, 0));
        if now.duration_since(*began) >= Duration::from_secs(1) {
            (*began, *lines) = (now, 0);
        }
        *lines += 1;
        *lines <= share
    }
}

/// What is kept of a request until it is known whether its destination is refused.
pub(crate) struct Destination {
    to: String,
    class: Class,
    channel: Channel,
    client_id: Option<String>,
}

impl Destination {
    pub(crate) fn of(request: &SendRequest) -> Self {
        let SendRequest { to, class, channel, client_id, .. } = request;
        Self { to: to.clone(), class: *class, channel: *channel, client_id: client_id.clone() }
    }

    /// Counts and remembers a refusal that is about the destination; any other is the caller's mistake.
    pub(crate) fn refused(self, core: &Arc<Core>, tenant: &Tenant, code: Code) {
        if !matches!(code, Code::CountryNotAllowed | Code::TestNumber) {
            return;
        }
        let Ok(to) = Msisdn::parse(&self.to, tenant.default_country) else { return };
        core.telemetry.blocked(&tenant.id, to.country(), code);
        let Some(sender) = tenant.senders.first().cloned().or_else(|| Sender::parse("-none-")) else { return };
        let created = core.clock.now();
        let id = MessageId::new(created, core.id_entropy());
        let details = Details {
            class: self.class,
            channel: self.channel,
            sender,
            encoding: Encoding::Gsm7,
            units: 0,
            segments: 0,
            client_id: self.client_id,
            language: None,
            template: None,
            reference: None,
            metadata: None,
            callback_url: None,
            notify: false,
            route: RouteTrace {
                rule: String::new(),
                candidates: Vec::new(),
                why: "refused before routing".to_owned(),
                copies_max: 1,
                unknown_wait: Duration::ZERO,
            },
        };
        let body = Body::new(String::new());
        let message = NewMessage { id, tenant: tenant.id.clone(), created, expires: created, to, body, details };
        let core = Arc::clone(core);
        core.tasks.clone().spawn(async move { write(&core, message, code).await });
    }
}

/// Remembers a request that a limit refused.
pub(crate) async fn remember(core: &Core, first: Leased, code: Code) {
    let Leased { id, tenant, created, expires, to, details, .. } = first;
    write(core, NewMessage { id, tenant, created, expires, to, body: Body::new(String::new()), details }, code).await;
}

/// A failure loses a line of history, nothing else.
async fn write(core: &Core, message: NewMessage, code: Code) {
    if !core.blocked.allows(&message.tenant, core.store.nodes(), Instant::now()) {
        return;
    }
    if let Err(error) = core.store.block(vec![Blocked { message, code: code.as_str().to_owned() }]).await {
        tracing::warn!(error.kind = "store", "a refused request could not be written into the history: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_writes_a_hundred_lines_a_second() {
        let (budget, tenant) = (BlockedBudget::default(), TenantId::new("acme"));
        let written = |n: u32| (0..n).filter(|_| budget.allows(&tenant, 1, Instant::now())).count();
        assert_eq!(written(1_000), 100);
        assert!(budget.allows(&TenantId::new("other"), 1, Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(written(1_000), 100);
        tokio::time::advance(Duration::from_secs(1)).await;
        let written = (0..1_000).filter(|_| budget.allows(&tenant, 3, Instant::now())).count();
        assert_eq!(written, 33, "each of three nodes its share");
    }
}
