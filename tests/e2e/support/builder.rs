//! The configuration of one gateway, put together piece by piece.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use sms_conformance::upstream::Mitto;

use crate::gateway::Gateway;

/// The bearer token of every test's ops listener.
pub const OPS_TOKEN: &str = "ops_0123456789abcdefghij";

/// The key of a tenant, by its name.
pub fn key_of(tenant: &str) -> String {
    format!("sk_live_{tenant}_5up3rs3cr3tk3y0123456789")
}

/// A `[tenants.NAME]` table with the key of [`key_of`].
#[derive(Clone, Debug)]
pub struct Tenant {
    name: String,
    lines: String,
}

impl Tenant {
    /// Sender `Acme`, languages `en, fr`; [`Tenant::set`] has the last word.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), lines: String::new() }
    }

    /// A line of TOML, such as `clients = ["spa"]`.
    #[must_use]
    pub fn set(mut self, line: &str) -> Self {
        self.lines += line;
        self.lines.push('\n');
        self
    }

    fn toml(&self) -> String {
        let mut text = format!("[tenants.{}]\nkeys = [\"{}\"]\n", self.name, hash_of(&key_of(&self.name)));
        let mut default = |key: &str, line: &str| {
            if !self.lines.lines().any(|own| own.trim_start().starts_with(key)) {
                text += line;
            }
        };
        default("senders", "senders = [\"Acme\"]\n");
        default("languages", "languages = [\"en\", \"fr\"]\n");
        text + &self.lines
    }
}

/// What a gateway will be started with. Limits are off unless asked for; receipts come back over loopback.
#[derive(Clone, Debug)]
pub struct Builder {
    database_url: bool,
    pub(crate) env: BTreeMap<String, String>,
    default_limits: bool,
    limits: String,
    log_level: String,
    public_url: bool,
    sections: String,
    server: String,
    store: String,
    tenants: Vec<Tenant>,
    pub(crate) under: Vec<String>,
}

/// The parts of a configuration that only the test's directory and ports decide.
pub(crate) struct Place<'a> {
    pub(crate) listen: &'a str,
    pub(crate) ops: &'a str,
    pub(crate) database: &'a str,
}

impl Default for Builder {
    fn default() -> Self {
        let env = [
            ("E2E_CALLBACK_SECRET", "callback-secret-of-the-tests"),
            ("E2E_MITTO_KEY", Self::MITTO_KEY),
            ("E2E_OPS_TOKEN", OPS_TOKEN),
            ("E2E_WEBHOOK_SECRET", Self::WEBHOOK_SECRET),
            ("GATEWAY_STORE_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
        ];
        Self {
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            database_url: false,
            default_limits: false,
            limits: String::new(),
            log_level: "info".to_owned(),
            public_url: true,
            sections: String::new(),
            server: "drain = \"10s\"\n".to_owned(),
            store: String::new(),
            tenants: Vec::new(),
            under: Vec::new(),
        }
    }
}

impl Builder {
    /// What the gateway shows to Mitto (`$E2E_MITTO_KEY`).
    pub const MITTO_KEY: &str = "mitto-key-of-the-tests";

    /// What webhooks are signed with (`$E2E_WEBHOOK_SECRET`).
    pub const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// Adds a tenant; without any there is `acme`.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenants.push(tenant);
        self
    }

    /// Adds a provider of kind `mitto` whose account is at `upstream`, with receipts.
    #[must_use]
    pub fn mitto(self, name: &str, upstream: &Mitto) -> Self {
        self.mitto_with(name, upstream, "")
    }

    /// [`Builder::mitto`] with more lines of TOML, such as `timeout = "500ms"`.
    #[must_use]
    pub fn mitto_with(self, name: &str, upstream: &Mitto, lines: &str) -> Self {
        let base_url = upstream.base_url();
        self.toml(&format!(
            "[providers.{name}]\nkind = \"mitto\"\nbase_url = \"{base_url}\"\napi_key = {{ env = \"E2E_MITTO_KEY\" }}\n\
             callback_secret = {{ env = \"E2E_CALLBACK_SECRET\" }}\n{lines}\n"
        ))
    }

    /// Adds a provider of kind `mock`.
    #[must_use]
    pub fn mock(self, name: &str) -> Self {
        self.toml(&format!("[providers.{name}]\nkind = \"mock\"\n"))
    }

