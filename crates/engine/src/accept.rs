//! The durable accept: idempotency, limits, message and (where a permit is free) the first attempt's
//! intent in one step of the store. No 2xx before it returned.

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{Admit, Idempotency, Leased, Replay, Verdict};
use sms_core::{Country, LimitId, MessageId, ProviderName, TenantId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::blocked;
use crate::dispatch::{Gate, Lane, Permit, work};
use crate::refusal::{Code, Problem, Refusal};
use crate::request::{Acceptance, Submitted};
use crate::route::{Routed, limit_refusal};
use crate::shared::{Core, Running};
use crate::waiters::Decision;

/// An accepted message; with `wait`, the caller hears of the provider's verdict.
pub(crate) struct Accepted {
    pub(crate) submitted: Submitted,
    pub(crate) decision: Option<oneshot::Receiver<Decision>>,
}

/// How the caller wants it.
pub(crate) struct Terms {
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) answer: fn(&Acceptance) -> Vec<u8>,
    pub(crate) wait: bool,
}

/// Accepts and, where a permit is free, begins to send.
///
/// Runs in a task of its own: a caller that hangs up must not tear a message apart between its commit
/// and its first attempt.
pub(crate) async fn accept(
    core: &Arc<Core>,
    running: Arc<Running>,
    routed: Routed,
    terms: Terms,
) -> Result<Accepted, Refusal> {
    let (reply, answer) = oneshot::channel();
    let task_core = Arc::clone(core);
    core.tasks.spawn(async move {
        let prepared = prepare(&task_core, &running, routed, &terms);
        match admit_one(&task_core, prepared.admit).await {
            Ok(Verdict::Leased { shadowed }) => {
                let accepted = leased(&task_core, &prepared.first, &shadowed, prepared.promise, prepared.decision);
                drop(reply.send(Ok(accepted))); // the caller may have hung up; the message stays
                match (prepared.permit, prepared.lane) {
                    (Some(permit), _) => work(task_core, prepared.first, permit).await,
                    (None, Some(lane)) => lane.wake.notify_one(),
                    (None, None) => {}
                }
            }
            other => {
                task_core.waiters.forget(prepared.first.id);
                if let (Some(permit), Some(lane)) = (prepared.permit, prepared.lane) {
                    lane.give_back(permit);
                }
                let answer = not_leased(&task_core, &running, other, &prepared.first);
                let code = answer.as_ref().err().filter(|refusal| refusal.limit.is_some()).map(Refusal::code);
                drop(reply.send(answer)); // as above
                if let Some(code) = code {
                    blocked::remember(&task_core, prepared.first, code).await;
                }
            }
        }
    });
    answer.await.unwrap_or_else(|_gone| Err(overloaded()))
}

/// Looks a key up before anything else is done with a request.
pub(crate) async fn replay(
    core: &Core,
    tenant: &TenantId,
    idempotency: &Idempotency,
) -> Result<Option<Submitted>, Refusal> {
    match core.store.replay(tenant, idempotency, core.clock.now()).await? {
        None => Ok(None),
        Some(Replay::KeyReuse) => Err(key_reuse().into()),
        Some(Replay::Replayed { id, answer }) => Ok(Some(replayed(id, answer))),
    }
}

fn leased(
    core: &Core,
    first: &Leased,
    shadowed: &[LimitId],
    (acceptance, answer): (Acceptance, Arc<[u8]>),
    decision: Option<oneshot::Receiver<Decision>>,
) -> Accepted {
    core.load.accepted(&first.tenant);
    core.telemetry.accepted(&first.tenant, acceptance.to.country());
    for limit in shadowed {
        core.telemetry.shadowed(&first.tenant, limit);
    }
    let submitted = Submitted { id: acceptance.id, answer, replayed: false, acceptance: Some(acceptance) };
    Accepted { submitted, decision }
}

/// Everything but a new message.
fn not_leased(
    core: &Core,
    running: &Running,
    verdict: Result<Verdict, Refusal>,
    first: &Leased,
) -> Result<Accepted, Refusal> {
    match verdict? {
        Verdict::KeyReuse => Err(key_reuse().into()),
        Verdict::Leased { .. } => Err(overloaded()), // handled by the caller
        Verdict::Limited { limit, retry_after } => {
            core.telemetry.rate_limited(&first.tenant, &limit);
            let refusal = running.plan.limits.iter().find(|l| l.id == limit).map(|l| limit_refusal(l, retry_after));
            let refusal = refusal.unwrap_or_else(overloaded);
            core.telemetry.blocked(&first.tenant, first.to.country(), refusal.code());
            Err(refusal)
        }
        Verdict::Replayed { id, answer } => Ok(Accepted { submitted: replayed(id, answer), decision: None }),
    }
}

