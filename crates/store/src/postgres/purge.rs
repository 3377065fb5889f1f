//! Forgetting, in bounded steps and by one node at a time; and the days' tables, made ahead and dropped whole.

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{PurgePolicy, Purged, RECEIPT_PARKED};
use sms_core::{MessageId, UnixMs};
use uuid::Uuid;

use super::Shared;
use super::pool::{Conn, Value};
use super::rows::{self, limit, uuid};
use crate::key::Hash16;
use crate::parked::PARKED_MAX;
use crate::tables::{Failure, first_id};

const MESSAGES: &str = "DELETE FROM message WHERE id = ANY(ARRAY( \
    SELECT id FROM message WHERE id < $1 AND wait IS NULL ORDER BY id LIMIT $2))";

const NUMBERS: &str =
    "SELECT id, wait IS NULL, to_sealed IS NOT NULL FROM message WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3";

const ERASE: &str =
    "UPDATE message m SET to_sealed = NULL FROM unnest($1::uuid[]) u(id) WHERE m.id = u.id AND m.id = ANY($1)";

const META: &str = "SELECT value FROM meta WHERE name = $1";

const SET_META: &str =
    "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// What is over, a bounded number each; of a message that is gone nobody asks for the rest.
const OTHERS: [&str; 4] = [
    "DELETE FROM answer WHERE ctid = ANY(ARRAY(SELECT ctid FROM answer WHERE until <= $1 LIMIT $2))",
    "DELETE FROM allowance \
        WHERE key = ANY(ARRAY(SELECT key FROM allowance WHERE until < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    "DELETE FROM parked WHERE row = ANY(ARRAY(SELECT row FROM parked WHERE at < $1 ORDER BY row LIMIT $2))",
    "DELETE FROM parked WHERE row = ANY(ARRAY(SELECT row FROM parked ORDER BY row DESC OFFSET $1 LIMIT $2))",
];

const ORPHANED: [&str; 2] = [
    "DELETE FROM upstream WHERE ctid = ANY(ARRAY(SELECT ctid FROM upstream WHERE message < $1 LIMIT $2))",
    "DELETE FROM notice n WHERE n.row = ANY(ARRAY(SELECT row FROM notice WHERE message < $1 ORDER BY row LIMIT $2)) \
        AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = n.message)",
];

/// Days' tables that are wholly older than a day: their names tell.
const DAYS: &str = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
    WHERE i.inhparent = 'message'::regclass AND c.relname LIKE 'message\\_d%' ORDER BY 1";

/// Forgets what is older than the policy allows; nothing while another node does.
pub(super) async fn purge(
    shared: &Arc<Shared>,
    policy: PurgePolicy,
    now: UnixMs,
    budget: usize,
) -> Result<Purged, Failure> {
    let mut conn = shared.pool.lend().await?;
    let free = conn.rows("SELECT pg_try_advisory_lock(7239412)", &[]).await?;
    if !free.first().is_some_and(|row| row.get(0)) {
        conn.done();
        return Ok(Purged::default());
    }
    // The lock ends with the connection where anything fails.
    conn.patience = Duration::from_secs(30);
    conn.batch("SET statement_timeout = '30s'").await?;
    days(&mut conn, now).await?;
    let purged = forget(&mut conn, policy, now, budget).await?;
    conn.batch("RESET statement_timeout; SET statement_timeout = '2s'; SELECT pg_advisory_unlock(7239412)").await?;
    conn.done();
    Ok(purged)
}

async fn forget(conn: &mut Conn, policy: PurgePolicy, now: UnixMs, budget: usize) -> Result<Purged, Failure> {
    let old = now.minus(policy.keep_messages);
    let (count, before) = (limit(budget), uuid(first_id(old)));
    let mut purged = Purged { messages: drop_days(conn, old).await?, ..Purged::default() };
    purged.messages += conn.execute(MESSAGES, &[&before, &count]).await?;
    for sql in ORPHANED {
        conn.execute(sql, &[&before, &count]).await?;
    }
    purged.numbers = numbers(conn, now.minus(policy.keep_numbers), budget).await?;
    let parked = now.minus(RECEIPT_PARKED);
    for (sql, bound) in OTHERS.iter().zip([now.get(), now.get(), parked.get(), limit(PARKED_MAX)]) {
        purged.others += conn.execute(sql, &[&bound, &count]).await?;
    }
    Ok(purged)
}

