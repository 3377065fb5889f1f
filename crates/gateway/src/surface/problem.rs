//! Refusals as RFC 9457 problem details: every code the HTTP surfaces answer with, in one table.
//! Texts are for callers: never a number, a text, a code or a credential.
//!
//! A handler returns a [`Problem`]; the envelope around all routes ([`crate::http`]) writes it, because only
//! there the request's id is known.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sms_core::{LimitId, RequestId};
use sms_engine::{Code as Verdict, Refusal};

use crate::config::Report;

/// Where problem types are described; `explain CODE` prints the same.
const TYPE_BASE: &str = "https://example.invalid/errors/";

/// Every code of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The request's body did not arrive in time.
    BodyTimeout,
    /// The request's body is larger than `server.body_max`.
    BodyTooLarge,
    /// The engine refused.
    Engine(Verdict),
    /// The ops listener's protected paths without a token, or with a wrong one.
    Forbidden,
    /// A callback of a provider cannot be read.
    InvalidCallback,
    /// The inbox has no such message.
    InboxNoMessage,
    /// A fault of ours.
    Internal,
    /// A reload found faults.
    InvalidConfig,
    /// The body is no JSON, or nested too deeply.
    InvalidJson,
    /// The time to live passed before a provider took the message.
    MessageExpired,
    /// Every provider refused, or the network did.
    MessageFailed,
    /// A provider refused the recipient.
    MessageRejected,
    /// The path exists, but not for this method.
    MethodNotAllowed,
    /// An attempt already began.
    NotCancelable,
    /// Wrong keys, again and again.
    TooManyAttempts,
    /// No key, or a wrong one.
    Unauthorized,
}

/// One line of the catalogue.
#[derive(Clone, Copy, Debug)]
struct Entry {
    code: &'static str,
    status: StatusCode,
    title: &'static str,
    /// What may be shown to an end user, without anything particular.
    plain: &'static str,
}

impl Code {
    /// Every code, in alphabetical order of its spelling within each origin.
    const ALL: [Self; 33] = [
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::Forbidden,
        Self::InboxNoMessage,
        Self::Internal,
        Self::InvalidCallback,
        Self::InvalidConfig,
        Self::InvalidJson,
        Self::MessageExpired,
        Self::MessageFailed,
        Self::MessageRejected,
        Self::MethodNotAllowed,
        Self::NotCancelable,
        Self::TooManyAttempts,
        Self::Unauthorized,
        Self::Engine(Verdict::ChannelNotSupported),
        Self::Engine(Verdict::CountryNotAllowed),
        Self::Engine(Verdict::DestinationRateLimited),
        Self::Engine(Verdict::EndUserRateLimited),
        Self::Engine(Verdict::ForbiddenClient),
        Self::Engine(Verdict::IdempotencyKeyReuse),
        Self::Engine(Verdict::InvalidRecipient),
        Self::Engine(Verdict::InvalidRequest),
        Self::Engine(Verdict::NoRoute),
        Self::Engine(Verdict::NotFound),
        Self::Engine(Verdict::Overloaded),
        Self::Engine(Verdict::RecipientRateLimited),
        Self::Engine(Verdict::SenderNotAllowed),
        Self::Engine(Verdict::StoreUnavailable),
        Self::Engine(Verdict::TenantRateLimited),
        Self::Engine(Verdict::TestNumber),
        Self::Engine(Verdict::UnknownTemplate),
        Self::Engine(Verdict::UnknownVariable),
    ];

