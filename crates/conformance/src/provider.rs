//! One suite for every provider. A provider implements [`Harness`] over its own wire dialect (usually with
//! an [`crate::upstream::Upstream`]); [`check`] drives it through all thirteen behaviours of an upstream
//! and tells everything that is wrong, [`run`] panics about it.
//!
//! Each field of [`sms_core::Capabilities`] switches checks on. The kit itself is tested by mutation
//! (`tests/mutation`): a provider with one defect must fail the check named after it.

mod classify;
mod content;
mod drop;
mod idempotency;
mod junk;
mod leaks;
mod receipts;
mod samples;
mod sockets;

pub use samples::{Receipts, deps};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sms_core::{CallbackRequest, DeliveryState, Encoding, MessageId, Msisdn, SmsProvider};

use crate::upstream::Behaviour;
use leaks::Leaks;

/// What a provider's crate tells the kit about itself.
#[async_trait]
pub trait Harness: Send + Sync {
    /// A fresh provider wired to a fresh upstream that follows `behaviour`.
    async fn rig(&self, behaviour: Behaviour) -> Rig;

    /// The credential its providers are configured with, in clear: it must show up nowhere.
    fn credential(&self) -> Option<String>;

    /// The callback by which the upstream tells `report`, with a genuine token or signature. `None` for
    /// providers without callbacks.
    fn callback(&self, report: &Report) -> Option<CallbackRequest> {
        let _ = report;
        None
    }

    /// The same callback as a stranger might make it.
    fn forgeries(&self, genuine: &CallbackRequest) -> Vec<CallbackRequest> {
        let with = |token: String| CallbackRequest { token, ..genuine.clone() };
        let mut turned: Vec<char> = genuine.token.chars().collect();
        turned.rotate_right(1);
        vec![with(String::new()), with(turned.into_iter().collect()), with("0".repeat(genuine.token.len()))]
    }
}

/// A provider and what the kit can see of its upstream.
pub struct Rig {
    /// The provider under test.
    pub provider: Arc<dyn SmsProvider>,
    /// The upstream's side.
    pub wire: Box<dyn Wire>,
    /// Where its receipts arrive, for providers that push them.
    pub pushed: Option<Arc<Receipts>>,
}

/// What the upstream saw.
pub trait Wire: Send + Sync {
    /// Messages that it read, decoded from the vendor's form.
    fn seen(&self) -> Vec<Seen>;

    /// Requests of any kind that it read; `None` where there is no wire.
    fn requests(&self) -> Option<usize>;

    /// Connections that are open; `None` where there is no wire.
    fn open_connections(&self) -> Option<usize>;
}

/// One message as the upstream read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Digits only.
    pub to: String,
    /// As the vendor will show it.
    pub sender: String,
    /// The whole text.
    pub text: String,
    /// The encoding asked for; `None` where the vendor chooses.
    pub encoding: Option<Encoding>,
    /// The validity period asked for.
    pub valid_for: Option<Duration>,
    /// The idempotency key.
    pub idempotency_key: Option<String>,
}

/// What a callback is to say.
#[derive(Clone, Debug)]
pub struct Report {
    /// Our id.
    pub message: MessageId,
    /// As the provider's [`sms_core::Submission`] told it.
    pub upstream_id: String,
    /// The vendor's word for this; [`DeliveryState::Unrecognised`] verbatim.
    pub state: DeliveryState,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The check's stable name.
    pub check: &'static str,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.seen)
    }
}

/// Runs every check that the provider's capabilities call for; returns what is wrong.
pub async fn check(harness: &dyn Harness) -> Vec<Failure> {
    let leaks = Leaks::watch(harness.credential());
    let mut kit = Kit { failures: Vec::new(), harness, leaks };
    classify::check(&mut kit).await;
    content::check(&mut kit).await;
    idempotency::check(&mut kit).await;
    drop::check(&mut kit).await;
    receipts::check(&mut kit).await;
    junk::check(&mut kit).await;
    kit.finish()
}

/// As [`check`], for a provider's own test.
///
/// # Panics
/// With everything that is wrong.
pub async fn run(harness: &dyn Harness) {
    let failures = check(harness).await;
    let told: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "the provider does not conform:\n{}", told.join("\n"));
}

/// What the checks share.
struct Kit<'a> {
    failures: Vec<Failure>,
    harness: &'a dyn Harness,
    leaks: Leaks,
}

impl Kit<'_> {
    /// Notes a failure unless `holds`.
    fn expect(&mut self, check: &'static str, holds: bool, seen: impl FnOnce() -> String) {
        if !holds {
            self.fail(check, seen());
        }
    }

    fn fail(&mut self, check: &'static str, seen: String) {
        self.failures.push(Failure { check, seen });
    }

    fn finish(mut self) -> Vec<Failure> {
        if let Some(seen) = self.leaks.found() {
            self.fail("nothing_personal_leaks", seen);
        }
        self.failures
    }
}

/// The recipient of every message of the kit: looks like anybody's and is searched for in everything shown.
fn recipient() -> Msisdn {
    #[expect(clippy::expect_used, reason = "a constant in the German mobile plan")]
    Msisdn::parse("+4915112345678", None).expect("a valid number")
}
