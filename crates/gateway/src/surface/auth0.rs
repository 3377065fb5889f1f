//! `POST /hooks/auth0`: Auth0's phone hook, its two Actions, and the flat body of its sample Action
//! (`shared/reference/identity-platforms.md` §1). Any Content-Type, unknown fields ignored; `context.webtask` and
//! `secrets` hold Auth0's secrets and are never read.

mod shape;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::auth::bearer;
use super::front::Front;
use super::hook;
use super::problem::Problem;
use crate::http;

/// Auth0 cuts its code off after 20 s; ours answers well before.
const PATIENCE: Duration = Duration::from_secs(8);

/// With the key as a bearer.
pub(super) async fn hook(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Problem> {
    let key = bearer(request.headers()).map(str::to_owned);
    receive(&front, key.as_deref(), request).await
}

/// With the key in the path.
pub(super) async fn hook_with_key(
    State(front): State<Arc<Front>>,
    Path(key): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    receive(&front, Some(&key), request).await
}

async fn receive(front: &Front, key: Option<&str>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let tenant = front.tenant(key, &parts.extensions)?;
    let bytes = front.read(body).await?;
    let (request, sameness) = shape::read(&http::json(&bytes)?);
    hook::deliver(front, &tenant, request, sameness, PATIENCE).await
}