    /// Adds a route, in order, by its lines of TOML: `use = ["mitto"]` and whatever else.
    #[must_use]
    pub fn route(self, id: &str, lines: &str) -> Self {
        self.toml(&format!("[[routes]]\nid = \"{id}\"\n{lines}\n"))
    }

    /// Adds a template by its lines of TOML.
    #[must_use]
    pub fn template(self, name: &str, lines: &str) -> Self {
        self.toml(&format!("[templates.{name}]\n{lines}\n"))
    }

    /// Adds a limit by its lines of TOML.
    #[must_use]
    pub fn limit(mut self, id: &str, lines: &str) -> Self {
        for piece in ["[[limits]]\nid = \"", id, "\"\n", lines, "\n\n"] {
            self.limits += piece;
        }
        self
    }

    /// Keeps the built-in limit of 1/30s per recipient and so on.
    #[must_use]
    pub fn default_limits(mut self) -> Self {
        self.default_limits = true;
        self
    }

    /// Adds tables of TOML as they are.
    #[must_use]
    pub fn toml(mut self, text: &str) -> Self {
        self.sections += text;
        self.sections.push('\n');
        self
    }

    /// Adds a line to `[server]`; `drain` is there already.
    #[must_use]
    pub fn server(mut self, line: &str) -> Self {
        if line.trim_start().starts_with("drain") {
            self.server.clear();
        }
        self.server += line;
        self.server.push('\n');
        self
    }

    /// Adds a line to `[store]`.
    #[must_use]
    pub fn store(mut self, line: &str) -> Self {
        self.store += line;
        self.store.push('\n');
        self
    }

    /// Keeps messages in `PostgreSQL`, at a URL that the configuration refers to as `$DATABASE_URL`.
    #[must_use]
    pub fn postgres(mut self, url: &str) -> Self {
        self.database_url = true;
        self.env("DATABASE_URL", url)
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Takes an environment variable away that every test has.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    /// Starts it by another program, such as `["unshare", "-m"]`, which gets the gateway's command as further words and
    /// must become it.
    #[must_use]
    pub fn under(mut self, words: &[&str]) -> Self {
        self.under = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// What is logged; `info` by default.
    #[must_use]
    pub fn log(mut self, level: &str) -> Self {
        level.clone_into(&mut self.log_level);
        self
    }

    /// Hands out no receipt URLs.
    #[must_use]
    pub fn without_public_url(mut self) -> Self {
        self.public_url = false;
        self
    }

    /// Starts the gateway and waits until it is ready.
    pub async fn start(self) -> Gateway {
        Gateway::start(self).await
    }

    /// The configuration file, for a gateway that is never started.
    pub fn configuration(&self) -> String {
        self.text(&Place { listen: "127.0.0.1:8080", ops: "127.0.0.1:9090", database: "gateway.db" })
    }

    pub(crate) fn text(&self, place: &Place) -> String {
        let mut text = String::new();
        if self.limits.is_empty() && !self.default_limits {
            text += "limits = []\n\n";
        }
        let Place { listen, ops, database } = place;
        let public_url = if self.public_url { format!("public_url = \"http://{listen}\"\n") } else { String::new() };
        let mut add = |piece: std::fmt::Arguments| writeln!(text, "{piece}").expect("a string takes everything");
        add(format_args!(
            "[server]\nlisten = \"{listen}\"\nops = \"{ops}\"\nops_token = {{ env = \"E2E_OPS_TOKEN\" }}"
        ));
        add(format_args!("{public_url}{}", self.server));
        let sqlite = format!("\"sqlite:{database}\"");
        let url = if self.database_url { "{ env = \"DATABASE_URL\" }" } else { &sqlite };
        add(format_args!("[store]\nurl = {url}\n{}", self.store));
        add(format_args!("[log]\nlevel = \"{}\"\n", self.log_level));
        let acme = [Tenant::new("acme")];
        let tenants = if self.tenants.is_empty() { acme.as_slice() } else { &self.tenants };
        for tenant in tenants {
            add(format_args!("{}", tenant.toml()));
        }
        text + &self.sections + &self.limits
    }
}

/// The form in which a configuration names a key: `sha256:` and the hash of its whole text.
pub fn hash_of(key: &str) -> String {
    let digest = Sha256::digest(key);
    digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
