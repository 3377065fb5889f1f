//! The HTTP client that every provider shares: pooled connections, one offer a request, an answer or an
//! error by the deadline.

use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, Request, Url, retry};
use serde::Serialize;
use sms_core::{Fate, Kind, SendError};
use tokio::time::{Instant, timeout_at};

use crate::answer::Answer;
use crate::fault;
use crate::once::Once;

/// Bounds of a client.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Longest body of an answer that is read, after decompression.
    pub body_bytes_max: usize,
    /// Certificates (PEM) to trust besides the system's, for upstreams with a private authority.
    pub ca_pem: Option<Vec<u8>>,
    /// Longest time for name look-up, connection and TLS together.
    pub connect_timeout: Duration,
    /// How long a connection may wait unused.
    pub idle_timeout: Duration,
    /// Most unused connections kept for one upstream.
    pub idle_max: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 * 1024,
            ca_pem: None,
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_mins(1),
            idle_max: 256,
        }
    }
}

/// The client could not be set up; says why.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be set up: {0}")]
pub struct ClientError(String);

/// Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    body_bytes_max: usize,
    http: reqwest::Client,
}

impl Client {
    /// Reads the system's certificate authorities; connects nowhere.
    ///
    /// # Errors
    /// When TLS cannot be set up or `ca_pem` holds no certificate.
    pub fn build(options: &ClientOptions) -> Result<Self, ClientError> {
        let authorities =
            options.ca_pem.as_deref().map_or(Ok(Vec::new()), Certificate::from_pem_bundle).map_err(told)?;
        if options.ca_pem.is_some() && authorities.is_empty() {
            return Err(ClientError("`ca_pem` holds no certificate".to_owned()));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .http2_keep_alive_interval(HTTP2_PING_EVERY)
            .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
            .no_proxy()
            .pool_idle_timeout(options.idle_timeout)
            .pool_max_idle_per_host(options.idle_max)
            .redirect(Policy::none())
            .referer(false)
            .retry(retry::never())
            .tcp_keepalive(TCP_KEEPALIVE)
            .tls_certs_merge(authorities)
            .user_agent(concat!("sms-gateway/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(told)?;
        Ok(Self { body_bytes_max: options.body_bytes_max, http })
    }

    /// Offers `body` as JSON to `url` exactly once and reads the whole answer, whatever its status.
    ///
    /// Answers by `deadline`. Dropping the future closes the connection and leaves no task behind.
    ///
    /// # Errors
    /// [`Fate::NotSent`] when nothing of the body was handed to a connection; else [`Fate::Unknown`]:
    /// without an answer nobody knows what the upstream did with it. Never holds URL, headers or bodies.
    pub async fn post_json<T: Serialize + Sync>(
        &self,
        url: &Url,
        headers: &HeaderMap,
        body: &T,
        deadline: Instant,
    ) -> Result<Answer, SendError> {
        let bytes = serde_json::to_vec(body).map_err(|error| {
            SendError::new(Kind::Content, Fate::NotSent, format!("cannot be written as JSON: {:?}", error.classify()))
        })?;
        let mut request = Request::new(Method::POST, url.clone());
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.offer(request, bytes, deadline).await
    }

    async fn offer(&self, mut request: Request, body: Vec<u8>, deadline: Instant) -> Result<Answer, SendError> {
        if Instant::now() >= deadline {
            return Err(fault::deadline(false));
        }
        let (body, taken) = Once::new(body);
        *request.body_mut() = Some(reqwest::Body::wrap(body));
        let response = match timeout_at(deadline, self.http.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(fault::transport(error, taken.get())),
            Err(_) => return Err(fault::deadline(taken.get())),
        };
        let head = Answer::headless(response.status().as_u16(), crate::status::retry_after(response.headers()));
        match timeout_at(deadline, Answer::read(response, self.body_bytes_max)).await {
            Ok(answer) => answer,
            Err(_) if head.is_success() => Err(fault::deadline(true)),
            Err(_) => Ok(head), // a refusal stays one when its explanation is slow
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("body_bytes_max", &self.body_bytes_max).finish_non_exhaustive()
    }
}

/// Finds dead connections that carry requests, well within an attempt.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(10);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(5);
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

#[expect(clippy::needless_pass_by_value, reason = "so that it fits map_err")]
fn told(error: reqwest::Error) -> ClientError {
    ClientError(fault::causes(&error))
}
