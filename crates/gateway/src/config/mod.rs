//! The configuration: read from files, a directory, the environment and flags; checked as a whole;
//! every fault told at once with its place. The only part of the gateway that reads the
//! environment. Never prints: callers decide where a [`Report`] goes.

pub mod codes;
mod document;
mod load;
mod mask;
mod nearest;
mod problem;
mod reference;
mod report;
pub mod schema;
mod secrets;
mod show;
mod tree;
mod validate;

pub use load::{Input, Loaded, Mode, Sources, load};
pub(crate) use nearest::nearest;
pub use reference::REFERENCE;
pub use report::{Finding, Place, Report};
pub use schema::Config;
pub use secrets::{Machine, Placeholders, environment};
pub use tree::Flag;
pub use validate::{Hooks, TextFinding};

#[cfg(test)]
mod tests;
