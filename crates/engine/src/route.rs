//! Picks the providers a message may use, best first, and can say why. Knows no HTTP and no provider, and decides by
//! what it is given: the plan, the time and a die.

mod candidates;
mod charges;
mod explain;
#[cfg(test)]
pub(crate) mod fixtures;
mod matching;
mod routed;
#[cfg(test)]
mod tests;

pub(crate) use candidates::candidates;
pub(crate) use charges::limit_refusal;
pub use explain::{
    Candidate, CandidateDecision, Explanation, NumberFacts, RuleVerdict, TemplateFacts, TextFacts, explain,
    explain_with,
};
pub use routed::Routed;

use sms_core::UnixMs;

use crate::admission::Admitted;
use crate::plan::{Plan, Rule};
use crate::refusal::{Code, Problem, Refusal};
use matching::Facts;

/// An admitted request and the rule that decides about it.
#[derive(Clone, Debug)]
pub struct Selected<'p> {
    admitted: Admitted,
    rule: &'p Rule,
}

/// Finds the first rule whose conditions all hold.
///
/// # Errors
/// `no_route` when there is none.
pub(crate) fn select(admitted: Admitted, plan: &Plan, now: UnixMs) -> Result<Selected<'_>, Refusal> {
    let facts = Facts::new(&admitted, now);
    match plan.rules.iter().find(|rule| facts.mismatch(&rule.when).is_none()) {
        Some(rule) => Ok(Selected { admitted: admitted.living_by(rule), rule }),
        None => Err(Problem::new(
            Code::NoRoute,
            "",
            "No routing rule matches this request.",
            "Add a rule without `when` as the last of `[[routes]]`; `gateway routes explain` shows why each did not match.",
        )
        .into()),
    }
}

impl<'p> Selected<'p> {
    /// The request.
    pub(crate) fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// The rule.
    pub(crate) fn rule(&self) -> &'p Rule {
        self.rule
    }

    /// Takes it apart, at the end of the pipeline.
    pub(crate) fn into_admitted(self) -> Admitted {
        self.admitted
    }
}
