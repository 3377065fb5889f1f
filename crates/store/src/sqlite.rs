//! The embedded store: one `SQLite` file, one writer thread with group commit, a few readers.
//!
//! Every write is durable before it is answered: the log is synced after each commit, on a thread of its own. Readers may
//! see a commit a moment before that. Cheap questions (is anything due, how many wait) are answered from memory. One
//! process at a time: a lock file beside the database keeps others out.

mod aging;
mod charges;
mod check;
mod checkpoint;
mod error;
mod export;
mod mark;
mod notices;
mod open;
mod reader;
mod rows;
mod schema;
mod sums;
mod syncer;
mod tables;
mod upkeep;
mod wal;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sms_core::store::{
    Admit, Blocked, CancelOutcome, Change, Counts, Endpoint, Entry, Filter, Idempotency, LaneWant, Leased, Notice,
    NoticeId, NoticeOutcome, NoticeWant, Page, PurgePolicy, Purged, Receipted, ReceivedReceipt, Record, Replay,
    Reroute, Retelling, Settle, Settled, Store, StoreError, Verdict, Waiting,
};
use sms_core::{Clock, MessageId, ProviderName, TenantId, UnixMs};

pub use error::OpenError;
pub(crate) use export::{Export, Exported, unreadable};

use crate::key::{Keys, StoreKey};
use crate::tables::Tables as _;
use crate::{prepare, read};
use reader::Readers;
use tables::SqliteTables;
use writer::{Opened, Writer};

/// Messages, limits and the rest in one `SQLite` file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    readers: Arc<Readers>,
    writer: Writer<SqliteTables>,
}