fn replayed(id: MessageId, answer: Arc<[u8]>) -> Submitted {
    Submitted { id, answer, replayed: true, acceptance: None }
}

struct Prepared {
    admit: Admit,
    first: Leased,
    lane: Option<Arc<Lane>>,
    permit: Option<Permit>,
    promise: (Acceptance, Arc<[u8]>),
    decision: Option<oneshot::Receiver<Decision>>,
}

fn prepare(core: &Core, running: &Running, routed: Routed, terms: &Terms) -> Prepared {
    let created = core.clock.now();
    let id = MessageId::new(created, core.id_entropy());
    let charges = routed.charges(&running.plan);
    let (tenant, country) = (routed.tenant().clone(), routed.country());
    let lane = choose(running, routed.candidates(), country).cloned();
    let permit = lane.as_ref().and_then(|lane| lane.try_begin(&tenant, country));
    if let (Some(lane), None) = (&lane, &permit) {
        lane.waits(&tenant); // before the commit, so that others' new messages no longer go ahead of it
    }
    let message = routed.into_new_message(id, created);
    let lane_name =
        lane.as_ref().map_or_else(|| message.details.route.candidates.first().cloned(), |l| Some(l.name.clone()));
    let lane_name = lane_name.unwrap_or_else(|| ProviderName::new("none")); // a routed message has candidates
    let acceptance = Acceptance {
        id,
        to: message.to,
        encoding: message.details.encoding,
        segments: message.details.segments,
        units: message.details.units,
        created,
        expires: message.expires,
        provider: lane_name.clone(),
    };
    let first = Leased {
        id,
        tenant: message.tenant.clone(),
        created,
        expires: message.expires,
        to: message.to,
        body: message.body.clone(),
        details: message.details.clone(),
        attempt: 1,
        lane: lane_name.clone(),
        tried: Vec::new(),
    };
    let answer: Arc<[u8]> = (terms.answer)(&acceptance).into();
    let admit = Admit {
        message,
        idempotency: terms.idempotency.clone(),
        answer: Arc::clone(&answer),
        charges,
        lane: lane_name,
        begin: permit.is_some(),
    };
    // Before the commit: a lane's worker may be quicker than this task.
    let decision = terms.wait.then(|| core.waiters.register(id)).flatten();
    Prepared { admit, first, lane, permit, promise: (acceptance, answer), decision }
}

/// The first candidate that takes messages to this country, rather one that is not to be avoided; where all are shut,
/// the message waits for the first.
fn choose<'r>(running: &'r Running, candidates: &[ProviderName], country: Country) -> Option<&'r Arc<Lane>> {
    let (mut avoided, mut shut) = (None, None);
    for lane in candidates.iter().filter_map(|name| running.lanes.get(name)) {
        match lane.gate(country) {
            Gate::Go => return Some(lane),
            Gate::Avoid => drop(avoided.get_or_insert(lane)),
            Gate::Shut => drop(shut.get_or_insert(lane)),
        }
    }
    avoided.or(shut)
}

async fn admit_one(core: &Core, admit: Admit) -> Result<Verdict, Refusal> {
    let began = Instant::now();
    let verdicts = core.store.admit(vec![admit]).await?;
    core.telemetry.store_operation("admit", began.elapsed());
    verdicts.into_iter().next().ok_or_else(overloaded)
}

fn key_reuse() -> Problem {
    Problem::new(
        Code::IdempotencyKeyReuse,
        "Idempotency-Key",
        "This Idempotency-Key was used for another request in the last 24 hours.",
        "Use a new key for a new request; repeat a request with exactly the same body.",
    )
}

pub(crate) fn overloaded() -> Refusal {
    Refusal {
        problems: vec![Problem::new(
            Code::Overloaded,
            "",
            "The gateway is stopping, or too much of this tenant's or of everybody's work is waiting already.",
            "Send the same request again after the time in Retry-After.",
        )],
        limit: None,
        retry_after: Some(Duration::from_secs(1)),
    }
}
