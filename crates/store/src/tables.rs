//! The private seam between what a store does ([`crate::keeper`]) and where it keeps it. Each back end has rows and
//! transactions; it decides nothing.

use std::sync::Arc;

use sms_core::store::{Charging, Endpoint, Filter, NoticeId, ReceivedReceipt, StoreError};
use sms_core::{LimitId, MessageId, Part, ProviderName, Status, TenantId, UnixMs, Window};

use crate::key::Hash16;
use crate::parked::ParkedId;
use crate::state::{State, Turn};

/// Rows of one back end inside one transaction at a time. Synchronous: called by the one writer.
pub(crate) trait Tables {
    fn begin(&mut self) -> Result<(), Failure>;
    fn commit(&mut self) -> Result<(), Failure>;
    fn rollback(&mut self);

    fn insert(&mut self, message: &Sealed, state: &State, log: &[u8]) -> Result<(), Failure>;
    fn state(&mut self, id: MessageId) -> Result<Option<State>, Failure>;
    /// Writes `turn.state`, appends `turn.lines`; erases the text when no attempt can follow any more.
    fn update(&mut self, turn: &Turn) -> Result<(), Failure>;
    fn log(&mut self, state: &State) -> Result<Vec<u8>, Failure>;
    fn payload(&mut self, state: &State) -> Result<Payload, Failure>;
    fn record(&mut self, id: MessageId) -> Result<Option<Stored>, Failure>;
    fn by_upstream(&mut self, upstream_id: &str, provider: &ProviderName) -> Result<Option<MessageId>, Failure>;
    /// Remembers the provider's id of each part, in order.
    fn add_parts(&mut self, message: MessageId, provider: &ProviderName, ids: &[&str]) -> Result<(), Failure>;
    fn part(&mut self, upstream_id: &str, provider: &ProviderName) -> Result<Option<(MessageId, Part)>, Failure>;

    fn replay(&mut self, key: &Hash16) -> Result<Option<Kept>, Failure>;
    /// Replaces a record of the same key.
    fn keep_answer(&mut self, key: &Hash16, kept: &Kept) -> Result<(), Failure>;
    fn charge(&mut self, at: UnixMs, keys: &[(Hash16, UnixMs)]) -> Result<(), Failure>;
    fn park(&mut self, receipt: &ReceivedReceipt) -> Result<ParkedId, Failure>;
    fn unpark(&mut self, id: ParkedId) -> Result<(), Failure>;

    fn add_notice(&mut self, notice: &NewNotice<'_>) -> Result<(), Failure>;
    fn end_notice(&mut self, id: NoticeId) -> Result<(), Failure>;
    fn retry_notice(&mut self, id: NoticeId, due: UnixMs) -> Result<(), Failure>;
    /// It waits for nothing but [`Tables::unshelve_notices`].
    fn shelve_notice(&mut self, id: NoticeId) -> Result<(), Failure>;
    /// Makes up to `max` shelved notices of changes in a span due, as if they were new; says how many.
    fn unshelve_notices(
        &mut self,
        tenant: &TenantId,
        span: (UnixMs, UnixMs),
        max: usize,
        now: UnixMs,
    ) -> Result<u64, Failure>;
    fn set_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), Failure>;

    /// Forgets settled messages created before `before`, with their notices.
    fn purge_messages(&mut self, before: UnixMs, budget: usize) -> Result<u64, Failure>;
    /// Erases the numbers of settled messages created before `before`.
    fn purge_numbers(&mut self, before: UnixMs, budget: usize) -> Result<u64, Failure>;
    /// Forgets idempotency records and charges that are over.
    fn purge_others(&mut self, now: UnixMs, budget: usize) -> Result<u64, Failure>;

    /// Writes and reads for real.
    fn ping(&mut self, now: UnixMs) -> Result<(), Failure>;
}

/// A status change to tell a tenant of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewNotice<'a> {
    pub(crate) message: MessageId,
    pub(crate) tenant: &'a TenantId,
    pub(crate) status: Status,
    pub(crate) at: UnixMs,
    pub(crate) due: UnixMs,
}

/// Due time of a notice that waits to be asked for.
pub(crate) const SHELVED: UnixMs = UnixMs::new(i64::MAX);