impl SqliteStore {
    /// Opens or creates `path`, alone. Reads in unsettled messages, limits and parked receipts, which takes about a
    /// second for a million limit charges.
    ///
    /// # Errors
    /// Somebody else has it, it is not ours, the key is another one, or it cannot be read; see [`OpenError`].
    pub fn open(path: impl AsRef<Path>, key: &StoreKey, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let keys = Arc::new(Keys::derive(key));
        let keeper = open::open(&path, &keys, clock.now())?;
        let readers = Readers::open(&path).map_err(|error| error::sqlite(&path, &error))?;
        let writer = Writer::start(keeper, Arc::clone(&clock));
        let writer = writer.map_err(|error| OpenError::Io { path: path.clone(), detail: error.to_string() })?;
        Ok(Self { path, keys, clock, readers, writer })
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Caps the file at so many pages of 4 KiB, or at what it has now: what a full disk does, for tests and drills.
    ///
    /// # Errors
    /// The store is closed.
    pub async fn set_page_limit(&self, pages: u32) -> Result<(), StoreError> {
        self.writer.write(1, move |keeper| Ok(Opened::none(keeper.tables.set_page_limit(pages)?))).await
    }

    /// Whether anything in the lane is due.
    fn is_due(&self, want: &LaneWant, now: UnixMs) -> bool {
        want.max > 0 && self.writer.glance().lanes.iter().any(|(lane, due)| *due <= now && *lane == want.lane)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn admit(&self, batch: Vec<Admit>) -> Result<Vec<Verdict>, StoreError> {
        let (now, clock, weight) = (self.clock.now(), Arc::clone(&self.clock), batch.len());
        let batch: Vec<_> = batch.into_iter().map(|admit| prepare::admit(&self.keys, admit, now)).collect();
        let admit = move |keeper: &mut crate::keeper::Keeper<SqliteTables>| {
            let value = keeper.admit(&batch, clock.now())?;
            let begun = batch
                .iter()
                .zip(&value)
                .filter(|(new, verdict)| new.begin && matches!(verdict, Verdict::Leased { .. }));
            let attempts = begun.map(|(new, _)| (new.state.id, 1)).collect();
            Ok(Opened { value, attempts })
        };
        self.writer.write(weight, admit).await
    }

    async fn replay(
        &self,
        tenant: &TenantId,
        idempotency: &Idempotency,
        now: UnixMs,
    ) -> Result<Option<Replay>, StoreError> {
        let key = self.keys.idempotency(tenant, idempotency);
        let kept = self.readers.ask(move |connection| Ok(tables::replay(connection, &key)?)).await?;
        let kept = kept.filter(|kept| read::answers(kept, now));
        if kept.is_some() {
            // What accepted it may be visible and not yet durable; the next commit is answered after both.
            self.writer.write(1, |_| Ok(Opened::none(()))).await?;
        }
        kept.map(|kept| read::replay(&self.keys, &kept, &self.keys.fingerprint(idempotency))).transpose()
    }

    async fn settle(&self, batch: Vec<Settle>) -> Result<Vec<Settled>, StoreError> {
        let weight = batch.len();
        let settle = move |keeper: &mut crate::keeper::Keeper<SqliteTables>| {
            let value = keeper.settle(&batch)?;
            let gone =
                batch.iter().zip(&value).filter(|(_, settled)| matches!(settled, Settled::Done { go: true, .. }));
            let attempts = gone.map(|(settle, _)| (settle.id, settle.attempt.saturating_add(1))).collect();
            Ok(Opened { value, attempts })
        };
        self.writer.write(weight, settle).await
    }

    async fn receipts(&self, batch: Vec<ReceivedReceipt>) -> Result<Vec<Receipted>, StoreError> {
        let clock = Arc::clone(&self.clock);
        self.writer.write(batch.len(), move |keeper| Ok(Opened::none(keeper.receipts(&batch, clock.now())?))).await
    }

    async fn claim(&self, wants: &[LaneWant], now: UnixMs) -> Result<Vec<Leased>, StoreError> {
        if !wants.iter().any(|want| self.is_due(want, now)) {
            return Ok(Vec::new());
        }
        let (wants, weight) = (wants.to_vec(), wants.iter().map(|want| want.max).sum());
        let claim = move |keeper: &mut crate::keeper::Keeper<SqliteTables>| {
            let value = keeper.claim(&wants, now)?;
            let attempts = value.iter().map(|leased| (leased.id, leased.attempt)).collect();
            Ok(Opened { value, attempts })
        };
        self.writer.write(weight, claim).await
    }

    async fn stranded(&self, want: &LaneWant, now: UnixMs) -> Result<Vec<Waiting>, StoreError> {
        if !self.is_due(want, now) {
            return Ok(Vec::new());
        }
        let want = want.clone();
        self.writer.write(want.max, move |keeper| Ok(Opened::none(keeper.stranded(&want, now)?))).await
    }

    async fn reroute(&self, batch: Vec<Reroute>) -> Result<Vec<bool>, StoreError> {
        self.writer.write(batch.len(), move |keeper| Ok(Opened::none(keeper.reroute(&batch)?))).await
    }

    async fn orphans(&self) -> Result<Vec<Leased>, StoreError> {
        let clock = Arc::clone(&self.clock);
        self.writer.write(1, move |keeper| Ok(Opened::none(keeper.orphans(clock.now())?))).await
    }

    async fn lanes(&self) -> Result<Vec<ProviderName>, StoreError> {
        Ok(self.writer.glance().lanes.iter().map(|(lane, _)| lane.clone()).collect())
    }

    async fn sweep(&self, now: UnixMs, max: usize) -> Result<Vec<Change>, StoreError> {
        if self.writer.glance().expiry.is_none_or(|expiry| expiry > now) {
            return Ok(Vec::new());
        }
        self.writer.write(max, move |keeper| Ok(Opened::none(keeper.sweep(now, max)?))).await
    }

    async fn cancel(&self, tenant: &TenantId, id: MessageId, now: UnixMs) -> Result<CancelOutcome, StoreError> {
        let tenant = tenant.clone();
        self.writer.write(1, move |keeper| Ok(Opened::none(keeper.cancel(&tenant, id, now)?))).await
    }

    async fn note(&self, tenant: &TenantId, id: MessageId, entry: Entry) -> Result<Option<Record>, StoreError> {
        let tenant = tenant.clone();
        let noted = self.writer.write(1, move |keeper| Ok(Opened::none(keeper.note(&tenant, id, &entry)?))).await?;
        noted.map(|stored| read::record(&self.keys, stored)).transpose()
    }

    async fn block(&self, batch: Vec<Blocked>) -> Result<(), StoreError> {
        let batch: Vec<_> = batch.into_iter().map(|blocked| prepare::block(&self.keys, blocked)).collect();
        self.writer.write(batch.len(), move |keeper| Ok(Opened::none(keeper.block(&batch)?))).await
    }

    async fn get(&self, tenant: Option<&TenantId>, id: MessageId) -> Result<Option<Record>, StoreError> {
        let stored = self.readers.ask(move |connection| Ok(tables::record(connection, id)?)).await?;
        let stored = stored.filter(|stored| tenant.is_none_or(|tenant| *tenant == stored.state.tenant));
        stored.map(|stored| read::record(&self.keys, stored)).transpose()
    }

    async fn search(&self, filter: Filter) -> Result<Page, StoreError> {
        let keys = Arc::clone(&self.keys);
        self.readers.ask(move |connection| reader::search(connection, &keys, &filter)).await
    }

    async fn counts(&self, now: UnixMs) -> Result<Counts, StoreError> {
        let glance = self.writer.glance();
        let oldest_queued = glance.oldest_queued.map(|since| now.since(since));
        Ok(Counts { queued: glance.queued, sending: glance.sending, oldest_queued })
    }

    async fn notice_tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        Ok(self.writer.glance().notice_tenants.clone())
    }

    async fn notices(&self, wants: &[NoticeWant], now: UnixMs) -> Result<Vec<Notice>, StoreError> {
        let mut wants = wants.to_vec();
        {
            let glance = self.writer.glance();
            wants.retain(|want| glance.notice_tenants.contains(&want.tenant));
        }
        if wants.is_empty() {
            return Ok(Vec::new());
        }
        let keys = Arc::clone(&self.keys);
        self.readers.ask(move |connection| notices::due(connection, &keys, &wants, now)).await
    }

    async fn settle_notices(&self, batch: Vec<(NoticeId, NoticeOutcome)>) -> Result<(), StoreError> {
        self.writer.write(batch.len(), move |keeper| Ok(Opened::none(keeper.settle_notices(&batch)?))).await
    }

    async fn retell(&self, tenant: &TenantId, what: Retelling, now: UnixMs) -> Result<u64, StoreError> {
        let tenant = tenant.clone();
        self.writer.write(1, move |keeper| Ok(Opened::none(keeper.retell(&tenant, &what, now)?))).await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.readers.ask(notices::endpoints).await
    }

    async fn set_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        self.writer.write(1, move |keeper| Ok(Opened::none(keeper.tables.set_endpoint(&endpoint)?))).await
    }

