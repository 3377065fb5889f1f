//! The rows of the one writer. Every statement is prepared once; nothing is decided here.

use rusqlite::{Connection, OptionalExtension as _, params};
use sms_core::store::{Endpoint, NoticeId, ReceivedReceipt};
use sms_core::{MessageId, Part, ProviderName, TenantId, UnixMs};

use super::aging::Aging;
use super::charges::charge_blob;
use super::checkpoint::frames;
use super::notices::{self, Notices};
use super::rows::{self, Names, state_columns, stored_columns};
use super::upkeep::Companions;
use crate::key::Hash16;
use crate::parked::{ParkedId, delivery_text};
use crate::state::{State, Turn};
use crate::tables::{Failure, Kept, NewNotice, Payload, Sealed, Stored, Tables, first_id};

/// The writer's connection and what it remembers of the file.
#[derive(Debug)]
pub(super) struct SqliteTables {
    pub(super) connection: Connection,
    names: Names,
    /// `UPDATE` by what changes: touching a column costs its indexes.
    updates: [String; 8],
    pub(super) notices: Notices,
    answers: Aging,
    charges: Aging,
    /// Commits since the length of the log was looked at.
    pub(super) commits: u32,
    /// The log's length, in pages.
    pub(super) frames: i64,
    /// After the connection: the files are released last.
    pub(super) companions: Companions,
}

impl SqliteTables {
    pub(super) fn new(connection: Connection, companions: Companions) -> rusqlite::Result<Self> {
        connection.set_prepared_statement_cache_capacity(64);
        let notices = Notices::open(&connection)?;
        Ok(Self {
            connection,
            names: Names::default(),
            updates: std::array::from_fn(update_sql),
            notices,
            answers: Aging::of("answer"),
            charges: Aging::of("charge"),
            commits: 0,
            frames: 0,
            companions,
        })
    }

    pub(super) fn set_page_limit(&self, pages: u32) -> Result<(), Failure> {
        let sql = format!("PRAGMA max_page_count = {pages}");
        Ok(self.connection.query_row(&sql, [], |_| Ok(()))?)
    }

    fn meta(&self, name: &str) -> rusqlite::Result<Option<Hash16>> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        statement.query_row([name], |row| rows::hash(row, 0)).optional()
    }

    fn set_meta(&self, name: &str, value: &[u8]) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached("REPLACE INTO meta (name, value) VALUES (?1, ?2)")?;
        statement.execute(params![name, value]).map(drop)
    }
}

