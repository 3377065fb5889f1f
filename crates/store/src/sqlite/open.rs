//! Opening a file: whose it is, whether it is ours, what it must become, and what it holds in memory's place.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use sms_core::store::ReceivedReceipt;
use sms_core::{Part, ProviderName, Receipt, UnixMs};

use super::charges::charges;
use super::check::{self, Checked, is_empty};
use super::checkpoint::Checkpointer;
use super::error::{OpenError, io, sqlite};
use super::mark::Mark;
use super::rows::{self, Names, state_columns};
use super::schema;
use super::tables::SqliteTables;
use super::upkeep::Companions;
use crate::keeper::{Keeper, job};
use crate::key::Keys;
use crate::parked::delivery;
use crate::state::Wait;

/// A file that nobody else uses: checked, migrated and read in.
pub(super) fn open(path: &Path, keys: &Arc<Keys>, now: UnixMs) -> Result<Keeper<SqliteTables>, OpenError> {
    let lock = lock(path)?;
    let Checked { sums, paths, adopts } = check::files(path, keys)?;
    touch(path).map_err(|error| io(path, &error))?;
    let connect = || connect(path).map_err(|error| sqlite(path, &error));
    let connection = connect()?;
    claim(&connection, path)?;
    check_key(&connection, keys)
        .map_err(|error| sqlite(path, &error))?
        .then_some(())
        .ok_or_else(|| OpenError::WrongKey { path: path.to_owned() })?;
    if adopts {
        check::rows(&connection, keys, &paths)?;
    }
    let mark = Mark::open(&paths.sums, keys).map_err(|error| io(&paths.sums, &error))?;
    let checkpointer = Checkpointer::start(connect()?, connect()?, sums).map_err(|error| io(path, &error))?;
    let log = File::open(&paths.log).map_err(|error| io(&paths.log, &error))?;
    let companions = Companions { checkpointer, mark: Arc::new(Mutex::new(mark)), log, _lock: lock };
    let tables = SqliteTables::new(connection, companions).map_err(|error| sqlite(path, &error))?;
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

/// Makes the database's file, readable by its owner only; `SQLite` gives its companions the same rights.
fn touch(path: &Path) -> std::io::Result<()> {
    private(path).map(drop)
}

pub(super) fn private(path: &Path) -> std::io::Result<File> {
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
    // The last connection would carry the log over by itself, past the sums, and also after a failed fsync.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
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
        if state.is_put_off() {
            keeper.put_off.push(state.id);
        }
        keeper.queue.commit(); // each by itself: all of them to take back would be more than all of them
    }

    let sql =
        "SELECT row, provider, message, upstream_id, state, code, their_time, at, part, parts FROM parked ORDER BY row";
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
        state: delivery(row.get_ref(4)?.as_str()?).ok_or_else(|| rows::unreadable("state"))?,
        provider_code: row.get(5)?,
        at: row.get::<_, Option<i64>>(6)?.map(UnixMs::new),
        part: row.get::<_, Option<u16>>(8)?.zip(row.get(9)?).map(|(number, of)| Part { number, of }),
    };
    Ok(ReceivedReceipt { provider: ProviderName::new(row.get_ref(1)?.as_str()?), receipt, at: rows::at(row, 7)? })
}

/// Marks a file as ours: "SMSG".
const APPLICATION: i64 = 0x534d_5347;