    pub(crate) fn as_str(self) -> &'static str {
        self.entry().code
    }

    pub(crate) fn status(self) -> StatusCode {
        self.entry().status
    }

    /// What may be shown to an end user.
    pub(crate) fn plain(self) -> &'static str {
        self.entry().plain
    }

    fn entry(self) -> Entry {
        let (code, status, title, plain) = match self {
            Self::BodyTimeout => ("body_timeout", 408, "The request's body did not arrive in time", SERVICE),
            Self::BodyTooLarge => ("body_too_large", 413, "The request's body is too large", SERVICE),
            Self::Engine(verdict) => return engine_entry(verdict),
            Self::Forbidden => ("forbidden", 403, "Not permitted", SERVICE),
            Self::InboxNoMessage => ("inbox_no_message", 404, "No such message in the inbox", SERVICE),
            Self::Internal => ("internal", 500, "A fault of the gateway", SERVICE),
            Self::InvalidCallback => ("invalid_callback", 400, "The callback cannot be read", SERVICE),
            Self::InvalidConfig => {
                ("invalid_config", 422, "The configuration has faults; nothing was changed", SERVICE)
            }
            Self::InvalidJson => ("invalid_json", 400, "The request's body cannot be read", SERVICE),
            Self::MessageExpired => ("message_expired", 422, "The message was not sent in time", LATER),
            Self::MessageFailed => ("message_failed", 422, "The message could not be sent", LATER),
            Self::MessageRejected => ("message_rejected", 422, "The number was refused", NUMBER),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "Not with this method", SERVICE),
            Self::NotCancelable => ("not_cancelable", 409, "Too late to cancel", SERVICE),
            Self::TooManyAttempts => ("too_many_attempts", 429, "Too many failed attempts", WAIT),
            Self::Unauthorized => ("unauthorized", 401, "No valid key", SERVICE),
        };
        Entry { code, status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), title, plain }
    }
}

