//! `gateway send`: one message through a running gateway, and what becomes of it.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sms_core::Status;
use sms_core::options::Span;
use tokio::time::Instant;

use super::connection::{Connection, Public, Question};
use super::failure::{Exit, Failure};
use super::messages;
use super::output::{self, Output};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    public: Public,
    /// Who receives it, such as +447700900000.
    #[arg(long)]
    to: String,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    options: Options,
    /// Wait until it is there.
    #[arg(long, value_enum)]
    wait: Option<Until>,
    /// How long to wait at most; exit code 75 after that.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: Span,
}

/// What it says.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Content {
    /// A finished text.
    #[arg(long, conflicts_with = "template")]
    text: Option<String>,
    /// A template of the configuration.
    #[arg(long)]
    template: Option<String>,
    /// A variable of the template.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
}

/// What routing and templates look at.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The application that sends.
    #[arg(long)]
    client_id: Option<String>,
    /// BCP 47, such as fr-CA.
    #[arg(long)]
    language: Option<String>,
    /// otp or transactional.
    #[arg(long)]
    class: Option<String>,
    /// sms or voice.
    #[arg(long)]
    channel: Option<String>,
    /// Must be one of the tenant's.
    #[arg(long)]
    sender: Option<String>,
    /// How long it is worth sending.
    #[arg(long, value_name = "TIME")]
    ttl: Option<Span>,
    /// Comes back in status and webhooks.
    #[arg(long)]
    reference: Option<String>,
    /// Repeating the command with the same key sends nothing twice.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// How far it must have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Until {
    /// The network confirmed delivery.
    Delivered,
    /// A provider took it.
    Sent,
}

/// Where a message stands, seen from what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Missed,
    Pending,
    Reached,
}

impl Until {
    fn progress(self, status: Status) -> Progress {
        match (status, self) {
            // An undelivered message was with a provider, so it was sent.
            (Status::Delivered, _) | (Status::Sent | Status::Undelivered, Self::Sent) => Progress::Reached,
            (Status::Queued | Status::Sending, _) | (Status::Sent, Self::Delivered) => Progress::Pending,
            (
                Status::Blocked
                | Status::Canceled
                | Status::Expired
                | Status::Failed
                | Status::Rejected
                | Status::Undelivered
                | Status::Unknown,
                _,
            ) => Progress::Missed,
        }
    }
}

impl Args {
    pub(crate) async fn run(self, output: Output) -> Result<(), Failure> {
        let gateway = self.public.connect()?;
        let deadline = Instant::now() + self.timeout.as_duration();
        let idempotency = self.options.idempotency_key.iter().map(|key| ("idempotency-key", key.clone()));
        let headers = idempotency.chain(self.wait.map(|_| ("prefer", format!("wait={}", self.patience().as_secs()))));
        let question = Question {
            path: &["v1", "messages"],
            headers: headers.collect(),
            patience: self.patience(),
            body: Some(self.body()),
            ..Question::default()
        };
        let accepted = gateway.ask(question).await?.json()?;
        let Some(until) = self.wait else { return show(&accepted, output) };
        if !output.is_json() {
            show(&accepted, output)?;
        }
        follow(&gateway, accepted, until, deadline, output).await
    }

    /// The gateway itself waits for the verdict, but not for ever.
    fn patience(&self) -> Duration {
        if self.wait.is_some() { self.timeout.as_duration().min(WAIT_MAX) } else { Duration::ZERO }
    }

    fn body(&self) -> Value {
        let Content { text, template, variables } = &self.content;
        let Options { client_id, language, class, channel, sender, ttl, reference, idempotency_key: _ } = &self.options;
        let mut body = Map::new();
        let texts = [
            ("to", Some(&self.to)),
            ("text", text.as_ref()),
            ("template", template.as_ref()),
            ("client_id", client_id.as_ref()),
            ("language", language.as_ref()),
            ("class", class.as_ref()),
            ("channel", channel.as_ref()),
            ("sender", sender.as_ref()),
            ("reference", reference.as_ref()),
        ];
        body.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text?)))));
        body.extend(ttl.map(|ttl| ("ttl_s".to_owned(), json!(ttl.as_duration().as_secs()))));
        if !variables.is_empty() {
            let variables: Map<_, _> = variables.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            body.insert("variables".to_owned(), Value::Object(variables));
        }
        Value::Object(body)
    }
}

/// Asks until the message has come far enough, or cannot any more.
async fn follow(
    gateway: &Connection,
    accepted: Value,
    until: Until,
    deadline: Instant,
    output: Output,
) -> Result<(), Failure> {
    let Some(id) = accepted.get("id").and_then(Value::as_str).map(str::to_owned) else {
        return Err(Failure::new(Exit::Failed, "the answer names no message: is this address a gateway's?"));
    };
    let mut told = status(&accepted);
    loop {
        let message = messages::message(gateway, &id).await?;
        let now = status(&message);
        if now != told && !output.is_json() {
            show(&message, output)?;
        }
        told = now;
        let progress = now.map_or(Progress::Missed, |now| until.progress(now));
        if progress != Progress::Pending && output.is_json() {
            output::data(&format!("{message:#}"))?;
        }
        match progress {
            Progress::Reached => return Ok(()),
            Progress::Missed => return Err(Failure::told(Exit::Failed)),
            Progress::Pending if Instant::now() >= deadline => {
                let message = format!("{id} is not there yet; see `gateway messages show {id}`");
                return Err(Failure::new(Exit::TimedOut, message));
            }
            Progress::Pending => tokio::time::sleep(POLL).await,
        }
    }
}

fn status(message: &Value) -> Option<Status> {
    message.get("status").and_then(Value::as_str).and_then(Status::parse)
}

fn show(message: &Value, output: Output) -> Result<(), Failure> {
    let part = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default();
    let line = || format!("{}  {:<11}  {}", part("id"), part("status"), part("provider"));
    output.result(line, || message.clone())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() { Err("the name is empty".to_owned()) } else { Ok((name.to_owned(), value.to_owned())) }
}

/// The contract's longest `Prefer: wait`.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How often a message is looked at.
const POLL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_when_it_is_there_or_cannot_come_any_more() {
        assert_eq!(Until::Sent.progress(Status::Sending), Progress::Pending);
        assert_eq!(Until::Sent.progress(Status::Sent), Progress::Reached);
        assert_eq!(Until::Delivered.progress(Status::Sent), Progress::Pending);
        assert_eq!(Until::Delivered.progress(Status::Delivered), Progress::Reached);
        assert_eq!(Until::Delivered.progress(Status::Undelivered), Progress::Missed);
        assert_eq!(Until::Sent.progress(Status::Rejected), Progress::Missed);
    }

    #[test]
    fn a_variable_is_a_name_and_a_value_that_may_hold_anything() {
        assert_eq!(variable("code=12=3"), Ok(("code".to_owned(), "12=3".to_owned())));
        assert!(variable("code").is_err() && variable("=1").is_err());
    }
}
