//! Tells tenants of status changes: signed webhooks (Standard Webhooks), repeated over a day. What is still to be told
//! is in the store; a process that dies tells it again, with the same `webhook-id`. Tenants do not wait for each other:
//! each has places of its own, fewer while its endpoint holds calls up.
//! Knows no HTTP client; the gateway's [`WebhookPort`] also keeps calls away from private addresses.

mod call;
mod desk;
mod endpoints;
mod flights;
mod port;
mod schedule;
mod sign;

pub use desk::EndpointState;
pub use port::{Reach, WebhookAnswer, WebhookCall, WebhookFault, WebhookPort};

pub(crate) use endpoints::Endpoints;
pub(crate) use schedule::Reason;

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{Endpoint, Notice, NoticeId, NoticeOutcome};
use sms_core::{StoreError, TenantId};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Plan;
use crate::shared::Core;
use crate::telemetry::Telling;
use call::Whom;
use endpoints::{Name, Why};
use flights::{Flights, IN_FLIGHT_MAX};
use schedule::Verdict;

/// How often due notices are looked for when nothing else wakes the notifier.
const TICK: Duration = Duration::from_millis(500);

/// How long a stop waits for calls under way; they are made again after the start.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A telling that ended.
#[derive(Debug)]
struct Landed {
    id: NoticeId,
    tenant: TenantId,
    slow: bool,
}

