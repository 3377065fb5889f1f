//! Why a request was not accepted: one closed set of codes, each with its repair.
//! Knows no HTTP; the gateway maps codes to statuses.

use std::time::Duration;

use serde::{Serialize, Serializer};
use sms_core::{LimitId, StoreError};

/// The contract's problem codes that the engine decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// No candidate serves the channel.
    ChannelNotSupported,
    /// The destination country is not allowed.
    CountryNotAllowed,
    /// A limit per country or prefix.
    DestinationRateLimited,
    /// A limit per IP address or end user.
    EndUserRateLimited,
    /// The tenant may not use this client id.
    ForbiddenClient,
    /// The Idempotency-Key was used for another request.
    IdempotencyKeyReuse,
    /// Not a number one can send to.
    InvalidRecipient,
    /// Something else in the content is wrong.
    InvalidRequest,
    /// No such message for this tenant.
    NotFound,
    /// No route matches, or none of its providers may take the message.
    NoRoute,
    /// Too much at once.
    Overloaded,
    /// A limit per recipient.
    RecipientRateLimited,
    /// The tenant may not use this sender.
    SenderNotAllowed,
    /// The store cannot accept.
    StoreUnavailable,
    /// A limit per tenant.
    TenantRateLimited,
    /// A fictional number on a route without a mock provider.
    TestNumber,
    /// No template of this name.
    UnknownTemplate,
    /// The template names a variable the request does not carry.
    UnknownVariable,
}

impl Code {
    /// Spelling in problems, history and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChannelNotSupported => "channel_not_supported",
            Self::CountryNotAllowed => "country_not_allowed",
            Self::DestinationRateLimited => "destination_rate_limited",
            Self::EndUserRateLimited => "end_user_rate_limited",
            Self::ForbiddenClient => "forbidden_client",
            Self::IdempotencyKeyReuse => "idempotency_key_reuse",
            Self::InvalidRecipient => "invalid_recipient",
            Self::InvalidRequest => "invalid_request",
            Self::NotFound => "not_found",
            Self::NoRoute => "no_route",
            Self::Overloaded => "overloaded",
            Self::RecipientRateLimited => "recipient_rate_limited",
            Self::SenderNotAllowed => "sender_not_allowed",
            Self::StoreUnavailable => "store_unavailable",
            Self::TenantRateLimited => "tenant_rate_limited",
            Self::TestNumber => "test_number",
            Self::UnknownTemplate => "unknown_template",
            Self::UnknownVariable => "unknown_variable",
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One thing that is wrong with one field. Texts are for the caller and free of personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which kind of mistake.
    pub code: Code,
    /// The field in the caller's words, such as `to` or `variables.name`; empty for the whole request.
    pub field: String,
    /// What is wrong.
    pub detail: String,
    /// How to repair it.
    pub fix: String,
}

impl Problem {
    /// A problem of one field.
    pub fn new(code: Code, field: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, field: field.into(), detail: detail.into(), fix: fix.into() }
    }
}

/// A refused request: at least one problem, all of them together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The first one decides code and status of the answer.
    pub problems: Vec<Problem>,
    /// The limit that refused.
    pub limit: Option<LimitId>,
    /// When asking again makes sense.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// The code of the answer.
    pub fn code(&self) -> Code {
        self.problems.first().map_or(Code::InvalidRequest, |problem| problem.code)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], limit: None, retry_after: None }
    }
}

/// `None` when nothing is wrong.
pub(crate) fn all(problems: Vec<Problem>) -> Option<Refusal> {
    (!problems.is_empty()).then_some(Refusal { problems, limit: None, retry_after: None })
}

/// The store's fault is never the caller's: ask again later.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(error.kind = "store", "the store refused: {error}");
        Self {
            problems: vec![Problem::new(
                Code::StoreUnavailable,
                "",
                "The message could not be stored, so it was not accepted.",
                "Send the same request again after the time in Retry-After.",
            )],
            limit: None,
            retry_after: Some(Duration::from_secs(1)),
        }
    }
}
