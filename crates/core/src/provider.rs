//! The provider seam: one upstream that turns a message into an SMS.
//! Policy (retry, fail-over, limits, metrics) is never in here; it belongs to the engine's dispatch.

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{
    CallbackError, CallbackRequest, Channel, Encoding, MessageId, OutboundSms, ProviderName, SendError, UnixMs,
};

/// One configured upstream.
///
/// No method has a default body: a wrapper that forgets one must not compile.
#[async_trait]
pub trait SmsProvider: Debug + Send + Sync + 'static {
    /// Who this is and what it can do. Constant for the life of the instance, no I/O.
    fn descriptor(&self) -> &Descriptor;

    /// Offers `sms` upstream **exactly once**: no retry, no fail-over, no logging of content.
    ///
    /// Called by dispatch after the attempt's intent is durable. Answers by `attempt.deadline`.
    /// Dropping the future is safe and leaves no task behind; dispatch then records
    /// [`crate::Fate::Unknown`].
    ///
    /// # Errors
    /// Any failure, as [`crate::Kind`] × [`crate::Fate`].
    async fn send(&self, sms: &OutboundSms, attempt: &Attempt) -> Result<Submission, SendError>;

    /// Reads a callback: verifies its token or signature, then parses. Pure, synchronous.
    ///
    /// An unknown vendor state becomes [`DeliveryState::Unrecognised`], never an error, never dropped.
    ///
    /// # Errors
    /// [`CallbackError::Forged`] when someone else calls, [`CallbackError::Malformed`] when unreadable.
    fn receipts(&self, callback: &CallbackRequest) -> Result<Vec<Receipt>, CallbackError>;

    /// Tells the upstream that the code of `upstream_id` was used, where the upstream wants to know.
    /// Best effort: the caller only counts failures.
    ///
    /// # Errors
    /// As for [`SmsProvider::send`].
    async fn converted(&self, upstream_id: &str) -> Result<(), SendError>;

    /// Would you serve us? For a half-open breaker and `gateway check`; never sends a message.
    ///
    /// # Errors
    /// As for [`SmsProvider::send`].
    async fn probe(&self) -> Result<(), SendError>;

    /// Leaves politely (unbinds a session) by `deadline`.
    async fn shutdown(&self, deadline: Instant);
}

/// Identity and abilities of one configured instance.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// Implementation, as in `kind = "mitto"`.
    pub kind: &'static str,
    /// Name in the configuration.
    pub name: ProviderName,
    /// Abilities.
    pub capabilities: Capabilities,
}

/// What an instance can do. Each field is read by routing *and* switches a conformance check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent abilities, not a state")]
pub struct Capabilities {
    /// Alphanumeric senders are honoured.
    pub alphanumeric_sender: bool,
    /// Longest text, in septets (GSM-7) or UTF-16 units (UCS-2), sent as one logical message.
    pub body_units_max: usize,
    /// Channels it serves.
    pub channels: &'static [Channel],
    /// Encodings it delivers intact.
    pub encodings: &'static [Encoding],
    /// The upstream drops a repeat that carries the same attempt id.
    pub idempotent: bool,
    /// How receipts arrive.
    pub receipts: ReceiptMode,
    /// May be given the fictional test numbers (+44 7700 900000–900999).
    pub test_numbers: bool,
    /// The remaining time to live is handed on.
    pub validity_period: bool,
}

/// How delivery receipts reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptMode {
    /// The upstream calls us over HTTP.
    Callback,
    /// There are none.
    None,
    /// They arrive on the provider's own session or are made by it.
    Session,
}

/// Facts about one attempt that are not part of the message.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Stable for this attempt: the upstream's idempotency key where one exists.
    pub id: AttemptId,
    /// Answer before this instant.
    pub deadline: Instant,
    /// What is left of the message's time to live: the upstream's validity period.
    pub valid_for: Duration,
}

/// Names one attempt of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId {
    /// The message.
    pub message: MessageId,
    /// 1 for the first attempt.
    pub number: u16,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.message, self.number)
    }
}

/// The upstream took responsibility.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The upstream's id in its canonical form, as its receipts quote it; empty where it tells none. Where each part of
    /// the message has an id of its own: all of them in order, separated by a space.
    pub upstream_id: String,
    /// Number of parts billed, where the upstream says so.
    pub parts: Option<u16>,
}

/// What a delivery receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Our own id, where the receipt proves it (echoed reference or per-message callback).
    pub message: Option<MessageId>,
    /// The upstream's id in the same canonical form as [`Submission::upstream_id`].
    pub upstream_id: String,
    /// What became of the message.
    pub state: DeliveryState,
    /// The upstream's own code, a short token.
    pub provider_code: Option<String>,
    /// When it happened, by the upstream's clock, where told.
    pub at: Option<UnixMs>,
    /// The part of the message it speaks of, where it says so; `None`: of the message, or of a part that only its id
    /// tells.
    pub part: Option<Part>,
}

/// One part of a message that was sent in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Part {
    /// 1 for the first.
    pub number: u16,
    /// How many there are.
    pub of: u16,
}

/// A network's word on a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Confirmed by the network.
    Delivered,
    /// The validity period ran out.
    Expired,
    /// The upstream has it; nothing final yet.
    Pending,
    /// The network or handset refused or gave up.
    Undelivered,
    /// A state this version does not know, verbatim (at most 32 characters).
    Unrecognised(String),
}

impl DeliveryState {
    /// Metric label and spelling in events.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Expired => "expired",
            Self::Pending => "pending",
            Self::Undelivered => "undelivered",
            Self::Unrecognised(_) => "unrecognised",
        }
    }

    /// Every label of [`DeliveryState::as_str`].
    pub const LABELS: [&'static str; 5] = ["delivered", "expired", "pending", "undelivered", "unrecognised"];
}

/// Where providers with a session of their own (and the mock) put receipts.
#[async_trait]
pub trait ReceiptSink: Debug + Send + Sync + 'static {
    /// Hands receipts to the engine; waits while its queue is full.
    async fn push(&self, provider: &ProviderName, receipts: Vec<Receipt>);
}
