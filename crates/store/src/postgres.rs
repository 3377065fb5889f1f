//! The store of several nodes: `PostgreSQL` 15 or newer, shared by every gateway.
//!
//! What is decided is decided by the same code as in the other stores (`keeper`): a batch's rows are read in and locked,
//! the keeper decides in memory, one commit writes everything back (`load`, `work`, `flush`). What is most common reads
//! nothing in: acceptances that nobody asked for before (`admit`, `new`) and outcomes of attempts that this node opened
//! itself (`settle`, `open`) are decided on what must be so and written where it is so. Whoever accepts a message owns its
//! open attempt; a node that dies is missed after six seconds and its attempts are adopted (`node`, `lanes`).
//! Nothing depends on notifications: what waits is looked for twice a second.

mod admit;
mod batch;
mod copy;
mod error;
mod flush;
mod follow;
mod lanes;
mod limits;
mod load;
mod mend;
pub mod migrate;
mod new;
mod node;
mod notices;
mod open;
mod pool;
mod purge;
mod reads;
mod rows;
mod settle;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sms_core::store::{
    Admit, Blocked, CancelOutcome, Change, Counts, Endpoint, Entry, Filter, Idempotency, LaneWant, Leased, Notice,
    NoticeId, NoticeOutcome, NoticeWant, Page, PurgePolicy, Purged, Receipted, ReceivedReceipt, Record, Replay,
    Reroute, Retelling, Settle, Settled, Store, StoreError, Verdict, Waiting,
};
use sms_core::{Clock, MessageId, ProviderName, TenantId, UnixMs};

pub use copy::{Copied, copy};
pub use error::PgError;

use crate::key::{Keys, StoreKey};
use crate::tables::Failure;
use crate::{prepare, read};
use admit::{Accepting, Firsts};
use batch::Batcher;
use follow::Receiving;
use lanes::Lanes;
use mend::Mend;
use node::{BEAT_EVERY, Node};
use notices::Telling;
use open::Open;
use pool::Pool;
use settle::Settling;

/// Messages, limits and the rest in one `PostgreSQL` database, shared with other nodes.
#[derive(Debug)]
pub struct PgStore {
    shared: Arc<Shared>,
    accepting: Batcher<Accepting>,
    settling: Batcher<Settling>,
    receiving: Batcher<Receiving>,
}

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct PgOptions {
    /// What the others call this node, in logs; need not be unique.
    pub node: String,
    /// Brings the tables up to date where they are not; else they must be.
    pub migrate: bool,
}

/// What the store's tasks share.
#[derive(Debug)]
struct Shared {
    pool: Arc<Pool>,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    node: Node,
    lanes: Lanes,
    mend: Mend,
    firsts: Firsts,
    open: Open,
    telling: Telling,
    /// Attempts that a settle opened whose commit nobody could see.
    unsure: Mutex<HashMap<MessageId, u16>>,
}

impl PgStore {
    /// Connects, looks at the tables and the key, and joins the other nodes.
    ///
    /// # Errors
    /// The database cannot be used, its tables are of another version, or the key is another one; see [`PgError`].
    pub async fn open(url: &str, key: &StoreKey, clock: Arc<dyn Clock>, options: PgOptions) -> Result<Self, PgError> {
        let pool = Pool::open(url).await?;
        if options.migrate {
            migrate::run(&pool).await?;
        } else {
            migrate::check(migrate::look(&pool).await?)?;
        }
        let keys = Arc::new(Keys::derive(key));
        let (mend, told) = Mend::new();
        let (node, lanes) = (Node::new(options.node), Lanes::default());
        let shared = Arc::new(Shared {
            pool,
            keys,
            clock,
            node,
            lanes,
            mend,
            firsts: Firsts::default(),
            open: Open::default(),
            telling: Telling::default(),
            unsure: Mutex::default(),
        });
        if !shared.start().await.map_err(|failure| failure.error)? {
            return Err(PgError::WrongKey);
        }
        tokio::spawn(mend::run(Arc::clone(&shared), told));
        tokio::spawn(beat(Arc::clone(&shared)));
        tokio::spawn(look(Arc::clone(&shared)));
        let (accepting, settling) = (Batcher::start(&shared), Batcher::start(&shared));
        Ok(Self { accepting, settling, receiving: Batcher::start(&shared), shared })
    }

    /// What this node is called.
    pub fn node(&self) -> &str {
        self.shared.node.name()
    }
}

