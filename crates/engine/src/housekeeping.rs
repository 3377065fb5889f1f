//! Work that time brings: ending what expired, forgetting what is old.

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::PurgePolicy;

use crate::dispatch::announce;
use crate::shared::Core;

/// How often waiting messages are checked for their time to live.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// Messages ended in one go: sweeping must not hold up accepts.
const SWEEP_MAX: usize = 512;

/// How often old rows are forgotten.
const PURGE_EVERY: Duration = Duration::from_mins(1);

/// Rows of a kind forgotten in one go: a purge must not hold up accepts.
const PURGE_MAX: usize = 500;

/// Ends waiting messages whose time to live passed, until the engine stops.
pub(crate) async fn sweep(core: Arc<Core>) {
    loop {
        tokio::select! {
            biased; // chance would make a simulated seed go another way
            () = core.stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
        core.load.look();
        while sweep_some(&core).await && !core.stop.is_cancelled() {}
    }
}

/// Ends at most [`SWEEP_MAX`]; whether more may be left.
async fn sweep_some(core: &Core) -> bool {
    match core.store.sweep(core.clock.now(), SWEEP_MAX).await {
        Ok(changes) => {
            for change in &changes {
                announce(core, change, None);
            }
            changes.len() >= SWEEP_MAX
        }
        Err(error) => {
            tracing::error!(error.kind = "store", "expired messages could not be ended: {error}");
            false
        }
    }
}

/// Forgets what is older than the policy allows, until the engine stops.
pub(crate) async fn purge(core: Arc<Core>, policy: PurgePolicy) {
    loop {
        tokio::select! {
            biased; // chance would make a simulated seed go another way
            () = core.stop.cancelled() => return,
            () = tokio::time::sleep(PURGE_EVERY) => {}
        }
        loop {
            match core.store.purge(policy, core.clock.now(), PURGE_MAX).await {
                Ok(purged) if purged.is_full(PURGE_MAX) && !core.stop.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::error!(error.kind = "store", "old messages could not be purged: {error}");
                    break;
                }
            }
        }
    }
}
