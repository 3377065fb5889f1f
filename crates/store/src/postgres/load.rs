//! Reads in and locks the rows that a batch may touch; always in the order of their ids, so that no two batches wait for
//! each other.

use std::collections::BTreeSet;

use sms_core::store::ReceivedReceipt;
use sms_core::{MessageId, ProviderName};
use tokio_postgres::Row;
use uuid::Uuid;

use super::pool::{Asked, Conn};
use super::rows::{self, STORED_LEN, clean, span, stored_columns, uuid};
use super::work::{Loaded, Work};
use crate::parked::ParkedId;
use crate::tables::Failure;

/// Messages by id, locked until the transaction ends. Only the tables of their days are touched.
const MESSAGES: &str = concat!(
    "SELECT ",
    stored_columns!(),
    ", m.body_sealed FROM unnest($1::uuid[]) u(id) JOIN message m ON m.id = u.id \
    WHERE m.id = ANY($1) AND m.id >= $2 AND m.id <= $3 ORDER BY u.id FOR UPDATE OF m"
);

const UPSTREAM: &str = "SELECT s.upstream_id, s.provider, s.message, s.number, s.parts \
    FROM unnest($1::text[], $2::text[]) k(upstream_id, provider) \
    JOIN upstream s ON s.upstream_id = k.upstream_id AND s.provider = k.provider \
    WHERE s.upstream_id = ANY($1) ORDER BY s.message";

const PARKED: &str = "SELECT row, provider, message, upstream_id, state, code, their_time, at, part, parts FROM parked \
    WHERE message = ANY($1::uuid[]) OR upstream_id = ANY($2::text[]) ORDER BY row FOR UPDATE SKIP LOCKED";

/// Opens a transaction with these messages in it.
pub(super) async fn messages(conn: &mut Conn, ids: impl IntoIterator<Item = MessageId>) -> Result<Work, Failure> {
    let ids = sorted(ids);
    let (first, last) = span(&ids);
    let mut found = conn.begin("BEGIN", &[(MESSAGES, vec![&ids, &first, &last])]).await?;
    let mut work = Work::default();
    work.take(&found.pop().unwrap_or_default())?;
    Ok(work)
}

/// Reads messages into a transaction that is open.
pub(super) async fn more(
    conn: &mut Conn,
    work: &mut Work,
    ids: impl IntoIterator<Item = MessageId>,
) -> Result<(), Failure> {
    let ids = sorted(ids);
    let (first, last) = span(&ids);
    let found = conn.rows(MESSAGES, &[&ids, &first, &last]).await?;
    work.take(&found)
}

/// Opens a transaction with these messages and the parked receipts that may speak of them or of these provider's ids.
pub(super) async fn settled(
    conn: &mut Conn,
    ids: impl IntoIterator<Item = MessageId>,
    upstream_ids: &[String],
) -> Result<(Work, Vec<(ParkedId, ReceivedReceipt)>), Failure> {
    let ids = sorted(ids);
    let (first, last) = span(&ids);
    let asked: [Asked<'_>; 2] = [(MESSAGES, vec![&ids, &first, &last]), (PARKED, vec![&ids, &upstream_ids])];
    let found = conn.begin("BEGIN", &asked).await?;
    let [messages, parked] = found.as_slice() else { return Err(rows::unreadable("answer")) };
    let mut work = Work::default();
    work.take(messages)?;
    Ok((work, parked.iter().map(rows::parked).collect::<Result<_, _>>()?))
}

/// Opens a transaction with the messages that receipts may speak of.
pub(super) async fn receipted(conn: &mut Conn, batch: &[ReceivedReceipt]) -> Result<Work, Failure> {
    let named = batch.iter().filter(|received| !received.receipt.upstream_id.is_empty());
    let (upstream_ids, providers): (Vec<String>, Vec<&str>) =
        named.map(|received| (clean(&received.receipt.upstream_id), received.provider.as_str())).unzip();
    let mut work = Work::default();
    let mut ids: Vec<MessageId> = batch.iter().filter_map(|received| received.receipt.message).collect();
    for row in conn.rows(UPSTREAM, &[&upstream_ids, &providers]).await? {
        let part = row.try_get::<_, Option<i32>>(3)?.zip(row.try_get::<_, Option<i32>>(4)?);
        let (key, id) = ((row.try_get(0)?, ProviderName::new(row.try_get::<_, &str>(1)?)), rows::id(&row, 2)?);
        ids.push(id);
        // An id of a whole message names that; the newest message counts.
        let known = work.upstream.get(&key).is_some_and(|(_, part)| part.is_none());
        if part.is_none() || !known {
            work.upstream.insert(key, (id, part.map(|(number, of)| rows::part(number, of))));
        }
    }
    conn.batch("BEGIN").await?;
    more(conn, &mut work, ids).await?;
    Ok(work)
}

fn sorted(ids: impl IntoIterator<Item = MessageId>) -> Vec<Uuid> {
    ids.into_iter().map(uuid).collect::<BTreeSet<Uuid>>().into_iter().collect()
}

impl Work {
    /// What this build cannot read, because a newer one or somebody's hand wrote it, is as if it were not there: it must not
    /// hold up what it happens to be asked for with.
    fn take(&mut self, found: &[Row]) -> Result<(), Failure> {
        for row in found {
            match rows::stored(row) {
                Ok(stored) => {
                    let loaded = Loaded { body: row.try_get(STORED_LEN)?, owner: rows::owner(row)?, stored };
                    self.messages.insert(loaded.stored.state.id, loaded);
                }
                Err(failure) => tracing::warn!("message {} is passed over: {}", rows::id(row, 0)?, failure.error),
            }
        }
        Ok(())
    }
}
