//! `/admin/v1/webhooks`: which tenants' endpoints fail or are disabled, and what an operator does about it. Shows the
//! host of a URL only: the rest may hold a secret.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use sms_core::store::Retelling;
use sms_core::{MessageId, StoreError, TenantId, UnixMs};
use sms_engine::{Code as Verdict, EndpointState, Problem as Fault, Refusal};

use super::Ops;
use crate::surface::json;
use crate::surface::problem::Problem;

/// `GET /admin/v1/webhooks`.
pub(super) async fn list(State(ops): State<Arc<Ops>>, request: Request) -> Result<Response, Problem> {
    ops.permit(&request.into_parts().0)?;
    let webhooks: Vec<Value> = ops.0.front.engine.endpoints().iter().map(shown).collect();
    Ok(json(StatusCode::OK, &json!({ "webhooks": webhooks })))
}

/// `GET /admin/v1/webhooks/{tenant}`.
pub(super) async fn show(
    State(ops): State<Arc<Ops>>,
    Path(tenant): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    ops.permit(&request.into_parts().0)?;
    let endpoint = ops.0.front.engine.endpoint(&TenantId::new(tenant)).ok_or_else(Problem::not_found)?;
    Ok(json(StatusCode::OK, &shown(&endpoint)))
}

/// `POST /admin/v1/webhooks/{tenant}/enable`: it is called again; what was shelved waits for a replay.
pub(super) async fn enable(
    State(ops): State<Arc<Ops>>,
    Path(tenant): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    ops.permit(&request.into_parts().0)?;
    answer(ops.0.front.engine.enable_endpoint(&TenantId::new(tenant)).await)
}

/// `POST /admin/v1/webhooks/{tenant}/disable`.
pub(super) async fn disable(
    State(ops): State<Arc<Ops>>,
    Path(tenant): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    ops.permit(&request.into_parts().0)?;
    answer(ops.0.front.engine.disable_endpoint(&TenantId::new(tenant)).await)
}

/// `POST /admin/v1/webhooks/{tenant}/replay`: `{"message":"msg_…"}` tells the present status of one message again;
/// `{"since":…,"until":…,"limit":N}`, each optional, everything that was given up or shelved.
pub(super) async fn replay(
    State(ops): State<Arc<Ops>>,
    Path(tenant): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let wish = ops.wish(request).await?;
    let what = retelling(wish)?;
    let (engine, tenant) = (&ops.0.front.engine, TenantId::new(tenant));
    if !engine.plan().tenants.contains_key(&tenant) {
        return Err(Problem::not_found());
    }
    let one = matches!(what, Retelling::Message(_));
    match engine.retell(&tenant, what).await {
        Ok(0) if one => Err(Problem::not_found()),
        Ok(replayed) => Ok(json(StatusCode::OK, &json!({ "replayed": replayed }))),
        Err(error) => Err(unavailable(&error)),
    }
}

fn retelling(wish: Value) -> Result<Retelling, Problem> {
    let Value::Object(mut wish) = wish else { return Err(wrong("", "expects one JSON object")) };
    let message = wish.remove("message");
    let since = time(&mut wish, "since")?.unwrap_or_default();
    let until = time(&mut wish, "until")?.unwrap_or(UnixMs::new(i64::MAX));
    let limit = match wish.remove("limit") {
        None | Some(Value::Null) => LIMIT_MAX,
        Some(limit) => limit
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
            .ok_or_else(|| wrong("limit", "is a number from 1 to 10000"))?,
    };
    if let Some(unknown) = wish.keys().next() {
        return Err(wrong(unknown, "is not known; there are message, since, until and limit"));
    }
    match message {
        None | Some(Value::Null) => Ok(Retelling::Shelved { since, until, max: limit }),
        Some(id) => {
            let id = id.as_str().and_then(MessageId::parse).ok_or_else(|| wrong("message", "is a message's id"))?;
            Ok(Retelling::Message(id))
        }
    }
}