impl Shared {
    /// Says whether the key is right.
    async fn start(self: &Arc<Self>) -> Result<bool, Failure> {
        let mut conn = self.pool.lend().await?;
        if !purge::check_key(&mut conn, &self.keys.check()).await? {
            return Ok(false);
        }
        purge::days(&mut conn, self.clock.now()).await?;
        self.node.join(&mut conn).await?;
        self.node.beat(&mut conn, || self.clock.now()).await?;
        conn.done();
        lanes::refresh(self).await?;
        notices::refresh(self).await?;
        Ok(true)
    }

    fn unsure(&self, opened: Vec<(MessageId, u16)>) {
        let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
        if unsure.len() < UNSURE_MAX {
            unsure.extend(opened);
        }
    }

    fn was_unsure(&self, id: MessageId, attempt: u16) -> bool {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner).get(&id) == Some(&attempt)
    }

    fn sure(&self, settled: impl Iterator<Item = MessageId>) {
        let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
        if unsure.is_empty() {
            return;
        }
        for id in settled {
            unsure.remove(&id);
        }
    }
}

/// Renews the lease until the store is closed.
async fn beat(shared: Arc<Shared>) {
    let mut failed = false;
    while !shared.pool.is_closed() {
        tokio::time::sleep(if failed { BEAT_RETRY } else { BEAT_EVERY }).await;
        let beat = async {
            let mut conn = shared.pool.lend().await?;
            shared.node.beat(&mut conn, || shared.clock.now()).await?;
            conn.done();
            follow::rematch(&shared).await
        };
        failed = beat.await.is_err(); // whoever needs the database says so
    }
}

