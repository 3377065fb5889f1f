//! The engine as the gateway uses it: submit, receipts, queries, reload, shutdown.

mod operator;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};
use sms_core::store::{CancelOutcome, Entry, Filter, Idempotency, Page, PurgePolicy, Record, What};
use sms_core::{CallbackRequest, Clock, MessageId, ProviderName, Store, StoreError, TenantId, UnixMs};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::{self, Accepted, Terms};
use crate::blocked::{BlockedBudget, Destination};
use crate::cluster::{self, Share};
use crate::dispatch::{Lane, announce, resume, run_lane};
use crate::load::Load;
use crate::notify::{self, Endpoints, WebhookPort};
use crate::plan::Tenant;
use crate::receipt::{self, CallbackRefusal, ReceiptOutlet};
use crate::refusal::Refusal;
use crate::request::{SendRequest, Submitted};
use crate::route::Routed;
use crate::shared::{Core, Entropy, Running};
use crate::telemetry::{SubmitOutcome, Telemetry};
use crate::waiters::{Decision, Waiters};
use crate::{Plan, admission, housekeeping, render, route};

/// Shortest key text that can be a key.
const KEY_LEN_MIN: usize = 20;

/// Attempts at a time in a lane whose provider left the configuration.
const LEFTOVER: Share = Share { concurrency: 16, interval: None };

/// What the engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The first plan.
    pub plan: Plan,
    /// Where messages are kept.
    pub store: Arc<dyn Store>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Makes webhook calls.
    pub webhooks: Arc<dyn WebhookPort>,
    /// The other end of what providers push into.
    pub receipts: ReceiptOutlet,
    /// What to keep for how long.
    pub purge: PurgePolicy,
}

/// The running pipeline. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Engine {
    pub(crate) core: Arc<Core>,
    /// Stops each lane's worker; also guards reconfiguration against itself.
    workers: Mutex<HashMap<ProviderName, CancellationToken>>,
}

