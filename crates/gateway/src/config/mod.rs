//! The configuration: read from files, a directory, the environment and flags; checked as a whole;
//! every fault told at once with its place. The only part of the gateway that reads the
//! environment. Never prints: callers decide where a [`Report`] goes.

pub mod schema;

pub use schema::Config;
