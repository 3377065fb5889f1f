//! Tests of rendering: which text is chosen, what its variables become, which sender it shows.

mod choosing;
mod compiling;
mod filling;
mod hostile;
mod senders;

use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::request::SendRequest;
use crate::route::fixtures::{noon, plan, run, spec, templates};

use super::TemplateSpec;

/// A Swiss mobile.
const NUMBER: &str = "+41781234567";

/// A plan whose templates are `specs`.
fn plan_with(specs: Vec<TemplateSpec>) -> Plan {
    let mut plan = plan();
    plan.templates = templates(specs);
    plan
}

/// A plan with the one template `t`, in English.
fn plan_of(text: &str) -> Plan {
    plan_with(vec![spec("t", &[("en", text)])])
}

/// The text that a request becomes.
fn text_of(request: SendRequest, plan: &Plan) -> Result<String, Refusal> {
    let id = sms_core::MessageId::new(noon(), [0; 10]);
    run(request, plan).map(|routed| routed.into_new_message(id, noon()).body.expose().to_owned())
}

/// A request for the template `t`.
fn ask() -> SendRequest {
    SendRequest { template: Some("t".to_owned()), ..crate::route::fixtures::request(NUMBER) }
}

fn object(json: &serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    json.as_object().cloned().unwrap()
}
