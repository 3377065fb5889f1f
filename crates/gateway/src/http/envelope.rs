//! The envelope around every route: request id, bound on requests in work, caught panics, problems written out,
//! one metric. One layer instead of five, because every message passes through it.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use sms_core::{Clock, RequestId};
use sms_engine::Entropy;
use tower::{Layer, Service};
use tower_http::catch_panic::CatchPanic;
use tracing::Instrument as _;

use crate::surface::problem::{self, Problem};
use crate::telemetry;

/// The header that names the request in every answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Route label of requests that no route matched.
const UNMATCHED: &str = "unmatched";

/// Address at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Wraps routes; clones share the count of requests in work.
#[derive(Clone, Debug)]
pub(crate) struct Envelope(Arc<Shared>);

struct Shared {
    listener: &'static str,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    in_flight: AtomicUsize,
    in_flight_max: usize,
}

impl Envelope {
    pub(crate) fn new(
        listener: &'static str,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        in_flight_max: usize,
    ) -> Self {
        Self(Arc::new(Shared { listener, clock, entropy, in_flight: AtomicUsize::new(0), in_flight_max }))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for Envelope {
    type Service = Enveloped<S>;

    fn layer(&self, inner: S) -> Enveloped<S> {
        Enveloped { inner: CatchPanic::custom(inner, panicked), shared: Arc::clone(&self.0) }
    }
}

/// Makes the answer to a panic from what it said.
type Panicked = fn(Box<dyn Any + Send>) -> Response;

/// A route in its envelope.
#[derive(Clone, Debug)]
pub(crate) struct Enveloped<S> {
    inner: CatchPanic<S, Panicked>,
    shared: Arc<Shared>,
}

impl<S> Service<Request> for Enveloped<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let id = shared.request_id();
        request.extensions_mut().insert(id);
        let route = request.extensions().get::<MatchedPath>().cloned();
        let place = Place::take(&shared);
        let answer = place.is_some().then(|| self.inner.call(request));
        let span = tracing::info_span!("request", request.id = %id);
        let work = async move {
            let response = match answer {
                Some(answer) => answer.await?.map(Body::new),
                None => Problem::overloaded().into_response(),
            };
            drop(place); // the request is answered
            let mut response = problem::write(response, id);
            let status = response.status();
            if let Ok(value) = HeaderValue::try_from(id.to_string()) {
                response.headers_mut().insert(REQUEST_ID, value);
            }
            let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
            tracing::debug!(
                http.route = route,
                http.status = status.as_u16(),
                "answered {} on {route}",
                status.as_u16()
            );
            telemetry::answered(shared.listener, route, status);
            Ok(response)
        };
        Box::pin(work.instrument(span))
    }
}

impl Shared {
    fn request_id(&self) -> RequestId {
        let mut bytes = [0; 10];
        self.entropy.fill(&mut bytes);
        RequestId::new(self.clock.now(), bytes)
    }
}

/// A place among the requests in work; given back when dropped, also by a caller that hangs up.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let before = shared.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(shared));
        (before < shared.in_flight_max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A panic ends one request only. What it said may quote the request, so it is not told to anybody.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    telemetry::panicked();
    tracing::error!("a request ended in a panic; its answer is 500");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use sms_core::SystemClock;
    use sms_engine::SystemEntropy;
    use tower::ServiceExt as _;

    async fn panics() -> &'static str {
        panic!("+447700900123 got 123456")
    }

    fn app(in_flight_max: usize) -> Router {
        let envelope =
            Envelope::new("public", Arc::new(SystemClock::start()), Arc::new(SystemEntropy::new()), in_flight_max);
        Router::new()
            .route("/ok", get(async || "ok"))
            .route("/panics", get(panics))
            .fallback(async || Problem::not_found())
            .layer(envelope)
    }

    async fn get_path(app: &Router, path: &str) -> (u16, String, serde_json::Value) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let (status, id) =
            (response.status().as_u16(), response.headers()["x-request-id"].to_str().unwrap().to_owned());
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, id, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[tokio::test]
    async fn every_answer_names_its_request() {
        let app = app(8);
        let (status, id, _) = get_path(&app, "/ok").await;
        assert!(status == 200 && id.starts_with("req_") && id.len() == 36, "{id}");
        let (status, id, json) = get_path(&app, "/nowhere").await;
        assert_eq!(
            (status, json["request_id"].as_str(), json["code"].as_str()),
            (404, Some(id.as_str()), Some("not_found"))
        );
    }

    #[tokio::test]
    async fn a_panic_is_a_500_and_tells_nothing() {
        let app = app(8);
        let (status, _, json) = get_path(&app, "/panics").await;
        assert_eq!((status, json["code"].as_str()), (500, Some("internal")));
        assert!(!json.to_string().contains("123456"));
        assert_eq!(get_path(&app, "/ok").await.0, 200, "its place is free again");
    }

    #[tokio::test]
    async fn too_many_requests_in_work_are_refused_at_once() {
        let (status, _, json) = get_path(&app(0), "/ok").await;
        assert_eq!(
            (status, json["code"].as_str(), json["retry_after_ms"].as_u64()),
            (503, Some("overloaded"), Some(1000))
        );
    }
}
