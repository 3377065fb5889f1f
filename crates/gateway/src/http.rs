//! HTTP as both listeners share it: connections and their bounds, the envelope around every route, bodies.
//! Knows no route, tenant or message.

mod body;
mod envelope;
mod gate;
mod listener;
mod watch;

pub(crate) use body::{json, read};
pub(crate) use envelope::{Envelope, Peer};

pub(crate) use listener::{Bounds, Listener};

/// Requests that may be in work at a time, waiting ones included; further ones are answered 503 at once.
pub(crate) const IN_FLIGHT_MAX: usize = 8_192;
