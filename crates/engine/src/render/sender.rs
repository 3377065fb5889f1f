//! Which sender a message shows when nobody, or somebody without the right, asked for one.

use sms_core::Sender;

use crate::admission::{Admitted, sender_allowed};
use crate::plan::{Rule, Tenant};
use crate::refusal::{Code, Problem};

/// The first of: the request's, the platform's, the rule's, the tenant's for the country, the tenant's first, one made
/// from the tenant's name.
///
/// # Errors
/// `sender_not_allowed` when not even the tenant's name makes a sender.
pub(crate) fn sender_for(admitted: &Admitted, rule: &Rule) -> Result<Sender, Problem> {
    let tenant = admitted.tenant();
    admitted
        .sender()
        .or_else(|| admitted.sender_hint())
        .or_else(|| rule.sender.as_ref().filter(|sender| may_impose(sender, tenant)))
        .or_else(|| tenant.sender_by_country.get(&admitted.to().country()))
        .or_else(|| tenant.senders.first())
        .cloned()
        .or_else(|| named_after(tenant))
        .ok_or_else(no_sender)
}

/// A rule may hold for many tenants; it must not put one's name on another's messages.
fn may_impose(sender: &Sender, tenant: &Tenant) -> bool {
    sender_allowed(tenant, sender) || (tenant.senders.is_empty() && tenant.sender_by_country.is_empty())
}

fn named_after(tenant: &Tenant) -> Option<Sender> {
    [tenant.name.as_str(), tenant.id.as_str()].into_iter().find_map(|name| {
        let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ' ').collect();
        let short: String = plain.trim().chars().take(SENDER_CHARS_MAX).collect();
        Sender::parse(&short).filter(|sender| !sender.is_numeric())
    })
}

const SENDER_CHARS_MAX: usize = 11;

fn no_sender() -> Problem {
    Problem::new(
        Code::SenderNotAllowed,
        "sender",
        "The tenant has no sender, and its name makes none.",
        "Configure the tenant's `senders`.",
    )
}
