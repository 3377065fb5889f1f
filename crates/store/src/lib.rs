//! Where messages, limits, idempotency records and webhook notices are kept: `SQLite` for one node, memory for tests.
//!
//! [`SqliteStore`] and [`MemoryStore`] differ only in their rows (`tables`); what is decided is written once
//! (`keeper`): acceptance, the lifecycle of a message, matching of receipts, lanes. Limits (`book`), lanes (`queue`)
//! and parked receipts (`parked`) live in memory and are rebuilt from rows at the start. Must never write a number, a
//! text, an answer or a caller's key in clear (`key`).

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
