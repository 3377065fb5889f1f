//! `GET|POST /receipts/{provider}/{secret}`: delivery receipts of providers that call us. Whether a caller is the
//! provider is decided by the provider's parser; whoever is not learns nothing.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use sms_core::{CallbackError, CallbackRequest, ProviderName};
use sms_engine::{CallbackFault, CallbackRefusal};

use super::front::Front;
use super::problem::{Code, Problem};

/// Takes a callback. A provider that gets anything but 200 calls again.
pub(super) async fn receive(
    State(front): State<Arc<Front>>,
    Path((provider, token)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let provider = ProviderName::new(provider);
    let body = front.read(body).await.inspect_err(|problem| front.engine.callback_unread(&provider, fault(problem)))?;
    let callback = CallbackRequest {
        method: parts.method.as_str().to_owned(),
        token,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: readable(&parts.headers),
        body: body.to_vec(),
    };
    match front.engine.callback(&provider, &callback).await {
        Ok(_) => Ok("OK".into_response()),
        // The same answer for both: nobody can find out which providers there are.
        Err(CallbackRefusal::UnknownProvider | CallbackRefusal::Callback(CallbackError::Forged)) => {
            Err(Problem::not_found())
        }
        Err(CallbackRefusal::Callback(CallbackError::Malformed(what))) => Err(Problem::new(
            Code::InvalidCallback,
            format!("The callback cannot be read: {what}."),
            "Compare it with what the provider documents.",
        )),
        Err(CallbackRefusal::Store(error)) => {
            tracing::error!(
                error.kind = "store",
                "a receipt could not be recorded; the provider will call again: {error}"
            );
            Err(Problem::store_unavailable())
        }
    }
}

fn fault(problem: &Problem) -> CallbackFault {
    if problem.code() == Code::BodyTooLarge {
        CallbackFault::TooLarge
    } else if problem.code() == Code::BodyTimeout {
        CallbackFault::TimedOut
    } else {
        CallbackFault::Broken
    }
}

fn readable(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}
