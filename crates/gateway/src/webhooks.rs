//! Makes webhook calls. Callers choose URLs, so these may lead to no address inside our own network: every address is
//! judged when it is connected to, after the name was looked up, so that a name cannot change its mind in between. Only
//! what the operator marked as `private` may go inside.
//! Never follows a redirect, never reads more than a little of an answer or waits for it longer than its time, decodes
//! nothing, and keeps no credential.

mod address;
mod resolver;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url, retry};
use sms_engine::{Reach, WebhookAnswer, WebhookCall, WebhookFault, WebhookPort};
use tokio::time::timeout;

use address::host_may_be_public;
use resolver::{Lookup, PublicOnly, System};

/// Bounds of one call.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// From the look-up to the end of the answer's head.
    call: Duration,
    /// For a connection.
    connect: Duration,
    /// For the rest of an answer whose status is known: only to use its connection again.
    rest: Duration,
}

const BOUNDS: Bounds =
    Bounds { call: Duration::from_secs(10), connect: Duration::from_secs(5), rest: Duration::from_secs(1) };

/// What is read of an answer, so that its connection can be used again; nothing is made of it.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Connections kept for the next call, for each of the operator's endpoints.
const IDLE_MAX: usize = 16;
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// Calls tenants' endpoints.
pub(crate) struct Webhooks {
    /// Callers' URLs: public addresses, https. Keeps no connection: anybody can think up any number of hosts.
    callers: Client,
    /// Public addresses, https.
    outside: Client,
    /// Any address, http too.
    inside: Client,
    bounds: Bounds,
}

impl Webhooks {
    /// Calls public addresses over https, and others where a call permits it.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, String> {
        Self::with(&(Arc::new(System) as Arc<dyn Lookup>), BOUNDS)
    }

    fn with(names: &Arc<dyn Lookup>, bounds: Bounds) -> Result<Self, String> {
        let public = |idle| {
            builder(bounds).https_only(true).dns_resolver(PublicOnly(Arc::clone(names))).pool_max_idle_per_host(idle)
        };
        let built = |builder: reqwest::ClientBuilder| builder.build().map_err(|error| error.to_string());
        Ok(Self {
            callers: built(public(0))?,
            outside: built(public(IDLE_MAX))?,
            inside: built(builder(bounds).pool_max_idle_per_host(IDLE_MAX))?,
            bounds,
        })
    }

    fn client(&self, reach: Reach) -> &Client {
        match reach {
            Reach::Caller => &self.callers,
            Reach::Inside => &self.inside,
            Reach::Outside => &self.outside,
        }
    }
}

#[async_trait]
impl WebhookPort for Webhooks {
    async fn post(&self, call: WebhookCall) -> Result<WebhookAnswer, WebhookFault> {
        let WebhookCall { url, reach, headers, body } = call;
        let url = checked(&url, reach)?;
        let mut map = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            let value = HeaderValue::from_str(&value).map_err(|_| WebhookFault::Url)?; // ours are all printable
            map.insert(HeaderName::from_static(name), value);
        }
        let response = self.client(reach).post(url).headers(map).body(body).send().await.map_err(fault)?;
        let answer = WebhookAnswer { status: response.status().as_u16(), retry_after: retry_after(response.headers()) };
        // The verdict stands; what is left is read only so that the connection can be used again.
        drop(timeout(self.bounds.rest, discard(response)).await);
        Ok(answer)
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhooks")
    }
}

fn builder(bounds: Bounds) -> reqwest::ClientBuilder {
    Client::builder()
        .connect_timeout(bounds.connect)
        .timeout(bounds.call)
        .http1_only() // one call a connection: no windows and frames of somebody else's choosing
        .no_gzip()
        .no_proxy()
        .pool_idle_timeout(IDLE_TIME_MAX)
        .redirect(Policy::none())
        .referer(false)
        .retry(retry::never())
        .user_agent(concat!("sms-gateway/", env!("CARGO_PKG_VERSION")))
}

/// The URL, if it may be called. The resolver never sees addresses that stand in the URL; its parser has made one form
/// of all their spellings.
fn checked(text: &str, reach: Reach) -> Result<Url, WebhookFault> {
    let url = Url::parse(text).map_err(|_| WebhookFault::Url)?;
    match reach {
        Reach::Inside => return Ok(url),
        Reach::Caller | Reach::Outside => {}
    }
    if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() {
        return Err(WebhookFault::Url);
    }
    match url.host_str() {
        None | Some("") => Err(WebhookFault::Url),
        Some(host) if host_may_be_public(host) => Ok(url),
        Some(_) => Err(WebhookFault::Address),
    }
}

async fn discard(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > ANSWER_BYTES_MAX {
            break; // the connection is given up with the answer
        }
    }
}

/// In seconds; a date is not worth reading.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn fault(error: reqwest::Error) -> WebhookFault {
    let error = error.without_url();
    let mut causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    if causes.any(|cause| cause.to_string().contains(resolver::REFUSED)) {
        WebhookFault::Address
    } else if error.is_timeout() {
        WebhookFault::Timeout
    } else if error.is_connect() {
        WebhookFault::Connect
    } else if error.is_builder() {
        WebhookFault::Url
    } else {
        WebhookFault::Broken
    }
}

#[cfg(test)]
mod tests;
