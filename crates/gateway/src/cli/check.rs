//! `gateway check`: the whole configuration as `serve` would load it, every mistake at once, and whether its providers
//! and a `PostgreSQL` store answer. Sends no message and changes nothing in a store.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sms_core::SmsProvider;
use sms_gateway::config::{Loaded, Machine, Report};
use sms_gateway::wiring;
use sms_store::postgres::migrate::{self, Migration};
use tokio::time::Instant;

use super::configuration;
use super::failure::{Exit, Failure};
use super::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    configuration: configuration::Files,
    #[arg(long, help = "Do not ask providers and a PostgreSQL store whether they answer")]
    offline: bool,
}

/// How a provider answered.
struct Probed {
    name: String,
    result: Result<Duration, String>,
}

impl Args {
    pub(crate) async fn run(self, output: Output) -> Result<(), Failure> {
        let loaded = match wiring::load(&self.configuration.sources(&Machine)) {
            Ok(loaded) => loaded,
            Err(report) => return refuse(&report, output),
        };
        let probed = if self.offline { Vec::new() } else { probe_all(&loaded).await? };
        let report = &loaded.warnings;
        output.result(|| told(&loaded, &probed, self.offline), || as_json(report, &probed))
    }
}

fn refuse(report: &Report, output: Output) -> Result<(), Failure> {
    output.result(|| report.to_text(), || report.to_json())?;
    Err(Failure::told(Exit::BadConfig))
}

/// All at the same time.
async fn probe_all(loaded: &Loaded) -> Result<Vec<Probed>, Failure> {
    let providers = wiring::providers(loaded).map_err(|error| Failure::new(Exit::BadConfig, error.to_string()))?;
    let mut running = tokio::task::JoinSet::new();
    for provider in providers {
        running.spawn(probe(provider));
    }
    let mut probed = running.join_all().await;
    probed.sort_by(|a, b| a.name.cmp(&b.name));
    probed.extend(probe_store(loaded).await);
    Ok(probed)
}

async fn probe(provider: Arc<dyn SmsProvider>) -> Probed {
    let name = provider.descriptor().name.to_string();
    let began = Instant::now();
    let result = match tokio::time::timeout(PROBE_MAX, provider.probe()).await {
        Ok(Ok(())) => Ok(began.elapsed()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PROBE_MAX.as_secs())),
    };
    Probed { name, result }
}

/// Whether a `PostgreSQL` store can be used as it is; a file shows when it is opened.
async fn probe_store(loaded: &Loaded) -> Option<Probed> {
    let keeping = wiring::keeping(loaded);
    let url = keeping.postgres()?;
    let began = Instant::now();
    let result = match migrate::status(url).await {
        // `serve` takes missing steps itself.
        Ok(Migration { found, known }) if found <= known + 1 => keeping.shared_key().map(|_| began.elapsed()),
        Ok(Migration { found, .. }) => Err(format!("its schema {found} is too new for this version")),
        Err(error) => Err(error.to_string()),
    };
    Some(Probed { name: STORE.to_owned(), result })
}

/// The report, and after its warnings one for each provider that does not answer.
fn as_json(report: &Report, probed: &[Probed]) -> Value {
    let mut json = report.to_json();
    if let Some(warnings) = json.get_mut("warnings").and_then(Value::as_array_mut) {
        warnings.extend(probed.iter().filter_map(|probed| {
            let why = probed.result.as_ref().err()?;
            let (message, path) = match probed.name.as_str() {
                STORE => (format!("the store cannot be used now: {why}"), "store".to_owned()),
                name => (format!("provider `{name}` does not serve us now: {why}"), format!("providers.{name}")),
            };
            Some(json!({
                "code": Value::Null,
                "column": Value::Null,
                "file": Value::Null,
                "help": "check its address and credentials, and that this machine may reach it",
                "line": Value::Null,
                "message": message,
                "path": path,
                "set_by": Value::Null,
            }))
        }));
    }
    json
}

fn told(loaded: &Loaded, probed: &[Probed], offline: bool) -> String {
    let config = &loaded.config;
    let counts = [
        count(config.tenants.len(), "tenant"),
        count(config.providers.len(), "provider"),
        count(config.routes.len(), "route"),
        count(config.limits.len(), "limit"),
        count(config.templates.len(), "template"),
    ];
    let mut lines = vec![
        format!("✓ syntax        {}", count(loaded.documents(), "file")),
        format!("✓ references    {}", counts.join(" · ")),
    ];
    lines.push(match probed {
        _ if offline => "- reachability  not asked (--offline)".to_owned(),
        [] => "- reachability  no provider to ask".to_owned(),
        some => reachability(some),
    });
    if !loaded.warnings.warnings.is_empty() {
        lines.push(format!("\n{}", loaded.warnings.to_text()));
    }
    lines.join("\n")
}

fn reachability(probed: &[Probed]) -> String {
    let mut heading = "reachability";
    let lines = probed.iter().map(|Probed { name, result }| {
        let heading = std::mem::take(&mut heading);
        match result {
            Ok(took) => format!("✓ {heading:<12}  {name} in {} ms", took.as_millis()),
            Err(why) => format!("! {heading:<12}  {name}: {why}"),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Named among the providers; none of them has a name with a bracket.
const STORE: &str = "[store]";

/// Longest time a provider may take to say whether it would serve us.
const PROBE_MAX: Duration = Duration::from_secs(5);
