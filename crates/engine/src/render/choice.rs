//! Which template makes the text, and in which of its languages.

use sms_core::Segmentation;

use super::templates::{Template, Text};
use crate::plan::{Language, Plan};
use crate::refusal::{Code, Problem};
use crate::route::Selected;

/// The text that will be filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen<'p> {
    pub(crate) template: &'p Template,
    pub(crate) language: &'p Language,
    /// Written for the request's application alone.
    pub(crate) client_specific: bool,
    pub(crate) text: &'p Text,
}

/// The request's template, else the rule's, else the tenant's; `None` when none of them names one.
///
/// # Errors
/// `unknown_template` when there is no such template for this tenant.
pub(crate) fn choose<'p>(selected: &Selected<'_>, plan: &'p Plan) -> Result<Option<Chosen<'p>>, Problem> {
    let admitted = selected.admitted();
    let (request, tenant) = (admitted.request(), admitted.tenant());
    let asked = request.template.as_deref();
    let configured = || selected.rule().template.as_deref().or(tenant.template.as_deref());
    let Some(name) = asked.or_else(configured) else {
        return Ok(None);
    };
    let template = plan.templates.get(name, &tenant.id).ok_or_else(|| match asked {
        Some(_) => unknown(&plan.templates.names(&tenant.id)),
        None => misconfigured(name),
    })?;
    let client_id = request.client_id.as_deref();
    let wanted = admitted.languages().iter().chain(&tenant.languages).flat_map(Language::chain);
    let found = template.lookup(wanted, client_id).ok_or_else(|| misconfigured(name))?;
    Ok(Some(found))
}

impl Chosen<'_> {
    /// What was filled in by others made the message dearer than the template alone: worth knowing, not refusing.
    pub(super) fn warn_of_growth(&self, segmentation: Segmentation) {
        if self.text.is_guarded() && segmentation.segments > self.text.segments_plain() {
            tracing::warn!(
                template.name = self.template.name(),
                template.language = self.language.as_str(),
                segments = segmentation.segments,
                segments.plain = self.text.segments_plain(),
                "variables of template `{}` ({}) made the message longer than usual",
                self.template.name(),
                self.language,
            );
        }
    }
}

/// The name asked for is the caller's free text, so it is not repeated.
fn unknown(names: &[&str]) -> Problem {
    let fix = if names.is_empty() {
        "Send `text` instead, or configure the template under `[templates]`.".to_owned()
    } else {
        format!("Use one of: {}.", names.join(", "))
    };
    Problem::new(Code::UnknownTemplate, "template", "There is no template of this name.", fix)
}

fn misconfigured(name: &str) -> Problem {
    Problem::new(
        Code::UnknownTemplate,
        "template",
        format!("The route or the tenant names the template `{name}`, which the tenant cannot use."),
        "Have the configuration repaired, or name another template in the request.",
    )
}