/// Tells what is due until the engine stops.
pub(crate) async fn run(core: Arc<Core>) {
    let mut flights = Flights::default();
    let (land, mut landed) = mpsc::channel(IN_FLIGHT_MAX);
    loop {
        tokio::select! {
            biased; // in this order nobody starves; chance would make a simulated seed go another way
            () = core.stop.cancelled() => return,
            Some(first) = landed.recv() => {
                let mut next = Some(first);
                while let Some(Landed { id, tenant, slow }) = next {
                    flights.end(id, &tenant, slow);
                    next = landed.try_recv().ok();
                }
            }
            () = core.told.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
        if let Err(error) = read(&core, &mut flights).await {
            tracing::error!(error.kind = "store", "due webhooks could not be read: {error}");
        }
        while let Some(notice) = flights.next() {
            core.tasks.spawn(fly(Arc::clone(&core), notice, land.clone()));
        }
    }
}

async fn read(core: &Core, flights: &mut Flights) -> Result<(), StoreError> {
    let tenants = core.store.notice_tenants().await?;
    if tenants.is_empty() {
        return Ok(());
    }
    let wants = flights.wants(tenants);
    if !wants.is_empty() {
        flights.add(core.store.notices(&wants, core.clock.now()).await?);
    }
    Ok(())
}

async fn fly(core: Arc<Core>, notice: Notice, land: mpsc::Sender<Landed>) {
    let (id, tenant) = (notice.id, notice.record.tenant.clone());
    let told = tell(&core, notice).await;
    if let Some((outcome, _)) = &told
        && let Err(error) = core.store.settle_notices(vec![(id, outcome.clone())]).await
    {
        tracing::error!(error.kind = "store", "a webhook's outcome could not be recorded: {error}");
    }
    let slow = told.is_some_and(|(_, slow)| slow);
    drop(land.send(Landed { id, tenant, slow }).await); // the notifier has stopped, and nobody counts any more
}

/// What follows, and whether the endpoint held the call up; `None` when the stop cut it off.
async fn tell(core: &Core, notice: Notice) -> Option<(NoticeOutcome, bool)> {
    let running = core.running.load_full();
    let tenant = running.plan.tenants.get(&notice.record.tenant).map(AsRef::as_ref);
    let Some(whom) = Whom::of(&notice, tenant) else { return Some((NoticeOutcome::Done, false)) };
    let webhook = tenant.and_then(|tenant| tenant.webhook.as_ref());
    let own = match whom {
        Whom::Tenant(webhook) => {
            let name = Name { tenant: notice.record.tenant.clone(), url: call::digest(&webhook.url) };
            if core.endpoints.is_disabled(&name) {
                core.telemetry.telling(Telling::Shelved);
                return Some((NoticeOutcome::Shelved, false));
            }
            Some((name, webhook.disable_after))
        }
        Whom::Caller(_) => None,
    };
    let secrets = webhook.map_or(&[][..], |webhook| &webhook.secrets);
    let call = call::call(&notice, whom, secrets, core.clock.now());
    let began = Instant::now();
    let answer = tokio::select! {
        biased; // an answer that is there counts
        answer = core.webhooks.post(call) => answer,
        () = stopped(core) => return None,
    };
    let verdict = schedule::verdict(&answer);
    let outcome = match verdict {
        Verdict::Delivered => NoticeOutcome::Done,
        Verdict::Gone => NoticeOutcome::Shelved,
        Verdict::Failed(_) => schedule::again(notice.attempt, &answer, core.clock.now(), core.dice())
            .map_or(NoticeOutcome::Shelved, |due| NoticeOutcome::Retry { due }),
    };
    report(core, &notice, verdict, &outcome, began.elapsed());
    if let Some((name, patience)) = own {
        follow(core, &name, verdict, patience).await;
    }
    let slow = matches!(verdict, Verdict::Failed(reason) if reason.is_slow());
    Some((outcome, slow))
}

async fn stopped(core: &Core) {
    core.stop.cancelled().await;
    tokio::select! {
        biased; // chance would make a simulated seed go another way
        () = tokio::time::sleep(STOP_PATIENCE) => {}
        () = core.halt.cancelled() => {}
    }
}

fn report(core: &Core, notice: &Notice, verdict: Verdict, outcome: &NoticeOutcome, took: Duration) {
    let reason = match verdict {
        Verdict::Delivered => return core.telemetry.told(Telling::Delivered, took),
        Verdict::Failed(reason) => reason,
        Verdict::Gone => Reason::Gone,
    };
    let telling = match outcome {
        NoticeOutcome::Retry { .. } => Telling::Retried,
        NoticeOutcome::Done | NoticeOutcome::Shelved => Telling::GivenUp,
    };
    core.telemetry.told(telling, took);
    core.telemetry.telling_failed(reason);
    let (id, label, reason) = (notice.record.id, telling.as_str(), reason.as_str());
    tracing::warn!(
        message.id = %id, tenant = %notice.record.tenant, attempt = notice.attempt + 1, reason,
        "webhook of message {id} {label}: {reason}"
    );
}

/// Follows a tenant's own endpoint; says so when it is disabled.
async fn follow(core: &Core, name: &Name, verdict: Verdict, patience: Duration) {
    let now = core.clock.now();
    let was_disabled = core.endpoints.is_disabled(name);
    let changed = match verdict {
        Verdict::Delivered => core.endpoints.succeeded(name),
        Verdict::Failed(_) => core.endpoints.failed(name, now, patience),
        Verdict::Gone => Some(core.endpoints.disable(name, now, Why::Gone)).filter(|_| !was_disabled),
    };
    let Some(endpoint) = changed else { return };
    if endpoint.disabled_since.is_some() && !was_disabled {
        let tenant = &name.tenant;
        core.telemetry.endpoint_disabled(tenant, true);
        let why = endpoint.why.as_deref().unwrap_or_default();
        tracing::error!(
            tenant = %tenant, reason = why,
            "the webhook of tenant {tenant} is disabled ({why}) and called no more: \
             POST /admin/v1/webhooks/{tenant}/enable on the ops listener calls it again"
        );
    }
    write_down(core, endpoint).await;
}

async fn write_down(core: &Core, endpoint: Endpoint) {
    if let Err(error) = core.store.set_endpoint(endpoint).await {
        tracing::error!(error.kind = "store", "the state of an endpoint could not be recorded: {error}");
    }
}

/// Brings the gauge of disabled endpoints up to date with a new plan.
pub(crate) fn show_endpoints(core: &Core, plan: &Plan) {
    for (tenant, settings) in &plan.tenants {
        let disabled = settings.webhook.as_ref().is_some_and(|webhook| {
            core.endpoints.is_disabled(&Name { tenant: tenant.clone(), url: call::digest(&webhook.url) })
        });
        core.telemetry.endpoint_disabled(tenant, disabled);
    }
}
