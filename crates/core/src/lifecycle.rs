//! The life of a message as a pure function of (status, happening). Knows no store and no clock.
//!
//! Monotonic: late, duplicate and reordered happenings are harmless. The table is contract.md §3.

use serde::{Deserialize, Serialize};

use crate::DeliveryState;

/// Where a message stands; the contract's spellings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Refused by a limit, country rule, opt-out or the guard; history only.
    Blocked,
    /// By the caller before any attempt.
    Canceled,
    /// The network confirmed delivery.
    Delivered,
    /// Its time ran out before a provider took it, or a receipt says so.
    Expired,
    /// Every candidate refused or could not be reached.
    Failed,
    /// Durably accepted, no attempt yet.
    Queued,
    /// A provider refused the recipient.
    Rejected,
    /// An attempt runs, or another one is due.
    Sending,
    /// A provider took it; no final receipt yet.
    Sent,
    /// A receipt says the network or handset refused or gave up.
    Undelivered,
    /// A provider may have taken it; nobody will tell.
    Unknown,
}

/// What can happen to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// An attempt's intent became durable.
    AttemptStarted,
    /// A provider took the message.
    Accepted,
    /// The caller asked to cancel.
    Canceled,
    /// No candidate is left; nobody holds the message.
    Exhausted,
    /// No copy may follow an unknown outcome.
    OutcomeUnknown,
    /// A provider refused the recipient.
    RecipientRefused,
    /// A delivery receipt arrived.
    Receipt(DeliveryState),
    /// The time to live passed with nobody holding the message.
    TtlPassed,
}

impl Status {
    /// Every status, in alphabetical order.
    pub const ALL: [Self; 11] = [
        Self::Blocked,
        Self::Canceled,
        Self::Delivered,
        Self::Expired,
        Self::Failed,
        Self::Queued,
        Self::Rejected,
        Self::Sending,
        Self::Sent,
        Self::Undelivered,
        Self::Unknown,
    ];

