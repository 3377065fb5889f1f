//! What can be said about the files before `SQLite` opens them, because it forgets what it cannot read and fills up what is
//! missing. Whatever is refused is left as it is.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tracing::{error, warn};

use super::error::{OpenError, io, sqlite};
use super::mark::Required;
use super::rows::{self, Names, state_columns, stored_columns};
use super::sums::{Head, Sums, page_at};
use super::wal::{self, Log};
use crate::key::Keys;
use crate::read;

/// Files that may be opened.
pub(super) struct Checked {
    pub(super) sums: Sums,
    pub(super) paths: Paths,
    /// There were no sums: [`rows`] must pass before the new ones count.
    pub(super) adopts: bool,
}

/// A database and what stands beside it.
pub(super) struct Paths {
    pub(super) database: PathBuf,
    pub(super) log: PathBuf,
    pub(super) sums: PathBuf,
    shared: PathBuf,
    new_sums: PathBuf,
}

/// Looks at everything, and writes nothing but new sums where there are none.
pub(super) fn files(path: &Path, keys: &Arc<Keys>) -> Result<Checked, OpenError> {
    let paths = Paths::of(path);
    let log = look_at_log(&paths)?;
    let create = |at: &Path| Sums::create(at, keys, &paths.database, &paths.log).map_err(|error| io(at, &error));
    if is_empty(path) {
        let sums = create(&paths.sums)?;
        return Ok(Checked { sums, paths, adopts: false });
    }
    let found = match Sums::open(&paths.sums, keys, &paths.database, &paths.log) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        found => Some(found.map_err(|error| io(&paths.sums, &error))?),
    };
    let sums = match found {
        Some((sums, head)) => compare(sums, head, &log, &paths, keys)?,
        None => None,
    };
    if let Some(sums) = sums {
        return Ok(Checked { sums, paths, adopts: false });
    }
    warn!("`{}` is missing: damage done so far cannot be found by it, so every row is checked", paths.sums.display());
    let mut sums = create(&paths.new_sums)?;
    sums.adopt(&log.pages).map_err(|error| io(path, &error))?;
    Ok(Checked { sums, paths, adopts: true })
}

/// Checks every row of a database without sums: where it does not hold together it is refused, and a message that
/// cannot be authenticated is reported. Then the new sums count.
pub(super) fn rows(connection: &Connection, keys: &Keys, paths: &Paths) -> Result<(), OpenError> {
    let path = &paths.database;
    let verdict: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| sqlite(path, &error))?;
    if verdict != "ok" {
        return Err(OpenError::Damaged { path: path.clone(), detail: verdict });
    }
    let untrusted = report(connection, keys).map_err(|error| sqlite(path, &error))?;
    if untrusted > 0 {
        error!("{untrusted} messages in `{}` cannot be trusted; the others can", path.display());
    }
    std::fs::rename(&paths.new_sums, &paths.sums).map_err(|error| io(&paths.sums, &error))
}

/// Names each message whose row cannot be authenticated; how many there are.
fn report(connection: &Connection, keys: &Keys) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare(concat!("SELECT ", stored_columns!(), " FROM message m"))?;
    let (mut found, mut names, mut untrusted) = (statement.query([])?, Names::default(), 0);
    while let Some(row) = found.next()? {
        let stored = rows::stored(row, &mut names)?;
        untrusted += u64::from(read::record(keys, stored).is_err()); // which reports it
    }
    Ok(untrusted)
}

/// `None` where another program has carried the log over and removed it, past the sums.
fn compare(mut sums: Sums, head: Head, log: &Log, paths: &Paths, keys: &Keys) -> Result<Option<Sums>, OpenError> {
    let at_sums = |error: std::io::Error| io(&paths.sums, &error);
    let damaged = || OpenError::DamagedSums { path: paths.sums.clone() };
    match head {
        Head::OtherKey => return Err(OpenError::WrongKey { path: paths.database.clone() }),
        Head::Ours => {}
        Head::Unreadable => return Err(damaged()),
    }
    let required = Required::read(sums.file(), keys).map_err(at_sums)?.ok_or_else(damaged)?;
    if !required.is_met(log) {
        if !paths.log.exists() && !paths.shared.exists() {
            warn!("`{}` was carried over by another program", paths.log.display());
            return Ok(None);
        }
        return Err(OpenError::MissingLog { path: paths.log.clone(), sums: paths.sums.clone() });
    }
    let damage = sums.check(log.pages.clone()).map_err(|error| io(&paths.database, &error))?;
    damage.map_or(Ok(Some(sums)), |(count, first)| {
        let (path, sums) = (paths.database.clone(), paths.sums.clone());
        Err(OpenError::DamagedPages { path, count, offset: page_at(first), sums })
    })
}

fn look_at_log(paths: &Paths) -> Result<Log, OpenError> {
    let log = wal::look(&paths.log).map_err(|error| io(&paths.log, &error))?;
    if let Some(offset) = log.damage {
        return Err(OpenError::DamagedLog { path: paths.log.clone(), offset, sums: paths.sums.clone() });
    }
    let path = &paths.database;
    let damaged = |detail: String| Err(OpenError::Damaged { path: path.clone(), detail });
    // A log that was not carried over completely may hold missing pages, but never the first one.
    match (is_empty(&paths.log), is_empty(path)) {
        (false, true) => damaged(format!("it is gone or empty, but `{}` holds commits", paths.log.display())),
        (false, false) => Ok(log),
        (true, _) => match missing_bytes(path).map_err(|error| io(path, &error))? {
            0 => Ok(log),
            missing => damaged(format!("its last {missing} bytes are missing")),
        },
    }
}

impl Paths {
    fn of(database: &Path) -> Self {
        let beside = |ending: &str| {
            let mut name = database.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Self {
            database: database.to_owned(),
            log: beside("-wal"),
            sums: beside("-sums"),
            shared: beside("-shm"),
            new_sums: beside("-sums.new"),
        }
    }
}

/// Also when it is not there.
pub(super) fn is_empty(path: &Path) -> bool {
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
