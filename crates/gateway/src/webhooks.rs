//! Makes webhook calls. Callers choose URLs, so these may lead to no address inside our own network: every address is
//! judged when it is connected to, after the name was looked up, so that a name cannot change its mind in between. Only
//! what the operator marked as `private` may go inside.
//! Never follows a redirect, never reads more than a little of an answer, and keeps no credential.

mod address;
mod resolver;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url, retry};
use sms_engine::{WebhookCall, WebhookPort};

use address::is_public;
use resolver::PublicOnly;

/// Longest time for one call.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest time for a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// What is read of an answer, so that its connection can be used again; nothing is made of it.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Calls tenants' endpoints.
pub(crate) struct Webhooks {
    /// Public addresses, https.
    outside: Client,
    /// Any address, http too.
    inside: Client,
}

impl Webhooks {
    /// Calls public addresses over https, and others where a call permits it.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, String> {
        let client = |builder: reqwest::ClientBuilder| builder.build().map_err(|error| error.to_string());
        let outside = client(builder().https_only(true).dns_resolver(PublicOnly))?;
        Ok(Self { outside, inside: client(builder())? })
    }

    fn checked(text: &str, private: bool) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|_| "the URL cannot be read".to_owned())?;
        if private {
            return Ok(url);
        }
        if url.scheme() != "https" {
            return Err("only https:// is called".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the URL holds credentials".to_owned());
        }
        // The resolver never sees addresses that stand in the URL; its parser has made one form of all their spellings.
        let literal = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        match literal {
            Some(ip) if !is_public(ip) => Err(resolver::REFUSED.to_owned()),
            Some(_) | None => Ok(url),
        }
    }
}

fn builder() -> reqwest::ClientBuilder {
    Client::builder()
        .connect_timeout(CONNECT_TIME_MAX)
        .timeout(CALL_TIME_MAX)
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .retry(retry::never())
        .user_agent(concat!("sms-gateway/", env!("CARGO_PKG_VERSION")))
}

#[async_trait]
impl WebhookPort for Webhooks {
    async fn post(&self, call: WebhookCall) -> Result<u16, String> {
        let WebhookCall { url, private, headers, body } = call;
        let url = Self::checked(&url, private)?;
        let http = if private { &self.inside } else { &self.outside };
        let mut map = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            let value = HeaderValue::from_str(&value).map_err(|_| "a header cannot be written".to_owned())?;
            map.insert(HeaderName::from_static(name), value);
        }
        let mut response = http.post(url).headers(map).body(body).send().await.map_err(why)?;
        let status = response.status().as_u16();
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > ANSWER_BYTES_MAX {
                break; // the connection is given up with the answer
            }
        }
        Ok(status)
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhooks")
    }
}

/// In words, without the URL: it may hold a secret.
fn why(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    if causes.any(|cause| cause.to_string().contains(resolver::REFUSED)) {
        return resolver::REFUSED.to_owned();
    }
    let words = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    words.to_owned()
}

#[cfg(test)]
mod tests;
