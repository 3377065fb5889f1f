//! Which limits apply to a message, under which key, and how a limit's refusal reads. Counts nothing itself.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use sms_core::store::Charge;

use crate::admission::Admitted;
use crate::plan::{Dimension, Limit, Plan};
use crate::refusal::{Code, Problem, Refusal};

/// One charge for each limit whose whole key the request carries.
pub(super) fn charges(admitted: &Admitted, plan: &Plan) -> Vec<Charge> {
    if plan.test_numbers_unlimited && admitted.to().is_test() {
        return Vec::new();
    }
    let charge = |limit: &Limit| {
        Some(Charge {
            limit: limit.id.clone(),
            key: key(&limit.per, admitted)?,
            windows: Arc::clone(&limit.windows),
            charging: limit.charging,
        })
    };
    plan.limits.iter().filter_map(charge).collect()
}

/// The refusal of a request that found `limit` exhausted.
pub(crate) fn limit_refusal(limit: &Limit, retry_after: Duration) -> Refusal {
    // The ledger's last millisecond is the clock's resolution; it is over before an answer has reached the caller.
    let retry_after = retry_after.saturating_sub(Duration::from_millis(1));
    let (code, counted) = blame(&limit.per);
    let windows: Vec<String> = limit.windows.iter().map(ToString::to_string).collect();
    let seconds = retry_after.as_millis().div_ceil(1000).max(1);
    let problem = Problem::new(
        code,
        "",
        format!("{counted} already got as many messages as limit {} ({}) allows.", limit.id, windows.join(", ")),
        format!("Try again in {seconds} s; nothing was sent or counted this time."),
    );
    Refusal { problems: vec![problem], limit: Some(limit.id.clone()), retry_after: Some(retry_after) }
}

/// Whom a limit protects, by what it counts: the most particular fact decides.
fn blame(per: &[Dimension]) -> (Code, &'static str) {
    let has = |dimension| per.contains(&dimension);
    if has(Dimension::Recipient) {
        (Code::RecipientRateLimited, "This number")
    } else if has(Dimension::EndUser) || has(Dimension::Ip) {
        (Code::EndUserRateLimited, "The person or device asking")
    } else if has(Dimension::Country) || has(Dimension::Prefix) {
        (Code::DestinationRateLimited, "This destination")
    } else {
        (Code::TenantRateLimited, "This tenant or application")
    }
}

/// The values of all dimensions as one text that no other combination of values gives; `None` when the request lacks
/// one of them. The order in which the configuration lists the dimensions does not matter.
fn key(per: &[Dimension], admitted: &Admitted) -> Option<String> {
    let mut dimensions = per.to_vec();
    dimensions.sort_unstable();
    dimensions.dedup();
    let mut key = String::with_capacity(64);
    for dimension in dimensions {
        if !key.is_empty() {
            key.push('&');
        }
        key.push_str(dimension.as_str());
        key.push('=');
        push_value(&mut key, dimension, admitted)?;
    }
    Some(key)
}

fn push_value(key: &mut String, dimension: Dimension, admitted: &Admitted) -> Option<()> {
    let request = admitted.request();
    // Writing to a String cannot fail.
    match dimension {
        Dimension::ClientId => push_escaped(key, request.client_id.as_deref()?),
        Dimension::Country => key.push_str(admitted.to().country().as_str()),
        Dimension::EndUser => push_escaped(key, request.end_user.id.as_deref().filter(|id| !id.is_empty())?),
        Dimension::Ip => write!(key, "{}", network(request.end_user.ip?)).unwrap_or_default(),
        Dimension::Prefix => write!(key, "{}", admitted.to().digits() / 10_000).unwrap_or_default(),
        Dimension::Recipient => write!(key, "{}", admitted.to().digits()).unwrap_or_default(),
        Dimension::Tenant => push_escaped(key, admitted.tenant().id.as_str()),
    }
    Some(())
}

/// Free text must not be able to spell another key.
fn push_escaped(key: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '%' => key.push_str("%25"),
            '&' => key.push_str("%26"),
            '=' => key.push_str("%3D"),
            other => key.push(other),
        }
    }
}

/// A device changes its IPv6 address at will, but within its /64.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}
