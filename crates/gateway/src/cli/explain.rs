//! `gateway explain CODE`: what a configuration fault or a refused request means.

use serde_json::json;
use sms_gateway::config::codes::{self, CODES};

use super::failure::{Exit, Failure};
use super::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(help = "Such as E104, W201 or recipient_rate_limited")]
    code: String,
}

impl Args {
    pub(crate) fn run(self, output: Output) -> Result<(), Failure> {
        let known = CODES.iter().find(|known| known.code.eq_ignore_ascii_case(self.code.trim()));
        if let (Some(known), Some(text)) = (known, codes::explain(&self.code)) {
            let json = || json!({ "code": known.code, "title": known.title, "why": known.why, "fix": known.fix });
            return output.result(|| text, json);
        }
        let Some(text) = sms_gateway::explain(&self.code) else {
            let (first, last) = (CODES.first().map_or("", |code| code.code), CODES.last().map_or("", |code| code.code));
            let message =
                format!("no such code; a configuration's go from {first} to {last}, a refusal's stands in its `code`");
            return Err(Failure::new(Exit::Failed, message));
        };
        let (code, title) = text.trim().split_once(": ").unwrap_or_default();
        output.result(|| text.clone(), || json!({ "code": code, "title": title }))
    }
}