/// Looks for what waits until the store is closed.
async fn look(shared: Arc<Shared>) {
    while !shared.pool.is_closed() {
        tokio::time::sleep(LOOK_EVERY).await;
        // What was known goes on; whoever needs the database says so.
        drop(lanes::refresh(&shared).await);
        drop(notices::refresh(&shared).await);
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for PgStore {
    async fn admit(&self, batch: Vec<Admit>) -> Result<Vec<Verdict>, StoreError> {
        let now = self.shared.node.agreed(self.shared.clock.now());
        let keys = &self.shared.keys;
        self.accepting.call(batch.into_iter().map(|admit| Arc::new(prepare::admit(keys, admit, now))).collect()).await
    }

    async fn replay(
        &self,
        tenant: &TenantId,
        idempotency: &Idempotency,
        now: UnixMs,
    ) -> Result<Option<Replay>, StoreError> {
        let keys = &self.shared.keys;
        let mut conn = self.shared.pool.lend().await.map_err(error_of)?;
        let kept = admit::answer(&mut conn, &keys.idempotency(tenant, idempotency)).await.map_err(error_of)?;
        conn.done();
        let kept = kept.filter(|kept| read::answers(kept, self.shared.node.agreed(now)));
        kept.map(|kept| read::replay(keys, &kept, &keys.fingerprint(idempotency))).transpose()
    }

    async fn settle(&self, batch: Vec<Settle>) -> Result<Vec<Settled>, StoreError> {
        self.settling.call(batch).await?.into_iter().collect()
    }

    async fn receipts(&self, batch: Vec<ReceivedReceipt>) -> Result<Vec<Receipted>, StoreError> {
        self.receiving.call(batch).await
    }

    async fn claim(&self, wants: &[LaneWant], now: UnixMs) -> Result<Vec<Leased>, StoreError> {
        if !wants.iter().any(|want| self.shared.lanes.is_due(want, now)) {
            return Ok(Vec::new());
        }
        // Goes on to its end also where nobody waits for it any more; what it took is then released.
        let claiming = tokio::spawn(lanes::claim(Arc::clone(&self.shared), wants.to_vec(), now));
        let claimed = claiming.await.map_err(|_| error::away("a claim was stopped").error)?;
        claimed.map_err(error_of)?.take()
    }

    async fn stranded(&self, want: &LaneWant, now: UnixMs) -> Result<Vec<Waiting>, StoreError> {
        lanes::stranded(&self.shared, want, now).await.map_err(error_of)
    }

    async fn reroute(&self, batch: Vec<Reroute>) -> Result<Vec<bool>, StoreError> {
        follow::reroute(&self.shared, &batch).await.map_err(error_of)
    }

    async fn orphans(&self) -> Result<Vec<Leased>, StoreError> {
        self.adopt(self.shared.clock.now()).await
    }

    async fn adopt(&self, now: UnixMs) -> Result<Vec<Leased>, StoreError> {
        lanes::adopt(&self.shared, now).await.map_err(error_of)
    }

    fn nodes(&self) -> usize {
        self.shared.node.alive()
    }

    async fn lanes(&self) -> Result<Vec<ProviderName>, StoreError> {
        Ok(lanes::lanes(&self.shared).await.map_err(error_of)?.into_keys().collect())
    }

    async fn sweep(&self, now: UnixMs, max: usize) -> Result<Vec<Change>, StoreError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        lanes::sweep(&self.shared, now, max).await.map_err(error_of)
    }

    async fn cancel(&self, tenant: &TenantId, id: MessageId, now: UnixMs) -> Result<CancelOutcome, StoreError> {
        follow::cancel(&self.shared, tenant, id, now).await.map_err(error_of)
    }

    async fn note(&self, tenant: &TenantId, id: MessageId, entry: Entry) -> Result<Option<Record>, StoreError> {
        let noted = follow::note(&self.shared, tenant, id, entry).await.map_err(error_of)?;
        noted.map(|stored| read::record(&self.shared.keys, stored)).transpose()
    }

    async fn block(&self, batch: Vec<Blocked>) -> Result<(), StoreError> {
        let batch = batch.into_iter().map(|blocked| prepare::block(&self.shared.keys, blocked)).collect();
        admit::block(&self.shared, batch).await.map_err(error_of)
    }

    async fn get(&self, tenant: Option<&TenantId>, id: MessageId) -> Result<Option<Record>, StoreError> {
        let stored = reads::record(&self.shared, id).await.map_err(error_of)?;
        let stored = stored.filter(|stored| tenant.is_none_or(|tenant| *tenant == stored.state.tenant));
        stored.map(|stored| read::record(&self.shared.keys, stored)).transpose()
    }

    async fn search(&self, filter: Filter) -> Result<Page, StoreError> {
        reads::search(&self.shared, &filter).await.map_err(error_of)
    }

    async fn counts(&self, now: UnixMs) -> Result<Counts, StoreError> {
        reads::counts(&self.shared, now).await.map_err(error_of)
    }

    async fn notice_tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        notices::tenants(&self.shared).await.map_err(error_of)
    }

    async fn notices(&self, wants: &[NoticeWant], now: UnixMs) -> Result<Vec<Notice>, StoreError> {
        notices::due(&self.shared, wants, now).await.map_err(error_of)
    }

    async fn settle_notices(&self, batch: Vec<(NoticeId, NoticeOutcome)>) -> Result<(), StoreError> {
        notices::settle(&self.shared, &batch).await.map_err(error_of)
    }

    async fn retell(&self, tenant: &TenantId, what: Retelling, now: UnixMs) -> Result<u64, StoreError> {
        let told = match what {
            Retelling::Message(id) => follow::retell(&self.shared, tenant, id, now).await,
            Retelling::Shelved { since, until, max } => {
                notices::unshelve(&self.shared, tenant, (since, until), (max, now)).await
            }
        };
        told.map_err(error_of)
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        notices::endpoints(&self.shared).await.map_err(error_of)
    }

    async fn set_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        notices::set_endpoint(&self.shared, &endpoint).await.map_err(error_of)
    }

    async fn purge(&self, policy: PurgePolicy, now: UnixMs, budget: usize) -> Result<Purged, StoreError> {
        purge::purge(&self.shared, policy, now, budget).await.map_err(error_of)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.shared.node.living().map_err(error_of)?;
        let mut conn = self.shared.pool.lend().await.map_err(error_of)?;
        purge::ping(&mut conn, self.shared.clock.now()).await.map_err(error_of)?;
        conn.done();
        Ok(())
    }

    async fn close(&self) {
        if let Ok(mut conn) = self.shared.pool.lend().await {
            // Else the others wait until its lease is over.
            if self.shared.node.leave(&mut conn).await.is_ok() {
                conn.done();
            }
        }
        self.shared.pool.close();
    }
}

fn error_of(failure: Failure) -> StoreError {
    failure.error
}

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// After a failed heartbeat.
const BEAT_RETRY: Duration = Duration::from_millis(250);

/// A bound on what is remembered of commits that nobody could see.
const UNSURE_MAX: usize = 10_000;