impl Engine {
    /// Starts all tasks: lanes, receipts, webhooks, sweeping, purging, and what a crash left behind.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, StoreError> {
        let Parts { plan, store, clock, entropy, webhooks, receipts, purge } = parts;
        let leftover = store.lanes().await?;
        let endpoints = Endpoints::new(store.endpoints().await?);
        let running = Running { plan: Arc::new(plan), lanes: BTreeMap::new() };
        let core = Arc::new(Core {
            running: ArcSwap::from_pointee(running),
            store,
            clock,
            entropy,
            webhooks,
            endpoints,
            telemetry: Telemetry::default(),
            waiters: Waiters::default(),
            blocked: BlockedBudget::default(),
            load: Load::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            halt: CancellationToken::new(),
            told: Notify::new(),
        });
        let engine = Arc::new(Self { core: Arc::clone(&core), workers: Mutex::default() });
        let plan = Arc::clone(&core.running.load().plan);
        engine.install(plan, &leftover);
        let left = core.store.counts(core.clock.now()).await?;
        core.load.found(left.queued + left.sending);
        let orphans = resume(&core, core.store.orphans().await?);
        if orphans > 0 {
            tracing::warn!(
                count = orphans,
                "{orphans} attempts were interrupted by the last stop; their outcome is unknown"
            );
        }
        tokio::spawn(receipt::run_queue(Arc::clone(&core), receipts));
        tokio::spawn(notify::run(Arc::clone(&core)));
        tokio::spawn(cluster::run(Arc::clone(&core)));
        tokio::spawn(housekeeping::sweep(Arc::clone(&core)));
        tokio::spawn(housekeeping::purge(core, purge));
        Ok(engine)
    }

    /// Swaps the plan; messages on their way go on with the provider they are with.
    pub fn reconfigure(&self, plan: Plan) {
        self.install(Arc::new(plan), &[]);
    }

    /// The running plan.
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.core.running.load().plan)
    }

    /// The tenant of an API key. One hash and one look-up: as fast for a wrong key as for a right one.
    pub fn authenticate(&self, key: &str) -> Option<Arc<Tenant>> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let running = self.core.running.load();
        let tenant = running.plan.keys.get(&hash).filter(|_| key.len() >= KEY_LEN_MIN)?;
        running.plan.tenants.get(tenant).cloned()
    }

    /// Accepts a message durably and begins to send it.
    ///
    /// # Errors
    /// Every problem of the request, or why it cannot be taken now; nothing was accepted.
    pub async fn submit(&self, tenant: &TenantId, request: SendRequest) -> Result<Submitted, Refusal> {
        Ok(self.submit_counted(tenant, request, false).await?.submitted)
    }

    /// Like [`Engine::submit`], then waits up to `patience` for a provider's verdict; `None`: still pending.
    ///
    /// # Errors
    /// As for [`Engine::submit`].
    pub async fn submit_and_wait(
        &self,
        tenant: &TenantId,
        request: SendRequest,
        patience: Duration,
    ) -> Result<(Submitted, Option<Decision>), Refusal> {
        let Accepted { submitted, decision } = self.submit_counted(tenant, request, true).await?;
        let Some(decision) = decision else { return Ok((submitted, None)) };
        // Forgotten also when the caller goes away: another node may settle the message, and nobody would do it here.
        let _forgotten = self.core.waiters.while_waiting(submitted.id);
        let decided = tokio::time::timeout(patience, decision).await.ok().and_then(Result::ok);
        Ok((submitted, decided))
    }

    /// What an idempotency key leads to; for surfaces that find a request malformed before they can submit it.
    ///
    /// # Errors
    /// The key was used for another request, or the store cannot be read.
    pub async fn replay(&self, tenant: &TenantId, idempotency: &Idempotency) -> Result<Option<Submitted>, Refusal> {
        accept::replay(&self.core, tenant, idempotency).await
    }

    /// What [`Engine::submit`] would do with a request, and why; touches nothing.
    pub fn explain(&self, tenant: &TenantId, request: SendRequest) -> Option<route::Explanation> {
        let running = self.core.running.load_full();
        let tenant = running.plan.tenants.get(tenant)?;
        Some(route::explain_with(request, tenant, &running.plan, self.core.clock.now(), running.as_ref()))
    }

    /// Reads a provider's callback and records its receipts; says how many.
    ///
    /// # Errors
    /// Forged, unreadable, unknown provider, or the store refused (the provider should repeat).
    pub async fn callback(
        &self,
        provider: &ProviderName,
        callback: &CallbackRequest,
    ) -> Result<usize, CallbackRefusal> {
        receipt::on_callback(&self.core, provider, callback).await
    }

    /// One message of a tenant.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Record>, StoreError> {
        self.core.store.get(Some(tenant), id).await
    }

    /// Messages, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn search(&self, filter: Filter) -> Result<Page, StoreError> {
        self.core.store.search(filter).await
    }

    /// Cancels a message before any attempt.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn cancel(&self, tenant: &TenantId, id: MessageId) -> Result<CancelOutcome, StoreError> {
        let outcome = self.core.store.cancel(tenant, id, self.core.clock.now()).await?;
        if let CancelOutcome::Canceled(change) = &outcome {
            announce(&self.core, change, None);
        }
        Ok(outcome)
    }

    /// Records what became of a code; `false` when the tenant has no such message.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn feedback(&self, tenant: &TenantId, id: MessageId, outcome: Feedback) -> Result<bool, StoreError> {
        let entry = Entry { at: self.core.clock.now(), what: What::Feedback { outcome: outcome.as_str().to_owned() } };
        let Some(record) = self.core.store.note(tenant, id, entry).await? else { return Ok(false) };
        self.core.telemetry.feedback(tenant, record.country, outcome.as_str());
        if outcome == Feedback::Used {
            self.pass_on_conversion(record);
        }
        Ok(true)
    }

    /// Ready to accept: the store takes writes and some route is usable.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), String> {
        if self.core.stop.is_cancelled() {
            return Err("shutting down".to_owned());
        }
        let running = self.core.running.load_full();
        let served = |rule: &crate::plan::Rule| rule.choice.providers().any(|p| running.plan.providers.contains_key(p));
        if !running.plan.rules.iter().any(served) {
            return Err("no route has a provider".to_owned());
        }
        self.core.store.ping().await.map_err(|error| error.to_string())
    }

    /// Begins nothing new, finishes or parks what is in flight, flushes, leaves providers politely.
    pub async fn shutdown(&self, deadline: Instant) {
        self.core.stop.cancel();
        self.core.tasks.close();
        let finished = tokio::time::timeout_at(deadline, self.core.tasks.wait()).await;
        self.core.halt.cancel();
        if finished.is_err() {
            tracing::warn!("attempts were cut off by the end of the drain time; their outcome is unknown");
        }
        let plan = self.plan();
        for provider in plan.providers.values() {
            provider.instance.shutdown(deadline).await;
        }
        self.core.store.close().await;
    }

    async fn submit_counted(&self, tenant: &TenantId, request: SendRequest, wait: bool) -> Result<Accepted, Refusal> {
        let began = Instant::now();
        let result = self.pipeline(tenant, request, wait).await;
        let outcome = match &result {
            Ok(_) => SubmitOutcome::Accepted,
            Err(refusal) => SubmitOutcome::of(refusal.code()),
        };
        self.core.telemetry.submitted(tenant, outcome, began.elapsed());
        result
    }

    /// Replay, the pure stages, the durable accept.
    async fn pipeline(&self, tenant: &TenantId, mut request: SendRequest, wait: bool) -> Result<Accepted, Refusal> {
        let core = &self.core;
        if core.stop.is_cancelled() {
            return Err(accept::overloaded());
        }
        if let Some(idempotency) = &request.idempotency
            && let Some(submitted) = accept::replay(core, tenant, idempotency).await?
        {
            return Ok(Accepted { submitted, decision: None });
        }
        let running = core.running.load_full();
        let now = core.clock.now();
        let owner = running.plan.tenants.get(tenant).ok_or_else(accept::overloaded)?;
        let _place = core.load.enter(tenant, running.plan.unsettled_max).ok_or_else(accept::overloaded)?;
        let terms = Terms { idempotency: request.idempotency.take(), answer: request.answer, wait };
        let destination = Destination::of(&request);
        match stages(request, owner, &running, now, core.dice()) {
            Ok(routed) => accept::accept(core, Arc::clone(&running), routed, terms).await,
            Err(refusal) => {
                destination.refused(core, owner, refusal.code());
                Err(refusal)
            }
        }
    }

    fn install(&self, plan: Arc<Plan>, leftover: &[ProviderName]) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, nodes) = (self.core.running.load_full(), self.core.store.nodes());
        let mut lanes = BTreeMap::new();
        for (name, provider) in &plan.providers {
            let share = Share::of(provider, nodes);
            let lane = match before.lanes.get(name) {
                Some(lane) => {
                    lane.reconfigure(share);
                    Arc::clone(lane)
                }
                None => Arc::new(Lane::new(name.clone(), share)),
            };
            lanes.insert(name.clone(), lane);
        }
        // Messages may still wait for a provider that left: its lane lives on to hand them over.
        for name in before.lanes.keys().chain(leftover) {
            let lane = before.lanes.get(name).cloned();
            lanes
                .entry(name.clone())
                .or_insert_with(|| lane.unwrap_or_else(|| Arc::new(Lane::new(name.clone(), LEFTOVER))));
        }
        self.core.telemetry.register(&plan);
        notify::show_endpoints(&self.core, &plan);
        // Before the workers: what they take must find its provider.
        self.core.running.store(Arc::new(Running { plan, lanes: lanes.clone() }));
        for (name, lane) in &lanes {
            self.core.telemetry.lane(&lane.status());
            workers.entry(name.clone()).or_insert_with(|| {
                let stop = self.core.stop.child_token();
                // A shutdown waits for it: what it has just taken out of the store must not be left open.
                self.core.tasks.spawn(run_lane(Arc::clone(&self.core), Arc::clone(lane), stop.clone()));
                stop
            });
        }
    }

    /// Best effort, after the answer: a provider that does not want to know loses nothing.
    fn pass_on_conversion(&self, record: Record) {
        let (Some(provider), Some(upstream_id)) = (record.provider, record.upstream_id) else { return };
        let plan = self.plan();
        self.core.tasks.spawn(async move {
            if let Some(provider) = plan.providers.get(&provider)
                && let Err(error) = provider.instance.converted(&upstream_id).await
            {
                tracing::warn!(message.id = %record.id, error.kind = error.kind.as_str(), "a conversion was not taken: {error}");
            }
        });
    }
}

/// The stages that only think, in order.
fn stages(
    request: SendRequest,
    owner: &Arc<Tenant>,
    running: &Running,
    now: UnixMs,
    dice: u32,
) -> Result<Routed, Refusal> {
    let plan = &running.plan;
    let admitted = admission::admit(request, owner, plan, now)?;
    let selected = route::select(admitted, plan, now)?;
    let rendered = render::render(selected, plan)?;
    route::candidates(rendered, plan, dice, running)
}

/// What became of a code, as the caller tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// It was never used.
    Expired,
    /// It was used.
    Used,
    /// A wrong one was typed.
    Wrong,
}

impl Feedback {
    /// Spelling in requests, history and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Used => "used",
            Self::Wrong => "wrong",
        }
    }

    /// Parses [`Feedback::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Expired, Self::Used, Self::Wrong].into_iter().find(|feedback| feedback.as_str() == text)
    }
}