impl Tables for SqliteTables {
    fn begin(&mut self) -> Result<(), Failure> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.frames = frames(&self.connection).unwrap_or(self.frames); // it is committed whatever this says
        self.notices.counts.commit();
        Ok(())
    }

    fn rollback(&mut self) {
        self.notices.counts.rollback();
        if !self.connection.is_autocommit() {
            // A failure here leaves the transaction open: the next BEGIN fails and says so.
            drop(self.connection.execute_batch("ROLLBACK"));
        }
    }

    fn insert(&mut self, message: &Sealed, state: &State, log: &[u8]) -> Result<(), Failure> {
        self.connection.prepare_cached(INSERT)?.execute(params![
            state.id.as_bytes(),
            state.tenant.as_str(),
            state.country.as_str(),
            state.created.get(),
            state.expires.get(),
            state.notify,
            state.status.as_str(),
            state.updated.get(),
            state.provider.as_ref().map(ProviderName::as_str),
            state.lane.as_str(),
            state.wait.column(),
            state.attempt,
            state.copies,
            message.key_id,
            message.client_id,
            message.to_hash,
            message.to,
            message.body,
            message.details,
            rows::text(log),
        ])?;
        Ok(())
    }

    fn state(&mut self, id: MessageId) -> Result<Option<State>, Failure> {
        let mut statement =
            self.connection.prepare_cached(concat!("SELECT ", state_columns!(), " FROM message m WHERE m.id = ?1"))?;
        let names = &mut self.names;
        Ok(statement.query_row([id.as_bytes()], |row| rows::state(row, names)).optional()?)
    }

    fn update(&mut self, turn: &Turn) -> Result<(), Failure> {
        let (before, after) = (&turn.before, &turn.state);
        let waits = before.wait != after.wait;
        let provider = before.provider != after.provider || before.upstream_id != after.upstream_id;
        let erases = before.status.may_attempt() && !after.status.may_attempt();
        let which = usize::from(waits) | usize::from(provider) << 1 | usize::from(erases) << 2;
        let Some(sql) = self.updates.get(which) else { return Err(Failure::damaged("no such update")) };
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.raw_bind_parameter(1, after.row)?;
        statement.raw_bind_parameter(2, after.status.as_str())?;
        statement.raw_bind_parameter(3, after.updated.get())?;
        statement.raw_bind_parameter(4, after.lane.as_str())?;
        statement.raw_bind_parameter(5, after.attempt)?;
        statement.raw_bind_parameter(6, after.copies)?;
        statement.raw_bind_parameter(7, rows::text(&turn.lines))?;
        if waits {
            statement.raw_bind_parameter(8, after.wait.column())?;
        }
        if provider {
            statement.raw_bind_parameter(9, after.provider.as_ref().map(ProviderName::as_str))?;
            statement.raw_bind_parameter(10, after.upstream_id.as_deref())?;
        }
        let changed = statement.raw_execute()?;
        if changed == 1 { Ok(()) } else { Err(Failure::damaged(format!("message {} is missing", after.id))) }
    }

    fn log(&mut self, state: &State) -> Result<Vec<u8>, Failure> {
        let mut statement = self.connection.prepare_cached("SELECT log FROM message WHERE row = ?1")?;
        Ok(statement.query_row([state.row], |row| Ok(row.get_ref(0)?.as_str()?.as_bytes().to_vec()))?)
    }

    fn payload(&mut self, state: &State) -> Result<Payload, Failure> {
        let sql = "SELECT to_sealed, body_sealed, details_sealed, log FROM message WHERE row = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([state.row], |row| {
            let log = row.get_ref(3)?.as_str()?.as_bytes().to_vec();
            Ok(Payload { to: row.get(0)?, body: row.get(1)?, details: row.get(2)?, log })
        })?)
    }

    fn record(&mut self, id: MessageId) -> Result<Option<Stored>, Failure> {
        Ok(record(&self.connection, id)?)
    }

    fn by_upstream(&mut self, upstream_id: &str, provider: &ProviderName) -> Result<Option<MessageId>, Failure> {
        let sql = "SELECT id FROM message WHERE upstream_id = ?1 AND provider = ?2 ORDER BY row DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([upstream_id, provider.as_str()], |row| rows::id(row, 0)).optional()?)
    }

    fn add_parts(&mut self, message: MessageId, provider: &ProviderName, ids: &[&str]) -> Result<(), Failure> {
        let sql = "INSERT INTO part (upstream_id, provider, message, number, parts) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut statement = self.connection.prepare_cached(sql)?;
        for (id, number) in ids.iter().zip(1_i64..) {
            statement.execute(params![id, provider.as_str(), message.as_bytes(), number, limit(ids.len())])?;
        }
        Ok(())
    }

    fn part(&mut self, upstream_id: &str, provider: &ProviderName) -> Result<Option<(MessageId, Part)>, Failure> {
        let sql = "SELECT message, number, parts FROM part WHERE upstream_id = ?1 AND provider = ?2 \
            ORDER BY row DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let part = statement.query_row([upstream_id, provider.as_str()], |row| {
            Ok((rows::id(row, 0)?, Part { number: row.get(1)?, of: row.get(2)? }))
        });
        Ok(part.optional()?)
    }

    fn replay(&mut self, key: &Hash16) -> Result<Option<Kept>, Failure> {
        Ok(replay(&self.connection, key)?)
    }

    fn keep_answer(&mut self, key: &Hash16, kept: &Kept) -> Result<(), Failure> {
        let sql = "REPLACE INTO answer (key, message, fingerprint, answer_sealed, until) VALUES (?1, ?2, ?3, ?4, ?5)";
        let message = kept.message.as_bytes();
        let values = params![key, message, kept.fingerprint, kept.answer, kept.until.get()];
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    fn charge(&mut self, at: UnixMs, keys: &[(Hash16, UnixMs)]) -> Result<(), Failure> {
        let (blob, until) = charge_blob(at, keys);
        let mut statement =
            self.connection.prepare_cached("INSERT INTO charge (at, until, keys) VALUES (?1, ?2, ?3)")?;
        statement.execute(params![at.get(), until.get(), blob])?;
        Ok(())
    }

    fn park(&mut self, received: &ReceivedReceipt) -> Result<ParkedId, Failure> {
        let sql = "INSERT INTO parked (provider, message, upstream_id, state, code, their_time, at, part, parts) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let receipt = &received.receipt;
        self.connection.prepare_cached(sql)?.execute(params![
            received.provider.as_str(),
            receipt.message.as_ref().map(MessageId::as_bytes),
            receipt.upstream_id,
            delivery_text(&receipt.state),
            receipt.provider_code,
            receipt.at.map(UnixMs::get),
            received.at.get(),
            receipt.part.map(|part| part.number),
            receipt.part.map(|part| part.of),
        ])?;
        Ok(self.connection.last_insert_rowid())
    }

    fn unpark(&mut self, id: ParkedId) -> Result<(), Failure> {
        self.connection.prepare_cached("DELETE FROM parked WHERE row = ?1")?.execute([id])?;
        Ok(())
    }

    fn add_notice(&mut self, notice: &NewNotice<'_>) -> Result<(), Failure> {
        Ok(self.notices.add(&self.connection, notice)?)
    }

    fn end_notice(&mut self, id: NoticeId) -> Result<(), Failure> {
        Ok(self.notices.end(&self.connection, id)?)
    }

    fn retry_notice(&mut self, id: NoticeId, due: UnixMs) -> Result<(), Failure> {
        Ok(Notices::retry(&self.connection, id, due)?)
    }

    fn shelve_notice(&mut self, id: NoticeId) -> Result<(), Failure> {
        Ok(self.notices.shelve(&self.connection, id)?)
    }

    fn unshelve_notices(
        &mut self,
        tenant: &TenantId,
        span: (UnixMs, UnixMs),
        max: usize,
        now: UnixMs,
    ) -> Result<u64, Failure> {
        Ok(self.notices.unshelve(&self.connection, tenant, span, (limit(max), now))?)
    }

    fn set_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), Failure> {
        Ok(notices::set_endpoint(&self.connection, endpoint)?)
    }

    fn purge_messages(&mut self, before: UnixMs, budget: usize) -> Result<u64, Failure> {
        let sql = "DELETE FROM message WHERE row IN \
            (SELECT row FROM message WHERE id < ?1 AND wait IS NULL ORDER BY id LIMIT ?2)";
        let gone = self.connection.prepare_cached(sql)?.execute(params![first_id(before).as_bytes(), limit(budget)])?;
        self.notices.purge(&self.connection, limit(budget))?;
        let sql = "DELETE FROM part WHERE row IN (SELECT row FROM part ORDER BY row LIMIT ?2) AND message < ?1";
        self.connection.prepare_cached(sql)?.execute(params![first_id(before).as_bytes(), limit(budget)])?;
        Ok(gone as u64)
    }

    fn purge_numbers(&mut self, before: UnixMs, budget: usize) -> Result<u64, Failure> {
        let done = self.meta(NUMBERS_DONE)?.unwrap_or_default();
        let sql = "SELECT id, row, wait IS NULL FROM message WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let before = first_id(before);
        let values = params![done, before.as_bytes(), limit(budget)];
        let found = statement.query_map(values, |row| Ok((rows::hash(row, 0)?, row.get::<_, i64>(1)?, row.get(2)?)))?;
        let (mut erased, mut upto, mut unbroken) = (0, done, true);
        for row in found {
            let (id, row, settled) = row?;
            unbroken &= settled;
            if settled {
                let sql = "UPDATE message SET to_sealed = NULL WHERE row = ?1 AND to_sealed IS NOT NULL";
                erased += self.connection.prepare_cached(sql)?.execute([row])?;
            }
            if unbroken {
                upto = id; // an unsettled message still needs its number: come back to it
            }
        }
        if upto != done {
            self.set_meta(NUMBERS_DONE, &upto)?;
        }
        Ok(erased as u64)
    }

    fn purge_others(&mut self, now: UnixMs, budget: usize) -> Result<u64, Failure> {
        let (connection, budget) = (&self.connection, limit(budget));
        Ok(self.answers.forget(connection, now, budget)? + self.charges.forget(connection, now, budget)?)
    }

    fn ping(&mut self, now: UnixMs) -> Result<(), Failure> {
        self.set_meta("ping", &now.get().to_be_bytes())?;
        self.connection.prepare_cached("SELECT value FROM meta WHERE name = 'ping'")?.query_row([], |_| Ok(()))?;
        Ok(())
    }
}

