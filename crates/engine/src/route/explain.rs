//! Says what would become of a request and why, without sending anything. Runs the same code as the pipeline, so that
//! the two cannot disagree.

use std::sync::Arc;

use serde::Serialize;
use sms_core::{Country, Encoding, NumberType, ProviderName, Segmentation, Sender, UnixMs};

use super::candidates::{Lineup, Need, prefer};
use super::matching::Facts;
use super::{Selected, select};
use crate::admission::{Admitted, admit, recipient};
use crate::measure::{Measured, Measures, Unmeasured};
use crate::plan::{Choice, Plan, Prefer, Rule, Tenant};
use crate::refusal::{Problem, Refusal};
use crate::render::{choose, compose, sender_for};
use crate::request::SendRequest;

/// What would become of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Explanation {
    /// The recipient; absent when it is no number to send to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<NumberFacts>,
    /// Every rule, in order.
    pub rules: Vec<RuleVerdict>,
    /// The rule that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Its providers, in the order in which they would be tried; those left out come last.
    pub candidates: Vec<Candidate>,
    /// The template that would make the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateFacts>,
    /// The sender that would be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// What the text would cost; absent when the request brings nothing to make one from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<TextFacts>,
    /// Why the request would be refused; empty when it would be accepted (limits aside).
    pub problems: Vec<Problem>,
}

/// What the numbering plan knows of the recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NumberFacts {
    /// Country code and last two digits.
    pub masked: String,
    /// Destination country.
    pub country: Country,
    /// Kind of line.
    #[serde(rename = "type")]
    pub kind: NumberType,
}

/// What one rule says to the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleVerdict {
    /// The rule.
    pub id: String,
    /// All its conditions hold, and no rule before it matched.
    pub matched: bool,
    /// The facts that match, or the first one that does not.
    pub why: String,
}

/// One provider of the rule that decides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// The provider.
    pub provider: ProviderName,
    /// What happens with it.
    pub decision: CandidateDecision,
    /// Why.
    pub why: String,
    /// In a split: percent of messages that try it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// What was measured of it in the recipient's country, where the route prefers by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// What happens with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateDecision {
    /// Tried after those before it failed.
    Next,
    /// Left out.
    Skip,
    /// Tried first; in a split one of those that may be.
    Use,
}

/// The template that would make the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateFacts {
    /// Its name.
    pub name: String,
    /// Language of the text found.
    pub language: String,
    /// The text was written for this application.
    pub client_specific: bool,
}

/// What the text would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TextFacts {
    /// Its encoding.
    pub encoding: Encoding,
    /// Parts.
    pub segments: u16,
    /// Units in the encoding.
    pub units: usize,
}

/// Explains what would become of `request`. Without any content in it (text, code, template, variables) the text is
/// left open, and the rest is explained all the same.
pub fn explain(request: SendRequest, tenant: &Arc<Tenant>, plan: &Plan, now: UnixMs) -> Explanation {
    explain_with(request, tenant, plan, now, &Unmeasured)
}

/// [`explain`] with what was measured, which decides on routes that `prefer` something.
pub fn explain_with(
    request: SendRequest,
    tenant: &Arc<Tenant>,
    plan: &Plan,
    now: UnixMs,
    measures: &dyn Measures,
) -> Explanation {
    let mut explanation = Explanation::default();
    if let Ok(to) = recipient(&request.to, tenant.default_country) {
        let number = NumberFacts { masked: to.to_string(), country: to.country(), kind: to.number_type() };
        explanation.number = Some(number);
    }
    let has_content =
        request.text.is_some() || request.code.is_some() || request.template.is_some() || !request.variables.is_empty();
    let selected = admit(request, tenant, plan, now).and_then(|admitted| {
        explanation.rules = verdicts(&admitted, plan, now);
        select(admitted, plan, now)
    });
    match selected {
        Ok(selected) => explanation.explain_selected(&selected, plan, has_content, measures),
        Err(refusal) => explanation.refuse(refusal),
    }
    explanation
}

