//! Why a store did not open, in words that say what to do.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

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
         database, or give up everything since with `truncate -s {offset} {}; mv {} {}.old`",
        path.display(), path.display(), sums.display(), sums.display()
    )]
    DamagedLog {
        /// The log's file.
        path: PathBuf,
        /// Where the part that can be read ends.
        offset: u64,
        /// The sums of the database's pages.
        sums: PathBuf,
    },
    /// Pages are not as they were written.
    #[error(
        "`{}` is damaged or not a gateway database ({count} of its pages are not as they were written, the first at byte \
         {offset}): restore a backup, or accept what is there with `mv {} {}.old`; the next start then checks every row, \
         reports the messages that it cannot trust and goes on with the others. A program that changed the file looks \
         like damage",
        path.display(), sums.display(), sums.display()
    )]
    DamagedPages {
        /// The database.
        path: PathBuf,
        /// How many were found.
        count: u32,
        /// Where the first begins.
        offset: u64,
        /// The sums of its pages.
        sums: PathBuf,
    },
    /// What the pages are compared with cannot be read.
    #[error(
        "`{}`, by which damage is found, is damaged itself: restore it from a backup together with the database, or do \
         without with `mv {} {}.old`; the next start then checks every row of the database and makes it anew",
        path.display(), path.display(), path.display()
    )]
    DamagedSums {
        /// The file of sums.
        path: PathBuf,
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
    /// The log lacks commits that were durable.
    #[error(
        "`{}` is cut short or gone: it lacks commits that were durable. Restore it from a backup together with the \
         database, or go on without them with `mv {} {}.old`; messages accepted last are then lost, and others may be sent \
         again",
        path.display(), sums.display(), sums.display()
    )]
    MissingLog {
        /// The log's file.
        path: PathBuf,
        /// The sums of the database's pages.
        sums: PathBuf,
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

pub(super) fn io(path: &Path, error: &std::io::Error) -> OpenError {
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
