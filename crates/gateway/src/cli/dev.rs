//! `gateway dev`: everything on this machine, nothing leaves it. A configuration of the program's own (one tenant, the
//! mock provider), a store and a key under `./.gateway/`. The environment changes nothing here, so that no variable meant
//! for a real gateway can give this one a real provider.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde_json::json;
use sms_core::Secret;
use sms_gateway::config::{Flag, Input, Machine, Mode, Sources};
use sms_gateway::wiring;
use sms_store::StoreKey;
use tokio::time::Instant;

use super::configuration::faulty;
use super::connection::{DEV_ENV, read_env_file};
use super::failure::{Exit, Failure};
use super::output::Output;
use super::{keys, serve};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of the API; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address of inbox and metrics; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    ops: SocketAddr,
}

impl Args {
    pub(crate) async fn run(self, output: Output, began: Instant) -> Result<(), Failure> {
        let home = Path::new(HOME);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(|error| cannot("make", home, &error))?;
        let key = key()?;
        let text = configuration(&key, &store_key()?);
        let flag = |key: &str, name: &str, address: SocketAddr| Flag {
            key: key.to_owned(),
            name: name.to_owned(),
            text: address.to_string(),
        };
        let sources = Sources {
            documents: vec![Input::Text { name: "gateway dev".to_owned(), text }],
            dir: None,
            env: Vec::new(),
            flags: vec![flag("server.listen", "--listen", self.listen), flag("server.ops", "--ops", self.ops)],
            mode: Mode::Dev,
            secrets: &Machine,
        };
        let loaded = wiring::load(&sources).map_err(|report| faulty(&report))?;
        let server = serve::start(loaded, Mode::Dev, None).await?;
        let (public, ops) = (reached_at(server.public_addr()), reached_at(server.ops_addr()));
        remember(&key, &public, &ops)?;
        let ready_ms = began.elapsed().as_millis();
        output.result(
            || welcome(&key, &public, &ops, ready_ms),
            || json!({ "ready_ms": ready_ms, "url": public, "ops_url": ops, "key": key.expose(), "tenant": "demo" }),
        )?;
        serve::run_to_end(server).await
    }
}

/// The key of an earlier start, or a new one.
fn key() -> Result<Secret, Failure> {
    let known = read_env_file(Path::new(DEV_ENV)).remove("GATEWAY_KEY");
    match known.filter(|key| key.starts_with("sk_dev_") && key.len() >= KEY_CHARS_MIN) {
        Some(key) => Ok(Secret::new(key)),
        None => keys::make("dev"),
    }
}

/// The store's key is kept beside the database, as `serve` does where none is configured; it is read here, because the
/// environment's comes before that one.
fn store_key() -> Result<Secret, Failure> {
    let path = Path::new(STORE_KEY);
    match fs::read_to_string(path) {
        Ok(text) => Ok(Secret::new(text.trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = StoreKey::generate().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
            let text = made.to_base64();
            write_private(path, text.expose())?;
            Ok(text)
        }
        Err(error) => Err(cannot("read", path, &error)),
    }
}

fn configuration(key: &Secret, store_key: &Secret) -> String {
    format!(
        r#"[store]
url = "sqlite:{HOME}/gateway.db"
key = "{store_key}"

[log]
level = "warn"
format = "text"

[tenants.demo]
name = "Demo"
keys = ["{hash}"]
senders = ["Demo"]

[providers.mock]
kind = "mock"

[[routes]]
id = "default"
use = ["mock"]
"#,
        store_key = store_key.expose(),
        hash = keys::hash(key)
    )
}

/// Where a listener is reached from this machine.
fn reached_at(address: SocketAddr) -> String {
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    match address {
        SocketAddr::V6(_) if host.contains(':') => format!("http://[{host}]:{}", address.port()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => format!("http://{host}:{}", address.port()),
    }
}

/// Leaves behind what other commands, and tests, connect with.
fn remember(key: &Secret, public: &str, ops: &str) -> Result<(), Failure> {
    let text = format!("GATEWAY_URL={public}\nGATEWAY_KEY={}\nGATEWAY_OPS_URL={ops}\n", key.expose());
    write_private(Path::new(DEV_ENV), &text)
}

/// Readable by its owner only; replaced whole, so that nobody reads half of it.
fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let draft = path.with_extension("new");
    let write = || -> io::Result<()> {
        drop(fs::remove_file(&draft)); // there is none, or the next line says why not
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&draft, path)
    };
    write().map_err(|error| cannot("write", path, &error))
}

fn welcome(key: &Secret, public: &str, ops: &str, ready_ms: u128) -> String {
    let key = key.expose();
    format!(
        "ready in {ready_ms} ms: development mode, nothing leaves this machine\n\n  \
         api      {public}/v1/messages\n  \
         inbox    {ops}/inbox\n  \
         metrics  {ops}/metrics\n  \
         key      {key}  (tenant demo, kept in {DEV_ENV})\n\n\
         try it:\n  \
         curl {public}/v1/messages -H \"Authorization: Bearer {key}\" -H \"Content-Type: application/json\" \
         -d '{{\"to\":\"+447700900000\",\"text\":\"123456 is your code\"}}'\n  \
         curl \"{ops}/inbox/v1/code?to=%2B447700900000&wait=10s\"",
    )
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot {what} {}: {error}", path.display()))
}

const HOME: &str = ".gateway";
const STORE_KEY: &str = ".gateway/gateway.db.key";
/// Shorter ones the gateway does not take.
const KEY_CHARS_MIN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_for_every_host_are_reached_through_loopback() {
        let at = |text: &str| reached_at(text.parse().unwrap());
        assert_eq!(at("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(at("[::]:80"), "http://127.0.0.1:80");
        assert_eq!(at("[::1]:80"), "http://[::1]:80");
        assert_eq!(at("127.0.0.1:8080"), "http://127.0.0.1:8080");
    }

    #[test]
    fn the_configuration_holds_the_hash_and_not_the_key() {
        let key = keys::make("dev").unwrap();
        let text = configuration(&key, &Secret::new("s"));
        assert!(text.contains(&keys::hash(&key)) && !text.contains(key.expose()));
    }
}
