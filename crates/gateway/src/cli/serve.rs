//! `gateway serve`: loads the configuration and runs until told to stop. Says on standard error, in words, why it does not
//! start; once it runs, it logs.

use sms_gateway::config::{Loaded, Machine, Mode};
use sms_gateway::logs;
use sms_gateway::serve::{Reloader, Server, Settings, StartError};
use sms_gateway::wiring;

use super::configuration::{Files, faulty};
use super::failure::{Exit, Failure};

pub(crate) async fn run(files: Files) -> Result<(), Failure> {
    let loaded = wiring::load(&files.sources(&Machine)).map_err(|report| faulty(&report))?;
    let reloader: Reloader = Box::new(move || wiring::load(&files.sources(&Machine)));
    run_to_end(start(loaded, Mode::Serve, Some(reloader)).await?).await
}

/// Begins to log, and starts everything.
pub(crate) async fn start(loaded: Loaded, mode: Mode, reloader: Option<Reloader>) -> Result<Server, Failure> {
    let log = logs::init(&loaded.config.log).map_err(|error| Failure::new(Exit::BadConfig, error))?;
    for warning in &loaded.warnings.warnings {
        tracing::warn!(config.code = warning.code.code, "{} ({})", warning.message, warning.help);
    }
    Server::start(Settings { loaded, mode, reloader, log: Some(log) }).await.map_err(not_started)
}

/// Serves until a signal ends it.
pub(crate) async fn run_to_end(server: Server) -> Result<(), Failure> {
    server.run().await.map_err(|error| Failure::new(Exit::Failed, format!("cannot listen for signals: {error}")))
}

fn not_started(error: StartError) -> Failure {
    match error {
        StartError::Bind { key, address, source } => {
            let flag = key.rsplit('.').next().unwrap_or_default();
            let hint = "is another gateway running? Port 0 takes any free one";
            let message = format!("cannot listen on {address} ({key}, in dev --{flag}): {source}; {hint}");
            Failure::new(Exit::Failed, message)
        }
        StartError::Config(unwired) => Failure::new(Exit::BadConfig, unwired.to_string()),
        StartError::Setup(_) | StartError::Store(_) => Failure::new(Exit::Failed, error.to_string()),
    }
}
