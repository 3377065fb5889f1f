//! A scripted HTTP/1.1 upstream on loopback, written on raw sockets so that its faults are real ones: it
//! refuses, hangs, resets, dribbles and floods. Runs on a thread of its own, so that neither paused time
//! nor a count of the test's tasks sees it.
//!
//! It knows no vendor: a [`Dialect`] words the answers. [`Mitto`] is a ready stand-in for end-to-end tests.

mod http;
mod later;
mod mitto;
mod serve;

pub use http::{Reply, Request};
pub use later::{Call, Called};
pub use mitto::{Mitto, MittoDialect, MittoSend, ReceiptForm, ReceiptPlan};
pub use serve::Upstream;

use std::time::Duration;

/// What the upstream does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behaviour {
    /// Takes the message.
    Accept,
    /// Refuses the credentials.
    BadCredentials,
    /// Answers 200 with a page that quotes the whole request.
    Garbage,
    /// Reads the request, then says nothing.
    HangAfterRead,
    /// Takes the connection, then reads nothing.
    HangBeforeRead,
    /// Answers 200 with a body that does not end.
    HugeBody,
    /// Refuses connections, and breaks those it has.
    RefuseConnect,
    /// Refuses text or sender.
    RejectContent,
    /// Refuses the number.
    RejectNumber,
    /// Reads the request, then resets the connection.
    ResetAfterRead,
    /// Answers with a fault of its own.
    ServerError,
    /// Answers 200 with a header that does not end, a byte at a time.
    SlowHeaders,
    /// Too many requests; asks for this pause.
    Throttle(Duration),
}

impl Behaviour {
    /// All thirteen.
    pub const ALL: [Self; 13] = [
        Self::Accept,
        Self::BadCredentials,
        Self::Garbage,
        Self::HangAfterRead,
        Self::HangBeforeRead,
        Self::HugeBody,
        Self::RefuseConnect,
        Self::RejectContent,
        Self::RejectNumber,
        Self::ResetAfterRead,
        Self::ServerError,
        Self::SlowHeaders,
        Self::Throttle(Duration::from_secs(7)),
    ];

    /// What a dialect has to word; `None` for faults of the transport.
    pub fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Accept => Some(Verdict::Accept),
            Self::BadCredentials => Some(Verdict::BadCredentials),
            Self::RejectContent => Some(Verdict::RejectContent),
            Self::RejectNumber => Some(Verdict::RejectNumber),
            Self::ServerError => Some(Verdict::ServerError),
            Self::Throttle(pause) => Some(Verdict::Throttle(pause)),
            Self::Garbage
            | Self::HangAfterRead
            | Self::HangBeforeRead
            | Self::HugeBody
            | Self::RefuseConnect
            | Self::ResetAfterRead
            | Self::SlowHeaders => None,
        }
    }
}

/// An answer that the vendor's dialect has words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken.
    Accept,
    /// Credentials refused.
    BadCredentials,
    /// Text or sender refused.
    RejectContent,
    /// Number refused.
    RejectNumber,
    /// A fault of the vendor's.
    ServerError,
    /// Too many requests.
    Throttle(Duration),
}

/// A vendor's words. Called on the upstream's thread.
pub trait Dialect: Send + Sync + 'static {
    /// The vendor's answer. Should quote number and text wherever the vendor might: a provider that
    /// repeats an answer must be caught.
    fn reply(&self, request: &Request, verdict: Verdict) -> Reply;

    /// A behaviour for this request alone; without one the upstream's applies. It has been read by then,
    /// so `HangBeforeRead` and `RefuseConnect` act as `HangAfterRead` here.
    fn behaviour(&self, request: &Request) -> Option<Behaviour> {
        let _ = request;
        None
    }

    /// How long a request that was read waits for what happens to it.
    fn latency(&self, request: &Request) -> Duration {
        let _ = request;
        Duration::ZERO
    }

    /// Calls to make once the request was dealt with: receipts.
    fn calls(&self, request: &Request, behaviour: Behaviour) -> Vec<Call> {
        let _ = (request, behaviour);
        Vec::new()
    }
}

impl<F: Fn(&Request, Verdict) -> Reply + Send + Sync + 'static> Dialect for F {
    fn reply(&self, request: &Request, verdict: Verdict) -> Reply {
        self(request, verdict)
    }
}
