//! Hands a leased message to providers until one takes it, none is left, or it must wait.
//! Knows no provider, no store back end; the decision after a failure is [`policy`]'s.

mod adapt;
mod breaker;
mod budget;
mod chances;
mod lane;
mod pace;
mod pair;
mod policy;
mod quality;
mod stack;
mod worker;

pub(crate) use breaker::Circuit;
pub(crate) use lane::{Lane, Permit};
pub(crate) use pair::Gate;
pub(crate) use quality::{PRIOR, PRIOR_WEIGHT};
pub(crate) use worker::{resume, run_lane};

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{Attempted, Change, INTERRUPTED, Leased, Outcome, RouteTrace, Settle, Settled, Then, Tried};
use sms_core::{
    Attempt, AttemptId, Fate, Kind, OutboundSms, ProviderName, Segmentation, SendError, Status, Submission, TenantId,
    UnixMs,
};
use tokio::time::Instant;

use crate::shared::{Core, Running};
use crate::waiters::Decision;
use chances::Hopeful;
use policy::{Facts, Follow};

/// Code in the ledger of an attempt whose provider left the configuration.
const PROVIDER_REMOVED: &str = "provider_removed";

/// Longest pause between two tries to record an outcome.
const SETTLE_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Works on a message whose intent is durable, until it is out of our hands.
pub(crate) async fn work(core: Arc<Core>, mut leased: Leased, permit: Permit) {
    let mut next = Some(permit);
    while let Some(permit) = next {
        // The permit ends with the attempt: the next message may begin while this outcome becomes durable.
        let ended = attempt(&core, &leased, permit).await;
        next = conclude(&core, &mut leased, ended).await;
    }
}

/// What follows an attempt.
struct Decided {
    then: Then,
    /// With which the next attempt begins at once.
    permit: Option<Permit>,
    /// There was no place for a repetition in the retry budget; one may be given that is due from then on.
    hopes: Option<UnixMs>,
}

impl Decided {
    fn at_rest(then: Then) -> Self {
        Self { then, permit: None, hopes: None }
    }
}

/// An attempt that came back.
struct Ended {
    attempted: Attempted,
    result: Result<Submission, SendError>,
}

/// Records the end of an attempt; a permit means that the next attempt is open.
async fn conclude(core: &Arc<Core>, leased: &mut Leased, ended: Ended) -> Option<Permit> {
    let Ended { attempted, result } = ended;
    let kind = attempted.kind;
    core.telemetry.attempted(&attempted);
    leased.tried.push(Tried { provider: attempted.provider.clone(), outcome: attempted.outcome, kind });
    let Decided { then, permit, hopes } = decide(core, leased, &result);
    let settle = Settle { id: leased.id, attempt: leased.attempt, at: core.clock.now(), attempted, then: then.clone() };
    let Some(Settled::Done { change, go }) = settle_until_recorded(core, settle).await else {
        return None;
    };
    announce(core, &change, kind);
    match then {
        Then::Again { provider } if go => {
            leased.attempt += 1;
            leased.lane = provider;
            permit
        }
        Then::Later { lane, due } => {
            let running = core.running.load();
            if let Some(due) = hopes {
                let until = policy::begins_before(leased.copies(), leased.expires);
                let (id, tenant, attempt) = (leased.id, leased.tenant.clone(), leased.attempt);
                running.hopes(&lane, Hopeful { id, tenant, attempt, due, until });
            } else if due <= core.clock.now() {
                running.waits(&lane, &leased.tenant);
            }
            None
        }
        Then::Again { .. } | Then::End(_) | Then::Sent { .. } => None,
    }
}

