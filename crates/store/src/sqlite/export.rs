//! Reads a file out, table by table and in the order of its rows, for a store that takes its place. Nobody else has the file
//! meanwhile.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Row, params};
use sms_core::store::ReceivedReceipt;
use sms_core::{MessageId, UnixMs};

use super::charges::charges;
use super::error::{OpenError, sqlite};
use super::open;
use super::rows::{self, Names, STORED_LEN, state_columns, stored_columns};
use super::tables::SqliteTables;
use crate::keeper::Keeper;
use crate::key::{Hash16, Keys};
use crate::state::State;
use crate::tables::{Kept, Sealed};

/// A file that is read out.
#[derive(Debug)]
pub(crate) struct Export {
    keeper: Keeper<SqliteTables>,
}

/// A message with everything that its row holds.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) row: i64,
    pub(crate) sealed: Sealed,
    /// `None` once the number was reduced to its hash.
    pub(crate) to: Option<Vec<u8>>,
    pub(crate) state: State,
    pub(crate) log: Vec<u8>,
}

/// A status change that waits to be told.
#[derive(Debug)]
pub(crate) struct ExportedNotice {
    pub(crate) message: MessageId,
    pub(crate) tenant: String,
    pub(crate) status: String,
    /// `at`, `due` and `attempt`.
    pub(crate) numbers: (i64, i64, i32),
}

/// A provider's id of a part: row, id, provider, message, number, of how many.
pub(crate) type ExportedPart = (i64, String, String, MessageId, i32, i32);

impl Export {
    pub(crate) fn open(path: &Path, keys: &Arc<Keys>, now: UnixMs) -> Result<Self, OpenError> {
        Ok(Self { keeper: open::open(path, keys, now)? })
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: &'static str) -> rusqlite::Result<i64> {
        self.connection().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
    }

    /// Up to `max` messages behind the row `after`.
    pub(crate) fn messages(&self, after: i64, max: i64) -> rusqlite::Result<Vec<Exported>> {
        let sql = concat!(
            "SELECT ",
            stored_columns!(),
            ", m.to_hash, m.client_id, m.key_id, m.body_sealed FROM message m WHERE m.row > ?1 ORDER BY m.row LIMIT ?2"
        );
        let mut names = Names::default();
        self.all(sql, (after, max), |row| exported(row, &mut names))
    }

    /// Up to `max` idempotency records behind the row `after`, with their rows.
    pub(crate) fn answers(&self, after: i64, max: i64) -> rusqlite::Result<Vec<(i64, Hash16, Kept)>> {
        let sql = "SELECT row, key, message, fingerprint, answer_sealed, until FROM answer WHERE row > ?1 ORDER BY row LIMIT ?2";
        self.all(sql, (after, max), |row| {
            let (message, fingerprint) = (rows::id(row, 2)?, rows::hash(row, 3)?);
            let kept = Kept { message, fingerprint, answer: row.get(4)?, until: rows::at(row, 5)? };
            Ok((row.get(0)?, rows::hash(row, 1)?, kept))
        })
    }

    /// Every charge that may still count, in order: its key, when, and until when it counts.
    pub(crate) fn charges(&self, now: UnixMs) -> rusqlite::Result<Vec<(Hash16, UnixMs, UnixMs)>> {
        let sql = "SELECT at, keys FROM charge WHERE until >= ?1 AND ?2 ORDER BY row";
        let all = self.all(sql, (now.get(), 1), |row| {
            let at = rows::at(row, 0)?;
            Ok(charges(at, row.get_ref(1)?.as_blob()?).map(|(key, until)| (key, at, until)).collect::<Vec<_>>())
        })?;
        Ok(all.into_iter().flatten().filter(|(_, _, until)| *until >= now).collect())
    }

    /// Up to `max` ids of parts behind the row `after`.
    pub(crate) fn parts(&self, after: i64, max: i64) -> rusqlite::Result<Vec<ExportedPart>> {
        let sql =
            "SELECT row, upstream_id, provider, message, number, parts FROM part WHERE row > ?1 ORDER BY row LIMIT ?2";
        self.all(sql, (after, max), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, rows::id(row, 3)?, row.get(4)?, row.get(5)?))
        })
    }

    /// Up to `max` notices behind the row `after`, with their rows.
    pub(crate) fn notices(&self, after: i64, max: i64) -> rusqlite::Result<Vec<(i64, ExportedNotice)>> {
        let sql =
            "SELECT row, message, tenant, status, at, due, attempt FROM notice WHERE row > ?1 ORDER BY row LIMIT ?2";
        self.all(sql, (after, max), |row| {
            let (message, numbers) = (rows::id(row, 1)?, (row.get(4)?, row.get(5)?, row.get(6)?));
            Ok((row.get(0)?, ExportedNotice { message, tenant: row.get(2)?, status: row.get(3)?, numbers }))
        })
    }

    /// Receipts that wait for their submission; a bounded number.
    pub(crate) fn parked(&self) -> Vec<ReceivedReceipt> {
        self.keeper.parked.all()
    }

    /// What is known of endpoints.
    pub(crate) fn endpoints(&self) -> Result<Vec<sms_core::store::Endpoint>, crate::tables::Failure> {
        super::notices::endpoints(self.connection())
    }

    /// Messages up to this id have lost their numbers.
    pub(crate) fn numbers_done(&self) -> rusqlite::Result<Option<Hash16>> {
        let sql = "SELECT max(value) FROM meta WHERE name = 'numbers_done'";
        self.connection().query_row(sql, [], |row| row.get(0))
    }

    fn connection(&self) -> &Connection {
        &self.keeper.tables.connection
    }

    fn all<R>(
        &self,
        sql: &'static str,
        (after, max): (i64, i64),
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<R>,
    ) -> rusqlite::Result<Vec<R>> {
        let mut statement = self.connection().prepare_cached(sql)?;
        statement.query_map(params![after, max], read)?.collect()
    }
}

fn exported(row: &Row<'_>, names: &mut Names) -> rusqlite::Result<Exported> {
    let stored = rows::stored(row, names)?;
    let sealed = Sealed {
        to_hash: rows::hash(row, STORED_LEN)?,
        to: Vec::new(),
        body: row.get(STORED_LEN + 3)?,
        details: stored.details,
        client_id: row.get(STORED_LEN + 1)?,
        key_id: row.get(STORED_LEN + 2)?,
    };
    Ok(Exported { row: stored.state.row, sealed, to: stored.to, state: stored.state, log: stored.log })
}

/// Words for a file that cannot be read out.
pub(crate) fn unreadable(path: &Path, error: &rusqlite::Error) -> OpenError {
    sqlite(path, error)
}
