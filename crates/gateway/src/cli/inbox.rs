//! `gateway inbox …`: what the mock provider's handsets received, for tests that need the code.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};
use sms_core::options::Span;
use tokio::time::Instant;

use super::connection::{Connection, Ops, Question};
use super::failure::{Exit, Failure};
use super::output::Output;
use super::table::table;

/// `gateway inbox …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the newest code sent to a number: the digits and nothing else.
    Code {
        #[command(flatten)]
        ops: Ops,
        /// The number.
        #[arg(long)]
        to: String,
        /// Only what came after this cursor or message id.
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
        /// How long to wait for it; exit code 75 when it does not come.
        #[arg(long, value_name = "TIME")]
        wait: Option<Span>,
    },
    /// Print the newest message.
    Last {
        #[command(flatten)]
        ops: Ops,
        /// To this number only.
        #[arg(long)]
        to: Option<String>,
    },
    /// List messages, oldest first.
    List {
        #[command(flatten)]
        ops: Ops,
        /// To this number only.
        #[arg(long)]
        to: Option<String>,
        /// Only what came after this cursor or message id.
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
}

impl Command {
    pub(crate) async fn run(self, output: Output) -> Result<(), Failure> {
        match self {
            Self::Code { ops, to, after, wait } => code(&ops.connect()?, to, after, wait, output).await,
            Self::Last { ops, to } => last(&ops.connect()?, to, output).await,
            Self::List { ops, to, after, limit } => {
                let messages = page(&ops.connect()?, to, after, limit).await?;
                output.result(|| listed(&messages), || json!({ "messages": messages }))
            }
        }
    }
}

async fn code(
    inbox: &Connection,
    to: String,
    after: Option<String>,
    wait: Option<Span>,
    output: Output,
) -> Result<(), Failure> {
    let mut query = vec![("to", to)];
    query.extend(after.map(|after| ("after", after)));
    let deadline = Instant::now() + wait.map_or(Duration::ZERO, Span::as_duration);
    loop {
        // The gateway waits for a minute at most; a longer wait is several of them.
        let patience = deadline.saturating_duration_since(Instant::now()).min(WAIT_MAX);
        let mut query = query.clone();
        query.push(("wait", Span::from(patience).to_string()));
        let question = Question { path: &["inbox", "v1", "code"], query, patience, ..Question::default() };
        match inbox.ask(question).await {
            Ok(answer) => return output.result(|| answer.text.clone(), || json!({ "code": answer.text.trim() })),
            Err(failure) if failure.exit == Exit::TimedOut && Instant::now() < deadline => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// The inbox is read from its beginning, page by page: it has no way to be read backwards.
async fn last(inbox: &Connection, to: Option<String>, output: Output) -> Result<(), Failure> {
    let mut newest: Option<Value> = None;
    loop {
        let after = newest.as_ref().and_then(|message| message.get("cursor")).and_then(Value::as_str);
        let messages = page(inbox, to.clone(), after.map(str::to_owned), PAGE).await?;
        let full = messages.len() >= PAGE as usize;
        newest = messages.into_iter().next_back().or(newest);
        if !full {
            break;
        }
    }
    let Some(message) = newest else { return Err(Failure::new(Exit::Failed, "the inbox has no such message")) };
    output.result(
        || {
            format!(
                "{} to {} from {} ({})\n{}",
                part(&message, "at"),
                part(&message, "to"),
                part(&message, "sender"),
                part(&message, "id"),
                part(&message, "text")
            )
        },
        || message.clone(),
    )
}

async fn page(
    inbox: &Connection,
    to: Option<String>,
    after: Option<String>,
    limit: u32,
) -> Result<Vec<Value>, Failure> {
    let mut query = vec![("limit", limit.to_string())];
    query.extend(to.map(|to| ("to", to)));
    query.extend(after.map(|after| ("after", after)));
    let question = Question { path: &["inbox", "v1", "messages"], query, ..Question::default() };
    let answer = inbox.ask(question).await?.json()?;
    Ok(answer.get("messages").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn listed(messages: &[Value]) -> String {
    let row =
        |message: &Value| ["at", "to", "sender", "cursor", "text"].map(|key| part(message, key).replace('\n', " "));
    let rows: Vec<_> = messages.iter().map(row).collect();
    table(["AT", "TO", "SENDER", "CURSOR", "TEXT"], &rows)
}

fn part<'a>(message: &'a Value, key: &str) -> &'a str {
    message.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The gateway's longest wait.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// Messages asked for at once.
const PAGE: u32 = 100;
