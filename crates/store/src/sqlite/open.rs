//! Opening a file: whose it is, whether it is ours, what it must become, and what it holds in memory's place.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};
use sms_core::store::ReceivedReceipt;
use sms_core::{ProviderName, Receipt, UnixMs};

use super::charges::charges;
use super::checkpoint::Checkpointer;
use super::rows::{self, Names, state_columns};
use super::schema;
use super::tables::SqliteTables;
use super::wal;
use crate::keeper::{Keeper, job};
use crate::key::Keys;
use crate::state::Wait;

/// Why a store did not open. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is broken or not one of ours.
    #[error(
        "`{}` is damaged or not a gateway database ({detail}): restore a backup, or move the file aside and try \
         `sqlite3 FILE .recover | sqlite3 NEW`",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What `SQLite` says.
        detail: String,
    },
    /// The log of the latest commits is broken in its midst.
    #[error(
        "`{}` is damaged at byte {offset}, and commits stand behind it: restore it from a backup together with the \
         database, or give up everything since with `truncate -s {offset} FILE`",
        path.display()
    )]
    DamagedLog {
        /// The log's file.
        path: PathBuf,
        /// Where the part that can be read ends.
        offset: u64,
    },
    /// The file cannot be read or written.
    #[error("`{}` cannot be opened: {detail}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// Another process uses the file.
    #[error(
        "`{}` is in use by another process, which holds `{}`: stop it, or give this one its own `store.url`",
        path.display(), lock.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
        /// The locked file beside it.
        lock: PathBuf,
    },
    /// A newer version wrote the file.
    #[error(
        "`{}` was written by a newer version (schema {found}, this one knows {known}): start that version, or restore a \
         backup from before the upgrade",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file was written with another key.
    #[error("`{}` was written with another key: set `store.key` to the key it was created with", path.display())]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
}

/// A file that nobody else uses: checked, migrated and read in.
pub(super) fn open(path: &Path, keys: &Arc<Keys>, now: UnixMs) -> Result<Keeper<SqliteTables>, OpenError> {
    let lock = lock(path)?;
    check_files(path)?;
    touch(path).map_err(|error| io(path, &error))?;
    let connection = connect(path).map_err(|error| sqlite(path, &error))?;
    claim(&connection, path)?;
    check_key(&connection, keys)
        .map_err(|error| sqlite(path, &error))?
        .then_some(())
        .ok_or_else(|| OpenError::WrongKey { path: path.to_owned() })?;
    let other = connect(path).map_err(|error| sqlite(path, &error))?;
    let checkpointer = Checkpointer::start(other).map_err(|error| io(path, &error))?;
    let tables = SqliteTables::new(connection, checkpointer, lock).map_err(|error| sqlite(path, &error))?;
    let mut keeper = Keeper::new(tables, Arc::clone(keys));
    restore(&mut keeper, now).map_err(|error| sqlite(path, &error))?;
    Ok(keeper)
}

/// A lock of our own on a file of our own: `SQLite`'s locks would let a second process in between commits.
fn lock(path: &Path) -> Result<File, OpenError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| io(folder, &error))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let was_there = name.exists();
    let lock = private(&name).map_err(|error| io(&name, &error))?;
    match lock.try_lock() {
        Ok(()) => {
            if was_there && is_empty(path) {
                tracing::warn!(
                    "`{}` is gone or empty: a new database begins, without what the old one held",
                    path.display()
                );
            }
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned(), lock: name }),
        Err(TryLockError::Error(error)) => Err(io(&name, &error)),
    }
}

/// Before `SQLite` opens them, forgets what it cannot read, and fills up what is missing.
fn check_files(path: &Path) -> Result<(), OpenError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    match wal::damage(&log) {
        Ok(None) => {}
        Ok(Some(offset)) => return Err(OpenError::DamagedLog { path: log, offset }),
        Err(error) => return Err(io(&log, &error)),
    }
    let damaged = |detail: String| Err(OpenError::Damaged { path: path.to_owned(), detail });
    // A log that was not carried over completely may hold missing pages, but never the first one.
    match (is_empty(&log), is_empty(path)) {
        (false, true) => damaged(format!("it is gone or empty, but `{}` holds commits", log.display())),
        (false, false) => Ok(()),
        (true, _) => match missing_bytes(path).map_err(|error| io(path, &error))? {
            0 => Ok(()),
            missing => damaged(format!("its last {missing} bytes are missing")),
        },
    }
}

/// Also when it is not there.
fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |file| file.len() == 0)
}

