//! Makes requests ready for the writer: seals, hashes, serialises. Runs in the caller's task, because the one writer
//! is where everybody waits. Decides nothing.

use sms_core::store::{Admit, Blocked, Charge, IDEMPOTENCY_KEPT, Idempotency, NewMessage};
use sms_core::{ProviderName, Status, UnixMs};

use crate::compact;
use crate::key::{Column, Keys};
use crate::state::{State, Wait};
use crate::tables::{Kept, NewAdmit, NewBlocked, NewCharge, Sealed};

/// An acceptance as the keeper takes it.
pub(crate) fn admit(keys: &Keys, admit: Admit, now: UnixMs) -> NewAdmit {
    let Admit { message, idempotency, answer, charges, lane, begin } = admit;
    let idempotency = idempotency.map(|key| keep(keys, &message, &key, &answer, now));
    let sealed = seal(keys, &message, true);
    let charges = charges.into_iter().map(|charge| hash(keys, charge)).collect();
    NewAdmit { state: state(message, lane), message: sealed, idempotency, charges, begin }
}

/// A refused request as the keeper takes it.
pub(crate) fn block(keys: &Keys, blocked: Blocked) -> NewBlocked {
    let Blocked { message, code } = blocked;
    let sealed = seal(keys, &message, false);
    let mut state = state(message, ProviderName::new(""));
    state.status = Status::Blocked;
    state.wait = Wait::Idle;
    NewBlocked { state, message: sealed, code }
}

fn seal(keys: &Keys, message: &NewMessage, with_body: bool) -> Sealed {
    let id = message.id;
    // Plain values without maps of odd keys always serialise; an unreadable column would be reported, not lost.
    let details = serde_json::to_vec(&message.details).unwrap_or_default();
    Sealed {
        to_hash: keys.number(message.to),
        to: keys.seal(id, Column::To, &message.to.digits().to_be_bytes()),
        body: with_body.then(|| keys.seal(id, Column::Body, message.body.expose().as_bytes())),
        details: keys.seal(id, Column::Details, &details),
        client_id: message.details.client_id.clone(),
        key_id: keys.id(),
    }
}

fn state(message: NewMessage, lane: ProviderName) -> State {
    State {
        row: 0,
        id: message.id,
        tenant: message.tenant,
        country: message.to.country(),
        created: message.created,
        expires: message.expires,
        notify: message.details.notify,
        status: Status::Queued,
        updated: message.created,
        provider: None,
        upstream_id: None,
        lane,
        wait: Wait::Until(message.created),
        attempt: 0,
        copies: 0,
        log_len: 0,
    }
}

fn keep(keys: &Keys, message: &NewMessage, key: &Idempotency, answer: &[u8], now: UnixMs) -> ([u8; 16], Kept) {
    let small = compact::shrink(answer, message.id, message.expires);
    let kept = Kept {
        message: message.id,
        fingerprint: keys.fingerprint(key),
        answer: keys.seal(message.id, Column::Answer, &small),
        until: now.plus(IDEMPOTENCY_KEPT),
    };
    (keys.idempotency(&message.tenant, key), kept)
}

fn hash(keys: &Keys, charge: Charge) -> NewCharge {
    let key = keys.limit(&charge.limit, &charge.key);
    NewCharge { limit: charge.limit, key, windows: charge.windows, charging: charge.charging }
}
