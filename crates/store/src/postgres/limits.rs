//! Limits that several nodes charge: a row for each keyed hash with the acceptances that still count. They are decided in
//! memory under the locks of their rows, taken in the order of the keys.
//!
//! Their transaction does not wait for the disk: it commits before that of the message, so that the log holds both in this
//! order and an acceptance that is durable was charged durably. A crash of the server may forget the last moments of
//! charges whose messages it forgot too. Where every key of a batch is new, nobody waits for their rows, and they are
//! written with the messages (`new`).
//!
//! The time is the node's, put right by what the database's clock said at the last heartbeat: what two nodes accept is
//! apart by what it seems, to the few milliseconds to which two clocks can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sms_core::{Ledger, UnixMs, Window};
use uuid::Uuid;

use super::pool::{Asked, Conn, Value};
use super::rows;
use crate::book::{Book, reach};
use crate::key::Hash16;
use crate::tables::{Failure, NewCharge};

/// The rows, ours until the end of the transaction, also those that another node made while we waited for them. Those of
/// keys that were never charged are made as if charged once, which most of them are about to be; a row that nobody changed
/// yet has no `xmax`. No manual promises that, so it must also say what was sent.
const LOCK: &str = "INSERT INTO allowance AS a (key, log, until) \
    SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int8[]) u(k, l, t) ORDER BY u.k \
    ON CONFLICT (key) DO UPDATE SET until = a.until RETURNING key, log, until, xmax = 0";

/// The rows as they are, for charges that are taken back.
const HOLD: &str = "SELECT key, log, until FROM allowance WHERE key = ANY($1::uuid[]) ORDER BY key FOR UPDATE";

const CHARGE: &str = "UPDATE allowance a SET log = u.log, until = u.until \
    FROM unnest($1::uuid[], $2::bytea[], $3::int8[]) u(key, log, until) WHERE a.key = u.key AND a.key = ANY($1)";

const FORGET: &str = "DELETE FROM allowance WHERE key = ANY($1::uuid[])";

/// Ends a transaction without waiting for the disk.
const COMMIT: &str = "SET LOCAL synchronous_commit = off; COMMIT";

/// The rows of one batch, locked.
#[derive(Debug, Default)]
pub(super) struct Locked {
    /// What each key's row says.
    said: BTreeMap<Hash16, Vec<u8>>,
    fresh: BTreeSet<Hash16>,
}

/// What a batch changes in the rows that it locked.
#[derive(Debug, Default)]
pub(super) struct Charges {
    keys: Vec<Uuid>,
    logs: Vec<Vec<u8>>,
    untils: Vec<i64>,
    /// Rows that were made in vain.
    unused: Vec<Uuid>,
}

/// Locks the rows of `charges` and reads them into `book`.
pub(super) async fn lock(
    conn: &mut Conn,
    charges: &[&NewCharge],
    now: UnixMs,
    book: &mut Book,
) -> Result<Locked, Failure> {
    let wanted: BTreeMap<Hash16, &Arc<[Window]>> = charges.iter().map(|charge| (charge.key, &charge.windows)).collect();
    let keys: Vec<Uuid> = wanted.keys().copied().map(Uuid::from_bytes).collect();
    let logs: Vec<Vec<u8>> = wanted.values().map(|windows| once(now, windows)).collect();
    let untils: Vec<i64> = wanted.values().map(|windows| now.plus(reach(windows)).get()).collect();
    let found = conn.begin("BEGIN", &[(LOCK, vec![&keys, &logs, &untils])]).await?;
    let mut locked = Locked::default();
    for row in found.iter().flatten() {
        let (key, log): (_, Vec<u8>) = (rows::hash(row, 0)?, row.try_get(1)?);
        let is_new: bool = row.try_get(3)?;
        if is_new && wanted.get(&key).is_some_and(|windows| log == once(now, windows)) {
            locked.fresh.insert(key);
        } else {
            let ledger = Ledger::unpack(&log).ok_or_else(|| rows::unreadable("allowance"))?;
            book.put(key, ledger, rows::at(row, 2)?);
        }
        locked.said.insert(key, log);
    }
    if locked.said.len() < wanted.len() { Err(rows::unreadable("answer")) } else { Ok(locked) }
}

/// What `book` says now and the rows do not.
pub(super) fn charges(locked: &Locked, book: &mut Book) -> Charges {
    let charged: BTreeSet<Hash16> = book.charged().iter().copied().collect();
    let unused = locked.fresh.difference(&charged).copied().map(Uuid::from_bytes).collect();
    let mut charges = Charges { unused, ..Charges::default() };
    for key in charged {
        let Some((ledger, until)) = book.give(&key) else { continue };
        let log = ledger.pack();
        if locked.said.get(&key) != Some(&log) {
            charges.keys.push(Uuid::from_bytes(key));
            charges.logs.push(log);
            charges.untils.push(until.get());
        }
    }
    charges
}

/// Writes back what was charged, and commits.
pub(super) async fn commit(conn: &mut Conn, charges: &Charges) -> Result<(), Failure> {
    let Charges { keys, logs, untils, unused } = charges;
    let mut asked: Vec<Asked<'_>> = Vec::new();
    if !keys.is_empty() {
        asked.push((CHARGE, vec![keys, logs, untils]));
    }
    if !unused.is_empty() {
        asked.push((FORGET, vec![unused]));
    }
    conn.commit(COMMIT, &asked).await
}

impl Charges {
    /// Keys, logs, and until when they count.
    pub(super) fn values(&self) -> [Value<'_>; 3] {
        [&self.keys, &self.logs, &self.untils]
    }
}

/// Takes charges of `at` back: what they were for did not happen. Each key is named once for each charge.
pub(super) async fn refund(conn: &mut Conn, charges: &[(Hash16, UnixMs)]) -> Result<(), Failure> {
    let keys: BTreeSet<Uuid> = charges.iter().map(|(key, _)| Uuid::from_bytes(*key)).collect();
    let keys: Vec<Uuid> = keys.into_iter().collect();
    let found = conn.begin("BEGIN", &[(HOLD, vec![&keys])]).await?;
    let (mut keys, mut logs, mut untils) = (Vec::new(), Vec::new(), Vec::new());
    for row in found.iter().flatten() {
        let (key, log): (_, Vec<u8>) = (rows::hash(row, 0)?, row.try_get(1)?);
        let Some(mut ledger) = Ledger::unpack(&log) else { continue };
        charges.iter().filter(|(of, _)| *of == key).for_each(|(_, at)| ledger.take_back(*at));
        keys.push(Uuid::from_bytes(key));
        logs.push(ledger.pack());
        untils.push(row.try_get::<_, i64>(2)?);
    }
    let values: Vec<Value<'_>> = vec![&keys, &logs, &untils];
    conn.commit(COMMIT, &[(CHARGE, values)]).await
}

/// A row's log after a single acceptance.
fn once(now: UnixMs, windows: &[Window]) -> Vec<u8> {
    let mut ledger = Ledger::default();
    ledger.charge(now, windows);
    ledger.pack()
}
