//! Makes the text: picks the template's language, fills it in, chooses the sender, counts the parts. Templates were
//! compiled with the plan. Must never render a value as a template, and never print a text.

mod autofill;
mod choice;
mod fill;
mod guard;
mod sender;
mod templates;
#[cfg(test)]
mod tests;
mod trial;
mod values;

pub(crate) use choice::{Chosen, choose};
pub(crate) use sender::sender_for;
pub use templates::{TemplateFault, TemplateSpec, Templates};

use std::fmt;

use sms_core::text::{segment, strip_invisible};
use sms_core::{Body, Segmentation, Sender};

use crate::admission::{Admitted, TEXT_CHARS_MAX};
use crate::plan::{Plan, Rule};
use crate::refusal::{Code, Problem, Refusal};
use crate::route::Selected;

/// A request with its final text and sender.
#[derive(Clone, Debug)]
pub struct Rendered<'p> {
    selected: Selected<'p>,
    content: Content,
}

/// What a handset will show.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) body: Body,
    pub(crate) segmentation: Segmentation,
    pub(crate) sender: Sender,
    /// The template that made the text.
    pub(crate) template: Option<String>,
}

/// Makes the text and chooses the sender.
///
/// # Errors
/// `unknown_template`, `unknown_variable`, or `invalid_request` for content that cannot become a text.
pub(crate) fn render<'p>(selected: Selected<'p>, plan: &'p Plan) -> Result<Rendered<'p>, Refusal> {
    let content = compose(&selected, plan)?;
    Ok(Rendered { selected, content })
}

/// What [`render`] does, for explanations too.
pub(crate) fn compose(selected: &Selected<'_>, plan: &Plan) -> Result<Content, Refusal> {
    let admitted = selected.admitted();
    let chosen = choose(selected, plan)?;
    let text = match (&chosen, &admitted.request().text) {
        (Some(chosen), _) => fill::fill(chosen, admitted, &plan.templates)?,
        (None, Some(text)) => strip_invisible(text.expose()),
        (None, None) => return Err(no_content().into()),
    };
    let body = Body::new(text);
    if let Some(problem) = body_problem(&body, chosen.as_ref()) {
        return Err(problem.into());
    }
    let segmentation = segment(body.expose());
    if let Some(chosen) = &chosen {
        chosen.warn_of_growth(segmentation);
    }
    Ok(Content {
        segmentation,
        sender: sender_for(admitted, selected.rule())?,
        template: chosen.map(|chosen| chosen.template.name().to_owned()),
        body,
    })
}

impl<'p> Rendered<'p> {
    /// The request.
    pub(crate) fn admitted(&self) -> &Admitted {
        self.selected.admitted()
    }

    /// The rule that decides about it.
    pub(crate) fn rule(&self) -> &'p Rule {
        self.selected.rule()
    }

    /// The sender it will show.
    pub(crate) fn sender(&self) -> &Sender {
        &self.content.sender
    }

    /// What its text costs.
    pub(crate) fn segmentation(&self) -> Segmentation {
        self.content.segmentation
    }

    /// Takes it apart for the next stage.
    pub(crate) fn into_parts(self) -> (Admitted, Content) {
        (self.selected.into_admitted(), self.content)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("body", &self.body)
            .field("segments", &self.segmentation.segments)
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

fn no_content() -> Problem {
    Problem::new(
        Code::InvalidRequest,
        "text",
        "The request has neither `text` nor `template`, and neither its route nor its tenant names a template.",
        "Send `text`, or `template` with `variables`; or configure a template for the route or the tenant.",
    )
}

fn body_problem(body: &Body, chosen: Option<&Chosen<'_>>) -> Option<Problem> {
    let (field, what) = match chosen {
        Some(chosen) => ("template", format!("The text of template `{}`", chosen.template.name())),
        None => ("text", "The text".to_owned()),
    };
    if body.expose().trim().is_empty() {
        let detail = format!("{what} is empty once what no handset shows is left out.");
        return Some(Problem::new(Code::InvalidRequest, field, detail, "Write something that can be read."));
    }
    (body.len_chars() > TEXT_CHARS_MAX).then(|| {
        let detail = format!("{what} is longer than {TEXT_CHARS_MAX} characters.");
        Problem::new(Code::InvalidRequest, field, detail, "Shorten the template or what is filled in.")
    })
}
