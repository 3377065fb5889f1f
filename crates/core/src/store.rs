//! The store seam: what the engine needs kept, in the meaning of messages, not of tables or keys.
//!
//! Every operation is semantic and batch-shaped so that each back end writes its own best SQL. An
//! operation that returned `Ok` survives `kill -9`; one that returned `Err` changed nothing the caller
//! may rely on. Knows no back end.

mod message;
mod op;
mod query;

pub use message::{Blocked, Details, Entry, Leased, NewMessage, RouteTrace, Tried, Waiting, What};
pub use op::{
    Admit, Attempted, CancelOutcome, Change, Charge, Charging, Idempotency, Intent, LaneWant, NoticeOutcome, Outcome,
    Receipted, ReceivedReceipt, Replay, Reroute, Retelling, Settle, Settled, Then, Verdict,
};
pub use query::{Counts, Endpoint, Filter, Notice, NoticeId, NoticeWant, Page, PurgePolicy, Purged, Record};

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{MessageId, ProviderName, TenantId, UnixMs};

/// What keeps messages, limits, idempotency records and webhook notices.
///
/// Called by the engine only. A dropped future may or may not have taken effect; every write is
/// fenced or idempotent, so repeating it is safe.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// Decides each entry in one step: idempotency, then every limit, then the message with its first
    /// event (and first intent). Verdicts come in the order of the entries; entries see the effects of
    /// those before them.
    ///
    /// # Errors
    /// Nothing of the batch was accepted: the caller answers 503.
    async fn admit(&self, batch: Vec<Admit>) -> Result<Vec<Verdict>, StoreError>;

    /// Looks an idempotency key up before anything else is done with a request.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn replay(
        &self,
        tenant: &TenantId,
        idempotency: &Idempotency,
        now: UnixMs,
    ) -> Result<Option<Replay>, StoreError>;

    /// Records what became of attempts and what follows. Fenced by attempt number; matches parked
    /// receipts of a newly told upstream id; erases the body as soon as no attempt can follow.
    ///
    /// # Errors
    /// Nothing of the batch was recorded: the caller repeats it.
    async fn settle(&self, batch: Vec<Settle>) -> Result<Vec<Settled>, StoreError>;

    /// Matches receipts by message id, else by (upstream id, provider); parks the rest, bounded in
    /// number and for [`RECEIPT_PARKED`].
    ///
    /// # Errors
    /// Nothing of the batch was recorded: the provider is asked to repeat the callback.
    async fn receipts(&self, batch: Vec<ReceivedReceipt>) -> Result<Vec<Receipted>, StoreError>;

    /// Takes due messages out of the lanes, writing each one's next [`Intent`] (provider = lane)
    /// durably. Never returns an expired message. Cheap when nothing is due.
    ///
    /// # Errors
    /// Nothing was claimed.
    async fn claim(&self, wants: &[LaneWant], now: UnixMs) -> Result<Vec<Leased>, StoreError>;

    /// Shows messages that wait in a lane and are due, as many as [`Store::claim`] would take with the same want, without
    /// taking them or writing anything. Each call goes on where the last one ended and begins anew at the end, so that
    /// those that stay hide none; tenants take turns. Never shows an expired message. Cheap when nothing is due.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn stranded(&self, want: &LaneWant, now: UnixMs) -> Result<Vec<Waiting>, StoreError>;

    /// Has waiting messages wait elsewhere, durably and without an intent. Says of each whether it did: `false` where it
    /// no longer waits as the entry says.
    ///
    /// # Errors
    /// Nothing was moved.
    async fn reroute(&self, batch: Vec<Reroute>) -> Result<Vec<bool>, StoreError>;

    /// Messages whose intent is open although nobody works on them: what a crash left behind. Makes those due that wait
    /// for nothing but what the last process remembered; see [`Then::Later`]. Called once at start, before the first
    /// `admit`.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn orphans(&self) -> Result<Vec<Leased>, StoreError>;

    /// Messages whose intent is open with a node that died: they are this node's from now on, and an attempt of theirs
    /// may or may not have reached the provider. Asked about every second; cheap when there are none. A store that
    /// belongs to one process has none.
    ///
    /// # Errors
    /// The store cannot be read or written.
    async fn adopt(&self, _now: UnixMs) -> Result<Vec<Leased>, StoreError> {
        Ok(Vec::new())
    }

    /// How many nodes live on this store, this one included; at least 1. From memory: a few seconds old at most.
    fn nodes(&self) -> usize {
        1
    }

    /// The lanes that hold waiting messages.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn lanes(&self) -> Result<Vec<ProviderName>, StoreError>;

    /// Ends up to `max` waiting messages whose time to live has passed (`expired`, or `unknown` where a
    /// provider may hold a copy). Messages with an open intent are left to their attempt.
    ///
    /// # Errors
    /// Nothing was ended.
    async fn sweep(&self, now: UnixMs, max: usize) -> Result<Vec<Change>, StoreError>;

    /// Cancels a message before any attempt.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn cancel(&self, tenant: &TenantId, id: MessageId, now: UnixMs) -> Result<CancelOutcome, StoreError>;

    /// Appends an entry (feedback) to a message's history; `None` when the tenant has no such message.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn note(&self, tenant: &TenantId, id: MessageId, entry: Entry) -> Result<Option<Record>, StoreError>;

    /// Writes refused requests into the history, without text.
    ///
    /// # Errors
    /// Nothing was written; the caller only counts it.
    async fn block(&self, batch: Vec<Blocked>) -> Result<(), StoreError>;

    /// One message; with a tenant, only that tenant's.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn get(&self, tenant: Option<&TenantId>, id: MessageId) -> Result<Option<Record>, StoreError>;

    /// Newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn search(&self, filter: Filter) -> Result<Page, StoreError>;

    /// How many messages stand where, for gauges.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn counts(&self, now: UnixMs) -> Result<Counts, StoreError>;

    /// The tenants that are still to be told of something, now or later. Cheap.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn notice_tenants(&self) -> Result<Vec<TenantId>, StoreError>;

    /// Status changes that these tenants are still to be told of; of each tenant those that are due first.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn notices(&self, wants: &[NoticeWant], now: UnixMs) -> Result<Vec<Notice>, StoreError>;

    /// Records how telling went.
    ///
    /// # Errors
    /// Nothing was recorded: the notice will be sent again.
    async fn settle_notices(&self, batch: Vec<(NoticeId, NoticeOutcome)>) -> Result<(), StoreError>;

    /// Has a tenant told once more, from the first attempt on; says of how many changes.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn retell(&self, tenant: &TenantId, what: Retelling, now: UnixMs) -> Result<u64, StoreError>;

    /// What is known of tenants' endpoints.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError>;

    /// Replaces what is known of a tenant's endpoint.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn set_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError>;

    /// Forgets what is older than the policy allows, at most `budget` rows of each kind.
    ///
    /// # Errors
    /// Nothing was purged.
    async fn purge(&self, policy: PurgePolicy, now: UnixMs, budget: usize) -> Result<Purged, StoreError>;

    /// Can a message be accepted now? Writes and reads for real.
    ///
    /// # Errors
    /// Why not.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Finishes what is in flight and closes; later calls fail.
    async fn close(&self);
}

/// [`Attempted::code`] of an attempt that was on the wire when the process died.
pub const INTERRUPTED: &str = "interrupted";

/// How long an unmatched receipt waits for its submission.
pub const RECEIPT_PARKED: std::time::Duration = std::time::Duration::from_hours(1);

/// How long an idempotency record answers.
pub const IDEMPOTENCY_KEPT: std::time::Duration = std::time::Duration::from_hours(24);

/// Why the store did not do it. Details are for operators and free of personal data.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Closed, full, broken or unreachable: try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Its content cannot be trusted; needs an operator.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}
