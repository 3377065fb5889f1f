//! What the stages that do I/O share: the running plan with its lanes, the store, time, tasks.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sms_core::{Clock, ProviderName, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Plan;
use crate::blocked::BlockedBudget;
use crate::dispatch::Lane;
use crate::notify::WebhookPort;
use crate::telemetry::Telemetry;
use crate::waiters::Waiters;

/// Where randomness comes from; tests bring their own.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Fills `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's randomness.
#[derive(Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(
            clippy::expect_used,
            reason = "a system without randomness cannot make ids; nothing sensible is left to do"
        )]
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) running: ArcSwap<Running>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) webhooks: Arc<dyn WebhookPort>,
    pub(crate) telemetry: Telemetry,
    pub(crate) waiters: Waiters,
    pub(crate) blocked: BlockedBudget,
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
