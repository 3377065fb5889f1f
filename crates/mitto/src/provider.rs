//! The provider itself: builds the request, offers it once, and leaves the reading to its siblings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sms_core::options::{Fault, Options};
use sms_core::{
    Attempt, CallbackError, CallbackRequest, Channel, Deps, Descriptor, Fate, Kind, MessageId, OutboundSms,
    ProviderFactory, ProviderName, Receipt, SendError, SmsProvider, Submission, callback_token,
};
use sms_rest::{ACCEPT, Client, HeaderMap, HeaderValue};
use tokio::time::Instant;

use crate::config::{CAPABILITIES, Checked, Config};
use crate::error::verdict;
use crate::receipts;
use crate::wire::{API_KEY, ConvertedBody, ProbeBody, SendBody};

/// One Mitto account.
pub struct Mitto {
    callback_base: Option<String>,
    client: Client,
    config: Checked,
    descriptor: Descriptor,
    headers: HeaderMap,
}

impl Mitto {
    fn new(name: &ProviderName, config: Checked, client: Client, callback_base: Option<&str>) -> Self {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(API_KEY, config.key.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let callback_base = callback_base.map(|base| format!("{base}/receipts/{name}"));
        let descriptor = Descriptor { kind: KIND, name: name.clone(), capabilities: CAPABILITIES };
        Self { callback_base, client, config, descriptor, headers }
    }

    /// Where Mitto reports on one message: the token proves this message only. The id stands in the
    /// query as well, because Mitto returns our reference only where the account's template says so.
    fn callback_url(&self, id: MessageId) -> Option<String> {
        let (base, secret) = (self.callback_base.as_deref()?, self.config.callback_secret.as_ref()?);
        Some(format!("{base}/{}?ref={id}", callback_token(secret, &id.to_string())))
    }
}

#[async_trait]
impl SmsProvider for Mitto {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// A sender, channel or length that Mitto would refuse or change is refused here, without a request.
    async fn send(&self, sms: &OutboundSms, attempt: &Attempt) -> Result<Submission, SendError> {
        let refused = |detail: &str| SendError::new(Kind::Content, Fate::Refused, detail);
        match sms.channel {
            Channel::Sms => {}
            Channel::Voice => return Err(refused("Mitto's SMS API does not speak")),
        }
        if sms.segmentation.units > CAPABILITIES.body_units_max {
            return Err(refused("the text is longer than we hand to Mitto"));
        }
        let body = SendBody::new(sms, attempt)
            .ok_or_else(|| refused("Mitto shows senders of 3 to 11 letters and digits or of 3 to 14 digits only"))?;
        let body = body.with_callback(self.callback_url(sms.id)).marked_test(self.config.test);
        let answer = self.client.post_json(&self.config.send_url, &self.headers, &body, attempt.deadline).await?;
        verdict(&answer)
    }

    fn receipts(&self, callback: &CallbackRequest) -> Result<Vec<Receipt>, CallbackError> {
        let secret = self.config.callback_secret.as_ref().ok_or(CallbackError::Forged)?;
        receipts::read(callback, secret, &self.descriptor.name)
    }

    async fn converted(&self, upstream_id: &str) -> Result<(), SendError> {
        if !self.config.conversion || upstream_id.is_empty() {
            return Ok(());
        }
        let body = ConvertedBody { message_id: upstream_id };
        let deadline = Instant::now() + ASIDE_TIMEOUT;
        let answer = self.client.post_json(&self.config.converted_url, &self.headers, &body, deadline).await?;
        if answer.is_success() { Ok(()) } else { Err(answer.failure()) }
    }

    /// Offers a test message without recipient and text, which Mitto can only refuse: any refusal that
    /// is about the message shows that it would serve us.
    async fn probe(&self) -> Result<(), SendError> {
        let deadline = Instant::now() + ASIDE_TIMEOUT;
        let answer = self.client.post_json(&self.config.send_url, &self.headers, &ProbeBody::NEW, deadline).await?;
        match verdict(&answer) {
            Ok(_) => Ok(()),
            // Not any refusal: a 404 says that there is no Mitto at this address.
            Err(error)
                if matches!(error.kind, Kind::Content | Kind::Recipient) && matches!(answer.status, 200 | 400) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn shutdown(&self, _deadline: Instant) {} // there is no session to leave
}

impl fmt::Debug for Mitto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mitto").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

/// Builds [`Mitto`]s on one shared client.
#[derive(Debug)]
pub struct MittoFactory {
    client: Client,
}

impl MittoFactory {
    /// All instances share the client's connections.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl ProviderFactory for MittoFactory {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn build(&self, name: &ProviderName, options: Options, deps: &Deps) -> Result<Arc<dyn SmsProvider>, Vec<Fault>> {
        let config = Config::read(&options)?;
        Ok(Arc::new(Mitto::new(name, config, self.client.clone(), deps.callback_base.as_deref())))
    }
}

const KIND: &str = "mitto";

/// For requests that carry no message: probes and reports of used codes.
const ASIDE_TIMEOUT: Duration = Duration::from_secs(3);
