//! `gateway messages …`: what became of a tenant's messages. Texts and codes are not there to be shown.

use clap::Subcommand;
use serde_json::Value;

use super::connection::{Connection, Public, Question};
use super::failure::Failure;
use super::output::{self, Output};
use super::table::table;

/// `gateway messages …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List messages, newest first.
    List {
        #[command(flatten)]
        public: Public,
        #[command(flatten)]
        filter: Filter,
    },
    /// Show one message with its attempts and history.
    Show {
        #[command(flatten)]
        public: Public,
        /// `msg_…`
        id: String,
    },
}

/// Which messages.
#[derive(Debug, clap::Args)]
pub(crate) struct Filter {
    /// To this number.
    #[arg(long)]
    to: Option<String>,
    /// In this status.
    #[arg(long)]
    status: Option<String>,
    /// Of this application.
    #[arg(long)]
    client_id: Option<String>,
    /// Through this provider.
    #[arg(long)]
    provider: Option<String>,
    /// Accepted at this time or later (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Accepted before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Go on where an earlier list ended.
    #[arg(long)]
    cursor: Option<String>,
}

impl Command {
    pub(crate) async fn run(self, output: Output) -> Result<(), Failure> {
        match self {
            Self::List { public, filter } => list(&public.connect()?, filter, output).await,
            Self::Show { public, id } => {
                let message = message(&public.connect()?, &id).await?;
                output.result(|| told(&message), || message.clone())
            }
        }
    }
}

async fn list(gateway: &Connection, filter: Filter, output: Output) -> Result<(), Failure> {
    let Filter { to, status, client_id, provider, since, until, limit, cursor } = filter;
    let mut query = vec![("limit", limit.to_string())];
    let given = [
        ("to", to),
        ("status", status),
        ("client_id", client_id),
        ("provider", provider),
        ("since", since),
        ("until", until),
        ("cursor", cursor),
    ];
    query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let answer = gateway.ask(Question { path: &["v1", "messages"], query, ..Question::default() }).await?.json()?;
    let messages = answer.get("messages").and_then(Value::as_array).cloned().unwrap_or_default();
    let row =
        |message: &Value| ["created_at", "id", "to", "status", "provider"].map(|key| part(message, key).to_owned());
    let rows: Vec<_> = messages.iter().map(row).collect();
    output.result(|| table(["CREATED", "ID", "TO", "STATUS", "PROVIDER"], &rows), || answer.clone())?;
    if !output.is_json()
        && let Some(next) = answer.get("next_cursor").and_then(Value::as_str)
    {
        output::note(&format!("more: --cursor {next}"));
    }
    Ok(())
}

/// One message as the gateway tells it.
pub(crate) async fn message(gateway: &Connection, id: &str) -> Result<Value, Failure> {
    gateway.ask(Question { path: &["v1", "messages", id], ..Question::default() }).await?.json()
}

/// For people: facts, then attempts, then history.
fn told(message: &Value) -> String {
    let facts = ["id", "status", "to", "provider", "encoding", "segments", "created_at", "expires_at", "reference"];
    let mut lines: Vec<String> = facts
        .iter()
        .filter_map(|key| Some((key, shown(message.get(*key)?)?)))
        .map(|(key, value)| format!("{key:<11} {value}"))
        .collect();
    if let Some(route) = message.get("route") {
        lines.push(format!("{:<11} {}", "route", part(route, "why")));
    }
    lines.extend(part_of(message, "attempts").map(|attempt| {
        let kind = Some(part(attempt, "error_kind")).filter(|kind| !kind.is_empty());
        let kind = kind.map(|kind| format!(" ({kind})")).unwrap_or_default();
        let took =
            attempt.get("duration_ms").and_then(Value::as_u64).map(|ms| format!(" in {ms} ms")).unwrap_or_default();
        format!(
            "attempt     {} {} {}{kind}{took}",
            part(attempt, "started_at"),
            part(attempt, "provider"),
            part(attempt, "outcome")
        )
    }));
    lines.extend(part_of(message, "events").map(|event| {
        let line = format!(
            "event       {} {} {} {}",
            part(event, "at"),
            part(event, "kind"),
            part(event, "source"),
            part(event, "detail")
        );
        line.trim_end().to_owned()
    }));
    lines.join("\n")
}

fn part<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn part_of<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    object.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Array(_) | Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_told_with_attempts_and_history() {
        let message = json!({
            "id": "msg_1", "status": "delivered", "to": "+44•••00", "segments": 1, "metadata": { "a": 1 },
            "route": { "rule": "default", "candidates": ["mock"], "why": "rule `default` matched" },
            "attempts": [{ "provider": "mock", "outcome": "unknown", "error_kind": "deadline", "started_at": "T1", "duration_ms": 3 }],
            "events": [{ "at": "T2", "kind": "delivered", "source": "mock", "detail": "" }],
        });
        let expected = "id          msg_1\nstatus      delivered\nto          +44•••00\nsegments    1\n\
                        route       rule `default` matched\nattempt     T1 mock unknown (deadline) in 3 ms\n\
                        event       T2 delivered mock";
        assert_eq!(told(&message), expected);
    }
}
