//! A provider without a network: the recipient's number chooses what happens, what was "sent" is read
//! in an inbox, and receipts come back as from a real network.
//!
//! **Never** opens a socket or writes to a disk: the inbox lives in memory and is bounded.
//!
//! | +44 7700 900… | what happens |
//! |---|---|
//! | 000 and every other number | taken, then delivered |
//! | 001 | taken, then undelivered (absent) |
//! | 002 | refused: invalid number |
//! | 003 | fault of the provider, answered (HTTP 500): not in the inbox |
//! | 004 | taken (it is in the inbox), then no answer and no receipt |
//! | 005 | refused: too many requests, pause of 1 s |
//! | 006 | refused: content |
//! | 007 | taken, no receipt |
//! | 008 | taken, delivered twice |
//! | 009 | taken, delivered after 30 s |
//! | 010 | delivered before the answer, known by the upstream id only |
//! | 011 | delivered, then undelivered |
//! | 012 | connection refused |

mod behaviour;
mod code;
mod config;
mod inbox;
mod postman;
mod provider;

pub use behaviour::{Answer, Behaviour, Word};
pub use config::Config;
pub use inbox::{Cursor, Inbox, InboxMessage, NotACursor, TooManyBehaviours};
pub use provider::{Mock, MockFactory};