impl Explanation {
    fn explain_selected(&mut self, selected: &Selected<'_>, plan: &Plan, has_content: bool, measures: &dyn Measures) {
        let (admitted, rule) = (selected.admitted(), selected.rule());
        self.rule = Some(rule.id.clone());
        match choose(selected, plan) {
            Ok(chosen) => {
                self.template = chosen.map(|chosen| TemplateFacts {
                    name: chosen.template.name().to_owned(),
                    language: chosen.language.to_string(),
                    client_specific: chosen.client_specific,
                });
            }
            Err(problem) if !has_content => self.problems.push(problem),
            Err(_) => {} // composing will say so
        }
        let mut text = None;
        if has_content {
            match compose(selected, plan) {
                Ok(content) => text = Some(content.segmentation),
                Err(refusal) => self.refuse(refusal),
            }
        }
        self.text = text.map(TextFacts::from);
        match sender_for(admitted, rule) {
            Ok(sender) => {
                let need = Need::new(admitted, &sender, text);
                let lineup = Lineup::of(rule, &need, plan);
                let country = admitted.to().country();
                self.candidates = candidates(&lineup, rule, |name| measures.of(name, country));
                if lineup.ranked().is_empty() {
                    self.refuse(lineup.refusal(rule));
                }
                self.sender = Some(sender);
            }
            Err(problem) if self.problems.is_empty() => self.problems.push(problem),
            Err(_) => {}
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.problems.extend(refusal.problems);
    }
}

impl From<Segmentation> for TextFacts {
    fn from(text: Segmentation) -> Self {
        Self { encoding: text.encoding, segments: text.segments, units: text.units }
    }
}

fn verdicts(admitted: &Admitted, plan: &Plan, now: UnixMs) -> Vec<RuleVerdict> {
    let facts = Facts::new(admitted, now);
    let mut reached = true;
    let verdict = |rule: &crate::plan::Rule| {
        let (matched, why) = match facts.mismatch(&rule.when) {
            _ if !reached => (false, "not reached".to_owned()),
            Some(condition) => (false, facts.mismatch_words(condition, &rule.when)),
            None => (true, facts.match_words(&rule.when)),
        };
        reached &= !matched;
        RuleVerdict { id: rule.id.clone(), matched, why }
    };
    plan.rules.iter().map(verdict).collect()
}

fn candidates(lineup: &Lineup<'_>, rule: &Rule, measured: impl Fn(&ProviderName) -> Measured) -> Vec<Candidate> {
    let weights = lineup.weights();
    let mut ranked = lineup.ranked();
    let mut order: Vec<&ProviderName> = ranked.iter().map(|(name, _)| *name).collect();
    let preferred = prefer(&mut order, rule.prefer, &measured, None);
    ranked.sort_by_key(|(name, _)| order.iter().position(|ordered| ordered == name));
    let shown = |name: &ProviderName| (rule.prefer != Prefer::None).then(|| measured(name));
    let mut before: Option<&ProviderName> = None;
    let mut candidates = Vec::new();
    for (provider, weight) in ranked {
        let share = match &rule.choice {
            // Nothing is drawn where measurements decide.
            Choice::Split(_) if weights > 0 && preferred.is_none() => Some(percent(weight, weights)),
            Choice::Split(_) | Choice::Use(_) => None,
        };
        let (decision, why) = match (before, share) {
            (_, Some(share)) if weight > 0 => {
                (CandidateDecision::Use, format!("first for {share} % of messages, else fail-over"))
            }
            (None, _) => (CandidateDecision::Use, preferred.clone().unwrap_or_else(|| "first".to_owned())),
            (Some(before), _) => (CandidateDecision::Next, format!("if {before} fails")),
        };
        before = Some(provider);
        candidates.push(Candidate { provider: provider.clone(), decision, why, share, measured: shown(provider) });
    }
    let skipped = lineup.entries().iter().filter_map(|(provider, fit)| Some((*provider, fit.err()?)));
    candidates.extend(skipped.map(|(provider, skip)| Candidate {
        provider: provider.clone(),
        decision: CandidateDecision::Skip,
        why: skip.words(),
        share: None,
        measured: None,
    }));
    candidates
}

/// To one decimal.
#[expect(clippy::cast_precision_loss, reason = "weights are small, and this is shown to people")]
fn percent(weight: u32, weights: u64) -> f64 {
    (f64::from(weight) * 1000.0 / weights as f64).round() / 10.0
}
