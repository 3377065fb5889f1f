//! A store in memory, for tests: the same decisions, sealing and hashing as the others, nothing on a disk.

mod tables;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sms_core::store::{
    Admit, Blocked, CancelOutcome, Change, Counts, Endpoint, Entry, Filter, Idempotency, LaneWant, Leased, Notice,
    NoticeId, NoticeOutcome, NoticeWant, Page, PurgePolicy, Purged, Receipted, ReceivedReceipt, Record, Replay,
    Reroute, Retelling, Settle, Settled, Store, StoreError, Verdict, Waiting,
};
use sms_core::{Clock, MessageId, ProviderName, TenantId, UnixMs};

use crate::keeper::Keeper;
use crate::key::{KeyError, Keys, StoreKey};
use crate::tables::{Failure, Tables as _};
use crate::{prepare, read};
use tables::MemoryTables;

/// Keeps everything until it is dropped.
#[derive(Debug)]
pub struct MemoryStore {
    keeper: Mutex<Keeper<MemoryTables>>,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    unavailable: AtomicBool,
}

impl MemoryStore {
    /// An empty store under a random key.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, KeyError> {
        let keys = Arc::new(Keys::derive(&StoreKey::generate()?));
        let keeper = Mutex::new(Keeper::new(MemoryTables::default(), Arc::clone(&keys)));
        Ok(Self { keeper, keys, clock, unavailable: AtomicBool::new(false) })
    }

    /// Makes every operation fail, as a store on a broken disk does, until called with `false`.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.unavailable.store(unavailable, Ordering::SeqCst);
    }

    /// What a crash would leave behind: every open attempt becomes an orphan, and nobody knows what is put off.
    pub fn crash(&self) {
        let mut keeper = self.lock();
        keeper.orphans = keeper.tables.open();
        keeper.put_off = keeper.tables.put_off();
    }

    fn lock(&self) -> MutexGuard<'_, Keeper<MemoryTables>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> Result<MutexGuard<'_, Keeper<MemoryTables>>, StoreError> {
        if self.unavailable.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("switched off by a test".to_owned()));
        }
        Ok(self.lock())
    }

    fn run<R>(&self, work: impl FnOnce(&mut Keeper<MemoryTables>) -> Result<R, Failure>) -> Result<R, StoreError> {
        let mut keeper = self.ready()?;
        let done = keeper.transact(work).map_err(|failure| failure.error);
        keeper.tidy(self.clock.now());
        done
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn admit(&self, batch: Vec<Admit>) -> Result<Vec<Verdict>, StoreError> {
        let now = self.clock.now();
        let batch: Vec<_> = batch.into_iter().map(|admit| prepare::admit(&self.keys, admit, now)).collect();
        self.run(|keeper| keeper.admit(&batch, now))
    }

    async fn replay(
        &self,
        tenant: &TenantId,
        idempotency: &Idempotency,
        now: UnixMs,
    ) -> Result<Option<Replay>, StoreError> {
        let kept = self.run(|keeper| keeper.tables.replay(&self.keys.idempotency(tenant, idempotency)))?;
        let kept = kept.filter(|kept| read::answers(kept, now));
        kept.map(|kept| read::replay(&self.keys, &kept, &self.keys.fingerprint(idempotency))).transpose()
    }

    async fn settle(&self, batch: Vec<Settle>) -> Result<Vec<Settled>, StoreError> {
        self.run(|keeper| keeper.settle(&batch))
    }

    async fn receipts(&self, batch: Vec<ReceivedReceipt>) -> Result<Vec<Receipted>, StoreError> {
        self.run(|keeper| keeper.receipts(&batch, self.clock.now()))
    }

    async fn claim(&self, wants: &[LaneWant], now: UnixMs) -> Result<Vec<Leased>, StoreError> {
        self.run(|keeper| keeper.claim(wants, now))
    }

    async fn stranded(&self, want: &LaneWant, now: UnixMs) -> Result<Vec<Waiting>, StoreError> {
        self.run(|keeper| keeper.stranded(want, now))
    }

    async fn reroute(&self, batch: Vec<Reroute>) -> Result<Vec<bool>, StoreError> {
        self.run(|keeper| keeper.reroute(&batch))
    }

    async fn orphans(&self) -> Result<Vec<Leased>, StoreError> {
        self.run(|keeper| keeper.orphans(self.clock.now()))
    }

    async fn lanes(&self) -> Result<Vec<ProviderName>, StoreError> {
        Ok(self.ready()?.queue.lanes().map(|(lane, _)| lane.clone()).collect())
    }

    async fn sweep(&self, now: UnixMs, max: usize) -> Result<Vec<Change>, StoreError> {
        self.run(|keeper| keeper.sweep(now, max))
    }

    async fn cancel(&self, tenant: &TenantId, id: MessageId, now: UnixMs) -> Result<CancelOutcome, StoreError> {
        self.run(|keeper| keeper.cancel(tenant, id, now))
    }

    async fn note(&self, tenant: &TenantId, id: MessageId, entry: Entry) -> Result<Option<Record>, StoreError> {
        let stored = self.run(|keeper| keeper.note(tenant, id, &entry))?;
        stored.map(|stored| read::record(&self.keys, stored)).transpose()
    }

    async fn block(&self, batch: Vec<Blocked>) -> Result<(), StoreError> {
        let batch: Vec<_> = batch.into_iter().map(|blocked| prepare::block(&self.keys, blocked)).collect();
        self.run(|keeper| keeper.block(&batch))
    }

    async fn get(&self, tenant: Option<&TenantId>, id: MessageId) -> Result<Option<Record>, StoreError> {
        let stored = self.run(|keeper| keeper.tables.record(id))?;
        let stored = stored.filter(|stored| tenant.is_none_or(|tenant| *tenant == stored.state.tenant));
        stored.map(|stored| read::record(&self.keys, stored)).transpose()
    }

    async fn search(&self, filter: Filter) -> Result<Page, StoreError> {
        let to = filter.to.map(|to| self.keys.number(to));
        let (found, more) = self.ready()?.tables.search(&filter, to.as_ref());
        let next = found.last().filter(|_| more).map(|stored| stored.state.id);
        let records = found.into_iter().filter_map(|stored| read::record(&self.keys, stored).ok()).collect();
        Ok(Page { records, next })
    }

    async fn counts(&self, now: UnixMs) -> Result<Counts, StoreError> {
        let (queued, sending, oldest) = self.ready()?.queue.gauges();
        Ok(Counts { queued, sending, oldest_queued: oldest.map(|since| now.since(since)) })
    }

    async fn notice_tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        Ok(self.ready()?.tables.notice_tenants().into_iter().collect())
    }

    async fn notices(&self, wants: &[NoticeWant], now: UnixMs) -> Result<Vec<Notice>, StoreError> {
        let mut keeper = self.ready()?;
        let mut notices = Vec::new();
        let due: Vec<_> = wants.iter().flat_map(|want| keeper.tables.due_notices(want, now)).collect();
        for (id, telling) in due {
            let Some(stored) = keeper.tables.record(telling.message).map_err(|failure| failure.error)? else {
                continue;
            };
            let record = read::record(&self.keys, stored)?;
            notices.push(Notice { id, record, status: telling.status, at: telling.at, attempt: telling.attempt });
        }
        Ok(notices)
    }

    async fn settle_notices(&self, batch: Vec<(NoticeId, NoticeOutcome)>) -> Result<(), StoreError> {
        self.run(|keeper| keeper.settle_notices(&batch))
    }

    async fn retell(&self, tenant: &TenantId, what: Retelling, now: UnixMs) -> Result<u64, StoreError> {
        self.run(|keeper| keeper.retell(tenant, &what, now))
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        Ok(self.ready()?.tables.endpoints())
    }

    async fn set_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        self.run(|keeper| keeper.tables.set_endpoint(&endpoint))
    }

    async fn purge(&self, policy: PurgePolicy, now: UnixMs, budget: usize) -> Result<Purged, StoreError> {
        self.run(|keeper| keeper.purge(policy, now, budget))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.run(|keeper| keeper.tables.ping(self.clock.now()))
    }

    async fn close(&self) {
        self.set_unavailable(true);
    }
}
