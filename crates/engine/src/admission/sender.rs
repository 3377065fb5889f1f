//! Which senders a tenant may put on a message. Must never let one tenant write in another's name.

use sms_core::Sender;

use crate::plan::Tenant;
use crate::refusal::{Code, Problem};

/// Whether the tenant may use this sender.
pub(crate) fn allows(tenant: &Tenant, sender: &Sender) -> bool {
    tenant.senders.contains(sender) || tenant.sender_by_country.values().any(|own| own == sender)
}

/// The sender a request asks for, or why it may not have it.
pub(super) fn wanted(text: Option<&str>, tenant: &Tenant) -> (Option<Sender>, Option<Problem>) {
    let Some(text) = text else {
        return (None, None);
    };
    match Sender::parse(text) {
        Some(sender) if allows(tenant, &sender) => (Some(sender), None),
        Some(_) => (None, Some(refusal("The tenant may not use this sender.", tenant))),
        None => (
            None,
            Some(refusal(
                "`sender` is neither 1 to 11 letters, digits and spaces with at least one letter, nor 3 to 15 digits.",
                tenant,
            )),
        ),
    }
}

/// A platform's default sender counts only where the tenant may use it; nobody asked for it, so it is no fault.
pub(super) fn hinted(text: Option<&str>, tenant: &Tenant) -> Option<Sender> {
    Sender::parse(text?).filter(|sender| allows(tenant, sender))
}

fn refusal(detail: &str, tenant: &Tenant) -> Problem {
    let mut own: Vec<&str> =
        tenant.senders.iter().chain(tenant.sender_by_country.values()).map(Sender::as_str).collect();
    own.sort_unstable();
    own.dedup();
    let fix = if own.is_empty() {
        "Leave `sender` out: none is configured for this tenant.".to_owned()
    } else {
        format!("Leave `sender` out, or use one of the tenant's: {}.", own.join(", "))
    };
    Problem::new(Code::SenderNotAllowed, "sender", detail, fix)
}
