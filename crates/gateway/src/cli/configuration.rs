//! Where a configuration comes from on the command line, and `gateway config …`, which only looks at it.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};
use sms_core::options::SecretSource;
use sms_engine::Plan;
use sms_gateway::config::{self, Input, Loaded, Mode, Placeholders, Report, Sources, schema};
use sms_gateway::wiring;

use super::failure::{Exit, Failure};
use super::output::{self, Output};

/// The files.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Files {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// A directory whose *.toml are read after it.
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
}

impl Files {
    /// What a running gateway reads.
    pub(crate) fn sources<'a>(&self, secrets: &'a (dyn SecretSource + Sync)) -> Sources<'a> {
        Sources {
            documents: vec![Input::File(self.config.clone())],
            dir: self.config_dir.clone(),
            env: config::environment(),
            flags: Vec::new(),
            mode: Mode::Serve,
            secrets,
        }
    }

    /// The configuration without its secrets, for commands that send nothing.
    pub(crate) fn without_secrets(&self) -> Result<Loaded, Failure> {
        wiring::load(&self.sources(&Placeholders)).map_err(|report| faulty(&report))
    }

    /// The plan the engine would run with, without secrets.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let loaded = self.without_secrets()?;
        wiring::plan(&loaded).map_err(|error| Failure::new(Exit::BadConfig, error.to_string()))
    }
}

/// A refused configuration.
pub(crate) fn faulty(report: &Report) -> Failure {
    Failure::new(Exit::BadConfig, report.to_text())
}

/// `gateway config …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
    /// Print every value in force, secrets hidden.
    Show {
        #[command(flatten)]
        files: Files,
        /// Tell where each value comes from.
        #[arg(long)]
        origin: bool,
    },
}

impl Command {
    pub(crate) fn run(self, output: Output) -> Result<(), Failure> {
        match self {
            Self::Schema => output::data(&format!("{:#}", schema::json_schema())),
            Self::Show { files, origin } => {
                let loaded = files.without_secrets()?;
                output.result(|| loaded.show(origin), || json!({ "values": values(&loaded.show(true)) }))
            }
        }
    }
}

/// The lines `KEY = VALUE  # ORIGIN` as objects.
fn values(lines: &str) -> Vec<Value> {
    let parts = |line: &str| {
        let (key, rest) = line.split_once(" = ")?;
        let (value, origin) = rest.rsplit_once("  # ")?;
        Some(json!({ "key": key, "value": value, "origin": origin }))
    };
    lines.lines().filter_map(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_values_are_taken_apart_at_the_outer_marks() {
        let line = "templates.otp.en = \"a = b  # c\"  # gateway.toml:3\n";
        let expected = json!({ "key": "templates.otp.en", "value": "\"a = b  # c\"", "origin": "gateway.toml:3" });
        assert_eq!(values(line), [expected]);
    }
}