/// How much shorter the file is than its own head says.
fn missing_bytes(path: &Path) -> std::io::Result<u64> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        opened => opened?,
    };
    let mut head = [0; 32];
    match file.read_exact(&mut head) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0), // none of ours, or new
        read => read?,
    }
    let [.., page_high, page_low, _, _, _, _, _, _, _, _, _, _, a, b, c, d] = head;
    let page = match u16::from_be_bytes([page_high, page_low]) {
        1 => 65_536, // does not fit
        page => u64::from(page),
    };
    Ok((page * u64::from(u32::from_be_bytes([a, b, c, d]))).saturating_sub(file.metadata()?.len()))
}

/// Makes the database's file, readable by its owner only; `SQLite` gives its companions the same rights.
fn touch(path: &Path) -> std::io::Result<()> {
    private(path).map(drop)
}

fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Only an operator's `sqlite3` can hold us up.
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA secure_delete = FAST;
         PRAGMA foreign_keys = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -8000;",
    )?;
    Ok(connection)
}

/// Makes an empty file ours, refuses one that is not, and brings ours up to date.
fn claim(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let look = || -> rusqlite::Result<(i64, i64, bool)> {
        let empty = connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((pragma("application_id")?, pragma("user_version")?, empty))
    };
    let (owner, found, empty) = look().map_err(|error| sqlite(path, &error))?;
    if owner != APPLICATION && !empty {
        let detail = "another program made it".to_owned();
        return Err(OpenError::Damaged { path: path.to_owned(), detail });
    }
    if found > schema::VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: schema::VERSION });
    }
    // Written only where it is missing: a file that is refused, by its key for instance, stays as it is.
    let own = if owner == APPLICATION { Ok(()) } else { connection.pragma_update(None, "application_id", APPLICATION) };
    own.and_then(|()| schema::migrate(connection, found)).map_err(|error| sqlite(path, &error))
}

fn check_key(connection: &Connection, keys: &Keys) -> rusqlite::Result<bool> {
    let sql = "SELECT value FROM meta WHERE name = 'key_check'";
    let check = connection.query_row(sql, [], |row| rows::hash(row, 0)).optional()?;
    if check.is_none() {
        connection.execute("INSERT INTO meta (name, value) VALUES ('key_check', ?1)", [keys.check()])?;
    }
    Ok(check.is_none_or(|check| check == keys.check()))
}

/// Reads in what the keeper holds in memory.
fn restore(keeper: &mut Keeper<SqliteTables>, now: UnixMs) -> rusqlite::Result<()> {
    let connection = &keeper.tables.connection;
    let mut statement = connection.prepare("SELECT at, keys FROM charge WHERE until >= ?1 ORDER BY row")?;
    let mut rows = statement.query([now.get()])?;
    while let Some(row) = rows.next()? {
        let at = rows::at(row, 0)?;
        for (key, until) in charges(at, row.get_ref(1)?.as_blob()?).filter(|(_, until)| *until >= now) {
            keeper.book.restore(key, at, until);
        }
    }

    let mut names = Names::default();
    let sql = concat!("SELECT ", state_columns!(), " FROM message m WHERE m.wait IS NOT NULL ORDER BY m.id");
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let state = rows::state(row, &mut names)?;
        keeper.queue.follow(state.id, None, state.status);
        if let Some(job) = job(&state) {
            keeper.queue.add(job);
        }
        if state.wait == Wait::Open {
            keeper.orphans.push((state.id, state.attempt));
        }
    }
    keeper.queue.commit();

    let sql = "SELECT row, provider, message, upstream_id, state, code, their_time, at FROM parked ORDER BY row";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        keeper.parked.add(row.get(0)?, parked(row)?);
    }
    keeper.parked.commit();
    Ok(())
}

fn parked(row: &rusqlite::Row<'_>) -> rusqlite::Result<ReceivedReceipt> {
    let receipt = Receipt {
        message: row.get::<_, Option<[u8; 16]>>(2)?.map(sms_core::MessageId::from_bytes),
        upstream_id: row.get(3)?,
        state: rows::delivery(row.get_ref(4)?.as_str()?)?,
        provider_code: row.get(5)?,
        at: row.get::<_, Option<i64>>(6)?.map(UnixMs::new),
    };
    Ok(ReceivedReceipt { provider: ProviderName::new(row.get_ref(1)?.as_str()?), receipt, at: rows::at(row, 7)? })
}

fn io(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), detail: error.to_string() }
}

pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, detail) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        // Without a code the file has content that we never write.
        None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OpenError::Damaged { path, detail },
        Some(_) => OpenError::Io { path, detail },
    }
}

/// Marks a file as ours: "SMSG".
const APPLICATION: i64 = 0x534d_5347;
