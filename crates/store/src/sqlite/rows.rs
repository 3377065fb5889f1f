//! Between rows and values, and between `SQLite`'s errors and ours.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::types::{FromSqlError, ToSqlOutput, ValueRef};
use rusqlite::{Error, ErrorCode, Row, ffi};
use sms_core::store::StoreError;
use sms_core::{Country, MessageId, ProviderName, Status, TenantId, UnixMs};

use crate::key::Hash16;
use crate::state::{State, Wait};
use crate::tables::{Failure, Scope, Stored};

/// What [`state`] reads, of a table called `m`.
macro_rules! state_columns {
    () => {
        "m.row, m.id, m.tenant, m.country, m.created, m.expires, m.notify, m.status, m.updated, m.provider, \
         m.upstream_id, m.lane, m.wait, m.attempt, m.copies, octet_length(m.log)"
    };
}

/// What [`stored`] reads, of a table called `m`, in front of anything else.
macro_rules! stored_columns {
    () => {
        concat!(state_columns!(), ", m.to_sealed, m.details_sealed, m.log")
    };
}

pub(super) use {state_columns, stored_columns};

/// Number of columns of `stored_columns`.
pub(super) const STORED_LEN: usize = 19;

/// Names that come again and again, each in memory once.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    fn of(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        if self.0.len() >= NAMES_MAX {
            self.0.clear();
        }
        let name: Arc<str> = Arc::from(name);
        self.0.insert(Arc::clone(&name));
        name
    }
}

/// A bound: configured tenants and providers are few.
const NAMES_MAX: usize = 4_096;

/// Reads `state_columns`.
pub(super) fn state(row: &Row<'_>, names: &mut Names) -> rusqlite::Result<State> {
    let status = row.get_ref(7)?.as_str()?;
    Ok(State {
        row: row.get(0)?,
        id: id(row, 1)?,
        tenant: TenantId::new(names.of(row.get_ref(2)?.as_str()?)),
        country: Country::parse(row.get_ref(3)?.as_str()?).ok_or_else(|| unreadable("country"))?,
        created: at(row, 4)?,
        expires: at(row, 5)?,
        notify: row.get(6)?,
        status: Status::parse(status).ok_or_else(|| unreadable("status"))?,
        updated: at(row, 8)?,
        provider: row.get_ref(9)?.as_str_or_null()?.map(|name| ProviderName::new(names.of(name))),
        upstream_id: row.get(10)?,
        lane: ProviderName::new(names.of(row.get_ref(11)?.as_str()?)),
        wait: Wait::of_column(row.get::<_, Option<i64>>(12)?),
        attempt: row.get(13)?,
        copies: row.get(14)?,
        log_len: row.get::<_, i64>(15)?.unsigned_abs().try_into().unwrap_or(usize::MAX),
    })
}

/// Reads `stored_columns`.
pub(super) fn stored(row: &Row<'_>, names: &mut Names) -> rusqlite::Result<Stored> {
    let log = row.get_ref(18)?.as_str()?.as_bytes().to_vec();
    Ok(Stored { state: state(row, names)?, to: row.get(16)?, details: row.get(17)?, log })
}

pub(super) fn at(row: &Row<'_>, column: usize) -> rusqlite::Result<UnixMs> {
    row.get(column).map(UnixMs::new)
}

pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<MessageId> {
    hash(row, column).map(MessageId::from_bytes)
}

pub(super) fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<Hash16> {
    row.get(column)
}

/// A history as `SQLite`'s text.
pub(super) fn text(log: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(log))
}

/// A column holds something that this build never writes.
pub(super) fn unreadable(column: &'static str) -> Error {
    FromSqlError::Other(format!("unreadable {column}").into()).into()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Error::SqliteFailure(code, _) = error else {
            return Self::damaged("a row has unexpected content");
        };
        if matches!(code.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) {
            return Self { error: StoreError::Damaged(code.to_string()), scope: Scope::Broken };
        }
        let scope = if is_sync(code.extended_code) {
            // After a failed fsync the kernel may call unwritten pages clean: a repeat would succeed without cause.
            Scope::Broken
        } else if code.code == ErrorCode::ConstraintViolation {
            Scope::Operation
        } else {
            Scope::Batch
        };
        Self { error: StoreError::Unavailable(code.to_string()), scope }
    }
}

fn is_sync(extended_code: i32) -> bool {
    matches!(extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> Failure {
        Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    #[test]
    fn a_failed_fsync_is_never_repeated() {
        assert_eq!(failure(ffi::SQLITE_IOERR_FSYNC).scope, Scope::Broken);
        assert_eq!(failure(ffi::SQLITE_IOERR_DIR_FSYNC).scope, Scope::Broken);
    }

    #[test]
    fn a_full_disk_fails_the_commit_only() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_BUSY] {
            assert_eq!(failure(code).scope, Scope::Batch, "{code}");
        }
    }

    #[test]
    fn a_corrupt_file_is_damaged() {
        let failure = failure(ffi::SQLITE_CORRUPT);
        assert!(matches!(failure.error, StoreError::Damaged(_)));
        assert_eq!(failure.scope, Scope::Broken);
    }
}
