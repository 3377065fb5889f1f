//! `[server]`, `[store]` and `[log]`.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::Deserializer;
use sms_core::Secret;
use sms_core::options::{Size, Span, deserialize_guarded};

use super::json;
use super::values::PublicUrl;

/// Listeners and their bounds.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Largest request body.
    #[schemars(with = "json::SizeText")]
    pub body_max: Size,
    /// How long a stop may take to finish what is in flight.
    #[schemars(with = "json::SpanText")]
    pub drain: Span,
    /// How long a client may take to send the headers of a request.
    #[schemars(with = "json::SpanText")]
    pub header_timeout: Span,
    /// Address of the public listener: API, hooks, receipts. A change needs a restart.
    pub listen: SocketAddr,
    /// Connections to the public listener at the same time; further ones wait.
    pub max_connections: u32,
    /// Accepted messages that no provider took yet, at most; further ones are answered 503. One tenant gets eight times
    /// what is left for the others.
    pub max_waiting: u32,
    /// Address of the ops listener: metrics, health, inbox, admin API. A change needs a restart.
    pub ops: SocketAddr,
    /// Bearer token of the ops listener's protected paths. Without it they answer 403.
    #[schemars(with = "Option<json::SecretTable>")]
    pub ops_token: Option<Secret>,
    /// Where providers reach the public listener from outside. Without it no receipt URLs are
    /// handed out.
    #[schemars(with = "Option<json::UrlText>")]
    pub public_url: Option<PublicUrl>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            body_max: Size::from_bytes(64 * 1024),
            drain: Span::from_secs(30),
            header_timeout: Span::from_secs(10),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            max_connections: 4096,
            max_waiting: 250_000,
            ops: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            ops_token: None,
            public_url: None,
        }
    }
}

/// Where messages are kept. A change needs a restart.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// How long a message and its history are kept.
    #[schemars(with = "json::SpanText")]
    pub keep_messages: Span,
    /// How long a number is kept; then only a keyed hash remains.
    #[schemars(with = "json::SpanText")]
    pub keep_numbers: Span,
    /// 32 bytes in base64 that encrypt texts and numbers. Without it the environment variable
    /// `GATEWAY_STORE_KEY` counts, else a key file is made beside the `SQLite` file. On `PostgreSQL` all nodes need the
    /// same one, so there it must be given.
    #[schemars(with = "Option<json::SecretTable>")]
    pub key: Option<Secret>,
    /// What this node is called in the logs of all nodes on the same `PostgreSQL`; without it the machine's name.
    pub node: Option<String>,
    /// `sqlite:PATH`, or a reference to `postgres://USER:PASSWORD@HOST/DATABASE`. In clear only without a user.
    #[serde(deserialize_with = "store_url")]
    #[schemars(with = "json::StoreUrl")]
    pub url: Secret,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            keep_messages: Span::from_secs(30 * 86_400),
            keep_numbers: Span::from_secs(7 * 86_400),
            key: None,
            node: None,
            url: Secret::new("sqlite:data/gateway.db"),
        }
    }
}

/// A URL of a store holds a secret if it names a user.
fn store_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    deserialize_guarded(deserializer, |text| !text.contains('@') && !text.contains("password"))
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `json` for machines, `text` for people.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,sms_engine=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Json, level: "info".to_owned() }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Readable lines.
    Text,
}
