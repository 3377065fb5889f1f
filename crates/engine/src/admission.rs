//! The first stage: decides everything about a request that needs no store, template or route.
//! Reports all problems at once. Must never echo a number, text or code, and never writes.

mod fields;
mod recipient;
mod sender;
#[cfg(test)]
mod tests;

pub(crate) use fields::{TEXT_CHARS_MAX, VALUE_CHARS_MAX};
pub(crate) use recipient::recipient;
pub(crate) use sender::allows as sender_allowed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sms_core::{Msisdn, Sender, UnixMs};

use crate::plan::{Language, Plan, Rule, Tenant};
use crate::refusal::{Code, Problem, Refusal, all};
use crate::request::SendRequest;

/// A request whose tenant, number and content are in order.
#[derive(Clone)]
pub struct Admitted {
    request: SendRequest,
    tenant: Arc<Tenant>,
    to: Msisdn,
    languages: Vec<Language>,
    sender: Option<Sender>,
    sender_hint: Option<Sender>,
    ttl: Duration,
    received: UnixMs,
}

/// Checks a request against what its tenant may do.
///
/// # Errors
/// Everything that is wrong with it, the most important problem first.
pub(crate) fn admit(request: SendRequest, tenant: &Arc<Tenant>, plan: &Plan, now: UnixMs) -> Result<Admitted, Refusal> {
    let to = recipient(&request.to, tenant.default_country);
    let (sender, sender_problem) = sender::wanted(request.sender.as_deref(), tenant);
    let mut problems: Vec<Problem> = sender_problem.into_iter().collect();
    problems.extend(client_problem(&request, tenant));
    problems.extend(to.as_ref().ok().and_then(|to| country_problem(*to, plan)));
    problems.extend(to.as_ref().err().cloned());
    fields::check(&request, &mut problems);
    problems.sort_by_key(|problem| rank(problem.code));
    match (to, all(problems)) {
        (Ok(to), None) => Ok(Admitted {
            to,
            languages: request.language.as_deref().map(Language::parse_list).unwrap_or_default(),
            sender,
            sender_hint: sender::hinted(request.sender_hint.as_deref(), tenant),
            ttl: request.ttl_s.map_or_else(|| request.class.ttl_default(), Duration::from_secs),
            received: now,
            tenant: Arc::clone(tenant),
            request,
        }),
        (Ok(_) | Err(_), Some(refusal)) => Err(refusal),
        (Err(problem), None) => Err(problem.into()),
    }
}

impl Admitted {
    /// The request, as it came in.
    pub(crate) fn request(&self) -> &SendRequest {
        &self.request
    }

    /// Whose request it is.
    pub(crate) fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// Who receives the message.
    pub(crate) fn to(&self) -> Msisdn {
        self.to
    }

    /// The languages asked for, best first; may be empty.
    pub(crate) fn languages(&self) -> &[Language] {
        &self.languages
    }

    /// The language that routing and the `locale` variable go by: the best asked for, else the tenant's first.
    pub(crate) fn language(&self) -> Option<&Language> {
        self.languages.first().or_else(|| self.tenant.languages.first())
    }

    /// The sender asked for; the tenant may use it.
    pub(crate) fn sender(&self) -> Option<&Sender> {
        self.sender.as_ref()
    }

    /// The platform's default sender, where the tenant may use it.
    pub(crate) fn sender_hint(&self) -> Option<&Sender> {
        self.sender_hint.as_ref()
    }

    /// Takes the rule's time to live where the request names none.
    #[must_use]
    pub(crate) fn living_by(mut self, rule: &Rule) -> Self {
        if let (None, Some(ttl)) = (self.request.ttl_s, rule.ttl.of(self.request.class)) {
            self.ttl = ttl;
        }
        self
    }

    /// How long the message may wait for a provider.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// When the request came in.
    pub(crate) fn received(&self) -> UnixMs {
        self.received
    }

    /// Gives the request away, at the end of the pipeline.
    pub(crate) fn into_request(self) -> SendRequest {
        self.request
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("tenant", &self.tenant.id).field("to", &self.to).finish_non_exhaustive()
    }
}

fn client_problem(request: &SendRequest, tenant: &Tenant) -> Option<Problem> {
    let (id, clients) = (request.client_id.as_ref()?, tenant.clients.as_ref()?);
    (!clients.contains(id)).then(|| {
        Problem::new(
            Code::ForbiddenClient,
            "client_id",
            "The tenant may not send for this client_id.",
            "Use a client_id that is listed under the tenant's `clients`, or have this one added there.",
        )
    })
}

fn country_problem(to: Msisdn, plan: &Plan) -> Option<Problem> {
    let country = to.country();
    (!plan.countries.allows(country)).then(|| {
        Problem::new(
            Code::CountryNotAllowed,
            "to",
            format!("Messages to {country} are not allowed here."),
            format!("If they should be, have {country} allowed under `[countries]`; else send to another number."),
        )
    })
}

/// What the caller may not do comes before what is wrong with the request, the recipient before its other fields.
fn rank(code: Code) -> usize {
    const FIRST: [Code; 4] =
        [Code::ForbiddenClient, Code::CountryNotAllowed, Code::InvalidRecipient, Code::SenderNotAllowed];
    FIRST.iter().position(|first| *first == code).unwrap_or(FIRST.len())
}
