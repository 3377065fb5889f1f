//! `[templates.NAME]` as the engine reads them, and its judgement of them for the check.

use std::collections::BTreeMap;

use sms_core::TenantId;
use sms_engine::plan::Language;
use sms_engine::{TemplateFault, TemplateSpec, Templates};

use super::Unwired;
use crate::config::TextFinding;
use crate::config::schema::{Template, Texts};

/// What is wrong with the texts, or worth a warning.
pub(super) fn findings(templates: &BTreeMap<String, Template>) -> Vec<TextFinding> {
    match Templates::compile(specs(templates)) {
        Ok(compiled) => compiled.warnings().iter().cloned().map(|fault| finding(fault, true)).collect(),
        Err(faults) => faults.into_iter().map(|fault| finding(fault, false)).collect(),
    }
}

pub(super) fn compile(templates: &BTreeMap<String, Template>) -> Result<Templates, Unwired> {
    Templates::compile(specs(templates)).map_err(|faults| {
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        Unwired::new(told.join("; "))
    })
}

fn specs(templates: &BTreeMap<String, Template>) -> Vec<TemplateSpec> {
    let spec = |(name, template): (&String, &Template)| {
        let Template { allow_links, autofill_domain, clients, tenants, texts: own } = template.clone();
        TemplateSpec {
            name: name.clone(),
            texts: texts(own),
            clients: clients.into_iter().map(|(client, own)| (client, texts(own))).collect(),
            tenants: tenants.map(|names| names.into_iter().map(TenantId::new).collect()),
            autofill_domain,
            allow_links,
        }
    };
    templates.iter().map(spec).collect()
}

fn texts(texts: Texts) -> BTreeMap<Language, String> {
    texts.into_iter().filter_map(|(language, text)| Some((Language::parse(language.as_str())?, text))).collect()
}

fn finding(fault: TemplateFault, warning: bool) -> TextFinding {
    let TemplateFault { template, client, language, line, message, help } = fault;
    let message = match line {
        Some(line) => format!("line {line}: {message}"),
        None => message,
    };
    TextFinding { client, help, language: language.map(|language| language.to_string()), message, template, warning }
}