/// Erases numbers up to `before`, from where the last purge ended.
async fn numbers(conn: &mut Conn, before: UnixMs, budget: usize) -> Result<u64, Failure> {
    let done = conn.rows(META, &[&NUMBERS_DONE]).await?;
    let done: Vec<u8> = done.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_else(|| vec![0; 16]);
    let done = Uuid::from_slice(&done).unwrap_or_default();
    let found = conn.rows(NUMBERS, &[&done, &uuid(first_id(before)), &limit(budget)]).await?;
    let (mut erased, mut upto, mut unbroken) = (Vec::new(), done, true);
    for row in &found {
        let (id, is_settled, has): (Uuid, bool, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        unbroken &= is_settled;
        if is_settled && has {
            erased.push(id);
        }
        if unbroken {
            upto = id; // an unsettled message still needs its number: come back to it
        }
    }
    conn.execute(ERASE, &[&erased]).await?;
    if upto != done {
        set_numbers_done(conn, upto.as_bytes()).await?;
    }
    Ok(erased.len() as u64)
}

/// Messages up to this id have lost their numbers.
pub(super) async fn set_numbers_done(conn: &mut Conn, upto: &Hash16) -> Result<(), Failure> {
    conn.execute(SET_META, &[&NUMBERS_DONE, &upto.as_slice()]).await.map(drop)
}

/// Makes the tables of yesterday to the day after tomorrow, where they are missing. A day of which messages are there
/// already, after a clock went wrong, stays in the table for the rest.
pub(super) async fn days(conn: &mut Conn, now: UnixMs) -> Result<(), Failure> {
    let known: Vec<String> = conn.rows(DAYS, &[]).await?.iter().map(|row| row.get(0)).collect();
    let today = now.get().div_euclid(DAY_MS);
    for day in (today - 1..=today + 2).filter(|day| !known.contains(&name(*day))) {
        let (name, from, to) = (name(day), first(day), first(day + 1));
        let sql = format!(
            "BEGIN; SELECT pg_advisory_xact_lock(7239411); CREATE TABLE IF NOT EXISTS {name} PARTITION OF message \
             FOR VALUES FROM ('{}') TO ('{}') WITH (fillfactor = 70); COMMIT",
            uuid(from),
            uuid(to)
        );
        if let Err(error) = conn.client.batch_execute(&sql).await {
            conn.batch("ROLLBACK").await?;
            tracing::debug!("no table for the messages of day {day}: {}", super::error::text(&error));
        }
    }
    Ok(())
}

/// Drops the tables of days that are wholly over, where every message in them is settled; says how many messages.
async fn drop_days(conn: &mut Conn, old: UnixMs) -> Result<u64, Failure> {
    let last = old.get().div_euclid(DAY_MS);
    let mut dropped = 0;
    for row in conn.rows(DAYS, &[]).await? {
        let table: String = row.try_get(0)?;
        let day = table.strip_prefix("message_d").and_then(|day| day.parse::<i64>().ok());
        let Some(day) = day.filter(|day| *day < last) else { continue };
        let values: [Value<'_>; 2] = [&uuid(first(day)), &uuid(first(day + 1))];
        let open = conn.rows("SELECT 1 FROM job WHERE id >= $1 AND id < $2 LIMIT 1", &values).await?;
        if open.is_empty() {
            let count = conn.client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?;
            conn.batch(&format!("DROP TABLE {table}")).await?;
            dropped += count.try_get::<_, i64>(0)?.unsigned_abs();
        }
    }
    Ok(dropped)
}

fn name(day: i64) -> String {
    format!("message_d{day}")
}

/// The first id of a day.
fn first(day: i64) -> MessageId {
    first_id(UnixMs::new(day * DAY_MS))
}

/// Writes and reads for real.
pub(super) async fn ping(conn: &mut Conn, now: UnixMs) -> Result<(), Failure> {
    conn.execute(SET_META, &[&"ping", &now.get().to_be_bytes().as_slice()]).await?;
    conn.rows(META, &[&"ping"]).await.map(drop)
}

/// Whether the database was written with this key; an empty one is from now on.
pub(super) async fn check_key(conn: &mut Conn, check: &Hash16) -> Result<bool, Failure> {
    let sql = "INSERT INTO meta (name, value) VALUES ('key_check', $1) ON CONFLICT (name) DO NOTHING";
    conn.execute(sql, &[&check.as_slice()]).await?;
    let found = conn.rows(META, &[&"key_check"]).await?;
    let row = found.first().ok_or_else(|| rows::unreadable("key_check"))?;
    Ok(row.try_get::<_, Vec<u8>>(0)?.as_slice() == check)
}

/// Where the last purge of numbers ended.
const NUMBERS_DONE: &str = "numbers_done";

const DAY_MS: i64 = 86_400_000;