fn engine_entry(verdict: Verdict) -> Entry {
    let (status, title, plain) = match verdict {
        Verdict::ChannelNotSupported => (422, "No provider serves this channel", SERVICE),
        Verdict::CountryNotAllowed => (403, "Messages to this country are not allowed", COUNTRY),
        Verdict::DestinationRateLimited => (429, "Too many messages to this destination", WAIT),
        Verdict::EndUserRateLimited => (429, "Too many messages for this person", WAIT),
        Verdict::ForbiddenClient => (403, "The key may not be used for this client", SERVICE),
        Verdict::IdempotencyKeyReuse => (422, "The Idempotency-Key belongs to another request", SERVICE),
        Verdict::InvalidRecipient => (422, "The recipient is not a number to send to", NUMBER),
        Verdict::InvalidRequest => (422, "The request is not valid", SERVICE),
        Verdict::NoRoute => (422, "No provider can take this message", SERVICE),
        Verdict::NotFound => (404, "Not found", SERVICE),
        Verdict::Overloaded => (503, "The gateway cannot take more work now", LATER),
        Verdict::RecipientRateLimited => (429, "Too many messages to this number", WAIT),
        Verdict::SenderNotAllowed => (422, "This sender is not allowed", SERVICE),
        Verdict::StoreUnavailable => (503, "Nothing can be stored now", LATER),
        Verdict::TenantRateLimited => (429, "Too many messages", WAIT),
        Verdict::TestNumber => (422, "A test number on a route without a mock provider", NUMBER),
        Verdict::UnknownTemplate => (422, "No such template", SERVICE),
        Verdict::UnknownVariable => (422, "A variable of the template is missing", SERVICE),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Entry { code: verdict.as_str(), status, title, plain }
}

const COUNTRY: &str = "Messages to this country are not possible.";
const LATER: &str = "The message could not be sent. Please try again later.";
const NUMBER: &str = "This phone number cannot receive the message. Please check it.";
const SERVICE: &str = "The message could not be sent.";
const WAIT: &str = "Too many messages were requested. Please wait before asking for another one.";

/// What a problem code means, for `gateway explain CODE`; `None` for a code that no surface answers with.
pub fn explain(code: &str) -> Option<String> {
    let found = Code::ALL.into_iter().map(Code::entry).find(|entry| entry.code.eq_ignore_ascii_case(code.trim()))?;
    Some(format!("{}: {} (HTTP {})\n", found.code, found.title, found.status.as_u16()))
}

/// A refused request, on its way to the caller. Boxed, because it is the rare end of every handler.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    code: Code,
    detail: String,
    fix: String,
    hint: Option<String>,
    limit: Option<LimitId>,
    retry_after: Option<Duration>,
    errors: Vec<Fault>,
}

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Fault {
    /// In the caller's words; of a configuration, `FILE:LINE:COLUMN PATH`.
    field: String,
    code: &'static str,
    detail: String,
    fix: String,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        let (detail, fix) = (detail.into(), fix.into());
        Self(Box::new(Facts { code, detail, fix, hint: None, limit: None, retry_after: None, errors: Vec::new() }))
    }

    pub(crate) fn not_found() -> Self {
        Self::new(
            Code::Engine(Verdict::NotFound),
            "There is nothing at this address for this key.",
            "Check the path, and that the key is the one the message was sent with.",
        )
    }

    pub(crate) fn overloaded() -> Self {
        Self::new(
            Code::Engine(Verdict::Overloaded),
            "Too many requests are being worked on.",
            "Send the same request again after the time in Retry-After.",
        )
        .retry_after(Duration::from_secs(1))
    }

    pub(crate) fn store_unavailable() -> Self {
        Self::new(
            Code::Engine(Verdict::StoreUnavailable),
            "The store does not answer.",
            "Send the same request again after the time in Retry-After.",
        )
        .retry_after(Duration::from_secs(1))
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            Code::Internal,
            "The gateway failed on this request.",
            "Report it with the request_id; the log has more under it.",
        )
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, pause: Duration) -> Self {
        self.0.retry_after = Some(pause);
        self
    }

    /// Adds the faults of a configuration.
    #[must_use]
    pub(crate) fn with_report(mut self, report: &Report) -> Self {
        let fault = |finding: &crate::config::Finding| {
            let place = finding.place.as_ref().map(|place| format!("{}:{}:{} ", place.file, place.line, place.column));
            Fault {
                field: format!("{}{}", place.unwrap_or_default(), finding.path),
                code: finding.code.code,
                detail: finding.message.clone(),
                fix: finding.help.clone(),
            }
        };
        self.0.errors = report.errors.iter().map(fault).collect();
        self
    }

    /// Something that helps to find the mistake.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// The field it is about; empty for the whole request.
    pub(crate) fn field(&self) -> &str {
        self.0.errors.first().map_or("", |fault| fault.field.as_str())
    }

    /// When asking again makes sense.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What is wrong, in one sentence.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The same refusal in words for end users, as some identity platforms show them: nothing particular in it.
    #[must_use]
    pub(crate) fn plainly(mut self) -> Self {
        self.0.code.plain().clone_into(&mut self.0.detail);
        "See the gateway's log under the request_id.".clone_into(&mut self.0.fix);
        self.0.errors.clear();
        self.0.hint = None;
        self
    }

    /// The whole answer.
    pub(crate) fn respond(&self, request_id: RequestId) -> Response {
        let entry = self.0.code.entry();
        let body = Written {
            kind: format!("{TYPE_BASE}{}", entry.code),
            title: entry.title,
            status: entry.status.as_u16(),
            code: entry.code,
            detail: &self.0.detail,
            fix: &self.0.fix,
            hint: self.0.hint.as_deref(),
            request_id: request_id.to_string(),
            limit: self.0.limit.as_ref().map(LimitId::as_str),
            retry_after_ms: self.0.retry_after.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
            errors: &self.0.errors,
        };
        let bytes = serde_json::to_vec(&body).unwrap_or_default(); // texts and numbers can always be written
        let mut response = (entry.status, Body::from(bytes)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(pause) = self.0.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(pause)));
        }
        if self.0.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Rounds up, so that whoever waits as told is not refused again.
pub(crate) fn whole_seconds(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    fix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let Refusal { problems, limit, retry_after } = refusal;
        let fault = |problem: &sms_engine::Problem| Fault {
            field: problem.field.clone(),
            code: problem.code.as_str(),
            detail: problem.detail.clone(),
            fix: problem.fix.clone(),
        };
        let errors: Vec<_> = problems.iter().filter(|problem| !problem.field.is_empty()).map(fault).collect();
        let Some(first) = problems.into_iter().next() else { return Self::internal() };
        let code = Code::Engine(first.code);
        let (detail, fix) = (first.detail, first.fix);
        Self(Box::new(Facts { code, detail, fix, hint: None, limit, retry_after, errors }))
    }
}