fn time(wish: &mut Map<String, Value>, field: &str) -> Result<Option<UnixMs>, Problem> {
    let text = match wish.remove(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let at = text.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let at = at.ok_or_else(|| wrong(field, "is a time such as \"2026-11-24T12:00:00Z\""))?;
    Ok(Some(UnixMs::new(at.as_millisecond())))
}

fn answer(changed: Result<Option<EndpointState>, StoreError>) -> Result<Response, Problem> {
    match changed {
        Ok(Some(endpoint)) => Ok(json(StatusCode::OK, &shown(&endpoint))),
        Ok(None) => Err(Problem::not_found()),
        Err(error) => Err(unavailable(&error)),
    }
}

fn shown(endpoint: &EndpointState) -> Value {
    let state = match (endpoint.disabled_since, endpoint.failing_since) {
        (Some(_), _) => "disabled",
        (None, Some(_)) => "failing",
        (None, None) => "ok",
    };
    let mut shown = json!({ "tenant": endpoint.tenant.as_str(), "host": endpoint.host, "state": state });
    let times = [("failing_since", endpoint.failing_since), ("disabled_since", endpoint.disabled_since)];
    if let Some(map) = shown.as_object_mut() {
        let told = times.into_iter().filter_map(|(name, at)| Some((name, at?.to_string())));
        let why = endpoint.why.clone().map(|why| ("why", why));
        map.extend(told.chain(why).map(|(name, text)| (name.to_owned(), Value::String(text))));
    }
    shown
}

fn wrong(field: &str, what: &str) -> Problem {
    let fix = "Send {} to replay everything that was given up, or {\"message\":\"msg_…\"} for one message.";
    let detail = if field.is_empty() { format!("The body {what}.") } else { format!("`{field}` {what}.") };
    Problem::from(Refusal::from(Fault::new(Verdict::InvalidRequest, "", detail, fix)))
}

fn unavailable(error: &StoreError) -> Problem {
    tracing::error!(error.kind = "store", "webhooks could not be changed: {error}");
    Problem::store_unavailable()
}

/// Changes told again by one request.
const LIMIT_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_names_a_message_or_a_span() {
        let all = Retelling::Shelved { since: UnixMs::default(), until: UnixMs::new(i64::MAX), max: 10_000 };
        assert_eq!(retelling(json!({})).unwrap(), all);
        let id = MessageId::from_bytes([7; 16]);
        assert_eq!(retelling(json!({ "message": id.to_string() })).unwrap(), Retelling::Message(id));
        let span = json!({ "since": "1970-01-01T00:00:01Z", "until": "1970-01-01T01:00:02+01:00", "limit": 5 });
        let expected = Retelling::Shelved { since: UnixMs::new(1_000), until: UnixMs::new(2_000), max: 5 };
        assert_eq!(retelling(span).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for bad in [
            json!([]),
            json!("all"),
            json!({ "message": 7 }),
            json!({ "message": "msg_x" }),
            json!({ "since": "yesterday" }),
            json!({ "until": 5 }),
            json!({ "limit": 0 }),
            json!({ "limit": 10_001 }),
            json!({ "limit": -1 }),
            json!({ "all": true }),
        ] {
            assert_eq!(retelling(bad.clone()).unwrap_err().code().as_str(), "invalid_request", "{bad}");
        }
    }

    #[test]
    fn a_state_is_told_with_its_times() {
        let endpoint = |failing_since, disabled_since, why: Option<&str>| EndpointState {
            tenant: TenantId::new("acme"),
            host: "acme.example".to_owned(),
            failing_since,
            disabled_since,
            why: why.map(str::to_owned),
        };
        let ok = json!({ "tenant": "acme", "host": "acme.example", "state": "ok" });
        assert_eq!(shown(&endpoint(None, None, None)), ok);
        let failing = shown(&endpoint(Some(UnixMs::new(0)), None, None));
        assert_eq!(
            (&failing["state"], &failing["failing_since"]),
            (&json!("failing"), &json!("1970-01-01T00:00:00.000Z"))
        );
        let disabled = shown(&endpoint(None, Some(UnixMs::new(0)), Some("gone")));
        assert_eq!((&disabled["state"], &disabled["why"]), (&json!("disabled"), &json!("gone")));
    }
}
