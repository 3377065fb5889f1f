//! The store as the engine of a simulation sees it: the memory store, now slow, now failing, watched by the witness in
//! the moment of every commit. What fails was not done. Must never change what an operation means, unless a bug is
//! planted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sms_core::store::{
    Admit, Blocked, CancelOutcome, Change, Counts, Endpoint, Entry, Filter, Idempotency, LaneWant, Leased, Notice,
    NoticeId, NoticeOutcome, NoticeWant, Page, PurgePolicy, Purged, Receipted, ReceivedReceipt, Record, Replay,
    Reroute, Retelling, Settle, Settled, Store, StoreError, Then, Verdict, Waiting,
};
use sms_core::{MessageId, ProviderName, TenantId, UnixMs};
use sms_store::MemoryStore;

use crate::luck::Luck;
use crate::plant::{LATE, Plant, strikes};
use crate::scenario::Broken;
use crate::world::World;

/// What is put between the engine and the memory store.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    inner: Arc<MemoryStore>,
    world: Arc<World>,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<MemoryStore>, world: Arc<World>) -> Self {
        Self { inner, world }
    }

    /// The way to the disk: takes its time, and may fail.
    async fn reach(&self, what: Broken) -> Result<(), StoreError> {
        self.wait(what, "reach").await;
        let broken = self.world.scenario.broken(self.world.clock.up_ms()).any(|b| b == what || b == Broken::All);
        if broken {
            self.world.disturb();
            self.world.witness().stats.count("store.failures");
            return Err(StoreError::Unavailable("the simulation says so".to_owned()));
        }
        Ok(())
    }

    /// Looking takes no time: lanes look often, and mostly nothing waits.
    fn claims_work(&self) -> Result<(), StoreError> {
        if self.world.scenario.broken(self.world.clock.up_ms()).any(|b| b == Broken::Claims || b == Broken::All) {
            self.world.disturb();
            return Err(StoreError::Unavailable("the simulation says so".to_owned()));
        }
        Ok(())
    }

    /// The way back: a kill meanwhile leaves what was done without anybody to know.
    async fn come_back(&self, what: Broken) {
        self.wait(what, "come back").await;
    }

    async fn wait(&self, what: Broken, leg: &str) {
        let now = self.world.clock.ms();
        let mut luck = Luck::about(self.world.seed, leg, now.wrapping_mul(8).wrapping_add(what as u64));
        let slow = self.world.scenario.is_slow(self.world.clock.up_ms());
        if slow {
            self.world.disturb();
        }
        let ms = if slow { luck.between(20..400) } else { luck.between(0..4) };
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }

    async fn plant_settles(&self, plant: Plant, batch: Vec<Settle>) -> Result<Vec<Settled>, StoreError> {
        let mut answers = Vec::new();
        for settle in batch {
            let record = self.inner.get(None, settle.id).await?;
            let number = self.world.witness().stories.get(&settle.id).map_or(0, |story| story.number);
            let which = (u64::from(number) << 16) | u64::from(settle.attempt);
            match record {
                Some(record) if plant == Plant::LostSettle && strikes(self.world.seed, which) => {
                    let sent = matches!(settle.then, Then::Sent { .. });
                    self.world.witness().note(format_args!("PLANTED a lost settle of r{number}, sent {sent}"));
                    answers.push(Settled::Done { change: no_change(&record), go: false });
                }
                record => {
                    let settle = plant.settle(record.map(|record| record.details.class), settle);
                    answers.extend(self.commit_settles(vec![settle]).await?);
                }
            }
        }
        Ok(answers)
    }

    async fn commit_settles(&self, batch: Vec<Settle>) -> Result<Vec<Settled>, StoreError> {
        let settled = self.inner.settle(batch.clone()).await?;
        for (settle, settled) in batch.iter().zip(&settled) {
            self.world.witness().settled(settle, settled);
        }
        Ok(settled)
    }

    fn pass_on(&self, leased: Vec<Leased>) -> Vec<Leased> {
        match self.world.plant {
            Some(plant) => leased.into_iter().map(|leased| plant.leased(leased)).collect(),
            None => leased,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for FaultyStore {
    async fn admit(&self, batch: Vec<Admit>) -> Result<Vec<Verdict>, StoreError> {
        self.reach(Broken::Admits).await?;
        if self.world.plant == Some(Plant::LostAccept) && strikes(self.world.seed, self.world.clock.ms()) {
            return Ok(batch.iter().map(|_| Verdict::Leased { shadowed: Vec::new() }).collect());
        }
        let passed_on: Vec<Admit> = match self.world.plant {
            Some(plant) => batch.iter().cloned().map(|admit| plant.admit(admit)).collect(),
            None => batch.clone(),
        };
        let begun: Vec<bool> = passed_on.iter().map(|admit| admit.begin).collect();
        let verdicts = self.inner.admit(passed_on).await?;
        for ((admit, verdict), begin) in batch.iter().zip(&verdicts).zip(begun) {
            self.world.witness().admitted(&Admit { begin, ..admit.clone() }, verdict);
        }
        self.come_back(Broken::Admits).await;
        Ok(verdicts)
    }

    async fn replay(
        &self,
        tenant: &TenantId,
        idempotency: &Idempotency,
        now: UnixMs,
    ) -> Result<Option<Replay>, StoreError> {
        self.reach(Broken::Admits).await?;
        self.inner.replay(tenant, idempotency, now).await
    }

    async fn settle(&self, batch: Vec<Settle>) -> Result<Vec<Settled>, StoreError> {
        self.world.witness().attempts_ended(&batch);
        self.reach(Broken::Settles).await?;
        let settled = match self.world.plant {
            Some(plant) => self.plant_settles(plant, batch).await?,
            None => self.commit_settles(batch).await?,
        };
        self.come_back(Broken::Settles).await;
        Ok(settled)
    }

    async fn receipts(&self, batch: Vec<ReceivedReceipt>) -> Result<Vec<Receipted>, StoreError> {
        self.reach(Broken::Receipts).await?;
        let receipted = self.inner.receipts(batch.clone()).await?;
        for (received, receipted) in batch.iter().zip(&receipted) {
            self.world.witness().received(received, receipted);
        }
        self.come_back(Broken::Receipts).await;
        Ok(receipted)
    }

    async fn claim(&self, wants: &[LaneWant], now: UnixMs) -> Result<Vec<Leased>, StoreError> {
        let waiting = self.inner.lanes().await?;
        if !wants.iter().any(|want| waiting.contains(&want.lane)) {
            return Ok(Vec::new());
        }
        self.claims_work()?;
        let late = self.world.plant == Some(Plant::NoExpiryCheck);
        let leased = self.inner.claim(wants, if late { now.minus(LATE) } else { now }).await?;
        for leased in &leased {
            self.world.witness().claimed(leased);
        }
        if !leased.is_empty() {
            self.come_back(Broken::Claims).await;
        }
        Ok(self.pass_on(leased))
    }

    async fn stranded(&self, want: &LaneWant, now: UnixMs) -> Result<Vec<Waiting>, StoreError> {
        let waiting = self.inner.lanes().await?;
        if !waiting.contains(&want.lane) {
            return Ok(Vec::new());
        }
        self.claims_work()?;
        if self.world.plant == Some(Plant::ClaimWithoutPermit) {
            for leased in self.inner.claim(std::slice::from_ref(want), now).await? {
                self.world.witness().claimed(&leased);
            }
        }
        self.inner.stranded(want, now).await
    }

    async fn reroute(&self, batch: Vec<Reroute>) -> Result<Vec<bool>, StoreError> {
        self.claims_work()?;
        let moved = self.inner.reroute(batch.clone()).await?;
        for (reroute, _) in batch.iter().zip(&moved).filter(|(_, moved)| **moved) {
            self.world.witness().rerouted(reroute);
        }
        self.come_back(Broken::Claims).await;
        Ok(moved)
    }

    async fn orphans(&self) -> Result<Vec<Leased>, StoreError> {
        let leased = self.inner.orphans().await?;
        self.world.witness().orphans(&leased);
        if self.world.plant == Some(Plant::ForgottenOrphans) {
            return Ok(Vec::new());
        }
        Ok(self.pass_on(leased))
    }

    async fn adopt(&self, now: UnixMs) -> Result<Vec<Leased>, StoreError> {
        self.inner.adopt(now).await
    }

    fn nodes(&self) -> usize {
        self.inner.nodes()
    }

    async fn lanes(&self) -> Result<Vec<ProviderName>, StoreError> {
        self.inner.lanes().await
    }

    async fn sweep(&self, now: UnixMs, max: usize) -> Result<Vec<Change>, StoreError> {
        if self.world.scenario.broken(self.world.clock.up_ms()).any(|b| b == Broken::All) {
            return Err(StoreError::Unavailable("the simulation says so".to_owned()));
        }
        let late = self.world.plant == Some(Plant::NoExpiryCheck);
        let changes = self.inner.sweep(if late { now.minus(LATE) } else { now }, max).await?;
        for change in &changes {
            self.world.witness().changed(change);
        }
        Ok(changes)
    }

    async fn cancel(&self, tenant: &TenantId, id: MessageId, now: UnixMs) -> Result<CancelOutcome, StoreError> {
        self.reach(Broken::Admits).await?;
        let outcome = self.inner.cancel(tenant, id, now).await?;
        if let CancelOutcome::Canceled(change) = &outcome {
            self.world.witness().changed(change);
        }
        Ok(outcome)
    }

    async fn note(&self, tenant: &TenantId, id: MessageId, entry: Entry) -> Result<Option<Record>, StoreError> {
        self.reach(Broken::Admits).await?;
        self.inner.note(tenant, id, entry).await
    }

    async fn block(&self, batch: Vec<Blocked>) -> Result<(), StoreError> {
        self.reach(Broken::Admits).await?;
        self.inner.block(batch).await
    }

    async fn get(&self, tenant: Option<&TenantId>, id: MessageId) -> Result<Option<Record>, StoreError> {
        self.inner.get(tenant, id).await
    }

    async fn search(&self, filter: Filter) -> Result<Page, StoreError> {
        self.inner.search(filter).await
    }

    async fn counts(&self, now: UnixMs) -> Result<Counts, StoreError> {
        self.inner.counts(now).await
    }

    async fn notice_tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        self.inner.notice_tenants().await
    }

    async fn notices(&self, wants: &[NoticeWant], now: UnixMs) -> Result<Vec<Notice>, StoreError> {
        self.inner.notices(wants, now).await
    }

    async fn settle_notices(&self, batch: Vec<(NoticeId, NoticeOutcome)>) -> Result<(), StoreError> {
        self.reach(Broken::Settles).await?;
        self.inner.settle_notices(batch).await
    }

    async fn retell(&self, tenant: &TenantId, what: Retelling, now: UnixMs) -> Result<u64, StoreError> {
        self.inner.retell(tenant, what, now).await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.inner.endpoints().await
    }

    async fn set_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        self.inner.set_endpoint(endpoint).await
    }

    async fn purge(&self, policy: PurgePolicy, now: UnixMs, budget: usize) -> Result<Purged, StoreError> {
        self.inner.purge(policy, now, budget).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.reach(Broken::Admits).await?;
        self.inner.ping().await
    }

    /// The memory store outlives the process, as a disk does.
    async fn close(&self) {}
}

fn no_change(record: &Record) -> Change {
    Change {
        id: record.id,
        tenant: record.tenant.clone(),
        provider: record.provider.clone(),
        country: record.country,
        from: record.status,
        to: record.status,
        created: record.created,
    }
}
