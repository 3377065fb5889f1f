//! Is it alive, would it take a message, what did it count.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::Ops;
use crate::telemetry;

/// The process answers.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Configuration, store and at least one route are usable. An outage of a provider does not count: another replica
/// would have the same one.
pub(super) async fn ready(State(ops): State<Arc<Ops>>) -> Response {
    if ops.0.draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    match ops.0.front.engine.ready().await {
        Ok(()) => format!("ok\nstore: {}\n", ops.0.store).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Prometheus text.
pub(super) async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    ops.0.front.engine.refresh_gauges().await;
    telemetry::inbox(ops.0.inbox.len());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], ops.0.metrics.render()).into_response()
}