/// One message; also for readers.
pub(super) fn record(connection: &Connection, id: MessageId) -> rusqlite::Result<Option<Stored>> {
    let mut statement =
        connection.prepare_cached(concat!("SELECT ", stored_columns!(), " FROM message m WHERE m.id = ?1"))?;
    statement.query_row([id.as_bytes()], |row| rows::stored(row, &mut Names::default())).optional()
}

/// One idempotency record; also for readers.
pub(super) fn replay(connection: &Connection, key: &Hash16) -> rusqlite::Result<Option<Kept>> {
    let sql = "SELECT message, fingerprint, answer_sealed, until FROM answer WHERE key = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let kept = statement.query_row([key], |row| {
        let (message, fingerprint) = (rows::id(row, 0)?, rows::hash(row, 1)?);
        Ok(Kept { message, fingerprint, answer: row.get(2)?, until: rows::at(row, 3)? })
    });
    kept.optional()
}

/// Messages up to this id have lost their numbers.
const NUMBERS_DONE: &str = "numbers_done";

const INSERT: &str = "INSERT INTO message (id, tenant, country, created, expires, notify, status, updated, provider, lane, \
    wait, attempt, copies, key_id, client_id, to_hash, to_sealed, body_sealed, details_sealed, log) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";

/// Columns in indexes are set only where they change.
fn update_sql(which: usize) -> String {
    let set = |bit: usize, sql: &'static str| if which & bit == 0 { "" } else { sql };
    format!(
        "UPDATE message SET status = ?2, updated = ?3, lane = ?4, attempt = ?5, copies = ?6, log = log || ?7{}{}{} \
         WHERE row = ?1",
        set(1, ", wait = ?8"),
        set(2, ", provider = ?9, upstream_id = ?10"),
        set(4, ", body_sealed = NULL"),
    )
}

fn limit(budget: usize) -> i64 {
    i64::try_from(budget).unwrap_or(i64::MAX)
}
