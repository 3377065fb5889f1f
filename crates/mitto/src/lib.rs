//! Mitto's REST SMS API as a provider: `shared/reference/providers.md` §1 is the dialect.
//! The model for every HTTP provider: the same six files, `lib, config, wire, provider, receipts, error`.
//!
//! **Never** decides by the HTTP status alone (a 200 may carry a refusal), repeats a request, or lets
//! the words of an answer into an error: they quote numbers.

mod config;
mod error;
mod provider;
mod receipts;
mod wire;

pub use config::Config;
pub use provider::{Mitto, MittoFactory};
