//! Bugs planted on purpose, between the engine and what it believes to be its store, or in a provider: a simulation that
//! does not find them finds nothing. Must never be active unless asked for.

use std::time::Duration;

use sms_core::store::{Admit, Leased, Outcome, Settle, Then};
use sms_core::{Class, Status, Window};

use crate::luck::Luck;

/// One planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plant {
    /// Writes intents down for which nobody holds a permit.
    ClaimWithoutPermit,
    /// Accepts under a key without remembering the key.
    ForgottenKey,
    /// After a kill nobody takes up the attempts that were open.
    ForgottenOrphans,
    /// Limits let one more through.
    LimitOffByOne,
    /// Says that a message is kept without keeping it.
    LostAccept,
    /// Says that an outcome is recorded without recording it.
    LostSettle,
    /// Begins first attempts without having written that down.
    NoIntent,
    /// Hands out, and lets be sent, what has expired.
    NoExpiryCheck,
    /// A provider's client repeats its request.
    SentTwice,
    /// Sends a transactional message again after an unknown outcome.
    TransactionalCopy,
    /// Sends a code again and again after unknown outcomes.
    EndlessCopies,
}

impl Plant {
    /// Every bug there is.
    pub const ALL: [Self; 11] = [
        Self::ClaimWithoutPermit,
        Self::ForgottenKey,
        Self::ForgottenOrphans,
        Self::LimitOffByOne,
        Self::LostAccept,
        Self::LostSettle,
        Self::NoIntent,
        Self::NoExpiryCheck,
        Self::SentTwice,
        Self::TransactionalCopy,
        Self::EndlessCopies,
    ];

    /// The invariants that it breaks: one of them must be named.
    pub fn breaks(self) -> &'static [&'static str] {
        match self {
            Self::ClaimWithoutPermit => &["an_intent_has_a_permit"],
            Self::ForgottenKey => &["idempotent_replay_is_byte_identical"],
            Self::ForgottenOrphans | Self::LostSettle => &["definite_by_its_time_to_live"],
            Self::LimitOffByOne => &["limits_exact_under_concurrency"],
            Self::LostAccept => &["accepted_means_durable"],
            Self::NoIntent | Self::SentTwice => &["one_intent_per_wire_request"],
            Self::NoExpiryCheck => &["expired_is_never_sent"],
            Self::TransactionalCopy => &["transactional_never_resent_on_unknown"],
            Self::EndlessCopies => &["otp_copies_max_two"],
        }
    }

    /// A request for acceptance as the bug passes it on.
    pub(crate) fn admit(self, mut admit: Admit) -> Admit {
        match self {
            Self::ForgottenKey => admit.idempotency = None,
            Self::LimitOffByOne => {
                for charge in &mut admit.charges {
                    let wider = charge.windows.iter().map(|window| Window { max: window.max + 1, ..*window });
                    charge.windows = wider.collect::<Vec<_>>().into();
                }
            }
            Self::NoIntent => admit.begin = false,
            Self::ClaimWithoutPermit
            | Self::EndlessCopies
            | Self::ForgottenOrphans
            | Self::LostAccept
            | Self::LostSettle
            | Self::NoExpiryCheck
            | Self::SentTwice
            | Self::TransactionalCopy => {}
        }
        admit
    }

    /// An outcome as the bug passes it on.
    pub(crate) fn settle(self, class: Option<Class>, mut settle: Settle) -> Settle {
        let affected = match self {
            Self::TransactionalCopy => Some(Class::Transactional),
            Self::EndlessCopies => Some(Class::Otp),
            Self::ClaimWithoutPermit
            | Self::ForgottenKey
            | Self::ForgottenOrphans
            | Self::LimitOffByOne
            | Self::LostAccept
            | Self::LostSettle
            | Self::NoExpiryCheck
            | Self::NoIntent
            | Self::SentTwice => None,
        };
        let ends = settle.then == Then::End(Status::Unknown) && settle.attempted.outcome == Outcome::Unknown;
        if affected.is_some() && class == affected && ends {
            let due = settle.at.plus(Duration::from_secs(10));
            settle.then = Then::Later { lane: settle.attempted.provider.clone(), due };
        }
        settle
    }

    /// A message that was handed out, as the bug passes it on.
    pub(crate) fn leased(self, mut leased: Leased) -> Leased {
        if self == Self::NoExpiryCheck {
            leased.expires = leased.expires.plus(LATE);
        }
        leased
    }
}

/// Whether a bug that is only there now and then is there this time.
pub(crate) fn strikes(seed: u64, which: u64) -> bool {
    Luck::about(seed, "plant", which).chance(5)
}

/// By how much the bug lets messages be late.
pub(crate) const LATE: Duration = Duration::from_mins(5);
