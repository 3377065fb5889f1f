//! Where messages, limits, idempotency records and webhook notices are kept: `SQLite` for one node, `PostgreSQL` for
//! several, memory for tests.
//!
//! [`SqliteStore`], [`PgStore`] and [`MemoryStore`] differ only in their rows (`tables`); what is decided is written once
//! (`keeper`): acceptance, the lifecycle of a message, matching of receipts, lanes. Where one process is alone, limits
//! (`book`), lanes (`queue`) and parked receipts (`parked`) live in memory and are rebuilt from rows at the start; on
//! `PostgreSQL` each batch reads and locks what it needs of them. Must never write a number, a text, an answer or a
//! caller's key in clear (`key`).

mod book;
mod compact;
mod keeper;
mod key;
mod memory;
mod notices;
mod parked;
mod parts;
pub mod postgres;
mod prepare;
mod queue;
mod read;
mod sqlite;
mod state;
mod tables;

pub use key::{KeyError, StoreKey};
pub use memory::MemoryStore;
pub use postgres::PgStore;
pub use sqlite::{OpenError, SqliteStore};