/// One attempt with the provider of the open intent, if it may still be made.
async fn attempt(core: &Core, leased: &Leased, mut permit: Permit) -> Ended {
    let (started, began) = (core.clock.now(), Instant::now());
    permit.assign(leased.to.country());
    let running = core.running.load_full();
    let result = match running.provider(&leased.lane) {
        _ if started >= leased.expires => {
            Err(SendError::new(Kind::Deadline, Fate::NotSent, "the message's time ran out before the attempt"))
        }
        None => {
            Err(SendError::new(Kind::Unavailable, Fate::NotSent, "no longer configured").with_code(PROVIDER_REMOVED))
        }
        Some((_, provider)) => {
            let valid_for = leased.expires.since(started);
            let attempt = Attempt {
                id: AttemptId { message: leased.id, number: leased.attempt },
                // Not capped by the time to live: an attempt that began in time may finish, and cutting it
                // off would turn an answer on its way into an unknown outcome.
                deadline: began + provider.timeout,
                valid_for,
            };
            let (instance, sms) = (provider.instance.as_ref(), outbound(leased));
            let result = stack::call(permit.lane(), instance, &sms, &attempt, &core.telemetry).await;
            permit.learn(&result, began.elapsed(), policy::rounds(&leased.tried, &leased.lane) == 0);
            result
        }
    };
    log(leased, &result);
    if let Ok(submission) = &result {
        let parts = submission.parts.unwrap_or(leased.details.segments);
        core.telemetry.segments(&leased.lane, leased.details.encoding, parts);
    }
    Ended { attempted: attempted(leased, &result, started, began.elapsed()), result }
}

fn outbound(leased: &Leased) -> OutboundSms {
    let details = &leased.details;
    OutboundSms {
        id: leased.id,
        to: leased.to,
        sender: details.sender.clone(),
        body: leased.body.clone(),
        segmentation: Segmentation { encoding: details.encoding, units: details.units, segments: details.segments },
        class: details.class,
        channel: details.channel,
    }
}

fn attempted(leased: &Leased, result: &Result<Submission, SendError>, started: UnixMs, took: Duration) -> Attempted {
    let error = result.as_ref().err();
    Attempted {
        attempt: leased.attempt,
        provider: leased.lane.clone(),
        outcome: error.map_or(Outcome::Accepted, policy::outcome),
        kind: error.map(|error| error.kind),
        code: error.and_then(|error| error.provider_code.clone()),
        started,
        took_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
    }
}

fn log(leased: &Leased, result: &Result<Submission, SendError>) {
    match result {
        Ok(_) => {
            tracing::debug!(message.id = %leased.id, provider.name = %leased.lane, attempt = leased.attempt, "accepted");
        }
        Err(error) => tracing::warn!(
            message.id = %leased.id, provider.name = %leased.lane, attempt = leased.attempt,
            error.kind = error.kind.as_str(), error.code = error.provider_code.as_deref(),
            "provider `{}` did not take message {}: {error}", leased.lane, leased.id
        ),
    }
}

/// What follows, with the permit for it where it follows at once.
fn decide(core: &Core, leased: &Leased, result: &Result<Submission, SendError>) -> Decided {
    let error = match result {
        Ok(submission) => return Decided::at_rest(Then::Sent { upstream_id: submission.upstream_id.clone() }),
        Err(error) => error,
    };
    let (now, running) = (core.clock.now(), core.running.load());
    if now >= leased.expires && error.fate != Fate::Unknown {
        return Decided::at_rest(Then::End(if leased.copies() > 0 { Status::Unknown } else { Status::Expired }));
    }
    let route = configured(&running, &leased.details.route);
    let facts = Facts {
        class: leased.details.class,
        route: &route,
        tried: &leased.tried,
        now,
        expires: leased.expires,
        dice: core.dice(),
    };
    let country = leased.to.country();
    let gate = |name: &ProviderName| running.provider(name).map_or(Gate::Shut, |(lane, _)| lane.gate(country));
    match policy::follow(error, &facts, gate) {
        Follow::End(status) => Decided::at_rest(Then::End(status)),
        Follow::Next { to, due } => {
            // A crash owes each code its copy in time, and no storm can come of it: there are as many as were in flight.
            let is_owed = error.provider_code.as_deref() == Some(INTERRUPTED);
            let repeats = !is_owed && policy::rounds(&leased.tried, &to) > 0;
            next(core, leased, (to, due.max(now)), repeats)
        }
    }
}

/// The route without the providers that left, which nobody need wait for; as it is where all of them did.
fn configured<'r>(running: &Running, route: &'r RouteTrace) -> Cow<'r, RouteTrace> {
    let is_there = |candidate: &&ProviderName| running.provider(candidate).is_some();
    let left = route.candidates.iter().filter(is_there).count();
    if left == 0 || left == route.candidates.len() {
        return Cow::Borrowed(route);
    }
    let candidates = route.candidates.iter().filter(is_there).cloned().collect();
    Cow::Owned(RouteTrace { candidates, ..route.clone() })
}