/// Left in the response for the envelope, which knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Takes a problem out of a response and writes it; keeps what routing added (`Allow`).
pub(crate) fn write(mut response: Response, request_id: RequestId) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let allow = response.headers_mut().remove(ALLOW);
    let mut written = problem.respond(request_id);
    written.headers_mut().extend(allow.map(|allow| (ALLOW, allow)));
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use sms_core::UnixMs;
    use std::collections::BTreeSet;

    const ID: [u8; 10] = [7; 10];

    async fn told(problem: Problem) -> (Response, serde_json::Value) {
        let response = write(problem.into_response(), RequestId::new(UnixMs::new(1), ID));
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
        (Response::from_parts(parts, Body::empty()), serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_limit_reads_as_the_design_shows_it() {
        let mut refusal = Refusal::from(sms_engine::Problem::new(
            Verdict::RecipientRateLimited,
            "to",
            "+420 ••• 118 already got 1 message in 30 s (limit per_recipient, 1/30s).",
            "Show a countdown of 27 s before offering a new code.",
        ));
        refusal.limit = Some(LimitId::new("per_recipient"));
        refusal.retry_after = Some(Duration::from_millis(26_001));
        let (response, json) = told(refusal.into()).await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "27", "rounded up");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let request_id = RequestId::new(UnixMs::new(1), ID).to_string();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "https://example.invalid/errors/recipient_rate_limited",
                "title": "Too many messages to this number",
                "status": 429,
                "code": "recipient_rate_limited",
                "detail": "+420 ••• 118 already got 1 message in 30 s (limit per_recipient, 1/30s).",
                "fix": "Show a countdown of 27 s before offering a new code.",
                "request_id": request_id,
                "limit": "per_recipient",
                "retry_after_ms": 26_001,
                "errors": [{
                    "field": "to", "code": "recipient_rate_limited",
                    "detail": "+420 ••• 118 already got 1 message in 30 s (limit per_recipient, 1/30s).",
                    "fix": "Show a countdown of 27 s before offering a new code.",
                }],
            })
        );
    }

    #[tokio::test]
    async fn plain_words_hold_nothing_particular() {
        let refusal = Refusal::from(sms_engine::Problem::new(Verdict::NoRoute, "x", "mitto cannot", "ask mitto"));
        let (response, json) = told(Problem::from(refusal).plainly()).await;
        assert_eq!((response.status().as_u16(), json["code"].as_str()), (422, Some("no_route")));
        assert!(!json.to_string().contains("mitto"), "{json}");
        assert!(json.get("errors").is_none());
    }

    #[test]
    fn codes_are_unique_and_explained() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(explain(code.as_str()).is_some());
        }
        assert_eq!(explain("no_such_code"), None);
    }

    #[test]
    fn contract_statuses() {
        let status = |code: &str| Code::ALL.iter().find(|c| c.as_str() == code).map(|c| c.status().as_u16());
        for (code, expected) in [
            ("unauthorized", 401),
            ("forbidden_client", 403),
            ("country_not_allowed", 403),
            ("invalid_json", 400),
            ("not_found", 404),
            ("body_too_large", 413),
            ("invalid_recipient", 422),
            ("invalid_request", 422),
            ("unknown_template", 422),
            ("idempotency_key_reuse", 422),
            ("no_route", 422),
            ("sender_not_allowed", 422),
            ("channel_not_supported", 422),
            ("test_number", 422),
            ("too_many_attempts", 429),
            ("recipient_rate_limited", 429),
            ("end_user_rate_limited", 429),
            ("destination_rate_limited", 429),
            ("tenant_rate_limited", 429),
            ("store_unavailable", 503),
            ("overloaded", 503),
        ] {
            assert_eq!(status(code), Some(expected), "{code}");
        }
    }
}
