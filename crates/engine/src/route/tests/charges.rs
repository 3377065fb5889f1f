//! Which limits a message is charged to, under which key, and how their refusals read.

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::Charging;
use sms_core::{LimitId, Window};

use crate::plan::{Dimension, Limit, Plan};
use crate::refusal::Code;
use crate::request::{EndUser, SendRequest};
use crate::route::fixtures::{ABLE, plan, provider, run, text_to};
use crate::route::limit_refusal;

const SWISS: &str = "+41781234567";

fn limit(per: &[Dimension]) -> Limit {
    let window = |text: &str| text.parse::<Window>().unwrap();
    Limit {
        id: LimitId::new("per_recipient"),
        per: per.to_vec(),
        windows: Arc::from([window("1/30s"), window("5/10m")]),
        charging: Charging::Block,
    }
}

fn plan_with(limits: Vec<Limit>) -> Plan {
    let mut plan = plan();
    plan.limits = limits;
    plan
}

/// Who asks, in all detail.
fn ask() -> SendRequest {
    SendRequest {
        client_id: Some("web".to_owned()),
        end_user: EndUser { ip: Some("192.0.2.7".parse().unwrap()), id: Some("u1".to_owned()), ..EndUser::default() },
        ..text_to(SWISS, "Your code is 123456")
    }
}

/// The key of a limit on `per`; `None` when the limit does not apply.
fn key(request: SendRequest, per: &[Dimension]) -> Option<String> {
    let plan = plan_with(vec![limit(per)]);
    let charges = run(request, &plan).unwrap().charges(&plan);
    assert!(charges.len() <= 1);
    charges.into_iter().next().map(|charge| charge.key)
}

fn with_ip(ip: &str) -> SendRequest {
    let mut request = ask();
    request.end_user.ip = Some(ip.parse().unwrap());
    request
}

#[test]
fn every_dimension_has_its_value() {
    for (dimension, expected) in [
        (Dimension::ClientId, "client_id=web"),
        (Dimension::Country, "country=CH"),
        (Dimension::EndUser, "end_user=u1"),
        (Dimension::Ip, "ip=192.0.2.7"),
        (Dimension::Prefix, "prefix=4178123"),
        (Dimension::Recipient, "recipient=41781234567"),
        (Dimension::Tenant, "tenant=acme"),
    ] {
        assert_eq!(key(ask(), &[dimension]).as_deref(), Some(expected));
    }
    assert_eq!(key(ask(), &[]).as_deref(), Some(""), "one for all");
}

#[test]
fn the_key_depends_neither_on_order_nor_on_spelling() {
    let expected = key(ask(), &[Dimension::Tenant, Dimension::Recipient]);
    assert_eq!(expected.as_deref(), Some("recipient=41781234567&tenant=acme"));
    assert_eq!(key(ask(), &[Dimension::Recipient, Dimension::Tenant, Dimension::Recipient]), expected);
    for spelling in [
        "0041 78 123 45 67",
        "tel:+41781234567",
        "+41 (0)78 123 45 67",
        "＋４１７８１２３４５６７",
        "+41781234567;ext=5",
    ] {
        let request = SendRequest { to: spelling.to_owned(), ..ask() };
        assert_eq!(key(request, &[Dimension::Tenant, Dimension::Recipient]), expected, "{spelling}");
    }
}

#[test]
fn a_limit_whose_key_the_request_lacks_does_not_apply() {
    let bare = || text_to(SWISS, "x");
    for dimension in [Dimension::ClientId, Dimension::EndUser, Dimension::Ip] {
        assert_eq!(key(bare(), &[Dimension::Tenant, dimension]), None, "{dimension:?}");
        assert!(key(ask(), &[Dimension::Tenant, dimension]).is_some(), "{dimension:?}");
    }
    let mut anonymous = ask();
    anonymous.end_user.id = Some(String::new());
    assert_eq!(key(anonymous, &[Dimension::EndUser]), None);
}

