//! Questions, on read-only connections of their own: they see what is committed and never wait for the writer. Each
//! runs on a blocking thread and looks at a bounded number of rows.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};
use sms_core::store::{Filter, Page, StoreError};
use tokio::sync::Semaphore;

use super::rows::{self, Names, STORED_LEN, state_columns, stored_columns};
use crate::key::{Hash16, Keys};
use crate::read;
use crate::tables::{Failure, passes, span};

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
    let mut statement = connection.prepare_cached(search_sql(filter, to.as_ref()))?;
    let key: Option<rusqlite::types::Value> = match (&to, &filter.tenant) {
        (Some(to), _) => Some(to.to_vec().into()),
        (None, Some(tenant)) => Some(tenant.as_str().to_owned().into()),
        (None, None) => None,
    };
    let mut rows = statement.query(params![since.as_bytes(), end.as_bytes(), key])?;
    let (mut page, mut names, mut looked, mut last) = (Page::default(), Names::default(), 0, None);
    while let Some(row) = rows.next()? {
        let (state, hash) = (rows::state(row, &mut names)?, rows::hash(row, STORED_LEN)?);
        let client_id = row.get_ref(STORED_LEN + 1)?.as_str_or_null().map_err(rusqlite::Error::from)?;
        if passes(filter, &state, &hash, client_id, to.as_ref()) {
            if page.records.len() >= filter.limit {
                page.next = last;
                return Ok(page);
            }
            last = Some(state.id);
            // A damaged row is reported by `read` and must not hide the others.
            page.records.extend(read::record(keys, rows::stored(row, &mut names)?).ok());
        }
        looked += 1;
        if looked >= SCAN_MAX {
            page.next = Some(state.id);
            return Ok(page);
        }
    }
    Ok(page)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// The most selective index that gives the order of ids.
fn search_sql(filter: &Filter, to: Option<&Hash16>) -> &'static str {
    macro_rules! search {
        ($by:literal) => {
            concat!(
                "SELECT ",
                stored_columns!(),
                ", m.to_hash, m.client_id FROM message m WHERE m.id >= ?1 AND m.id < ?2 AND ",
                $by,
                " ORDER BY m.id DESC"
            )
        };
    }
    match (to, &filter.tenant) {
        (Some(_), _) => search!("m.to_hash = ?3"),
        (None, Some(_)) => search!("m.tenant = ?3"),
        (None, None) => search!("?3 IS NULL"),
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// Connections.
const READERS: u32 = 2;

/// Rows one question may look at; a page may therefore hold fewer records than asked for and still have a next.
const SCAN_MAX: usize = 20_000;
