//! Why the `PostgreSQL` store did not open, in words that say what to do; and its errors as ours. No text here ever holds
//! a URL: it may hold a password.

use sms_core::store::StoreError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::tables::{Failure, Scope};

/// Why a store did not open. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// The server refused or cannot be reached.
    #[error("PostgreSQL at {hosts} cannot be used: {detail}")]
    Connect {
        /// Hosts and ports.
        hosts: String,
        /// What went wrong.
        detail: String,
    },
    /// Not a URL of ours.
    #[error("the store's URL cannot be read: {0}; it looks like `postgres://user:password@host:5432/database`")]
    Url(String),
    /// A statement failed.
    #[error("the database answered: {0}")]
    Failed(String),
    /// A newer version made the tables.
    #[error(
        "the database was made by a newer version (schema {found}, this one knows {known} and tolerates {}): start that \
         version", known + 1
    )]
    Newer {
        /// Its schema.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// The tables are older than this version.
    #[error("the database has schema {found}, this version needs {known}: run `gateway migrate up` first")]
    Older {
        /// Its schema.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// Too old a server.
    #[error("the server is PostgreSQL {0}: 15 or newer is needed")]
    Server(String),
    /// Written with another key.
    #[error("the database was written with another key: set `store.key` to the key it was created with")]
    WrongKey,
    /// A copy was refused or is not complete.
    #[error("nothing was copied for good: {0}")]
    Copy(String),
}

impl From<Error> for PgError {
    fn from(error: Error) -> Self {
        Self::Failed(text(&error))
    }
}

impl From<StoreError> for PgError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What an error says, without values of rows.
pub(super) fn text(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // The message of a conflict or of a bad value names the value; its code does not.
        let detail = match error.as_db_error() {
            Some(db) if is_about_values(db.code()) => format!("PostgreSQL refuses a row ({})", db.code().code()),
            _ => format!("PostgreSQL: {}", text(&error)),
        };
        let scope = if error.as_db_error().is_some_and(|db| is_about_values(db.code())) {
            Scope::Operation
        } else {
            Scope::Batch
        };
        Self { error: StoreError::Unavailable(detail), scope }
    }
}

fn is_about_values(code: &SqlState) -> bool {
    code.code().starts_with("22") || code.code().starts_with("23")
}

/// Nothing can be asked at the moment.
pub(super) fn away(detail: &str) -> Failure {
    Failure { error: StoreError::Unavailable(format!("PostgreSQL: {detail}")), scope: Scope::Batch }
}
