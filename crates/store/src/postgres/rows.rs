//! Between rows and values.

use sms_core::store::{ReceivedReceipt, StoreError};
use sms_core::{Country, MessageId, Part, ProviderName, Receipt, Status, TenantId, UnixMs};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::key::Hash16;
use crate::parked::delivery;
use crate::state::{State, Wait};
use crate::tables::{Failure, Kept, Stored};

/// What [`stored`] reads, of a table called `m`, in front of anything else.
macro_rules! stored_columns {
    () => {
        "m.id, m.tenant, m.country, m.created, m.expires, m.notify, m.status, m.updated, m.provider, m.upstream_id, \
         m.lane, m.wait, m.attempt, m.copies, m.owner, m.log, m.to_sealed, m.details_sealed"
    };
}

pub(super) use stored_columns;

/// Number of columns of `stored_columns`.
pub(super) const STORED_LEN: usize = 18;

/// Whose attempt is open, in a row of `stored_columns`.
pub(super) fn owner(row: &Row) -> Result<i64, Failure> {
    Ok(row.try_get(14)?)
}

/// Reads `stored_columns`.
pub(super) fn stored(row: &Row) -> Result<Stored, Failure> {
    let log: Vec<u8> = row.try_get(15)?;
    let state = State {
        row: 0,
        id: id(row, 0)?,
        tenant: TenantId::new(row.try_get::<_, &str>(1)?),
        country: Country::parse(row.try_get(2)?).ok_or_else(|| unreadable("country"))?,
        created: at(row, 3)?,
        expires: at(row, 4)?,
        notify: row.try_get(5)?,
        status: status(row, 6)?,
        updated: at(row, 7)?,
        provider: row.try_get::<_, Option<&str>>(8)?.map(ProviderName::new),
        upstream_id: row.try_get(9)?,
        lane: ProviderName::new(row.try_get::<_, &str>(10)?),
        wait: Wait::of_column(row.try_get::<_, Option<i64>>(11)?),
        attempt: small(row, 12)?,
        copies: small(row, 13)?,
        log_len: log.len(),
    };
    Ok(Stored { state, to: row.try_get(16)?, details: row.try_get(17)?, log })
}

/// Reads `key, message, fingerprint, answer_sealed, until`.
pub(super) fn kept(row: &Row) -> Result<(Hash16, Kept), Failure> {
    let fingerprint = hash(row, 2)?;
    let kept = Kept { message: id(row, 1)?, fingerprint, answer: row.try_get(3)?, until: at(row, 4)? };
    Ok((hash(row, 0)?, kept))
}

/// Reads `row, provider, message, upstream_id, state, code, their_time, at, part, parts`.
pub(super) fn parked(row: &Row) -> Result<(i64, ReceivedReceipt), Failure> {
    let parts = row.try_get::<_, Option<i32>>(8)?.zip(row.try_get::<_, Option<i32>>(9)?);
    let receipt = Receipt {
        message: row.try_get::<_, Option<Uuid>>(2)?.map(|id| MessageId::from_bytes(id.into_bytes())),
        upstream_id: row.try_get(3)?,
        state: delivery(row.try_get(4)?).ok_or_else(|| unreadable("state"))?,
        provider_code: row.try_get(5)?,
        at: row.try_get::<_, Option<i64>>(6)?.map(UnixMs::new),
        part: parts.map(|(number, of)| part(number, of)),
    };
    let provider = ProviderName::new(row.try_get::<_, &str>(1)?);
    Ok((row.try_get(0)?, ReceivedReceipt { provider, receipt, at: at(row, 7)? }))
}

pub(super) fn part(number: i32, of: i32) -> Part {
    Part { number: u16::try_from(number).unwrap_or(u16::MAX), of: u16::try_from(of).unwrap_or(u16::MAX) }
}

pub(super) fn at(row: &Row, column: usize) -> Result<UnixMs, Failure> {
    Ok(UnixMs::new(row.try_get(column)?))
}

pub(super) fn id(row: &Row, column: usize) -> Result<MessageId, Failure> {
    hash(row, column).map(MessageId::from_bytes)
}

pub(super) fn hash(row: &Row, column: usize) -> Result<Hash16, Failure> {
    Ok(row.try_get::<_, Uuid>(column)?.into_bytes())
}

pub(super) fn status(row: &Row, column: usize) -> Result<Status, Failure> {
    Status::parse(row.try_get(column)?).ok_or_else(|| unreadable("status"))
}

/// A message's id as the database has it.
pub(super) fn uuid(id: MessageId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// First and last of ids in order: a statement that knows them leaves the tables of other days alone, which otherwise cost
/// more than its work does. It names the ids as well (`= ANY`), or a plan may read all that is between the two.
pub(super) fn span(ids: &[Uuid]) -> (Uuid, Uuid) {
    (ids.first().copied().unwrap_or_default(), ids.last().copied().unwrap_or_default())
}

/// `PostgreSQL`'s text holds no zero byte, whatever a provider or a caller sends.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

pub(super) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn small(row: &Row, column: usize) -> Result<u16, Failure> {
    u16::try_from(row.try_get::<_, i32>(column)?).map_err(|_| unreadable("attempt"))
}

/// A column holds something that this build never writes.
pub(super) fn unreadable(column: &str) -> Failure {
    Failure::operation(StoreError::Damaged(format!("unreadable {column}")))
}
