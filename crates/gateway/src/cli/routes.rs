//! `gateway routes explain`: what would become of a message under a configuration, and why. Runs the engine's own code
//! over the file; needs no running gateway and none of its secrets, and sends nothing. Only what was measured can a
//! running gateway alone tell: with `--measured` it is asked.

mod measured;

use clap::Subcommand;
use sms_core::{Channel, Class, Clock as _, SystemClock, TenantId};
use sms_engine::{CandidateDecision, Explanation, Measures, SendRequest, Unmeasured};

use super::configuration;
use super::connection::Ops;
use super::failure::{Exit, Failure};
use super::output::Output;

/// `gateway routes …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show which rule a message would match, which providers it may use, and why.
    Explain(Explain),
}

/// The message to ask about.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    configuration: configuration::Files,
    /// Who sends.
    #[arg(long)]
    tenant: String,
    /// Who would receive it.
    #[arg(long)]
    to: String,
    /// The application that sends.
    #[arg(long)]
    client_id: Option<String>,
    /// BCP 47, such as fr-CA.
    #[arg(long)]
    language: Option<String>,
    /// sms or voice.
    #[arg(long, value_parser = channel)]
    channel: Option<Channel>,
    /// otp or transactional.
    #[arg(long, value_parser = class)]
    class: Option<Class>,
    /// Exit code 1 unless this provider would be tried first.
    #[arg(long, value_name = "PROVIDER")]
    expect: Option<String>,
    /// Ask the running gateway what it measured, for routes that `prefer` delivery or latency.
    #[arg(long)]
    measured: bool,
    #[command(flatten)]
    ops: Ops,
}

impl Command {
    pub(crate) async fn run(self, output: Output) -> Result<(), Failure> {
        match self {
            Self::Explain(args) => args.run(output).await,
        }
    }
}

impl Explain {
    async fn run(self, output: Output) -> Result<(), Failure> {
        let plan = self.configuration.plan()?;
        let Some(tenant) = plan.tenants.get(self.tenant.as_str()) else {
            let known: Vec<&str> = plan.tenants.keys().map(TenantId::as_str).collect();
            let message = format!("no tenant `{}`; defined: {}", self.tenant, known.join(", "));
            return Err(Failure::new(Exit::Failed, message));
        };
        let mut request = SendRequest::new(self.to, |_| Vec::new());
        request.client_id = self.client_id;
        request.language = self.language;
        request.channel = self.channel.unwrap_or_default();
        request.class = self.class.unwrap_or_default();
        let measures: Box<dyn Measures> =
            if self.measured { Box::new(measured::ask(&self.ops.connect()?).await?) } else { Box::new(Unmeasured) };
        let now = SystemClock::start().now();
        let explanation = sms_engine::explain_with(request, tenant, &plan, now, measures.as_ref());
        let json = || serde_json::to_value(&explanation).unwrap_or_default(); // texts and numbers can always be written
        output.result(|| told(&explanation), json)?;
        match self.expect.filter(|expected| !is_first(&explanation, expected)) {
            Some(expected) => Err(Failure::new(Exit::Failed, unexpected(&explanation, &expected))),
            None => Ok(()),
        }
    }
}

/// Whether the message would be accepted and `provider` tried first; in a split, whether it may be.
fn is_first(explanation: &Explanation, provider: &str) -> bool {
    let first = |decision| decision == CandidateDecision::Use;
    let mut candidates = explanation.candidates.iter();
    explanation.problems.is_empty()
        && candidates.any(|candidate| first(candidate.decision) && candidate.provider.as_str() == provider)
}

fn unexpected(explanation: &Explanation, expected: &str) -> String {
    let first = explanation.candidates.iter().find(|candidate| candidate.decision == CandidateDecision::Use);
    match first.filter(|_| explanation.problems.is_empty()) {
        Some(first) => format!("expected {expected}, but {} would be tried first", first.provider),
        None => format!("expected {expected}, but the message would be refused"),
    }
}

/// For people.
fn told(explanation: &Explanation) -> String {
    let mut lines = Vec::new();
    if let Some(number) = &explanation.number {
        lines.push(format!("number    {} · {} · {}", number.masked, number.country, word(&number.kind)));
    }
    let width = explanation.rules.iter().map(|rule| rule.id.chars().count()).max().unwrap_or_default();
    let mut decided = false;
    for (at, rule) in explanation.rules.iter().enumerate() {
        let verdict = if rule.matched {
            "YES"
        } else if decided {
            "-  "
        } else {
            "no "
        };
        decided |= rule.matched;
        lines.push(format!("rule {:<2}   {:width$}  {verdict}  {}", at + 1, rule.id, rule.why));
        if rule.matched {
            lines.extend(candidates(explanation));
        }
    }
    if let Some(template) = &explanation.template {
        let for_client = if template.client_specific { ", written for this client" } else { "" };
        lines.push(format!("template  {} in {}{for_client}", template.name, template.language));
    }
    lines.extend(explanation.sender.iter().map(|sender| format!("sender    {sender}")));
    if let Some(text) = explanation.text {
        lines.push(format!("text      {} · {} · {} units", text.encoding, parts(text.segments), text.units));
    }
    for problem in &explanation.problems {
        lines.push(format!("refused   {}: {} {}", problem.code.as_str(), problem.detail, problem.fix));
    }
    lines.join("\n")
}

fn candidates(explanation: &Explanation) -> impl Iterator<Item = String> {
    let width = explanation.candidates.iter().map(|candidate| candidate.provider.as_str().chars().count()).max();
    let width = width.unwrap_or_default();
    explanation.candidates.iter().map(move |candidate| {
        let decision = match candidate.decision {
            CandidateDecision::Next => "next",
            CandidateDecision::Skip => "skip",
            CandidateDecision::Use => "USE ",
        };
        let measured = candidate.measured.map(|measured| format!("  ({measured})")).unwrap_or_default();
        format!("          → {:width$}  {decision}  {}{measured}", candidate.provider.as_str(), candidate.why)
    })
}

fn parts(segments: u16) -> String {
    if segments == 1 { "1 part".to_owned() } else { format!("{segments} parts") }
}

/// An enum as it is spelled in JSON.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn channel(text: &str) -> Result<Channel, String> {
    Channel::parse(text).ok_or_else(|| "expected sms or voice".to_owned())
}

fn class(text: &str) -> Result<Class, String> {
    Class::parse(text).ok_or_else(|| "expected otp or transactional".to_owned())
}
