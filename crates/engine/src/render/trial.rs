//! Tries a template out with sample values when it is compiled, so that a mistake stops the configuration and not a
//! message.

use std::borrow::Cow;

use minijinja::{Error, ErrorKind, Template, Value};
use sms_core::text::segment;

use super::autofill;
use super::guard;
use super::templates::TemplateSpec;
use super::values::{Reference, nested};
use crate::admission::TEXT_CHARS_MAX;

/// What the trial found.
pub(super) struct Trouble {
    pub(super) line: Option<usize>,
    pub(super) message: String,
    pub(super) help: &'static str,
}

/// Parts that the text takes with ordinary values; the greatest number when those are not ordinary enough.
pub(super) fn run(template: &Template<'_, '_>, references: &[Reference], spec: &TemplateSpec) -> Result<u16, Trouble> {
    let word = attempt(template, references, &Value::from(SAMPLE_WORD));
    let number = attempt(template, references, &Value::from(SAMPLE_NUMBER));
    let mut touches = !spec.allow_links;
    let mut made = None;
    // Keys of metadata cannot be guessed.
    let keyed = references.iter().any(|reference| reference.name() == "client_metadata");
    for outcome in [number, word] {
        match outcome {
            Ok(tried) => {
                touches &= tried.touches_link;
                made = Some(tried.text);
            }
            Err(error) if is_mistake(&error) && !(keyed && error.kind() == ErrorKind::UndefinedError) => {
                return Err(trouble(&error));
            }
            // A sample of the wrong type proves nothing.
            Err(_) => touches = false,
        }
    }
    let Some(mut text) = made else {
        return Ok(u16::MAX);
    };
    if touches && references.iter().any(Reference::is_guarded) {
        return Err(Trouble {
            line: None,
            message: "a variable that strangers fill in stands right beside a link, and would become part of it"
                .to_owned(),
            help: "Put a space between them, or set `allow_links = true`.",
        });
    }
    if let Some(domain) = &spec.autofill_domain {
        autofill::bind(&mut text, domain, SAMPLE_CODE);
    }
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err(Trouble {
            line: None,
            message: format!("makes texts longer than {TEXT_CHARS_MAX} characters"),
            help: "Shorten it: one SMS holds 160 plain characters, or 70 of other scripts.",
        });
    }
    Ok(segment(&text).segments)
}

const SAMPLE_CODE: &str = "123456";
const SAMPLE_NUMBER: i32 = 12;
const SAMPLE_WORD: &str = "Anna";

struct Tried {
    text: String,
    touches_link: bool,
}

fn attempt(template: &Template<'_, '_>, references: &[Reference], sample: &Value) -> Result<Tried, Error> {
    let value = |reference: &Reference| {
        if reference.is_guarded() { sample.clone() } else { Value::from(SAMPLE_CODE) }
    };
    let whole: Vec<Cow<'_, Reference>> =
        references.iter().flat_map(|reference| reference.expand([].into_iter())).collect();
    let variables = nested(whole.iter().map(|reference| (reference.as_ref(), value(reference))));
    let (text, spans) = template.render_with_spans(variables)?;
    let touches_link = guard::touches_link(&text, &spans, template.source());
    Ok(Tried { text, touches_link })
}

/// Whether the template is at fault whatever the values are.
fn is_mistake(error: &Error) -> bool {
    // There are no functions, so that only a variable can have been called.
    let called = error.detail().is_some_and(|detail| detail.ends_with("is not callable"));
    called
        || matches!(
            error.kind(),
            ErrorKind::MissingArgument
                | ErrorKind::OutOfFuel
                | ErrorKind::TooManyArguments
                | ErrorKind::UndefinedError
                | ErrorKind::UnknownFilter
                | ErrorKind::UnknownFunction
                | ErrorKind::UnknownMethod
                | ErrorKind::UnknownTest
        )
}

/// Only samples were filled in, so that the error's own words are free of personal data.
fn trouble(error: &Error) -> Trouble {
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let help = if error.kind() == ErrorKind::OutOfFuel {
        "Make the template do less: a message needs no long loops."
    } else if error.kind() == ErrorKind::UndefinedError {
        "Use what the variable has, or another name for what the template sets itself."
    } else {
        "See the list of filters and tests of MiniJinja; there are no functions."
    };
    Trouble { line: error.line(), message, help }
}
