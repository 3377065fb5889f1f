//! How many refused requests a tenant may write into the history: an attack must not fill the disk.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sms_core::TenantId;
use tokio::time::Instant;

/// Lines per tenant and second.
const LINES_MAX: u32 = 100;

/// One bucket a tenant; tenants are configured, so the map is bounded.
#[derive(Debug, Default)]
pub(crate) struct BlockedBudget {
    seconds: Mutex<HashMap<TenantId, (Instant, u32)>>,
}

impl BlockedBudget {
    /// Takes one line of this second's budget.
    pub(crate) fn allows(&self, tenant: &TenantId, now: Instant) -> bool {
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, lines) = seconds.entry(tenant.clone()).or_insert((now, 0));
        if now.duration_since(*began) >= Duration::from_secs(1) {
            (*began, *lines) = (now, 0);
        }
        *lines += 1;
        *lines <= LINES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_writes_a_hundred_lines_a_second() {
        let (budget, tenant) = (BlockedBudget::default(), TenantId::new("acme"));
        let written = |n: u32| (0..n).filter(|_| budget.allows(&tenant, Instant::now())).count();
        assert_eq!(written(1_000), 100);
        assert!(budget.allows(&TenantId::new("other"), Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(written(1_000), 100);
    }
}
