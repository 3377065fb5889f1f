//! The native API under `/v1/messages` (contract §3).

mod answer;
mod list;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use sms_core::MessageId;
use sms_core::store::CancelOutcome;
use sms_engine::plan::Tenant;
use sms_engine::{Code as Verdict, Feedback, Refusal};

use super::auth::bearer;
use super::fields::Fields;
use super::front::Front;
use super::hook::is_taken;
use super::problem::{Code, Problem};
use super::reply::{json, json_bytes};
use crate::http;

/// Longest `Prefer: wait=N`; more is taken for this.
const WAIT_MAX: Duration = Duration::from_secs(20);

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// `POST /v1/messages`.
pub(super) async fn send(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let tenant = authenticated(&front, &parts)?;
    let bytes = front.read(body).await?;
    let read = request::read(request::object(http::json(&bytes)?)?, &parts.headers);
    if !read.faults.is_empty() {
        // A key is looked up before anything else is said about a request.
        if let Some(idempotency) = &read.request.idempotency
            && let Some(before) = front.engine.replay(&tenant.id, idempotency).await?
        {
            return Ok(accepted(&before.answer, before.replayed));
        }
        return Err(all_faults(&front, &tenant, read));
    }
    match wait(&parts.headers) {
        None => {
            let submitted = front.submit(&tenant, read.request).await?;
            Ok(accepted(&submitted.answer, submitted.replayed))
        }
        Some(patience) => {
            let (submitted, decision) = front.submit_and_wait(&tenant, read.request, patience).await?;
            let mut response = match (&submitted.acceptance, decision) {
                (Some(acceptance), Some(decision)) => {
                    let taken = is_taken(decision.status);
                    let status = if taken { StatusCode::OK } else { StatusCode::ACCEPTED };
                    let provider = decision.provider.filter(|_| taken);
                    json_bytes(status, answer::decided(acceptance, decision.status, provider.as_ref()).into())
                }
                (_, _) => accepted(&submitted.answer, submitted.replayed),
            };
            response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("wait"));
            Ok(response)
        }
    }
}

/// `GET /v1/messages/{id}`.
pub(super) async fn show(
    State(front): State<Arc<Front>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let tenant = authenticated(&front, &parts)?;
    let record = front.engine.message(&tenant.id, message_id(&id)?).await.map_err(Refusal::from)?;
    let record = record.ok_or_else(Problem::not_found)?;
    Ok(json(StatusCode::OK, &answer::Message::whole(&record)))
}

/// `GET /v1/messages`.
pub(super) async fn list(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let tenant = authenticated(&front, &parts)?;
    let filter = list::filter(&parts.uri, &tenant)?;
    let page = front.engine.search(filter).await.map_err(Refusal::from)?;
    Ok(json(StatusCode::OK, &list::Listed::of(&page)))
}

/// `POST /v1/messages/{id}/cancel`.
pub(super) async fn cancel(
    State(front): State<Arc<Front>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let tenant = authenticated(&front, &parts)?;
    match front.engine.cancel(&tenant.id, message_id(&id)?).await.map_err(Refusal::from)? {
        CancelOutcome::Canceled(change) => {
            Ok(json(StatusCode::OK, &answer::Brief { id: change.id.to_string(), status: change.to.as_str() }))
        }
        CancelOutcome::NotFound => Err(Problem::not_found()),
        CancelOutcome::TooLate(status) => Err(Problem::new(
            Code::NotCancelable,
            format!("The message is already `{}`: only a queued one can be canceled.", status.as_str()),
            "Nothing; ask for its status to learn what became of it.",
        )),
    }
}

/// `POST /v1/messages/{id}/feedback`.
pub(super) async fn feedback(
    State(front): State<Arc<Front>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let tenant = authenticated(&front, &parts)?;
    let id = message_id(&id)?;
    let bytes = front.read(body).await?;
    let mut fields = Fields::new(request::object(http::json(&bytes)?)?, "");
    let outcome = fields.word("outcome", WANTED_OUTCOMES, Feedback::parse);
    let mut faults = fields.finish();
    if outcome.is_none() && faults.is_empty() {
        let detail = "`outcome` is missing.";
        faults.push(sms_engine::Problem::new(
            Verdict::InvalidRequest,
            "outcome",
            detail,
            format!("Send {WANTED_OUTCOMES}."),
        ));
    }
    let (Some(outcome), true) = (outcome, faults.is_empty()) else {
        return Err(Refusal { problems: faults, limit: None, retry_after: None }.into());
    };
    let known = front.engine.feedback(&tenant.id, id, outcome).await.map_err(Refusal::from)?;
    let told = answer::Outcome { id: id.to_string(), outcome: outcome.as_str() };
    known.then(|| json(StatusCode::OK, &told)).ok_or_else(Problem::not_found)
}

const WANTED_OUTCOMES: &str = "`used`, `expired` or `wrong`";

fn authenticated(front: &Front, parts: &Parts) -> Result<Arc<Tenant>, Problem> {
    front.tenant(bearer(&parts.headers), &parts.extensions)
}

/// Something that is no id of a message is the id of no message.
fn message_id(text: &str) -> Result<MessageId, Problem> {
    MessageId::parse(text).ok_or_else(Problem::not_found)
}

/// The mistakes of form, and of the rest whatever can be told in spite of them.
fn all_faults(front: &Front, tenant: &Tenant, read: request::Read) -> Problem {
    let mut problems = front.engine.explain(&tenant.id, read.request).map(|told| told.problems).unwrap_or_default();
    let is_told = |field: &str| read.faults.iter().any(|fault| fault.field == field);
    problems.retain(|problem| !problem.field.is_empty() && !is_told(&problem.field));
    problems.extend(read.faults);
    Refusal { problems, limit: None, retry_after: None }.into()
}

/// `Prefer: wait=N` (RFC 7240); anything else of it is ignored.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut items = preferences.flat_map(|value| value.split([',', ';']));
    let seconds: u64 = items.find_map(|item| item.trim().strip_prefix("wait=")?.trim_matches('"').parse().ok())?;
    (seconds > 0).then(|| Duration::from_secs(seconds).min(WAIT_MAX))
}

fn accepted(answer: &Arc<[u8]>, replayed: bool) -> Response {
    let mut response = json_bytes(StatusCode::ACCEPTED, Bytes::copy_from_slice(answer));
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefer(value: &str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(HeaderName::from_static("prefer"), value.parse().unwrap())]);
        wait(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn prefer_wait_is_read_and_capped() {
        assert_eq!(prefer("wait=5"), Some(5));
        assert_eq!(prefer("respond-async, wait=\"7\""), Some(7));
        assert_eq!(prefer("wait=600"), Some(20));
        for other in ["wait=0", "wait", "wait=-1", "wait=x", "handling=lenient"] {
            assert_eq!(prefer(other), None, "{other}");
        }
    }
}
