//! What can be read back. Texts never can.

use std::time::Duration;

use super::message::{Details, Entry};
use crate::{Country, MessageId, Msisdn, ProviderName, Status, TenantId, UnixMs};

/// One message as read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The message.
    pub id: MessageId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it stands.
    pub status: Status,
    /// When it was accepted.
    pub created: UnixMs,
    /// After this no attempt may start.
    pub expires: UnixMs,
    /// Last change.
    pub updated: UnixMs,
    /// Who receives it; `None` once the number was reduced to its hash.
    pub to: Option<Msisdn>,
    /// Destination country.
    pub country: Country,
    /// Everything else.
    pub details: Details,
    /// The last provider that took it, else the last tried.
    pub provider: Option<ProviderName>,
    /// That provider's id for it.
    pub upstream_id: Option<String>,
    /// Its history, oldest first.
    pub history: Vec<Entry>,
}

/// Which messages to list; every condition must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only to this number (found by keyed hash).
    pub to: Option<Msisdn>,
    /// Only in this status.
    pub status: Option<Status>,
    /// Only of this calling application.
    pub client_id: Option<String>,
    /// Only with this provider.
    pub provider: Option<ProviderName>,
    /// Accepted at or after.
    pub since: Option<UnixMs>,
    /// Accepted before.
    pub until: Option<UnixMs>,
    /// Only messages older than this one: the cursor.
    pub before: Option<MessageId>,
    /// At most so many.
    pub limit: usize,
}

/// One page of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Newest first.
    pub records: Vec<Record>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<MessageId>,
}

/// How many messages stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// No attempt yet.
    pub queued: u64,
    /// An attempt runs or is due.
    pub sending: u64,
    /// Age of the oldest message that waits for its first attempt.
    pub oldest_queued: Option<Duration>,
}

/// How many notices of which tenant are wanted.
#[derive(Clone, Debug)]
pub struct NoticeWant {
    /// Whose.
    pub tenant: TenantId,
    /// At most so many.
    pub max: usize,
}

/// What is known of a tenant's own webhook endpoint. Kept across restarts; written when it begins to fail, recovers, is
/// disabled or enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whose it is.
    pub tenant: TenantId,
    /// A digest of its URL: another URL is another endpoint.
    pub url: [u8; 16],
    /// Since when no call succeeded.
    pub failing_since: Option<UnixMs>,
    /// Since when it is not called any more.
    pub disabled_since: Option<UnixMs>,
    /// Why it is not called any more: a word of the engine's.
    pub why: Option<String>,
}

/// Names one notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NoticeId(pub i64);

/// A status change to tell a tenant of.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its name.
    pub id: NoticeId,
    /// The message as it stands now.
    pub record: Record,
    /// The status to tell.
    pub status: Status,
    /// When the status changed.
    pub at: UnixMs,
    /// Tellings so far.
    pub attempt: u16,
}

/// What to keep for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgePolicy {
    /// Messages and their history.
    pub keep_messages: Duration,
    /// Numbers; then only their keyed hash.
    pub keep_numbers: Duration,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages forgotten.
    pub messages: u64,
    /// Numbers reduced to their hash.
    pub numbers: u64,
    /// Parked receipts, idempotency records and charges forgotten.
    pub others: u64,
}

impl Purged {
    /// More may be left to do.
    pub fn is_full(&self, budget: usize) -> bool {
        let budget = budget as u64;
        self.messages >= budget || self.numbers >= budget || self.others >= budget
    }
}
