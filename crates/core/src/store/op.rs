//! What is asked of the store and what it answers.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::NewMessage;
use crate::{Country, Kind, LimitId, MessageId, ProviderName, Receipt, Status, TenantId, UnixMs, Window};

/// One request for acceptance.
#[derive(Clone, Debug)]
pub struct Admit {
    /// What to keep.
    pub message: NewMessage,
    /// Replay protection, where the caller asked for it.
    pub idempotency: Option<Idempotency>,
    /// The accept-time answer, kept with the idempotency record and replayed byte for byte.
    /// It holds the number: encrypted at rest like the number itself.
    pub answer: Arc<[u8]>,
    /// Limits to decide and charge.
    pub charges: Vec<Charge>,
    /// The lane in which it waits, or the provider of the first attempt.
    pub lane: ProviderName,
    /// The first attempt begins now (its permit is held): its intent rides in the same commit.
    pub begin: bool,
}

/// A caller's idempotency key with the fingerprint of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key, scoped by tenant.
    pub key: String,
    /// SHA-256 of the canonical request.
    pub fingerprint: [u8; 32],
}

/// One limit to decide for one message.
#[derive(Clone, Debug)]
pub struct Charge {
    /// Which limit; named in the refusal.
    pub limit: LimitId,
    /// The limit's key values in one canonical text. Personal: the store keeps only a keyed hash.
    pub key: String,
    /// The limit's windows.
    pub windows: Arc<[Window]>,
    /// Refuse, or only report.
    pub charging: Charging,
}

/// What an exceeded limit does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charging {
    /// The request is refused.
    #[default]
    Block,
    /// The request passes; the excess is reported in [`Verdict::Leased`].
    Shadow,
}

/// The answer to an [`Admit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same key with another request.
    KeyReuse,
    /// Durable. With `begin`, attempt 1 is open in the caller's hands; else it waits in its lane.
    Leased {
        /// Shadow limits that would have refused.
        shadowed: Vec<LimitId>,
    },
    /// A limit refused it; nothing was charged.
    Limited {
        /// Which limit.
        limit: LimitId,
        /// When asking again makes sense.
        retry_after: Duration,
    },
    /// The same key with the same request was accepted before.
    Replayed {
        /// The message of the first request.
        id: MessageId,
        /// Its accept-time answer.
        answer: Arc<[u8]>,
    },
}

/// What an idempotency key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Another request used the key.
    KeyReuse,
    /// The same request was accepted before.
    Replayed {
        /// Its message.
        id: MessageId,
        /// Its accept-time answer.
        answer: Arc<[u8]>,
    },
}

/// An attempt about to write to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Number of the attempt.
    pub attempt: u16,
    /// With whom.
    pub provider: ProviderName,
}

/// How an attempt ended; the contract's `attempts[].outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The provider took it.
    Accepted,
    /// Nothing of it was written.
    NotSent,
    /// The provider said no.
    Refused,
    /// The provider may hold it.
    Unknown,
}

impl Outcome {
    /// Every outcome, in label order.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::NotSent, Self::Refused, Self::Unknown];

    /// The metric label and API spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::NotSent => "not_sent",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// The facts of an ended attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempted {
    /// Number of the attempt.
    pub attempt: u16,
    /// With whom.
    pub provider: ProviderName,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The provider's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When it began.
    pub started: UnixMs,
    /// How long it took.
    pub took_ms: u32,
}

/// What became of the open attempt of a message, and what follows.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The message.
    pub id: MessageId,
    /// Fence: number of the open attempt; anything else is [`Settled::Fenced`].
    pub attempt: u16,
    /// Now.
    pub at: UnixMs,
    /// The ended attempt.
    pub attempted: Attempted,
    /// What follows.
    pub then: Then,
}

/// What follows an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next attempt begins at once (its permit is held): its intent rides in this commit.
    Again {
        /// With whom.
        provider: ProviderName,
    },
    /// No attempt follows: `rejected`, `failed`, `expired` or `unknown`.
    End(Status),
    /// The message waits for its next attempt.
    Later {
        /// With whom next.
        lane: ProviderName,
        /// Not before. At the message's end: until whoever settles it has it wait otherwise ([`Reroute`]); nobody knows of
        /// that once its process is gone, so [`Store::orphans`](super::Store::orphans) makes it due at once where no
        /// provider may hold a copy.
        due: UnixMs,
    },
    /// The provider took it.
    Sent {
        /// Its id for it; may be empty.
        upstream_id: String,
    },
}

/// The answer to a [`Settle`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Recorded. For [`Then::Again`], `go` says whether the next attempt is really open: a receipt may
    /// have ended the message meanwhile.
    Done {
        /// What changed.
        change: Change,
        /// The next attempt may write.
        go: bool,
    },
    /// Somebody else settled or took over this attempt: drop the result.
    Fenced,
}

/// A status change (or none: `from == to`), with what metrics and webhooks need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The message.
    pub id: MessageId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The last provider that took it, else the last tried.
    pub provider: Option<ProviderName>,
    /// Destination country.
    pub country: Country,
    /// Status before.
    pub from: Status,
    /// Status after.
    pub to: Status,
    /// When the message was accepted.
    pub created: UnixMs,
}

/// One receipt as it reached us.
#[derive(Clone, Debug)]
pub struct ReceivedReceipt {
    /// From whom.
    pub provider: ProviderName,
    /// What it says.
    pub receipt: Receipt,
    /// When it reached us.
    pub at: UnixMs,
}

/// The answer to a [`ReceivedReceipt`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipted {
    /// Belongs to a message.
    Matched(Change),
    /// No message yet; kept for a while.
    Parked,
}

/// How many due messages of which lane are wanted; the caller holds that many permits.
#[derive(Clone, Debug)]
pub struct LaneWant {
    /// The provider.
    pub lane: ProviderName,
    /// At most so many.
    pub max: usize,
    /// Of messages to these countries at most so many.
    pub room: Vec<(Country, usize)>,
    /// Of messages to any one country not named in `room` at most so many.
    pub others: usize,
}

impl LaneWant {
    /// `max` messages, wherever to.
    pub fn new(lane: ProviderName, max: usize) -> Self {
        Self { lane, max, room: Vec::new(), others: max }
    }
}

/// Has a waiting message wait elsewhere, or until another time.
#[derive(Clone, Debug)]
pub struct Reroute {
    /// The message.
    pub id: MessageId,
    /// Fence: number of its last attempt.
    pub attempt: u16,
    /// Fence: the lane in which it waits.
    pub from: ProviderName,
    /// The lane in which it is to wait.
    pub lane: ProviderName,
    /// Not before.
    pub due: UnixMs,
    /// Now.
    pub at: UnixMs,
}

/// The answer to a cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Canceled.
    Canceled(Change),
    /// The tenant has no such message.
    NotFound,
    /// An attempt already began.
    TooLate(Status),
}

/// How telling a tenant went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeOutcome {
    /// Told, or of no interest any more.
    Done,
    /// Tell again.
    Retry {
        /// Not before.
        due: UnixMs,
    },
    /// Given up until it is asked for again; see [`Retelling`].
    Shelved,
}

/// What to tell a tenant once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retelling {
    /// The present status of one message, whether it was told or not.
    Message(MessageId),
    /// Shelved notices of changes from `since` to before `until`.
    Shelved {
        /// Changes at or after.
        since: UnixMs,
        /// Changes before.
        until: UnixMs,
        /// At most so many.
        max: usize,
    },
}
