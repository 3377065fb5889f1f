//! What hooks of identity platforms have in common: they wait for the provider's verdict, they repeat a request after a
//! lost answer without saying so, and some show what they are told to the person who logs in.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sms_core::store::{Idempotency, Record};
use sms_core::{MessageId, Status, UnixMs};
use sms_engine::plan::Tenant;
use sms_engine::{Acceptance, Refusal, SendRequest};
use tokio::time::Instant;

use super::front::Front;
use super::problem::{Code, Problem};
use super::reply::json;

/// Time in which a repeat is taken for one. Auth0 repeats within a few minutes; later it is a new wish.
const REPEAT_WITHIN: Duration = Duration::from_mins(10);

/// Messages about one code in a day that are told apart; a limit stops far earlier.
const COPIES_MAX: u16 = 32;

/// How often a message that an earlier request began is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What makes two requests of a platform the same request: the parts, such as user, number and code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Sameness([u8; 32]);

impl Sameness {
    /// `dialect` keeps platforms apart; the parts are hashed with their lengths.
    pub(super) fn of(dialect: &str, parts: &[&str]) -> Self {
        let mut hash = Sha256::new_with_prefix(dialect);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    fn idempotency(self, copy: u16) -> Idempotency {
        use std::fmt::Write as _;
        let mut key = String::from("hook-");
        for byte in self.0.into_iter().take(16) {
            write!(key, "{byte:02x}").unwrap_or_default(); // writing to a String cannot fail
        }
        Idempotency { key: format!("{key}-{copy}"), fingerprint: self.0 }
    }
}

/// The answer of a hook.
#[derive(Serialize)]
struct Told {
    id: String,
    status: &'static str,
}

/// The accept-time answer of hooks.
pub(super) fn accepted(acceptance: &Acceptance) -> Vec<u8> {
    let told = Told { id: acceptance.id.to_string(), status: Status::Queued.as_str() };
    serde_json::to_vec(&told).unwrap_or_default() // texts can always be written
}

/// Sends what a hook asked for and waits up to `patience`; a repeat of a request whose message is on its way sends
/// nothing, but one whose message was lost sends again.
///
/// # Errors
/// In plain words: some platforms show them to the person who logs in.
pub(super) async fn deliver(
    front: &Front,
    tenant: &Tenant,
    request: SendRequest,
    sameness: Sameness,
    patience: Duration,
) -> Result<Response, Problem> {
    let ended = send(front, tenant, request, sameness, Instant::now() + patience).await;
    ended.and_then(|(id, status)| answer(id, status)).map_err(plain)
}

/// Keeps the particulars for the operator's log.
fn plain(problem: Problem) -> Problem {
    tracing::info!(error.kind = problem.code().as_str(), "a hook's message was refused: {}", problem.detail());
    problem.plainly()
}

async fn send(
    front: &Front,
    tenant: &Tenant,
    request: SendRequest,
    sameness: Sameness,
    deadline: Instant,
) -> Result<(MessageId, Status), Problem> {
    for copy in 0..COPIES_MAX {
        let request = SendRequest { idempotency: Some(sameness.idempotency(copy)), ..request.clone() };
        let patience = deadline.saturating_duration_since(Instant::now());
        let (submitted, decision) = front.submit_and_wait(tenant, request, patience).await?;
        let id = submitted.id;
        if !submitted.replayed {
            let status = decision.map_or(Status::Queued, |decision| decision.status);
            return Ok((id, status));
        }
        let earlier = front.engine.message(&tenant.id, id).await.map_err(Refusal::from)?;
        match earlier {
            Some(record) if is_on_its_way(&record, front.now()) => {
                return Ok((id, settled(front, tenant, record, deadline).await?));
            }
            Some(_) | None => {} // lost, or long ago: send again
        }
    }
    let (submitted, decision) =
        front.submit_and_wait(tenant, request, deadline.saturating_duration_since(Instant::now())).await?;
    Ok((submitted.id, decision.map_or(Status::Queued, |decision| decision.status)))
}

/// The earlier message can still arrive, or has.
fn is_on_its_way(record: &Record, now: UnixMs) -> bool {
    let fresh = now < record.expires && now.since(record.created) < REPEAT_WITHIN;
    fresh
        && match record.status {
            Status::Delivered | Status::Queued | Status::Sending | Status::Sent => true,
            Status::Blocked
            | Status::Canceled
            | Status::Expired
            | Status::Failed
            | Status::Rejected
            | Status::Undelivered
            | Status::Unknown => false,
        }
}

/// Waits until an earlier request's message is decided, or patience ends.
async fn settled(front: &Front, tenant: &Tenant, record: Record, deadline: Instant) -> Result<Status, Problem> {
    let mut status = record.status;
    while status.may_attempt() && Instant::now() + LOOK_EVERY < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = front.engine.message(&tenant.id, record.id).await.map_err(Refusal::from)?;
        status = now.map_or(status, |record| record.status);
    }
    Ok(status)
}

/// 200 for what was taken, may have been, or is still on its way.
fn answer(id: MessageId, status: Status) -> Result<Response, Problem> {
    let (code, detail) = match status {
        Status::Delivered | Status::Queued | Status::Sending | Status::Sent | Status::Unknown => {
            let told = Told { id: id.to_string(), status: status.as_str() };
            return Ok(json(StatusCode::OK, &told));
        }
        Status::Expired => (Code::MessageExpired, "its time to live passed"),
        Status::Rejected => (Code::MessageRejected, "a provider refused the recipient"),
        Status::Blocked | Status::Canceled | Status::Failed | Status::Undelivered => {
            (Code::MessageFailed, "no provider took it")
        }
    };
    Err(Problem::new(code, format!("Message {id}: {detail}."), "Ask for the message's status to see each attempt."))
}

/// A provider has it, or even the handset.
pub(super) fn is_taken(status: Status) -> bool {
    match status {
        Status::Delivered | Status::Sent => true,
        Status::Blocked
        | Status::Canceled
        | Status::Expired
        | Status::Failed
        | Status::Queued
        | Status::Rejected
        | Status::Sending
        | Status::Undelivered
        | Status::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_are_the_same_request_and_others_are_not() {
        let of = |parts: &[&str]| Sameness::of("auth0", parts).idempotency(0);
        assert_eq!(of(&["u", "123456"]), of(&["u", "123456"]));
        assert_ne!(of(&["u", "123456"]), of(&["u1", "23456"]));
        assert_ne!(of(&["u", "123456"]).key, Sameness::of("okta", &["u", "123456"]).idempotency(0).key);
        let copies = [0, 1].map(|copy| Sameness::of("auth0", &["u"]).idempotency(copy));
        assert_ne!(copies[0].key, copies[1].key);
        assert!(!of(&["u", "123456"]).key.contains("123456"));
    }

    #[test]
    fn refused_messages_are_422_in_plain_words_and_pending_ones_are_200() {
        let id = MessageId::new(UnixMs::new(1), [1; 10]);
        for status in [Status::Delivered, Status::Sent, Status::Queued, Status::Sending, Status::Unknown] {
            assert_eq!(answer(id, status).unwrap().status(), 200, "{}", status.as_str());
        }
        for (status, code) in [
            (Status::Rejected, "message_rejected"),
            (Status::Failed, "message_failed"),
            (Status::Undelivered, "message_failed"),
            (Status::Expired, "message_expired"),
        ] {
            let problem = answer(id, status).map_err(plain).unwrap_err();
            assert_eq!((problem.code().as_str(), problem.code().status().as_u16()), (code, 422));
            assert!(!problem.detail().contains("provider"));
        }
    }
}