/// The next attempt, at once where a permit is free; one that `repeats` may have to be put off.
fn next(core: &Core, leased: &Leased, (to, due): (ProviderName, UnixMs), repeats: bool) -> Decided {
    let (now, running) = (core.clock.now(), core.running.load());
    let (mut due, mut hopes) = (due.min(leased.expires), None);
    if let Some(lane) = running.lanes.get(&to).filter(|_| repeats && due < leased.expires) {
        let within = policy::begins_before(leased.copies(), leased.expires).since(now);
        if let Some(put_off) = lane.book_repetition(within) {
            due = due.max(now.plus(put_off));
        } else {
            // It waits for a place to become free, or for its time to pass.
            (due, hopes) = (leased.expires, Some(due));
        }
    }
    if to != leased.lane {
        core.telemetry.failover(&leased.lane, &to);
    }
    let begin = |(lane, _): (&Arc<Lane>, _)| lane.try_begin(&leased.tenant, leased.to.country());
    match running.provider(&to).filter(|_| due <= now).and_then(begin) {
        Some(permit) => Decided { then: Then::Again { provider: to }, permit: Some(permit), hopes: None },
        None => Decided { then: Then::Later { lane: to, due }, permit: None, hopes },
    }
}

/// Repeats until the store took it: if the ledger did not record it, it did not happen. `None` when the
/// attempt was fenced off, or when we are told to stop while the store refuses; the next start then
/// finds the intent open and treats the outcome as unknown.
async fn settle_until_recorded(core: &Core, settle: Settle) -> Option<Settled> {
    let (mut pause, began) = (Duration::from_millis(50), Instant::now());
    loop {
        match core.store.settle(vec![settle.clone()]).await {
            Ok(settled) => {
                core.telemetry.store_operation("settle", began.elapsed());
                return settled.into_iter().next();
            }
            Err(error) => {
                tracing::error!(message.id = %settle.id, error.kind = "store", "an outcome could not be recorded yet: {error}");
            }
        }
        tokio::select! {
            biased; // chance would make a simulated seed go another way
            () = core.halt.cancelled() => return None,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(SETTLE_PAUSE_MAX),
        }
    }
}

/// Tells metrics, waiting callers and the notifier of a change.
pub(crate) fn announce(core: &Core, change: &Change, kind: Option<Kind>) {
    core.telemetry.changed(change, core.clock.now());
    if !change.to.may_attempt() {
        if change.from.may_attempt() {
            let taken = matches!(change.to, Status::Sent | Status::Delivered | Status::Undelivered);
            core.load.settled(&change.tenant, taken);
        }
        core.waiters.decide(change.id, || Decision { status: change.to, provider: change.provider.clone(), kind });
    }
    if change.from != change.to {
        learn_delivery(core, change);
        core.told.notify_one();
    }
}

/// A final receipt tells how well its provider delivers to that country.
fn learn_delivery(core: &Core, change: &Change) {
    let delivered = match (change.from, change.to) {
        (_, Status::Delivered) => true,
        // An expiry is a receipt's word only where a provider had taken the message.
        (_, Status::Undelivered) | (Status::Sent, Status::Expired) => false,
        (
            _,
            Status::Blocked
            | Status::Canceled
            | Status::Expired
            | Status::Failed
            | Status::Queued
            | Status::Rejected
            | Status::Sending
            | Status::Sent
            | Status::Unknown,
        ) => return,
    };
    let running = core.running.load();
    if let Some(lane) = change.provider.as_ref().and_then(|name| running.lanes.get(name)) {
        lane.receipt(change.country, delivered, core.clock.now().since(change.created));
    }
}

impl Running {
    /// A configured provider with its lane.
    pub(crate) fn provider(&self, name: &ProviderName) -> Option<(&Arc<Lane>, &crate::plan::Provider)> {
        Some((self.lanes.get(name)?, self.plan.providers.get(name)?.as_ref()))
    }

    /// A message began to wait in a lane without a place in its retry budget.
    fn hopes(&self, name: &ProviderName, hopeful: Hopeful) {
        if let Some(lane) = self.lanes.get(name) {
            lane.hopes(hopeful);
        }
    }

    /// A message of `tenant` began to wait in a lane.
    pub(crate) fn waits(&self, name: &ProviderName, tenant: &TenantId) {
        if let Some(lane) = self.lanes.get(name) {
            lane.waits(tenant);
        }
    }
}
