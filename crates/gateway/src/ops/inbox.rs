//! The mock's inbox over HTTP, for tests that wait for a code. Shows numbers and texts: that is what it is for.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use sms_core::Msisdn;
use sms_core::options::Span;
use sms_engine::{Code as Verdict, Problem as Fault, Refusal};
use tokio::time::Instant;

use super::Ops;
use crate::providers::{Behaviour, Cursor, Inbox};
use crate::surface::problem::{Code, Problem};
use crate::surface::{Query, json};

/// Longest `wait=`; more is taken for this.
const WAIT_MAX: Duration = Duration::from_mins(1);

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// `GET /inbox/v1/messages?to=&after=&limit=`.
pub(super) async fn messages(State(ops): State<Arc<Ops>>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    ops.permit(&parts)?;
    let query = Query::of(&parts.uri);
    let to = query.number("to").map(|to| number(&to)).transpose()?;
    let limit = query.parsed::<usize>("limit").map_err(|_| wrong("limit", "1 to 1000"))?.unwrap_or(LIMIT_DEFAULT);
    let messages = ops.0.inbox.messages(to.as_ref(), after(&query)?, limit.clamp(1, LIMIT_MAX));
    Ok(json(StatusCode::OK, &json!({ "messages": messages })))
}

/// `DELETE /inbox/v1/messages`.
pub(super) async fn clear(State(ops): State<Arc<Ops>>, request: Request) -> Result<StatusCode, Problem> {
    let (parts, _) = request.into_parts();
    ops.permit(&parts)?;
    ops.0.inbox.clear();
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /inbox/v1/code?to=&after=&wait=10s`: the digits only.
pub(super) async fn code(State(ops): State<Arc<Ops>>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    ops.permit(&parts)?;
    let query = Query::of(&parts.uri);
    let to = query.number("to").ok_or_else(|| wrong("to", "the number that the code was sent to"))?;
    let (to, after, wait) = (number(&to)?, after(&query)?, wait(&query)?);
    match ops.0.inbox.wait_for_code(&to, after, Instant::now() + wait).await {
        Some(code) => Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], code).into_response()),
        None => Err(nothing_came(&ops.0.inbox, &to, after, wait)),
    }
}

/// `PUT /inbox/v1/behaviours/{msisdn}`.
pub(super) async fn set_behaviour(
    State(ops): State<Arc<Ops>>,
    Path(msisdn): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (to, bytes) = {
        let (parts, body) = request.into_parts();
        ops.permit(&parts)?;
        (number(&msisdn)?, ops.0.front.read(body).await?)
    };
    crate::http::json(&bytes)?; // tells what is no JSON apart from what is no behaviour
    let behaviour: Behaviour = serde_json::from_slice(&bytes).map_err(|error| {
        let detail = format!("The body is no behaviour: {error}.");
        let fix = "Send an object such as {\"answer\":\"accept\",\"receipt\":\"undelivered\",\"after\":\"3s\"}.";
        Problem::from(Refusal::from(Fault::new(Verdict::InvalidRequest, "", detail, fix)))
    })?;
    ops.0.inbox.set_behaviour(to, behaviour).map_err(|error| {
        let fix = "Take some back with DELETE on the same path.";
        Problem::from(Refusal::from(Fault::new(Verdict::InvalidRequest, "", format!("{error}."), fix)))
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /inbox/v1/behaviours/{msisdn}`.
pub(super) async fn remove_behaviour(
    State(ops): State<Arc<Ops>>,
    Path(msisdn): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (parts, _): (Parts, _) = request.into_parts();
    ops.permit(&parts)?;
    let removed = ops.0.inbox.remove_behaviour(&number(&msisdn)?);
    removed.then_some(StatusCode::NO_CONTENT).ok_or_else(Problem::not_found)
}

fn number(text: &str) -> Result<Msisdn, Problem> {
    Msisdn::parse(text, None).map_err(|error| {
        let detail = format!("`to` is no number: {error}.");
        Refusal::from(Fault::new(Verdict::InvalidRecipient, "to", detail, error.fix())).into()
    })
}

fn after(query: &Query) -> Result<Option<Cursor>, Problem> {
    query.parsed("after").map_err(|_| wrong("after", "the `cursor` of a message, or its id"))
}

/// `10s`, or a bare number of seconds.
fn wait(query: &Query) -> Result<Duration, Problem> {
    let Some(text) = query.get("wait") else { return Ok(Duration::ZERO) };
    let span = text.parse::<u64>().map(Duration::from_secs).or_else(|_| text.parse::<Span>().map(Span::as_duration));
    span.map(|span| span.min(WAIT_MAX)).map_err(|_| wrong("wait", "a duration such as 10s"))
}

fn wrong(field: &'static str, wanted: &str) -> Problem {
    let detail = format!("`{field}` is missing, or not what it can be.");
    Refusal::from(Fault::new(Verdict::InvalidRequest, field, detail, format!("Send {wanted}."))).into()
}

/// Says what did arrive: most often another number was used, or the cursor is too late.
fn nothing_came(inbox: &Inbox, to: &Msisdn, after: Option<Cursor>, wait: Duration) -> Problem {
    // Fictional numbers are nobody's.
    let shown = if to.is_test() { to.expose() } else { to.to_string() };
    let since = if after.is_some() { " after the cursor" } else { "" };
    let detail = format!("No message with a code for {shown}{since} within {} s.", wait.as_secs());
    let others = inbox.messages(None, after, usize::MAX).len();
    let mine = inbox.messages(Some(to), None, usize::MAX);
    let hint = match (mine.last(), others) {
        (Some(last), _) => format!(
            "The last message for this number came at {} (cursor {}{}); {others} messages{since} in all.",
            last.at,
            last.cursor,
            if last.code.is_some() { "" } else { ", without a code" },
        ),
        (None, 0) => "The inbox is empty: nothing was sent through a mock provider.".to_owned(),
        (None, _) => format!("{others} messages reached other numbers. Was {shown} the number the app used?"),
    };
    Problem::new(Code::InboxNoMessage, detail, "Check the number, or wait longer.").hint(hint)
}