    /// Spelling in answers, webhooks, metrics and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Canceled => "canceled",
            Self::Delivered => "delivered",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Queued => "queued",
            Self::Rejected => "rejected",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Undelivered => "undelivered",
            Self::Unknown => "unknown",
        }
    }

    /// Parses [`Status::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// An attempt may still follow: the text must be kept.
    pub fn may_attempt(self) -> bool {
        matches!(self, Self::Queued | Self::Sending)
    }

    /// Tenants are told of it: no attempt follows, and the caller does not know it already.
    pub fn is_told(self) -> bool {
        match self {
            Self::Canceled
            | Self::Delivered
            | Self::Expired
            | Self::Failed
            | Self::Rejected
            | Self::Sent
            | Self::Undelivered
            | Self::Unknown => true,
            Self::Blocked | Self::Queued | Self::Sending => false,
        }
    }

    /// Counted as a final outcome (`gateway_messages_final_total`).
    pub fn is_final(self) -> bool {
        match self {
            Self::Delivered | Self::Expired | Self::Failed | Self::Rejected | Self::Undelivered | Self::Unknown => true,
            Self::Blocked | Self::Canceled | Self::Queued | Self::Sending | Self::Sent => false,
        }
    }

    /// The status after `happening`; the same status where it changes nothing.
    #[must_use]
    pub fn after(self, happening: &Happening) -> Self {
        match happening {
            Happening::AttemptStarted => self.from(&[Self::Queued], Self::Sending),
            Happening::Accepted => self.from(&[Self::Queued, Self::Sending, Self::Unknown], Self::Sent),
            Happening::Canceled => self.from(&[Self::Queued], Self::Canceled),
            Happening::Exhausted => self.from(&[Self::Queued, Self::Sending], Self::Failed),
            Happening::OutcomeUnknown => self.from(&[Self::Sending], Self::Unknown),
            Happening::RecipientRefused => self.from(&[Self::Sending], Self::Rejected),
            Happening::TtlPassed => self.from(&[Self::Queued, Self::Sending], Self::Expired),
            Happening::Receipt(state) => self.after_receipt(state),
        }
    }

    fn after_receipt(self, state: &DeliveryState) -> Self {
        match state {
            DeliveryState::Delivered => self
                .from(&[Self::Sending, Self::Sent, Self::Unknown, Self::Undelivered, Self::Expired], Self::Delivered),
            // Once unknown, "validity ran out" is the network giving up: `expired` may not follow.
            DeliveryState::Expired if self == Self::Unknown => Self::Undelivered,
            DeliveryState::Expired => self.from(&[Self::Sending, Self::Sent], Self::Expired),
            DeliveryState::Pending => self.from(&[Self::Sending, Self::Unknown], Self::Sent),
            DeliveryState::Undelivered => self.from(&[Self::Sending, Self::Sent, Self::Unknown], Self::Undelivered),
            DeliveryState::Unrecognised(_) => self,
        }
    }

    fn from(self, allowed: &[Self], to: Self) -> Self {
        if allowed.contains(&self) { to } else { self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn happenings() -> impl Strategy<Value = Happening> {
        prop_oneof![
            Just(Happening::AttemptStarted),
            Just(Happening::Accepted),
            Just(Happening::Canceled),
            Just(Happening::Exhausted),
            Just(Happening::OutcomeUnknown),
            Just(Happening::RecipientRefused),
            Just(Happening::TtlPassed),
            Just(Happening::Receipt(DeliveryState::Delivered)),
            Just(Happening::Receipt(DeliveryState::Expired)),
            Just(Happening::Receipt(DeliveryState::Pending)),
            Just(Happening::Receipt(DeliveryState::Undelivered)),
            Just(Happening::Receipt(DeliveryState::Unrecognised("ODD".into()))),
        ]
    }

    /// The contract's "may follow" column, written down a second time.
    fn may_follow(from: Status, to: Status) -> bool {
        use Status::{Canceled, Delivered, Expired, Failed, Queued, Rejected, Sending, Sent, Undelivered, Unknown};
        let allowed: &[Status] = match to {
            Sending | Canceled => &[Queued],
            Sent => &[Queued, Sending, Unknown],
            Delivered => &[Sending, Sent, Unknown, Undelivered, Expired],
            Undelivered => &[Sending, Sent, Unknown],
            Expired => &[Queued, Sending, Sent],
            Rejected | Unknown => &[Sending],
            Failed => &[Queued, Sending],
            Status::Blocked | Queued => &[],
        };
        from == to || allowed.contains(&from)
    }

    proptest! {
        #[test]
        fn status_never_goes_back(happenings in proptest::collection::vec(happenings(), 0..24)) {
            let mut status = Status::Queued;
            for happening in &happenings {
                let next = status.after(happening);
                prop_assert!(may_follow(status, next), "{status:?} -> {next:?} by {happening:?}");
                status = next;
            }
        }

        #[test]
        fn duplicates_change_nothing(happening in happenings(), start in 0_usize..11) {
            let once = Status::ALL[start].after(&happening);
            prop_assert_eq!(once.after(&happening), once);
        }
    }

    #[test]
    fn late_sent_receipt_does_not_undo_delivered() {
        let pending = Happening::Receipt(DeliveryState::Pending);
        assert_eq!(Status::Delivered.after(&pending), Status::Delivered);
    }

    #[test]
    fn delivered_wins_over_a_network_that_gave_up() {
        let delivered = Happening::Receipt(DeliveryState::Delivered);
        for from in [Status::Undelivered, Status::Expired, Status::Unknown, Status::Sent] {
            assert_eq!(from.after(&delivered), Status::Delivered);
        }
        let late = Happening::Receipt(DeliveryState::Undelivered);
        assert_eq!(Status::Delivered.after(&late), Status::Delivered);
    }

    #[test]
    fn spelling_round_trips() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
    }
}