#[test]
fn a_callers_text_cannot_spell_another_key() {
    let per = [Dimension::ClientId, Dimension::EndUser];
    let of = |client: &str, user: &str| {
        let mut request = SendRequest { client_id: Some(client.to_owned()), ..ask() };
        request.end_user.id = Some(user.to_owned());
        key(request, &per).unwrap()
    };
    let tricky = ["a", "a&end_user=b", "a%26end_user=b", "a%26end_user%3Db", "%", "%25", "=", "&", ""];
    let mut keys: Vec<String> = Vec::new();
    for client in tricky {
        for user in tricky.iter().filter(|user| !user.is_empty()) {
            keys.push(of(client, user));
        }
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

#[test]
fn addresses_are_counted_by_what_one_person_has() {
    let of = |ip: &str| key(with_ip(ip), &[Dimension::Ip]).unwrap();
    assert_eq!(of("2001:db8:1:2:3:4:5:6"), "ip=2001:db8:1:2::");
    assert_eq!(of("2001:db8:1:2:ffff::1"), of("2001:db8:1:2::9"));
    assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
    assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
    assert_ne!(of("192.0.2.8"), of("192.0.2.7"));
}

#[test]
fn every_limit_that_applies_is_charged_with_its_own_terms() {
    let mut shadow = limit(&[Dimension::Country]);
    shadow.id = LimitId::new("shadowed");
    shadow.charging = Charging::Shadow;
    let plan = plan_with(vec![limit(&[Dimension::Recipient]), limit(&[Dimension::Ip]), shadow]);
    let charges = run(text_to(SWISS, "x"), &plan).unwrap().charges(&plan);
    let found: Vec<_> = charges.iter().map(|charge| (charge.limit.as_str(), charge.charging)).collect();
    assert_eq!(found, [("per_recipient", Charging::Block), ("shadowed", Charging::Shadow)]);
    assert_eq!(charges[0].windows, plan.limits[0].windows);
}

#[test]
fn test_numbers_are_exempt_only_where_the_plan_says_so() {
    let mut plan = plan_with(vec![limit(&[Dimension::Recipient])]);
    let mock = sms_core::Capabilities { test_numbers: true, ..ABLE };
    plan.providers = [provider("mitto", mock)].into();
    let charged = |to: &str, plan: &Plan| run(text_to(to, "x"), plan).unwrap().charges(plan).len();
    assert_eq!(charged("+447700900123", &plan), 1);
    plan.test_numbers_unlimited = true;
    assert_eq!(charged("+447700900123", &plan), 0);
    assert_eq!(charged(SWISS, &plan), 1);
}

#[test]
fn a_refusal_is_named_after_whom_the_limit_protects() {
    use Dimension::{ClientId, Country, EndUser, Ip, Prefix, Recipient, Tenant};
    for (per, code) in [
        (&[Tenant, Recipient][..], Code::RecipientRateLimited),
        (&[Ip, Recipient], Code::RecipientRateLimited),
        (&[Tenant, Ip], Code::EndUserRateLimited),
        (&[Country, EndUser], Code::EndUserRateLimited),
        (&[Tenant, Country], Code::DestinationRateLimited),
        (&[Prefix], Code::DestinationRateLimited),
        (&[Tenant, ClientId], Code::TenantRateLimited),
        (&[ClientId], Code::TenantRateLimited),
        (&[], Code::TenantRateLimited),
    ] {
        assert_eq!(limit_refusal(&limit(per), Duration::from_secs(1)).code(), code, "{per:?}");
    }
}

#[test]
fn a_refusal_tells_the_limit_and_when_to_ask_again() {
    let refusal = limit_refusal(&limit(&[Dimension::Recipient]), Duration::from_millis(12_001));
    assert_eq!(refusal.limit, Some(LimitId::new("per_recipient")));
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(12)));
    let problem = &refusal.problems[0];
    assert_eq!(
        problem.detail,
        "This number already got as many messages as limit per_recipient (1/30s, 5/10m) allows."
    );
    assert!(problem.fix.starts_with("Try again in 12 s"), "{}", problem.fix);
    let at_once = limit_refusal(&limit(&[]), Duration::ZERO);
    assert!(at_once.problems[0].fix.starts_with("Try again in 1 s"));
}