/// A new message, ready to be written: sealed and hashed by the caller's task, not by the one writer.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) to_hash: Hash16,
    pub(crate) to: Vec<u8>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) details: Vec<u8>,
    pub(crate) client_id: Option<String>,
    pub(crate) key_id: i64,
}

/// A request for acceptance, ready to be decided.
#[derive(Clone, Debug)]
pub(crate) struct NewAdmit {
    pub(crate) state: State,
    pub(crate) message: Sealed,
    /// Its key, and the fingerprint and answer to keep.
    pub(crate) idempotency: Option<(Hash16, Kept)>,
    pub(crate) charges: Vec<NewCharge>,
    pub(crate) begin: bool,
}

/// A refused request, ready to be written into the history.
#[derive(Clone, Debug)]
pub(crate) struct NewBlocked {
    pub(crate) state: State,
    pub(crate) message: Sealed,
    pub(crate) code: String,
}

/// A limit's charge by its keyed hash.
#[derive(Clone, Debug)]
pub(crate) struct NewCharge {
    pub(crate) limit: LimitId,
    pub(crate) key: Hash16,
    pub(crate) windows: Arc<[Window]>,
    pub(crate) charging: Charging,
}

/// An idempotency record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) message: MessageId,
    pub(crate) fingerprint: Hash16,
    /// The accept-time answer, compact and sealed.
    pub(crate) answer: Vec<u8>,
    pub(crate) until: UnixMs,
}

/// What a lease needs besides the state.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    pub(crate) to: Option<Vec<u8>>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) details: Vec<u8>,
    pub(crate) log: Vec<u8>,
}

/// A message as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) state: State,
    pub(crate) to: Option<Vec<u8>>,
    pub(crate) details: Vec<u8>,
    pub(crate) log: Vec<u8>,
}

/// Whether a message passes the conditions of a list, apart from time and cursor.
pub(crate) fn passes(
    filter: &Filter,
    state: &State,
    to_hash: &Hash16,
    client_id: Option<&str>,
    to: Option<&Hash16>,
) -> bool {
    filter.tenant.as_ref().is_none_or(|tenant| *tenant == state.tenant)
        && to.is_none_or(|to| to == to_hash)
        && filter.status.is_none_or(|status| status == state.status)
        && filter.client_id.as_deref().is_none_or(|wanted| client_id == Some(wanted))
        && filter.provider.as_ref().is_none_or(|provider| state.provider.as_ref() == Some(provider))
}

/// The ids a list may hold: from the first one to before the second one.
pub(crate) fn span(filter: &Filter) -> (MessageId, MessageId) {
    let since = filter.since.unwrap_or_default();
    let end = filter.until.map(first_id).into_iter().chain(filter.before).min();
    (first_id(since), end.unwrap_or_else(|| MessageId::from_bytes([u8::MAX; 16])))
}

/// The smallest id a message created at `at` can have.
pub(crate) fn first_id(at: UnixMs) -> MessageId {
    let mut id = [0; 16];
    let ms = at.get().max(0).to_be_bytes();
    for (to, from) in id.iter_mut().zip(ms.into_iter().skip(2)) {
        *to = from;
    }
    MessageId::from_bytes(id)
}

/// Why an operation failed, and what else must fail with it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) error: StoreError,
    pub(crate) scope: Scope,
}

/// What fails with a failed operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything of the same commit; the next commit may succeed.
    Batch,
    /// Everything until the store is opened anew: what is on the disk is not known.
    Broken,
    /// This operation alone.
    Operation,
}

impl Failure {
    pub(crate) fn damaged(detail: impl Into<String>) -> Self {
        Self::operation(StoreError::Damaged(detail.into()))
    }

    pub(crate) fn operation(error: StoreError) -> Self {
        Self { error, scope: Scope::Operation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_moment_are_not_below_its_first_id() {
        let at = UnixMs::new(1_764_000_000_123);
        assert!(first_id(at) <= MessageId::new(at, [0; 10]));
        assert!(first_id(at) > MessageId::new(UnixMs::new(1_764_000_000_122), [255; 10]));
    }
}
