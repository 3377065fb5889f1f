//! Why a send failed, on two axes: what went wrong ([`Kind`]) and what became of the message ([`Fate`]).
//! [`SendError::next_step`] is the only place where a failure becomes policy.

use std::error::Error as StdError;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Class;

/// What went wrong. A closed set because it is a metric label; a new variant must break the build everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Bad credentials, no credit, suspended account.
    Account,
    /// The provider refuses this text, sender or template.
    Content,
    /// The attempt's deadline passed.
    Deadline,
    /// The provider answered something we cannot read.
    Protocol,
    /// The number is invalid, blocked or opted out: no other provider would take it.
    Recipient,
    /// Too many requests.
    Throttled,
    /// Connect failure or a fault on the provider's side.
    Unavailable,
}

impl Kind {
    /// Every kind, in label order.
    pub const ALL: [Self; 7] = [
        Self::Account,
        Self::Content,
        Self::Deadline,
        Self::Protocol,
        Self::Recipient,
        Self::Throttled,
        Self::Unavailable,
    ];

    /// The metric label and API spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Content => "content",
            Self::Deadline => "deadline",
            Self::Protocol => "protocol",
            Self::Recipient => "recipient",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What became of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The provider certainly does not hold the message: no byte of it was written.
    NotSent,
    /// The provider read the request and said no.
    Refused,
    /// The provider may hold the message.
    Unknown,
}

/// What dispatch does after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Stop: another provider would say the same, or another copy is not allowed.
    GiveUp,
    /// Send a second copy at once: the provider answered, so waiting tells nothing new.
    SecondCopy,
    /// Offer the message to the next provider at once: nobody holds it.
    TryNext,
    /// Wait for a receipt first, then send a second copy.
    WaitThenSecondCopy,
}

/// A failed send.
#[derive(Debug, thiserror::Error)]
#[error("{}, {}: {detail}", kind.as_str(), fate_words(*fate))]
pub struct SendError {
    /// What went wrong.
    pub kind: Kind,
    /// What became of the message.
    pub fate: Fate,
    /// The provider answered, though not with a proof of refusal. Only telling with [`Fate::Unknown`].
    pub answered: bool,
    /// The provider's own code, verbatim (a short token, never a free text).
    pub provider_code: Option<String>,
    /// How long the provider asks us to pause.
    pub retry_after: Option<Duration>,
    /// For operators: never holds recipient, text or credentials.
    pub detail: String,
    /// The cause, already free of personal data.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl SendError {
    /// `detail` is for operators: it must hold neither recipient, text nor credentials.
    pub fn new(kind: Kind, fate: Fate, detail: impl Into<String>) -> Self {
        Self {
            kind,
            fate,
            answered: false,
            provider_code: None,
            retry_after: None,
            detail: detail.into(),
            source: None,
        }
    }

    /// Marks that the provider answered.
    #[must_use]
    pub fn answered(mut self) -> Self {
        self.answered = true;
        self
    }

    /// Keeps the provider's own code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.provider_code = Some(code.into());
        self
    }

    /// Keeps the provider's wish for a pause.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// Keeps the cause; it must be free of personal data (see `sms-rest`'s redaction).
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The one place where a failure becomes policy; `copies_left` says whether the cap of copies
    /// still allows one more wire request after an unknown outcome.
    ///
    /// A lost code is a failed login and a second copy of the same code is one extra SMS, so `otp`
    /// risks the copy; `transactional` never does.
    pub fn next_step(&self, class: Class, copies_left: bool) -> NextStep {
        match (self.fate, class) {
            (Fate::Refused, _) if self.kind == Kind::Recipient => NextStep::GiveUp,
            (Fate::NotSent | Fate::Refused, _) => NextStep::TryNext,
            (Fate::Unknown, Class::Otp) if copies_left && self.answered => NextStep::SecondCopy,
            (Fate::Unknown, Class::Otp) if copies_left => NextStep::WaitThenSecondCopy,
            (Fate::Unknown, Class::Otp | Class::Transactional) => NextStep::GiveUp,
        }
    }
}

fn fate_words(fate: Fate) -> &'static str {
    match fate {
        Fate::NotSent => "not sent",
        Fate::Refused => "refused",
        Fate::Unknown => "outcome unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_recipient_ends_the_message() {
        let error = SendError::new(Kind::Recipient, Fate::Refused, "");
        assert_eq!(error.next_step(Class::Otp, true), NextStep::GiveUp);
    }

    #[test]
    fn what_nobody_holds_goes_to_the_next_provider() {
        for kind in Kind::ALL {
            let step = SendError::new(kind, Fate::NotSent, "").next_step(Class::Transactional, false);
            assert_eq!(step, NextStep::TryNext, "{kind:?}");
        }
        let throttled = SendError::new(Kind::Throttled, Fate::Refused, "");
        assert_eq!(throttled.next_step(Class::Otp, false), NextStep::TryNext);
    }

    #[test]
    fn unknown_outcome_of_an_otp_risks_one_copy() {
        let silent = SendError::new(Kind::Deadline, Fate::Unknown, "");
        assert_eq!(silent.next_step(Class::Otp, true), NextStep::WaitThenSecondCopy);
        assert_eq!(silent.next_step(Class::Otp, false), NextStep::GiveUp);
        let answered = SendError::new(Kind::Unavailable, Fate::Unknown, "").answered();
        assert_eq!(answered.next_step(Class::Otp, true), NextStep::SecondCopy);
    }

    #[test]
    fn transactional_never_resent_on_unknown() {
        for error in [
            SendError::new(Kind::Deadline, Fate::Unknown, ""),
            SendError::new(Kind::Unavailable, Fate::Unknown, "").answered(),
        ] {
            assert_eq!(error.next_step(Class::Transactional, true), NextStep::GiveUp);
        }
    }
}
