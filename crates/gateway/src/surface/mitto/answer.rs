//! What a client of Mitto expects to read.

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::Response;
use serde_json::{Value, json};
use sms_core::{Kind, MessageId, Status, UnixMs};
use sms_engine::Decision;

use super::response_code;
use crate::surface::problem::{Problem, whole_seconds};
use crate::surface::reply;

/// Mitto's response codes.
pub(super) const OTHER: u8 = 1;
pub(super) const CONTENT: u8 = 4;
pub(super) const SENDER: u8 = 6;
pub(super) const RECIPIENT: u8 = 8;

/// What became of one message.
#[derive(Debug)]
pub(super) struct Told {
    id: Option<MessageId>,
    at: UnixMs,
    text_length: usize,
    /// Response code and words of a message that was refused after it was accepted.
    refused: Option<(u8, &'static str)>,
}

impl Told {
    /// A message that was only checked.
    pub(super) fn tested(text_length: usize, at: UnixMs) -> Self {
        Self { id: None, at, text_length, refused: None }
    }

    /// A message with the provider's verdict; without one it is still on its way.
    pub(super) fn decided(id: MessageId, decision: Option<Decision>, text_length: usize, at: UnixMs) -> Self {
        let refused = decision.and_then(|decision| match decision.status {
            Status::Delivered | Status::Queued | Status::Sending | Status::Sent | Status::Unknown => None,
            Status::Rejected => Some((RECIPIENT, "Invalid receiver")),
            Status::Blocked | Status::Canceled | Status::Expired | Status::Failed | Status::Undelivered => {
                Some(match decision.kind {
                    Some(Kind::Content) => (CONTENT, "Message text is invalid"),
                    Some(
                        Kind::Account
                        | Kind::Deadline
                        | Kind::Protocol
                        | Kind::Recipient
                        | Kind::Throttled
                        | Kind::Unavailable,
                    )
                    | None => (OTHER, "Internal error"),
                })
            }
        });
        Self { id: Some(id), at, text_length, refused }
    }

    pub(super) fn respond(&self) -> Response {
        let status = if self.refused.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        reply::json(status, &self.body())
    }

    fn body(&self) -> Value {
        if let Some((code, words)) = self.refused {
            return json!({ "responseCode": code, "responseText": words });
        }
        let mut body = json!({
            "timestamp": self.at.to_string(),
            "responseCode": 0,
            "responseText": "SMS sent",
            "textLength": self.text_length,
        });
        let extra = match self.id {
            Some(id) => ("id", json!(id.to_string())),
            None => ("test", json!(true)),
        };
        if let Some(map) = body.as_object_mut() {
            map.insert(extra.0.to_owned(), extra.1);
        }
        body
    }
}

/// A request that was not accepted.
pub(super) fn refused(problem: &Problem) -> Response {
    let status = match problem.code().status() {
        StatusCode::UNAUTHORIZED => StatusCode::UNAUTHORIZED,
        StatusCode::TOO_MANY_REQUESTS => StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        status if status.is_server_error() => status,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = code(status, response_code(problem.code(), problem.field()), problem.detail());
    if let Some(pause) = problem.pause() {
        response.headers_mut().insert(RETRY_AFTER, whole_seconds(pause).into());
    }
    response
}

/// A response code with its words.
pub(super) fn code(status: StatusCode, code: u8, words: &str) -> Response {
    reply::json(status, &json!({ "responseCode": code, "responseText": words }))
}

/// The answers of a bulk request, in the order of its recipients.
pub(super) fn bulk(told: Vec<Result<Told, Problem>>) -> Response {
    let first_refusal = told.iter().find_map(|told| told.as_ref().err().cloned());
    let messages: Vec<Value> = told
        .into_iter()
        .map(|told| match told {
            Ok(told) => told.body(),
            Err(problem) => {
                json!({ "responseCode": response_code(problem.code(), problem.field()), "responseText": problem.detail() })
            }
        })
        .collect();
    let any_sent = messages.iter().any(|message| message.get("responseCode") == Some(&json!(0)));
    match (any_sent, first_refusal) {
        (true, _) => {
            reply::json(StatusCode::OK, &json!({ "responseCode": 0, "responseText": "SMS sent", "messages": messages }))
        }
        (false, Some(problem)) => refused(&problem),
        (false, None) => reply::json(
            StatusCode::BAD_REQUEST,
            &json!({ "responseCode": OTHER, "responseText": "No SMS was sent", "messages": messages }),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::problem::Code;
    use std::time::Duration;

    fn id() -> MessageId {
        MessageId::new(UnixMs::new(1), [1; 10])
    }

    fn decided(status: Status, kind: Option<Kind>) -> Told {
        Told::decided(id(), Some(Decision { status, provider: None, kind }), 13, UnixMs::new(1))
    }

    #[test]
    fn a_sent_message_reads_like_mittos() {
        let body = decided(Status::Sent, None).body();
        assert_eq!(
            body,
            json!({ "id": id().to_string(), "timestamp": "1970-01-01T00:00:00.001Z", "responseCode": 0,
                    "responseText": "SMS sent", "textLength": 13 })
        );
        assert_eq!(Told::decided(id(), None, 1, UnixMs::new(1)).respond().status(), 200, "still on its way");
    }

    #[test]
    fn a_refused_message_is_400_with_mittos_code() {
        for (status, kind, code) in [
            (Status::Rejected, Some(Kind::Recipient), 8),
            (Status::Failed, Some(Kind::Content), 4),
            (Status::Failed, Some(Kind::Unavailable), 1),
            (Status::Expired, None, 1),
        ] {
            let told = decided(status, kind);
            assert_eq!((told.respond().status().as_u16(), &told.body()["responseCode"]), (400, &json!(code)));
        }
    }

    #[test]
    fn a_test_has_no_id() {
        let body = Told::tested(5, UnixMs::new(1)).body();
        assert_eq!((body.get("id"), &body["test"], &body["responseCode"]), (None, &json!(true), &json!(0)));
    }

    #[test]
    fn refusals_keep_the_statuses_that_callers_act_on() {
        for (code, status) in [
            (Code::Unauthorized, 401),
            (Code::TooManyAttempts, 429),
            (Code::Engine(sms_engine::Code::RecipientRateLimited), 429),
            (Code::Engine(sms_engine::Code::StoreUnavailable), 503),
            (Code::Engine(sms_engine::Code::CountryNotAllowed), 400),
            (Code::InvalidJson, 400),
        ] {
            let problem = Problem::new(code, "d", "f").retry_after(Duration::from_millis(1_001));
            let response = refused(&problem);
            assert_eq!(
                (response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()),
                (status, "2")
            );
        }
    }

    #[test]
    fn a_bulk_answer_is_good_when_any_message_is() {
        let bad = || Err(Problem::new(Code::Engine(sms_engine::Code::InvalidRecipient), "d", "f"));
        assert_eq!(bulk(vec![bad(), Ok(decided(Status::Sent, None))]).status(), 200);
        assert_eq!(bulk(vec![bad(), bad()]).status(), 400);
    }
}