    async fn purge(&self, policy: PurgePolicy, now: UnixMs, budget: usize) -> Result<Purged, StoreError> {
        self.writer.write(1, move |keeper| Ok(Opened::none(keeper.purge(policy, now, budget)?))).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.writer.write(1, move |keeper| Ok(Opened::none(keeper.tables.ping(now)?))).await?;
        self.readers.ask(|connection| Ok(connection.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?)).await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests {
    use sms_conformance::store::{ManualClock, Stand};
    use sms_core::Status;

    use super::*;
    use crate::tables::{Failure, Scope};

    fn failing(scope: Scope) -> Failure {
        Failure { error: StoreError::Unavailable("injected".to_owned()), scope }
    }

    #[tokio::test]
    async fn a_failed_fsync_stops_writing_until_the_store_is_opened_anew() {
        let (folder, key, clock) = (tempfile::tempdir().unwrap(), StoreKey::generate().unwrap(), ManualClock::start());
        let path = folder.path().join("gateway.db");
        let store = Arc::new(SqliteStore::open(&path, &key, clock.clone()).unwrap());
        let stand = Stand::new(store.clone(), clock.clone());
        let id = stand.accept(stand.admit()).await;
        let refused = store.writer.write(1, |_| Err::<Opened<()>, _>(failing(Scope::Broken))).await;
        assert!(refused.is_err());
        for _ in 0..3 {
            assert!(store.admit(vec![stand.admit()]).await.is_err(), "a repeat would succeed without cause");
        }
        assert!(store.ping().await.is_err());
        assert_eq!(stand.status(id).await, Status::Queued, "what was durable can be read");
        assert_eq!(store.counts(clock.now()).await.unwrap().queued, 1);
        store.close().await;
        let stand = stand.reopened(Arc::new(SqliteStore::open(&path, &key, clock).unwrap()));
        stand.accept(stand.admit()).await;
        assert_eq!(stand.store.counts(stand.now()).await.unwrap().queued, 2);
    }

    #[tokio::test]
    async fn a_failed_commit_fails_everybody_in_it_and_nobody_after_it() {
        let (folder, key, clock) = (tempfile::tempdir().unwrap(), StoreKey::generate().unwrap(), ManualClock::start());
        let store = Arc::new(SqliteStore::open(folder.path().join("gateway.db"), &key, clock.clone()).unwrap());
        let stand = Stand::new(store.clone(), clock);
        let (tell, started) = tokio::sync::oneshot::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let mut tell = Some(tell);
        // Keeps the writer busy until the others wait for the next commit together.
        let busy = store.writer.write(1, move |_| {
            if let Some(tell) = tell.take() {
                tell.send(()).unwrap();
            }
            released.recv().ok();
            Ok(Opened::none(()))
        });
        let together = async {
            started.await.unwrap();
            let failing = store.writer.write(1, |_| Err::<Opened<()>, _>(failing(Scope::Batch)));
            let (before, after) = (store.admit(vec![stand.admit()]), store.admit(vec![stand.admit()]));
            tokio::join!(before, failing, after, async { release.send(()).unwrap() })
        };
        let (busy, (before, failed, after, ())) = tokio::join!(busy, together);
        assert!(busy.is_ok() && before.is_err() && failed.is_err() && after.is_err());
        assert_eq!(store.counts(stand.now()).await.unwrap().queued, 0, "memory does not run ahead of the rows");
        stand.accept(stand.admit()).await;
    }

    /// Random hashes of numbers must not cost a page each.
    #[tokio::test]
    async fn a_commit_changes_few_pages_however_many_numbers_it_names() {
        const AT_ONCE: usize = 25;
        let (folder, key, clock) = (tempfile::tempdir().unwrap(), StoreKey::generate().unwrap(), ManualClock::start());
        let store = Arc::new(SqliteStore::open(folder.path().join("gateway.db"), &key, clock.clone()).unwrap());
        let stand = Stand::new(store.clone(), clock);
        let frames = async || store.writer.write(1, |keeper| Ok(Opened::none(keeper.tables.frames))).await.unwrap();
        let mut number = 0_u16;
        let mut admit = async || {
            let batch = (0..AT_ONCE).map(|_| {
                number = (number + 1) % 100;
                let mut admit = stand.admit();
                admit.message.to = sms_conformance::store::number(number);
                admit
            });
            store.admit(batch.collect()).await.unwrap();
        };
        for _ in 0..100 {
            admit().await;
        }
        let before = frames().await;
        for _ in 0..20 {
            admit().await;
        }
        let each = (frames().await - before) / 20;
        assert!((1..=22).contains(&each), "{each} pages for {AT_ONCE} messages");
    }
}
