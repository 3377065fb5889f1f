//! The loader as a whole: what an operator writes, and what is told.

mod faults;
mod files;
mod reference;
mod sources;

use std::collections::BTreeMap;
use std::io;

use serde::Deserialize;
use sms_core::Secret;
use sms_core::options::{BaseUrl, Fault, SecretSource};

use super::schema::{Config, Provider, Template, Texts};
use super::{Flag, Hooks, Input, Loaded, Mode, Report, Sources, TextFinding, load};

/// Every secret is there, and as long as a key.
struct Secrets;

impl SecretSource for Secrets {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "EMPTY" => Some(String::new()),
            "UNSET" => None,
            "DATABASE_URL" => Some("sqlite:resolved-secret-of-DATABASE_URL".to_owned()),
            _ => Some(format!("resolved-secret-of-{name}")),
        }
    }

    fn file(&self, path: &str) -> io::Result<String> {
        if path == "/missing" {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(format!("resolved-secret-of-{path}\n"))
        }
    }

    fn credential(&self, name: &str) -> io::Result<String> {
        Ok(format!("resolved-secret-of-{name}"))
    }
}

/// As the factory of `mitto` will parse its options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only that it parses counts")]
struct Mitto {
    api_key: Secret,
    base_url: BaseUrl,
    #[serde(default)]
    callback_secret: Option<Secret>,
    #[serde(default)]
    insecure: bool,
}

fn build(_: &str, provider: &Provider) -> Vec<Fault> {
    if provider.common.kind == "mitto" {
        provider.options.parse::<Mitto>().err().unwrap_or_default()
    } else {
        Vec::new()
    }
}

/// Wants as many `}}` as `{{`, and warns of texts without them.
fn compile(templates: &BTreeMap<String, Template>) -> Vec<TextFinding> {
    let mut findings = Vec::new();
    for (name, template) in templates {
        let of_client = |(client, texts): (&String, &Texts)| (Some(client.clone()), texts.clone());
        let all = std::iter::once((None, template.texts.clone())).chain(template.clients.iter().map(of_client));
        for (client, texts) in all {
            for (language, text) in texts {
                let (open, shut) = (text.matches("{{").count(), text.matches("}}").count());
                if open == shut && open > 0 {
                    continue;
                }
                let warning = open == shut;
                let (message, help) =
                    if warning { ("names nothing", "name the code") } else { ("does not end", "add }}") };
                findings.push(TextFinding {
                    client: client.clone(),
                    help: help.to_owned(),
                    // The engine keeps tags in lower case.
                    language: Some(language.as_str().to_lowercase()),
                    message: message.to_owned(),
                    template: name.clone(),
                    warning,
                });
            }
        }
    }
    findings
}

const HOOKS: Hooks<'static> = Hooks { kinds: &["mitto", "mock"], provider: &build, templates: &compile };

fn text(name: &str, text: &str) -> Input {
    Input::Text { name: name.to_owned(), text: text.to_owned() }
}

fn sources(documents: Vec<Input>) -> Sources<'static> {
    Sources { documents, dir: None, env: Vec::new(), flags: Vec::new(), mode: Mode::Serve, secrets: &Secrets }
}

fn with_env(toml: &str, env: &[(&str, &str)]) -> Sources<'static> {
    let env = env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Sources { env, ..sources(vec![text("gateway.toml", toml)]) }
}

fn loaded(sources: &Sources<'_>) -> Loaded {
    load(sources, &HOOKS).unwrap_or_else(|report| panic!("{report}"))
}

fn refused(sources: &Sources<'_>) -> Report {
    load(sources, &HOOKS).expect_err("the configuration must be refused")
}

fn config(toml: &str) -> Config {
    loaded(&sources(vec![text("gateway.toml", toml)])).config
}

/// `CODE path` of every fault.
fn codes(report: &Report) -> Vec<String> {
    report.errors.iter().map(|finding| format!("{} {}", finding.code.code, finding.path)).collect()
}

/// The codes of the warnings.
fn warnings(loaded: &Loaded) -> Vec<&'static str> {
    loaded.warnings.warnings.iter().map(|finding| finding.code.code).collect()
}

/// The least that is used.
const MINIMAL: &str = r#"
[tenants.acme]
keys = [{ env = "ACME_KEY" }]
[providers.mitto]
kind = "mitto"
base_url = "https://rest.mittoapi.net"
api_key = { env = "MITTO_API_KEY" }
[[routes]]
id = "default"
use = ["mitto"]
"#;
