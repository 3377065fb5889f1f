//! Tables whose rows are over at their `until`. They grow at their end and are forgotten from their front; a long-lived row
//! may stand in front of short-lived ones, so a slow round goes through the rest. Decides nothing.

use rusqlite::{Connection, params};
use sms_core::UnixMs;

/// One such table, and how far the slow round has come.
#[derive(Debug)]
pub(super) struct Aging {
    front: String,
    delete: String,
    round: i64,
}

impl Aging {
    pub(super) fn of(table: &'static str) -> Self {
        Self {
            front: format!("SELECT row, until FROM {table} WHERE row > ?1 ORDER BY row LIMIT ?2"),
            delete: format!("DELETE FROM {table} WHERE row BETWEEN ?1 AND ?2 AND until <= ?3"),
            round: 0,
        }
    }

    /// Forgets rows whose `until` has passed: up to `budget` from the front, and as many in the slow round.
    pub(super) fn forget(&mut self, connection: &Connection, now: UnixMs, budget: i64) -> rusqlite::Result<u64> {
        let front = self.span(connection, (0, budget), Some(now))?;
        let next = self.span(connection, (self.round, budget), None)?;
        let mut gone = 0;
        for (first, last) in front.into_iter().chain(next) {
            gone += connection.prepare_cached(&self.delete)?.execute(params![first, last, now.get()])?;
        }
        self.round = next.map_or(0, |(_, last)| last);
        Ok(gone as u64)
    }

    /// The first and the last of the rows behind `after`; with a time, only up to one that is not over yet.
    fn span(
        &self,
        connection: &Connection,
        (after, budget): (i64, i64),
        over: Option<UnixMs>,
    ) -> rusqlite::Result<Option<(i64, i64)>> {
        let mut statement = connection.prepare_cached(&self.front)?;
        let rows =
            statement.query_map(params![after, budget], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        let (mut first, mut last) = (None, 0);
        for found in rows {
            let (row, until) = found?;
            if over.is_some_and(|now| until > now.get()) {
                break;
            }
            first.get_or_insert(row);
            last = row;
        }
        Ok(first.map(|first| (first, last)))
    }
}
