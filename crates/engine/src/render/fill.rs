//! Fills a chosen text in for one message. Must never repeat an error of the template engine: it may quote values.

use minijinja::{Error, ErrorKind};

use super::autofill;
use super::choice::Chosen;
use super::templates::{Templates, Unrendered};
use super::values;
use crate::admission::Admitted;
use crate::refusal::{Code, Problem, Refusal, all};

/// The finished text.
///
/// # Errors
/// `unknown_variable`, or `invalid_request` when a value must not be shown or the template fails.
pub(super) fn fill(chosen: &Chosen<'_>, admitted: &Admitted, templates: &Templates) -> Result<String, Refusal> {
    let (template, text) = (chosen.template, chosen.text);
    let filled = match values::fill(text.references(), admitted, template.allows_links()) {
        Ok(filled) => filled,
        Err(problems) => return all(problems).map_or_else(|| Err(joined(chosen).into()), Err),
    };
    let guarded = text.is_guarded() && !template.allows_links();
    let mut output = match templates.render(text, filled.variables, guarded) {
        Ok(output) => output,
        Err(Unrendered::Joined) => return Err(joined(chosen).into()),
        Err(Unrendered::Failed(error)) => return Err(failure(&error, chosen, &filled.absent).into()),
    };
    output.truncate(output.trim_end().len());
    if let Some(domain) = template.autofill_domain()
        && let Some(code) = autofill::code_of(admitted.request())
    {
        autofill::bind(&mut output, domain, &code);
    }
    Ok(output)
}

fn failure(error: &Error, chosen: &Chosen<'_>, absent: &[String]) -> Problem {
    let detail = error.detail().unwrap_or_default();
    let is_named = |name: &&String| detail.contains(&format!("`{name}`"));
    let undefined = error.kind() == ErrorKind::UndefinedError;
    let missing = absent.iter().find(is_named).or_else(|| absent.first().filter(|_| undefined));
    if let Some(name) = missing {
        return unknown_variable(name, chosen);
    }
    let help = if error.kind() == ErrorKind::OutOfFuel {
        "Have the template do less."
    } else {
        "Check the values of `variables`, and the template for what it expects of them."
    };
    let name = chosen.template.name();
    let detail = format!("The template `{name}` ({}) cannot be filled in: {}.", chosen.language, error.kind());
    Problem::new(Code::InvalidRequest, "template", detail, help)
}

fn unknown_variable(name: &str, chosen: &Chosen<'_>) -> Problem {
    Problem::new(
        Code::UnknownVariable,
        format!("variables.{name}"),
        format!(
            "The template `{}` ({}) names the variable `{name}`, which the request does not carry.",
            chosen.template.name(),
            chosen.language
        ),
        format!("Send it, or give it a default in the template: `{{{{ {name} | default('') }}}}`."),
    )
}

fn joined(chosen: &Chosen<'_>) -> Problem {
    Problem::new(
        Code::InvalidRequest,
        "variables",
        format!(
            "The values for the template `{}` ({}) make a link or a phone number together with what stands beside them.",
            chosen.template.name(),
            chosen.language
        ),
        "Send other values, or set `allow_links = true` for the template if its values are all yours.",
    )
}
