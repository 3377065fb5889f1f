//! Mitto's REST API, so that a client of Mitto changes only its base URL (contract §5). JSON, or the same fields in the
//! query string. A refusal is told by the HTTP status as well, because many callers look at nothing else.

mod answer;
mod wish;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use sms_engine::SendRequest;
use sms_engine::plan::Tenant;
use tokio::task::JoinSet;

use super::front::Front;
use super::problem::{Code, Problem};
use super::query::Query;
use crate::http;
use answer::Told;
use wish::Wish;

/// How long a caller waits for the provider's verdict.
const PATIENCE: Duration = Duration::from_secs(5);

/// Recipients of one bulk request.
const RECIPIENTS_MAX: usize = 500;

/// `POST /sms.json`, `POST /sms`.
pub(super) async fn send(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (tenant, wish) = match read(&front, request).await {
        Ok(read) => read,
        Err(problem) => return answer::refused(&problem),
    };
    match one(&front, &tenant, &wish, wish.to.clone()).await {
        Ok(told) => told.respond(),
        Err(problem) => answer::refused(&problem),
    }
}

/// `POST /smsbulk`: the same for a list of recipients.
pub(super) async fn send_bulk(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (tenant, wish) = match read(&front, request).await {
        Ok(read) => read,
        Err(problem) => return answer::refused(&problem),
    };
    let recipients: Vec<String> =
        wish.to.split(',').map(|to| to.trim().to_owned()).filter(|to| !to.is_empty()).collect();
    if recipients.is_empty() || recipients.len() > RECIPIENTS_MAX {
        return answer::code(
            StatusCode::BAD_REQUEST,
            answer::RECIPIENT,
            &format!("Send 1 to {RECIPIENTS_MAX} receivers"),
        );
    }
    let wish = Arc::new(wish);
    let mut running = JoinSet::new();
    for (position, to) in recipients.into_iter().enumerate() {
        let (front, tenant, wish) = (Arc::clone(&front), Arc::clone(&tenant), Arc::clone(&wish));
        running.spawn(async move { (position, one(&front, &tenant, &wish, to).await) });
    }
    let mut told = running.join_all().await;
    told.sort_by_key(|(position, _)| *position);
    answer::bulk(told.into_iter().map(|(_, told)| told).collect())
}

async fn read(front: &Front, request: Request) -> Result<(Arc<Tenant>, Wish), Problem> {
    let (parts, body) = request.into_parts();
    let tenant = front.tenant(key(&parts), &parts.extensions)?;
    let bytes = front.read(body).await?;
    let mut wish = Wish::of_query(&Query::of(&parts.uri));
    if !bytes.is_empty() {
        wish.read_json(&http::json(&bytes)?);
    }
    Ok((tenant, wish))
}

fn key(parts: &Parts) -> Option<&str> {
    parts.headers.get("x-mitto-api-key")?.to_str().ok()
}

async fn one(front: &Front, tenant: &Tenant, wish: &Wish, to: String) -> Result<Told, Problem> {
    let request: SendRequest = wish.request(to);
    let length = wish.text.as_deref().map_or(0, |text| text.chars().count());
    if wish.test {
        let problems = front.engine.explain(&tenant.id, request).map(|told| told.problems).unwrap_or_default();
        if !problems.is_empty() {
            return Err(sms_engine::Refusal { problems, limit: None, retry_after: None }.into());
        }
        return Ok(Told::tested(length, front.now()));
    }
    let (submitted, decision) = front.submit_and_wait(tenant, request, PATIENCE).await?;
    Ok(Told::decided(submitted.id, decision, length, front.now()))
}

/// Which of Mitto's response codes a refusal has.
fn response_code(code: Code, field: &str) -> u8 {
    use sms_engine::Code as Verdict;
    match code {
        Code::Engine(Verdict::CountryNotAllowed | Verdict::InvalidRecipient | Verdict::TestNumber)
        | Code::MessageRejected => answer::RECIPIENT,
        Code::Engine(Verdict::SenderNotAllowed) => answer::SENDER,
        Code::Engine(Verdict::UnknownTemplate | Verdict::UnknownVariable) => answer::CONTENT,
        Code::Engine(Verdict::InvalidRequest) if matches!(field, "text" | "template" | "variables") => answer::CONTENT,
        Code::BodyTimeout
        | Code::BodyTooLarge
        | Code::Engine(_)
        | Code::Forbidden
        | Code::InboxNoMessage
        | Code::Internal
        | Code::InvalidCallback
        | Code::InvalidConfig
        | Code::InvalidJson
        | Code::MessageExpired
        | Code::MessageFailed
        | Code::MethodNotAllowed
        | Code::NotCancelable
        | Code::TooManyAttempts
        | Code::Unauthorized => answer::OTHER,
    }
}
