//! The command line: parses words, calls the library or a running gateway, chooses the exit code. Decides nothing about
//! messages. One module a command; only [`output`] prints.

mod check;
mod configuration;
mod connection;
mod dev;
mod explain;
mod failure;
mod inbox;
mod keys;
mod messages;
mod migrate;
mod output;
mod routes;
mod send;
mod serve;
mod store;
mod table;
mod version;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};
use tokio::time::Instant;

use failure::{Exit, Failure};
use output::{Format, Output};

/// A gateway between identity platforms and SMS providers.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, after_help = EXAMPLES, help_template = TEMPLATE)]
#[command(disable_help_subcommand = true, disable_help_flag = true, disable_version_flag = true)]
struct Cli {
    /// Form of the result: text, or json for programs
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    output: Format,
    /// Print help
    #[arg(short, long, global = true, action = ArgAction::Help, hide = true)]
    help: (),
    /// Print the version in one line
    #[arg(short = 'V', long, action = ArgAction::Version, hide = true)]
    version: (),
    #[command(subcommand)]
    command: Command,
}

/// The first screen has 24 lines.
const TEMPLATE: &str = "{about-with-newline}{usage-heading} {usage}\n{all-args}{after-help}";
const EXAMPLES: &str = "\
Examples:
  gateway dev                            nothing leaves this machine
  gateway check --config gateway.toml    every mistake, with its place
  gateway inbox code --to +447700900000 --wait 10s";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything locally: mock provider, inbox, one key.
    Dev(dev::Args),
    /// Run the gateway.
    Serve(configuration::Files),
    /// Check a configuration: every mistake at once.
    Check(check::Args),
    /// Ask how a message would be routed.
    #[command(subcommand)]
    Routes(routes::Command),
    /// Send one message.
    Send(send::Args),
    /// Look at messages of a tenant.
    #[command(subcommand)]
    Messages(messages::Command),
    /// Read what the mock provider received.
    #[command(subcommand)]
    Inbox(inbox::Command),
    /// Make API keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Look at a configuration, or print its JSON Schema.
    #[command(subcommand)]
    Config(configuration::Command),
    #[command(subcommand, about = "Bring the tables of a PostgreSQL store up to date")]
    Migrate(migrate::Command),
    /// Copy a store into another, while no gateway runs.
    #[command(subcommand)]
    Store(store::Command),
    #[command(about = "Explain a code, such as E104 or recipient_rate_limited")]
    Explain(explain::Args),
    /// Print the version.
    Version,
}

/// Runs the command that the process was started with; `began` is when that was.
pub(crate) fn run(began: Instant) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with code 0. Nobody is left to tell when this cannot be printed.
            drop(error.print());
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let output = Output::new(cli.output);
    match cli.command.run(output, began) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure);
            failure.exit.into()
        }
    }
}

impl Command {
    fn run(self, output: Output, began: Instant) -> Result<(), Failure> {
        match self {
            Self::Check(args) => wait(args.run(output)),
            Self::Config(command) => command.run(output),
            Self::Dev(args) => wait(args.run(output, began)),
            Self::Explain(args) => args.run(output),
            Self::Inbox(command) => wait(command.run(output)),
            Self::Keys(command) => command.run(output),
            Self::Messages(command) => wait(command.run(output)),
            Self::Migrate(command) => wait(command.run(output)),
            Self::Routes(command) => wait(command.run(output)),
            Self::Send(args) => wait(args.run(output)),
            Self::Serve(files) => wait(serve::run(files)),
            Self::Store(command) => wait(command.run(output)),
            Self::Version => version::run(output),
        }
    }
}

/// Runs a command that talks to others.
fn wait(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("no threads to run on: {error}")))?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_a_terminal() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 24, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
}
