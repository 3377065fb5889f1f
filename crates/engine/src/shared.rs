//! What the stages that do I/O share: the running plan with its lanes, the store, time, tasks.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sms_core::{Clock, Country, ProviderName, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Plan;
use crate::blocked::BlockedBudget;
use crate::dispatch::Lane;
use crate::load::Load;
use crate::measure::{Measured, Measures};
use crate::notify::{Endpoints, WebhookPort};
use crate::telemetry::Telemetry;
use crate::waiters::Waiters;

/// Where randomness comes from; tests bring their own.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Fills `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's randomness, fetched for some dozens of messages at a time: a system call for every id would
/// cost more than all the rest of making one. No byte is handed out twice.
pub struct SystemEntropy(Mutex<Pool>);

struct Pool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

impl SystemEntropy {
    /// An empty pool.
    pub fn new() -> Self {
        Self(Mutex::new(Pool { bytes: [0; POOL_BYTES], used: POOL_BYTES }))
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Debug for SystemEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemEntropy")
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(POOL_BYTES) {
            if POOL_BYTES - pool.used < chunk.len() {
                system(&mut pool.bytes);
                pool.used = 0;
            }
            let used = pool.used;
            let fresh = pool.bytes.iter_mut().skip(used);
            chunk.iter_mut().zip(fresh).for_each(|(to, from)| *to = std::mem::take(from));
            pool.used += chunk.len();
        }
    }
}

fn system(bytes: &mut [u8]) {
    #[expect(
        clippy::expect_used,
        reason = "a system without randomness cannot make ids; nothing sensible is left to do"
    )]
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

/// What one system call fetches.
const POOL_BYTES: usize = 512;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) running: ArcSwap<Running>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) webhooks: Arc<dyn WebhookPort>,
    /// Tenants' own endpoints.
    pub(crate) endpoints: Endpoints,
    pub(crate) telemetry: Telemetry,
    pub(crate) waiters: Waiters,
    pub(crate) blocked: BlockedBudget,
    pub(crate) load: Load,
    /// Attempts and their follow-ups: a shutdown waits for them.
    pub(crate) tasks: TaskTracker,
    /// Begin nothing new.
    pub(crate) stop: CancellationToken,
    /// Give up what cannot be finished.
    pub(crate) halt: CancellationToken,
    /// A status changed: there may be somebody to tell.
    pub(crate) told: Notify,
}

/// A plan with the lanes that serve it; swapped together.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) plan: Arc<Plan>,
    pub(crate) lanes: BTreeMap<ProviderName, Arc<Lane>>,
}

impl Measures for Running {
    fn of(&self, provider: &ProviderName, country: Country) -> Measured {
        self.lanes.get(provider).map_or_else(Measured::default, |lane| lane.measured(country))
    }
}

impl Core {
    pub(crate) fn dice(&self) -> u32 {
        let mut bytes = [0; 4];
        self.entropy.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    pub(crate) fn id_entropy(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.entropy.fill(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_random_bytes_are_handed_out_twice() {
        let entropy = SystemEntropy::new();
        let draw = |_| {
            let mut bytes = [0; 10];
            entropy.fill(&mut bytes);
            bytes
        };
        let drawn: HashSet<[u8; 10]> = (0..2_000).map(draw).collect();
        assert_eq!(drawn.len(), 2_000);
        let mut long = [0; 2_000];
        entropy.fill(&mut long);
        assert!(long.chunks(20).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
    }
}
