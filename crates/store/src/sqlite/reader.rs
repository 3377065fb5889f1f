//! Questions, on read-only connections of their own: they see what is committed and never wait for the writer. Each
//! runs on a blocking thread and looks at a bounded number of rows.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, params};
use sms_core::store::{Filter, Page, StoreError};
use sms_core::{MessageId, TenantId};
use tokio::sync::Semaphore;

use super::rows::{self, Names, STORED_LEN, state_columns, stored_columns};
use crate::key::{Hash16, Keys};
use crate::read;
use crate::tables::{Failure, passes, span};

macro_rules! search {
    ($which:literal) => {
        concat!("SELECT ", stored_columns!(), ", m.to_hash, m.client_id FROM message m WHERE ", $which)
    };
}

/// From block to block of the index; the order of rows is not that of ids where the clock was set back.
const OF_NUMBER: &str = "
WITH RECURSIVE block (n) AS (
    SELECT max(row) >> 9 FROM message
    UNION ALL SELECT n - 1 FROM block WHERE n > (SELECT min(row) >> 9 FROM message)
)
SELECT m.id FROM block CROSS JOIN message m ON m.row >> 9 = block.n AND m.to_hash = ?1 AND m.id >= ?2 AND m.id < ?3";

/// A few connections, handed out one question at a time.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Arc<Self>> {
        let idle = (0..READERS).map(|_| connect(path)).collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Arc::new(Self { idle: Mutex::new(idle), permits: Arc::new(Semaphore::new(READERS as usize)) }))
    }

    /// Asks on the next free connection.
    pub(super) async fn ask<R: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Connection) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let readers = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit; // a connection is free for whoever holds one, also when the asker went away
            let connection = readers.lock().pop().ok_or_else(closed)?;
            let answer = question(&connection).map_err(|failure| failure.error);
            readers.lock().push(connection);
            answer
        });
        answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("a reader stopped".to_owned())))
    }

    /// Later questions fail; running ones end.
    pub(super) async fn close(&self) {
        let all = self.permits.acquire_many(READERS).await;
        self.permits.close();
        drop(all);
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One page of messages, newest first.
pub(super) fn search(connection: &Connection, keys: &Keys, filter: &Filter) -> Result<Page, Failure> {
    let to = filter.to.map(|to| keys.number(to));
    let (since, end) = span(filter);
    let mut taking = Taking::new(keys, filter, to);
    if let Some(to) = to {
        let mut statement = connection.prepare_cached(search!("m.id = ?1"))?;
        for id in of_number(connection, &to, since, end)? {
            let mut rows = statement.query([id.as_bytes()])?;
            if let Some(row) = rows.next()?
                && taking.is_full_with(row)?
            {
                break;
            }
        }
    } else {
        let tenant = filter.tenant.as_ref().map(TenantId::as_str);
        let mut statement = connection.prepare_cached(match tenant {
            Some(_) => search!("m.id >= ?1 AND m.id < ?2 AND m.tenant = ?3 ORDER BY m.id DESC"),
            None => search!("m.id >= ?1 AND m.id < ?2 AND ?3 IS NULL ORDER BY m.id DESC"),
        })?;
        let mut rows = statement.query(params![since.as_bytes(), end.as_bytes(), tenant])?;
        while let Some(row) = rows.next()? {
            if taking.is_full_with(row)? {
                break;
            }
        }
    }
    Ok(taking.page)
}

/// A page as it fills.
struct Taking<'q> {
    keys: &'q Keys,
    filter: &'q Filter,
    to: Option<Hash16>,
    page: Page,
    names: Names,
    looked: usize,
    last: Option<MessageId>,
}

impl<'q> Taking<'q> {
    fn new(keys: &'q Keys, filter: &'q Filter, to: Option<Hash16>) -> Self {
        Self { keys, filter, to, page: Page::default(), names: Names::default(), looked: 0, last: None }
    }

    /// Takes the row where it passes the filter; says whether the page ends here.
    fn is_full_with(&mut self, row: &Row<'_>) -> Result<bool, Failure> {
        let (state, hash) = (rows::state(row, &mut self.names)?, rows::hash(row, STORED_LEN)?);
        let client_id = row.get_ref(STORED_LEN + 1)?.as_str_or_null().map_err(rusqlite::Error::from)?;
        if passes(self.filter, &state, &hash, client_id, self.to.as_ref()) {
            if self.page.records.len() >= self.filter.limit {
                self.page.next = self.last;
                return Ok(true);
            }
            self.last = Some(state.id);
            // A damaged row is reported by `read` and must not hide the others.
            self.page.records.extend(read::record(self.keys, rows::stored(row, &mut self.names)?).ok());
        }
        self.looked += 1;
        if self.looked >= SCAN_MAX {
            self.page.next = Some(state.id);
        }
        Ok(self.looked >= SCAN_MAX)
    }
}

/// The newest messages to a number, newest first: as many as one question may look at.
fn of_number(
    connection: &Connection,
    to: &Hash16,
    since: MessageId,
    end: MessageId,
) -> rusqlite::Result<Vec<MessageId>> {
    let mut statement = connection.prepare_cached(OF_NUMBER)?;
    let found = statement.query_map(params![to, since.as_bytes(), end.as_bytes()], |row| rows::id(row, 0))?;
    let mut newest = BTreeSet::new();
    for id in found {
        newest.insert(id?);
        if newest.len() > SCAN_MAX {
            newest.pop_first();
        }
    }
    Ok(newest.into_iter().rev().collect())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// Connections.
const READERS: u32 = 2;

/// Rows one question may look at; a page may therefore hold fewer records than asked for and still have a next.
const SCAN_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    #[test]
    fn a_number_is_looked_up_in_the_index_block_by_block() {
        let connection = Connection::open_in_memory().unwrap();
        schema::migrate(&connection, 0).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {OF_NUMBER}")).unwrap();
        let plan: Vec<String> = statement
            .query_map(params![[0_u8; 16], [0_u8; 16], [0_u8; 16]], |row| row.get(3))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let wanted = "SEARCH m USING COVERING INDEX message_to (<expr>=? AND to_hash=? AND id>? AND id<?)";
        assert!(plan.iter().any(|step| step == wanted), "{plan:#?}");
    }
}
