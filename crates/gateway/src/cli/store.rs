//! `gateway store …`: work on a store itself, while no gateway runs on it.

use clap::Subcommand;
use serde_json::json;
use sms_core::options::SecretSource as _;
use sms_core::{Clock as _, Secret, SystemClock};
use sms_gateway::config::Machine;
use sms_gateway::wiring::Keeping;
use sms_store::postgres::{self, Copied};
use tokio::time::Instant;

use super::failure::{Exit, Failure};
use super::output::{self, Output};

/// `gateway store …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(about = "Copy everything from a SQLite file into an empty PostgreSQL database", long_about = COPY)]
    Copy {
        /// The file: sqlite:PATH.
        #[arg(long, value_name = "URL")]
        from: String,
        /// The database: postgres://…, or env:NAME of a variable that holds it, so that nobody reads it among processes.
        #[arg(long, value_name = "URL")]
        to: String,
    },
}

const COPY: &str = "\
Copy everything from a SQLite file into an empty PostgreSQL database.

No gateway may run on either. The key is $GATEWAY_STORE_KEY, else the file beside the database; it becomes the key of all
nodes. What was copied is counted, and read back in part and compared, before it counts.";

impl Command {
    pub(crate) async fn run(self, output: Output) -> Result<(), Failure> {
        let Self::Copy { from, to } = self;
        let usage = |text: &str| Failure::new(Exit::Usage, text.to_owned());
        let from = Keeping::at(Secret::new(from));
        let Some(file) = from.file() else { return Err(usage("--from: expected sqlite:PATH")) };
        let to = match to.strip_prefix("env:") {
            Some(name) => Machine.env(name).ok_or_else(|| usage(&format!("--to: the variable {name} is not set")))?,
            None => to,
        };
        let to = Keeping::at(Secret::new(to));
        let Some(url) = to.postgres() else { return Err(usage("--to: expected postgres://… or env:NAME")) };
        if !file.exists() {
            return Err(Failure::new(Exit::Failed, format!("`{}` does not exist", file.display())));
        }
        let key = from.key_of(file).map_err(|error| Failure::new(Exit::Failed, error))?;
        let began = Instant::now();
        output::note("copying: neither store may be in use");
        let copied = postgres::copy(file, url, &key, SystemClock::start().now()).await;
        let copied = copied.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let took = began.elapsed();
        let Copied { messages, unsettled, answers, limits, others, compared } = copied;
        output.result(
            || {
                format!(
                    "copied {messages} messages ({unsettled} of them not settled yet), {answers} idempotency records, \
                     {limits} limits' keys, {others} other rows in {:.1} s; counts agree, {compared} messages read back equal",
                    took.as_secs_f64()
                )
            },
            || {
                json!({ "messages": messages, "unsettled": unsettled, "idempotency_records": answers,
                        "limits": limits, "others": others, "compared": compared })
            },
        )?;
        output::note("next: `store.url` = that database, GATEWAY_STORE_KEY = the same key, on every node");
        Ok(())
    }
}
