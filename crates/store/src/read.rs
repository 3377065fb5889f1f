//! Opens what is kept: records, leases and replays. A row that cannot be authenticated is an error with the message's
//! id, never a guess.

use sms_core::store::{Details, Leased, Record, Replay, StoreError, Tried, Waiting, What};
use sms_core::{Body, MessageId, Msisdn, UnixMs};
use tracing::error;

use crate::compact;
use crate::key::{Column, Hash16, Keys};
use crate::state::{State, Wait, entries};
use crate::tables::{Kept, Payload, Stored};

/// A message as it is read back.
pub(crate) fn record(keys: &Keys, stored: Stored) -> Result<Record, StoreError> {
    let Stored { state, to, details, log } = stored;
    let id = state.id;
    let to = to.map(|sealed| number(keys, &state, &sealed).ok_or_else(|| damaged(id))).transpose()?;
    Ok(Record {
        details: self::details(keys, id, &details).ok_or_else(|| damaged(id))?,
        history: entries(&log).ok_or_else(|| damaged(id))?,
        to,
        id,
        tenant: state.tenant,
        status: state.status,
        created: state.created,
        expires: state.expires,
        updated: state.updated,
        country: state.country,
        provider: state.provider,
        upstream_id: state.upstream_id,
    })
}

/// A message ready for dispatch; `None` when its row cannot be authenticated.
pub(crate) fn leased(keys: &Keys, state: &State, payload: &Payload) -> Option<Leased> {
    let id = state.id;
    let to = number(keys, state, payload.to.as_deref()?)?;
    let body = String::from_utf8(keys.open(id, Column::Body, payload.body.as_deref()?)?).ok()?;
    Some(Leased {
        id,
        tenant: state.tenant.clone(),
        created: state.created,
        expires: state.expires,
        to,
        body: Body::new(body),
        details: details(keys, id, &payload.details)?,
        attempt: state.attempt,
        lane: state.lane.clone(),
        tried: tried(&payload.log)?,
    })
}

/// A message that waits; `None` when its row cannot be authenticated, or when it does not wait.
pub(crate) fn waiting(keys: &Keys, state: &State, payload: &Payload) -> Option<Waiting> {
    let Wait::Until(due) = state.wait else { return None };
    Some(Waiting {
        id: state.id,
        tenant: state.tenant.clone(),
        country: state.country,
        expires: state.expires,
        attempt: state.attempt,
        lane: state.lane.clone(),
        due,
        route: details(keys, state.id, &payload.details)?.route,
        tried: tried(&payload.log)?,
    })
}

/// What an idempotency record answers to a request with `fingerprint`.
pub(crate) fn replay(keys: &Keys, kept: &Kept, fingerprint: &Hash16) -> Result<Replay, StoreError> {
    if kept.fingerprint != *fingerprint {
        return Ok(Replay::KeyReuse);
    }
    let id = kept.message;
    let small = keys.open(id, Column::Answer, &kept.answer).ok_or_else(|| damaged(id))?;
    let answer = compact::expand(&small, id).ok_or_else(|| damaged(id))?;
    Ok(Replay::Replayed { id, answer: answer.into() })
}

/// Whether the record still answers.
pub(crate) fn answers(kept: &Kept, now: UnixMs) -> bool {
    kept.until > now
}

fn tried(log: &[u8]) -> Option<Vec<Tried>> {
    let settled = entries(log)?.into_iter().filter_map(|entry| match entry.what {
        What::Outcome(ended) => Some(Tried { provider: ended.provider, outcome: ended.outcome, kind: ended.kind }),
        What::Accepted
        | What::Blocked { .. }
        | What::Canceled
        | What::Expired
        | What::Feedback { .. }
        | What::Intent { .. }
        | What::Receipt { .. }
        | What::Status(_)
        | What::Waiting { .. } => None,
    });
    Some(settled.collect())
}

fn number(keys: &Keys, state: &State, sealed: &[u8]) -> Option<Msisdn> {
    let digits: [u8; 8] = keys.open(state.id, Column::To, sealed)?.try_into().ok()?;
    Msisdn::restore(&u64::from_be_bytes(digits).to_string(), state.country)
}

fn details(keys: &Keys, id: MessageId, sealed: &[u8]) -> Option<Details> {
    serde_json::from_slice(&keys.open(id, Column::Details, sealed)?).ok()
}

fn damaged(id: MessageId) -> StoreError {
    error!(message.id = %id, "the row of message {id} cannot be authenticated: it was changed or the disk is failing");
    StoreError::Damaged(format!("the row of message {id} cannot be authenticated"))
}
