//! What callers see on the public listener: one file a dialect, each from bytes to [`sms_engine::SendRequest`] and from
//! the engine's answer back to bytes. Decides nothing about messages; never logs a body, a path or a credential.

mod auth;
mod auth0;
mod code;
mod fields;
mod front;
mod hook;
mod live;
mod mitto;
mod native;
mod passwordless;
pub(crate) mod problem;
mod query;
mod receipts;
mod reply;
mod throttle;

pub(crate) use auth::bearer;
pub(crate) use front::Front;
pub(crate) use live::{Live, Passwordless};
pub(crate) use passwordless::Verifier;
pub use problem::explain;
pub(crate) use query::Query;
pub(crate) use reply::json;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use problem::{Code, Problem};

/// Every path of the public listener.
pub(crate) fn router(front: Arc<Front>) -> Router {
    Router::new()
        .route("/v1/messages", post(native::send).get(native::list))
        .route("/v1/messages/{id}", get(native::show))
        .route("/v1/messages/{id}/cancel", post(native::cancel))
        .route("/v1/messages/{id}/feedback", post(native::feedback))
        .route("/hooks/auth0", post(auth0::hook))
        .route("/hooks/auth0/k/{key}", post(auth0::hook_with_key))
        .route("/hooks/auth0/passwordless", post(passwordless::hook))
        .route("/hooks/auth0/passwordless/k/{key}", post(passwordless::hook_with_key))
        .route("/sms", post(mitto::send).get(mitto::send))
        .route("/sms.json", post(mitto::send).get(mitto::send))
        .route("/smsbulk", post(mitto::send_bulk).get(mitto::send_bulk))
        .route("/receipts/{provider}/{secret}", post(receipts::receive).get(receipts::receive))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .with_state(front)
}

/// A path nobody serves.
pub(crate) async fn nowhere() -> Problem {
    Problem::not_found()
}

/// A path that is served, but not so.
pub(crate) async fn wrong_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, "The path is not served for this method.", "See the header Allow.")
}
