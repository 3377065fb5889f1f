//! What a surface hands to the engine. Plain data: nothing in it has been believed yet.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};
use sms_core::store::Idempotency;
use sms_core::{Body, Channel, Class, Encoding, MessageId, Msisdn, ProviderName, UnixMs};

/// One request to send, as a surface understood it.
#[derive(Clone)]
pub struct SendRequest {
    /// The recipient as written.
    pub to: String,
    /// A finished text.
    pub text: Option<Body>,
    /// The one-time code alone, where the platform tells it.
    pub code: Option<Body>,
    /// A template by name.
    pub template: Option<String>,
    /// The caller's own template variables.
    pub variables: Map<String, Value>,
    /// Calling application.
    pub client_id: Option<String>,
    /// Its name for people; default: the tenant's `name`.
    pub client_name: Option<String>,
    /// Its metadata, for `metadata.KEY` conditions and `client_metadata.KEY` variables.
    pub client_metadata: Map<String, Value>,
    /// BCP 47 tag or a whole Accept-Language list.
    pub language: Option<String>,
    /// Why the platform sends, such as `enrollment`.
    pub action: Option<String>,
    /// `first` or `second`.
    pub factor: Option<String>,
    /// What the message is for.
    pub class: Class,
    /// How it travels.
    pub channel: Channel,
    /// Sender asked for.
    pub sender: Option<String>,
    /// A sender nobody in particular asked for (a platform's default): used only where allowed.
    pub sender_hint: Option<String>,
    /// Time to live asked for, in seconds.
    pub ttl_s: Option<u64>,
    /// The caller's reference, echoed.
    pub reference: Option<String>,
    /// The caller's metadata, echoed.
    pub metadata: Option<Map<String, Value>>,
    /// Where to tell of status changes instead of the tenant's webhook.
    pub callback_url: Option<String>,
    /// Who asked for the code.
    pub end_user: EndUser,
    /// The account, for `user.*` variables: only `id, name, given_name, email` are read.
    pub user: Map<String, Value>,
    /// The organisation's name, for the `organization` variable.
    pub organization: Option<String>,
    /// Replay protection.
    pub idempotency: Option<Idempotency>,
    /// Makes the accept-time answer of this surface.
    pub answer: fn(&Acceptance) -> Vec<u8>,
}

impl SendRequest {
    /// A request with only a recipient; surfaces fill in what they know.
    pub fn new(to: impl Into<String>, answer: fn(&Acceptance) -> Vec<u8>) -> Self {
        Self {
            to: to.into(),
            text: None,
            code: None,
            template: None,
            variables: Map::new(),
            client_id: None,
            client_name: None,
            client_metadata: Map::new(),
            language: None,
            action: None,
            factor: None,
            class: Class::default(),
            channel: Channel::default(),
            sender: None,
            sender_hint: None,
            ttl_s: None,
            reference: None,
            metadata: None,
            callback_url: None,
            end_user: EndUser::default(),
            user: Map::new(),
            organization: None,
            idempotency: None,
            answer,
        }
    }
}

/// Everything in a request is personal or secret, so nothing of it is shown.
impl fmt::Debug for SendRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendRequest")
            .field("class", &self.class)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// Who asked for the code, as the caller tells: for limits and abuse protection.
#[derive(Clone, Default)]
pub struct EndUser {
    /// Address of the person's device.
    pub ip: Option<IpAddr>,
    /// User agent of the person's device.
    pub user_agent: Option<String>,
    /// The caller's id of the person.
    pub id: Option<String>,
    /// Country of the person's device.
    pub country: Option<String>,
}

/// What was promised to the caller at acceptance.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The message.
    pub id: MessageId,
    /// Its recipient.
    pub to: Msisdn,
    /// Encoding of its text.
    pub encoding: Encoding,
    /// Number of parts.
    pub segments: u16,
    /// Units of the text in its encoding.
    pub units: usize,
    /// When it was accepted.
    pub created: UnixMs,
    /// After this no attempt starts.
    pub expires: UnixMs,
    /// First choice of provider.
    pub provider: ProviderName,
}

/// The outcome of [`crate::Engine::submit`]: durable before it is returned.
#[derive(Debug)]
pub struct Submitted {
    /// The message.
    pub id: MessageId,
    /// The accept-time answer of the surface that accepted it, byte for byte also on replay.
    pub answer: Arc<[u8]>,
    /// A repeat of an earlier request: nothing was sent.
    pub replayed: bool,
    /// Facts of the acceptance; `None` on replay.
    pub acceptance: Option<Acceptance>,
}

/// Map of variables for a template, in a stable order.
pub(crate) type Variables = BTreeMap<String, minijinja::Value>;
