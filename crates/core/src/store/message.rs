//! Messages as the store keeps them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::op::{Attempted, Outcome, ReceivedReceipt};
use crate::{
    Body, Channel, Class, Country, DeliveryState, Encoding, Kind, MessageId, Msisdn, ProviderName, Sender, Status,
    TenantId, UnixMs,
};

/// A message at the moment of its acceptance.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its id; carries the time of creation.
    pub id: MessageId,
    /// Whose it is.
    pub tenant: TenantId,
    /// When the request came in.
    pub created: UnixMs,
    /// After this no attempt may start.
    pub expires: UnixMs,
    /// Who receives it; encrypted at rest, found by keyed HMAC.
    pub to: Msisdn,
    /// The text; encrypted at rest, erased when no attempt can follow.
    pub body: Body,
    /// Everything else.
    pub details: Details,
}

/// A request refused after its number was read: history only, without text.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// What would have been sent; its body is ignored.
    pub message: NewMessage,
    /// The problem code, such as `recipient_rate_limited`.
    pub code: String,
}

/// What is known of a message besides its text and number. Kept as long as the message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// What it is for.
    pub class: Class,
    /// How it travels.
    pub channel: Channel,
    /// Sender shown on the handset.
    pub sender: Sender,
    /// Encoding of the text.
    pub encoding: Encoding,
    /// Units of the text in that encoding.
    pub units: usize,
    /// Number of parts.
    pub segments: u16,
    /// Calling application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Language asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Template that made the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The caller's reference, echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The caller's metadata, echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// Where to tell of status changes instead of the tenant's webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Status changes are to be told (there is a webhook or a `callback_url`).
    pub notify: bool,
    /// How it was routed.
    pub route: RouteTrace,
}

/// The route taken and why; frozen at acceptance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTrace {
    /// Id of the rule that matched.
    pub rule: String,
    /// Providers in order of preference; never empty for an accepted message.
    pub candidates: Vec<ProviderName>,
    /// One sentence for people.
    pub why: String,
    /// Most copies that may ever be handed over, 1 or 2.
    pub copies_max: u8,
    /// How long to wait for a receipt after an unanswered attempt before the second copy.
    pub unknown_wait: Duration,
}

/// A message in the hands of dispatch. The intent of attempt `attempt` with `lane` is durable.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The message.
    pub id: MessageId,
    /// Whose it is.
    pub tenant: TenantId,
    /// When it was accepted.
    pub created: UnixMs,
    /// After this no attempt may start.
    pub expires: UnixMs,
    /// Who receives it.
    pub to: Msisdn,
    /// The text.
    pub body: Body,
    /// Everything else.
    pub details: Details,
    /// Number of the attempt whose intent is open.
    pub attempt: u16,
    /// Provider of that attempt.
    pub lane: ProviderName,
    /// Settled attempts before this one, oldest first.
    pub tried: Vec<Tried>,
}

impl Leased {
    /// Copies that a provider holds or may hold, without the open attempt.
    pub fn copies(&self) -> u8 {
        let held = self.tried.iter().filter(|t| matches!(t.outcome, Outcome::Accepted | Outcome::Unknown)).count();
        u8::try_from(held).unwrap_or(u8::MAX)
    }
}

/// A message that waits, as whoever may have it wait elsewhere needs to know it. No attempt of it is open.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The message.
    pub id: MessageId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it goes.
    pub country: Country,
    /// After this no attempt may start.
    pub expires: UnixMs,
    /// Number of its last attempt; 0: none yet.
    pub attempt: u16,
    /// The lane in which it waits.
    pub lane: ProviderName,
    /// Since when it may go, or from when on.
    pub due: UnixMs,
    /// Candidates and the route's knobs.
    pub route: RouteTrace,
    /// Its attempts, oldest first.
    pub tried: Vec<Tried>,
}

/// One settled attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// With whom.
    pub provider: ProviderName,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

/// One line of a message's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by our clock.
    pub at: UnixMs,
    /// What.
    pub what: What,
}

/// What happened. Never holds a text, a code or a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Durably accepted.
    Accepted,
    /// Refused before acceptance; why.
    Blocked {
        /// The problem code, such as `recipient_rate_limited`.
        code: String,
    },
    /// The caller canceled it.
    Canceled,
    /// Its time to live passed.
    Expired,
    /// The caller told what became of the code.
    Feedback {
        /// `used`, `expired` or `wrong`.
        outcome: String,
    },
    /// An attempt is about to write to a provider.
    Intent {
        /// Number of the attempt, 1 first.
        attempt: u16,
        /// With whom.
        provider: ProviderName,
    },
    /// An attempt ended.
    Outcome(Attempted),
    /// A receipt was matched.
    Receipt {
        /// From whom.
        provider: ProviderName,
        /// [`DeliveryState::as_str`].
        state: String,
        /// The provider's own code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// When, by the provider's clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        their_time: Option<UnixMs>,
        /// Number of the part it speaks of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<u16>,
    },
    /// Waits for another attempt.
    Waiting {
        /// With whom next.
        lane: ProviderName,
        /// Not before.
        until: UnixMs,
    },
    /// The status changed.
    Status(Status),
}

impl What {
    /// A receipt's line.
    pub fn receipt(received: &ReceivedReceipt, part: Option<u16>) -> Self {
        let receipt = &received.receipt;
        let state = match &receipt.state {
            DeliveryState::Unrecognised(raw) => raw.clone(),
            known @ (DeliveryState::Delivered
            | DeliveryState::Expired
            | DeliveryState::Pending
            | DeliveryState::Undelivered) => known.as_str().to_owned(),
        };
        let (code, their_time) = (receipt.provider_code.clone(), receipt.at);
        Self::Receipt { provider: received.provider.clone(), state, code, their_time, part }
    }
}
