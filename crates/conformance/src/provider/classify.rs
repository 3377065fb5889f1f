//! The table of architecture.md §3: what each behaviour of an upstream means, that one send is one wire
//! request, that the answer comes by the deadline, and that a probe sends nothing.

use std::time::Duration;

use sms_core::{Fate, Kind, SendError, Submission};
use tokio::time::{sleep, timeout};

use super::samples::{ANSWERS_WITHIN, GRACE, SILENT_FOR, attempt, sms};
use super::{Kit, Rig, sockets};
use crate::upstream::Behaviour;

pub(super) async fn check(kit: &mut Kit<'_>) {
    for behaviour in Behaviour::ALL {
        let rig = kit.harness.rig(behaviour).await;
        let Some(result) = send(kit, &rig, behaviour).await else { continue };
        judge(kit, behaviour, &result);
        count(kit, &rig, behaviour).await;
        if matches!(behaviour, Behaviour::Accept | Behaviour::RefuseConnect | Behaviour::ServerError) {
            near(kit, behaviour); // asking the kernel is slow, so once for success and where one might look elsewhere
        }
        if behaviour == Behaviour::Accept {
            leave(kit, &rig).await;
        }
    }
    probe(kit).await;
}

/// `None` when the provider overran its deadline.
async fn send(kit: &mut Kit<'_>, rig: &Rig, behaviour: Behaviour) -> Option<Result<Submission, SendError>> {
    let sms = sms(1);
    let limit = limit(behaviour);
    let result = timeout(limit + GRACE, rig.provider.send(&sms, &attempt(&sms, limit))).await.ok();
    kit.expect("answers_by_deadline", result.is_some(), || format!("{behaviour:?}: no answer after {limit:?}"));
    let result = result?;
    kit.leaks.see(behaviour, &format!("{:?} {:?}", rig.provider, rig.provider.descriptor()));
    match &result {
        Ok(submission) => kit.leaks.see(behaviour, &format!("{submission:?}")),
        Err(error) => kit.leaks.see_error(behaviour, error),
    }
    Some(result)
}

fn judge(kit: &mut Kit<'_>, behaviour: Behaviour, result: &Result<Submission, SendError>) {
    let expected = expected(behaviour);
    let seen = match result {
        Ok(_) => None,
        Err(error) => Some((error.kind, error.fate, error.answered)),
    };
    kit.expect("right_kind_and_fate", seen == expected, || format!("{behaviour:?}: {seen:?} instead of {expected:?}"));
    if let (Behaviour::Throttle(pause), Err(error)) = (behaviour, result) {
        let told = error.retry_after;
        kit.expect("pause_is_handed_on", told == Some(pause), || format!("{told:?} instead of {pause:?}"));
    }
}

/// Kind, fate, and whether the upstream answered; `None` means taken.
fn expected(behaviour: Behaviour) -> Option<(Kind, Fate, bool)> {
    match behaviour {
        Behaviour::Accept => None,
        Behaviour::BadCredentials => Some((Kind::Account, Fate::Refused, false)),
        Behaviour::Garbage | Behaviour::HugeBody => Some((Kind::Protocol, Fate::Unknown, false)),
        Behaviour::HangAfterRead | Behaviour::HangBeforeRead | Behaviour::SlowHeaders => {
            Some((Kind::Deadline, Fate::Unknown, false))
        }
        Behaviour::RefuseConnect => Some((Kind::Unavailable, Fate::NotSent, false)),
        Behaviour::RejectContent => Some((Kind::Content, Fate::Refused, false)),
        Behaviour::RejectNumber => Some((Kind::Recipient, Fate::Refused, false)),
        Behaviour::ResetAfterRead => Some((Kind::Unavailable, Fate::Unknown, false)),
        Behaviour::ServerError => Some((Kind::Unavailable, Fate::Unknown, true)),
        Behaviour::Throttle(_) => Some((Kind::Throttled, Fate::Refused, false)),
    }
}

/// Short where the upstream never comes to an end.
fn limit(behaviour: Behaviour) -> Duration {
    match behaviour {
        Behaviour::HangAfterRead | Behaviour::HangBeforeRead | Behaviour::SlowHeaders => SILENT_FOR,
        Behaviour::HugeBody => SILENT_FOR * 5,
        Behaviour::Accept
        | Behaviour::BadCredentials
        | Behaviour::Garbage
        | Behaviour::RefuseConnect
        | Behaviour::RejectContent
        | Behaviour::RejectNumber
        | Behaviour::ResetAfterRead
        | Behaviour::ServerError
        | Behaviour::Throttle(_) => ANSWERS_WITHIN,
    }
}

async fn count(kit: &mut Kit<'_>, rig: &Rig, behaviour: Behaviour) {
    sleep(SETTLE).await; // for what a provider might do behind our back
    let wanted = match behaviour {
        Behaviour::HangBeforeRead | Behaviour::RefuseConnect => 0,
        Behaviour::Accept
        | Behaviour::BadCredentials
        | Behaviour::Garbage
        | Behaviour::HangAfterRead
        | Behaviour::HugeBody
        | Behaviour::RejectContent
        | Behaviour::RejectNumber
        | Behaviour::ResetAfterRead
        | Behaviour::ServerError
        | Behaviour::SlowHeaders
        | Behaviour::Throttle(_) => 1,
    };
    if let Some(requests) = rig.wire.requests() {
        kit.expect("one_send_one_wire_request", requests == wanted, || {
            format!("{behaviour:?}: {requests} requests instead of {wanted}")
        });
    }
    let copies = rig.wire.seen().len();
    let holds = copies <= wanted && (behaviour != Behaviour::Accept || copies == 1);
    kit.expect("one_send_one_wire_request", holds, || format!("{behaviour:?}: {copies} copies"));
}

fn near(kit: &mut Kit<'_>, behaviour: Behaviour) {
    let foreign = sockets::foreign();
    kit.expect("only_loopback", foreign.is_empty(), || format!("{behaviour:?}: connected to {foreign:?}"));
}

/// A probe must tell a good account from a bad one without sending anything.
async fn probe(kit: &mut Kit<'_>) {
    let rig = kit.harness.rig(Behaviour::Accept).await;
    let result = timeout(ANSWERS_WITHIN, rig.provider.probe()).await.ok();
    kit.expect("probe_tells_accounts_apart", matches!(result, Some(Ok(()))), || format!("Accept: {result:?}"));
    let sent = rig.wire.seen();
    kit.expect("probe_never_sends", sent.is_empty(), || format!("{} messages", sent.len()));
    let rig = kit.harness.rig(Behaviour::BadCredentials).await;
    let kind = timeout(ANSWERS_WITHIN, rig.provider.probe()).await.ok().and_then(Result::err).map(|error| error.kind);
    kit.expect("probe_tells_accounts_apart", kind == Some(Kind::Account), || format!("BadCredentials: {kind:?}"));
}

async fn leave(kit: &mut Kit<'_>, rig: &Rig) {
    let deadline = tokio::time::Instant::now() + SILENT_FOR;
    let left = timeout(SILENT_FOR + GRACE, rig.provider.shutdown(deadline)).await.is_ok();
    kit.expect("shuts_down_by_deadline", left, || "still there".to_owned());
}

const SETTLE: Duration = Duration::from_millis(30);
