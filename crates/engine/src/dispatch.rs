//! Hands a leased message to providers until one takes it, none is left, or it must wait.
//! Knows no provider, no store back end; the decision after a failure is [`policy`]'s.

mod breaker;
mod lane;
mod policy;
mod stack;
mod worker;

pub(crate) use breaker::Circuit;
pub(crate) use lane::{Lane, Permit};
pub(crate) use worker::{resume_orphans, run_lane};

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{Attempted, Change, Leased, Outcome, Settle, Settled, Then, Tried};
use sms_core::{
    Attempt, AttemptId, Fate, Kind, OutboundSms, ProviderName, Segmentation, SendError, Status, Submission, UnixMs,
};
use tokio::time::Instant;

use crate::shared::{Core, Running};
use crate::waiters::Decision;
use policy::{Facts, Follow};

/// Code in the ledger of an attempt whose provider left the configuration.
const PROVIDER_REMOVED: &str = "provider_removed";

/// Longest pause between two tries to record an outcome.
const SETTLE_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Works on a message whose intent is durable, until it is out of our hands.
pub(crate) async fn work(core: Arc<Core>, mut leased: Leased, permit: Permit) {
    let mut permit = Some(permit);
    while permit.is_some() {
        let ended = attempt(&core, &leased).await;
        drop(permit.take()); // the next message may begin while this outcome becomes durable
        permit = conclude(&core, &mut leased, ended).await;
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
    let (then, permit) = decide(core, leased, &result);
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
        Then::Later { lane, due } if due <= core.clock.now() => {
            core.running.load().wake(&lane);
            None
        }
        Then::Again { .. } | Then::End(_) | Then::Later { .. } | Then::Sent { .. } => None,
    }
}

/// One attempt with the provider of the open intent, if it may still be made.
async fn attempt(core: &Core, leased: &Leased) -> Ended {
    let (started, began) = (core.clock.now(), Instant::now());
    let running = core.running.load_full();
    let result = match running.provider(&leased.lane) {
        _ if started >= leased.expires => {
            Err(SendError::new(Kind::Deadline, Fate::NotSent, "the message's time ran out before the attempt"))
        }
        None => {
            Err(SendError::new(Kind::Unavailable, Fate::NotSent, "no longer configured").with_code(PROVIDER_REMOVED))
        }
        Some((lane, provider)) => {
            let valid_for = leased.expires.since(started);
            let attempt = Attempt {
                id: AttemptId { message: leased.id, number: leased.attempt },
                // Not capped by the time to live: an attempt that began in time may finish, and cutting it
                // off would turn an answer on its way into an unknown outcome.
                deadline: began + provider.timeout,
                valid_for,
            };
            stack::call(lane, provider.instance.as_ref(), &outbound(leased), &attempt, &core.telemetry).await
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
fn decide(core: &Core, leased: &Leased, result: &Result<Submission, SendError>) -> (Then, Option<Permit>) {
    let error = match result {
        Ok(submission) => return (Then::Sent { upstream_id: submission.upstream_id.clone() }, None),
        Err(error) => error,
    };
    let (now, running) = (core.clock.now(), core.running.load());
    if now >= leased.expires && error.fate != Fate::Unknown {
        return (Then::End(if leased.copies() > 0 { Status::Unknown } else { Status::Expired }), None);
    }
    let facts = Facts {
        class: leased.details.class,
        route: &leased.details.route,
        tried: &leased.tried,
        now,
        expires: leased.expires,
        dice: core.dice(),
    };
    let usable = |name: &ProviderName| running.provider(name).is_some_and(|(lane, _)| !lane.is_open());
    match policy::follow(error, &facts, usable) {
        Follow::End(status) => (Then::End(status), None),
        Follow::Next { to, due } => {
            if to != leased.lane {
                core.telemetry.failover(&leased.lane, &to);
            }
            match running.provider(&to).filter(|_| due <= now).and_then(|(lane, _)| lane.try_begin()) {
                Some(permit) => (Then::Again { provider: to }, Some(permit)),
                None => (Then::Later { lane: to, due }, None),
            }
        }
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
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(SETTLE_PAUSE_MAX),
            () = core.halt.cancelled() => return None,
        }
    }
}

/// Tells metrics, waiting callers and the notifier of a change.
pub(crate) fn announce(core: &Core, change: &Change, kind: Option<Kind>) {
    core.telemetry.changed(change, core.clock.now());
    if !change.to.may_attempt() {
        core.waiters.decide(change.id, || Decision { status: change.to, provider: change.provider.clone(), kind });
    }
    if change.from != change.to {
        core.told.notify_one();
    }
}

impl Running {
    /// A configured provider with its lane.
    pub(crate) fn provider(&self, name: &ProviderName) -> Option<(&Lane, &crate::plan::Provider)> {
        Some((self.lanes.get(name)?.as_ref(), self.plan.providers.get(name)?.as_ref()))
    }

    /// A message began to wait in a lane.
    pub(crate) fn wake(&self, name: &ProviderName) {
        if let Some(lane) = self.lanes.get(name) {
            lane.wake.notify_one();
        }
    }
}
