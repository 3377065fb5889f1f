//! The seam to whatever makes webhook calls. Knows no HTTP client.

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;

/// One webhook call.
#[derive(Debug)]
pub struct WebhookCall {
    /// Where to POST.
    pub url: String,
    /// Whose URL it is, and so where it may lead.
    pub reach: Reach,
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`, `content-type`.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

/// Where a URL may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A caller's own: public addresses only, and nothing is kept of it.
    Caller,
    /// The operator's, who says that it may lead inside our own network.
    Inside,
    /// The operator's: public addresses only.
    Outside,
}

/// What an endpoint answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The pause it asks for.
    pub retry_after: Option<Duration>,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookFault {
    /// The address is private or special: nothing was connected to.
    Address,
    /// What came was no HTTP, or it broke off.
    Broken,
    /// Nobody took the connection, or TLS failed.
    Connect,
    /// No answer in time.
    Timeout,
    /// The URL cannot be called: nothing was connected to.
    Url,
}

impl fmt::Display for WebhookFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "the address is private or special",
            Self::Broken => "the connection broke, or the answer is no HTTP",
            Self::Connect => "no connection",
            Self::Timeout => "no answer in time",
            Self::Url => "the URL is not https, holds credentials or cannot be read",
        })
    }
}

/// Makes webhook calls: no redirects, private and special addresses only where the call permits it, bounded in time and
/// size. Never names the URL in what it returns: it may hold a secret.
#[async_trait]
pub trait WebhookPort: Debug + Send + Sync + 'static {
    /// The answer, whatever its status. Dropping the future gives the call up.
    ///
    /// # Errors
    /// Why there was none.
    async fn post(&self, call: WebhookCall) -> Result<WebhookAnswer, WebhookFault>;
}
