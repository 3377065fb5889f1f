//! Which providers of a rule can take a message, and in which order.

use std::collections::BTreeMap;
use std::time::Duration;

use sms_core::{Capabilities, Channel, Encoding, MessageId, UnixMs};

use crate::plan::{Plan, Webhook, When};
use crate::refusal::{Code, Refusal};
use crate::request::SendRequest;
use crate::route::Routed;
use crate::route::fixtures::{
    ABLE, noon, plan, provider, provider_of, rule, run, run_at, sender, split, tenant, text_to,
};

const SWISS: &str = "+41781234567";
const FICTION: &str = "+447700900123";

fn ask() -> SendRequest {
    text_to(SWISS, "Your code is 123456")
}

/// A plan whose only rule uses all of `providers`, in order.
fn plan_of(providers: &[(&str, Capabilities)]) -> Plan {
    let mut plan = plan();
    plan.providers = providers.iter().map(|(name, abilities)| provider(name, *abilities)).collect();
    let names: Vec<&str> = providers.iter().map(|(name, _)| *name).collect();
    plan.rules = vec![rule("all", When::default(), &names)];
    plan
}

fn names(routed: &Routed) -> Vec<&str> {
    routed.candidates().iter().map(sms_core::ProviderName::as_str).collect()
}

fn refusal(request: SendRequest, plan: &Plan) -> Refusal {
    run(request, plan).unwrap_err()
}

#[test]
fn providers_come_in_the_order_written() {
    let routed = run(ask(), &plan_of(&[("z", ABLE), ("a", ABLE), ("m", ABLE)])).unwrap();
    assert_eq!(names(&routed), ["z", "a", "m"]);
    assert_eq!(routed.trace().why, "rule `all` matched; z first");
}

#[test]
fn a_provider_that_cannot_take_the_message_is_left_out_with_its_reason() {
    let lacking = |change: fn(&mut Capabilities)| {
        let mut abilities = ABLE;
        change(&mut abilities);
        abilities
    };
    let cases: [(&str, SendRequest, Capabilities, &str); 5] = [
        ("encoding", text_to(SWISS, "код 123456"), lacking(|c| c.encodings = &[Encoding::Gsm7]), "does not carry ucs2"),
        (
            "length",
            text_to(SWISS, &"é".repeat(161)),
            lacking(|c| c.body_units_max = 160),
            "takes 160 units at most, the text has 161",
        ),
        ("sender", ask(), lacking(|c| c.alphanumeric_sender = false), "does not take a sender of letters"),
        ("channel", ask(), lacking(|c| c.channels = &[Channel::Voice]), "does not serve channel sms"),
        ("test", text_to(FICTION, "x"), ABLE, "must not be given test numbers; only a mock provider may"),
    ];
    for (what, request, abilities, reason) in cases {
        let other = lacking(|c| c.test_numbers = true);
        let routed = run(request, &plan_of(&[("poor", abilities), ("able", other)])).unwrap();
        assert_eq!(names(&routed), ["able"], "{what}");
        assert_eq!(routed.trace().why, format!("rule `all` matched; able first; poor {reason}"));
    }
}

#[test]
fn what_fits_exactly_is_taken() {
    let short = Capabilities { body_units_max: 160, ..ABLE };
    assert!(run(text_to(SWISS, &"é".repeat(160)), &plan_of(&[("mitto", short)])).is_ok());
    let numeric = Capabilities { alphanumeric_sender: false, ..ABLE };
    let mut plan = plan_of(&[("mitto", numeric)]);
    let mut acme = tenant("acme");
    acme.senders = vec![sender("+12025550100")];
    plan.tenants.insert(acme.id.clone(), acme.into());
    assert!(run(ask(), &plan).is_ok());
}

#[test]
fn providers_of_other_tenants_and_missing_ones_are_left_out() {
    let mut plan = plan();
    plan.providers.extend([provider_of("globex", "theirs"), provider_of("acme", "ours")]);
    plan.rules = vec![rule("all", When::default(), &["theirs", "ghost", "ours"])];
    assert_eq!(names(&run(ask(), &plan).unwrap()), ["ours"]);
    plan.rules = vec![rule("all", When::default(), &["theirs", "ghost"])];
    let refusal = refusal(ask(), &plan);
    assert_eq!(refusal.code(), Code::NoRoute);
    let detail = &refusal.problems[0].detail;
    assert!(detail.contains("theirs is not for this tenant") && detail.contains("ghost is not configured"), "{detail}");
}

#[test]
fn a_rule_without_providers_is_no_route() {
    let mut plan = plan();
    plan.rules = vec![rule("empty", When::default(), &[])];
    assert_eq!(refusal(ask(), &plan).code(), Code::NoRoute);
    plan.rules = vec![split("empty", When::default(), &[])];
    assert_eq!(refusal(ask(), &plan).code(), Code::NoRoute);
}

#[test]
fn test_numbers_go_to_mock_providers_only() {
    let mock = Capabilities { test_numbers: true, ..ABLE };
    let routed = run(text_to(FICTION, "x"), &plan_of(&[("mitto", ABLE), ("mock", mock)])).unwrap();
    assert_eq!(names(&routed), ["mock"]);
    assert_eq!(names(&run(ask(), &plan_of(&[("mitto", ABLE), ("mock", mock)])).unwrap()), ["mitto", "mock"]);
    let refusal = refusal(text_to(FICTION, "x"), &plan_of(&[("mitto", ABLE), ("twilio", ABLE)]));
    assert_eq!((refusal.code(), refusal.problems[0].field.as_str()), (Code::TestNumber, "to"));
}

#[test]
fn a_test_number_is_to_blame_only_where_a_real_one_would_pass() {
    let gsm = Capabilities { encodings: &[Encoding::Gsm7], ..ABLE };
    assert_eq!(refusal(text_to(FICTION, "код"), &plan_of(&[("gsm", gsm)])).code(), Code::NoRoute);
    assert_eq!(refusal(text_to(FICTION, "код"), &plan_of(&[("gsm", gsm), ("mitto", ABLE)])).code(), Code::TestNumber);
    let voice = SendRequest { channel: Channel::Voice, ..text_to(FICTION, "x") };
    assert_eq!(refusal(voice, &plan_of(&[("mitto", ABLE)])).code(), Code::ChannelNotSupported);
}

#[test]
fn voice_needs_a_provider_that_calls() {
    let calls = Capabilities { channels: &[Channel::Voice], ..ABLE };
    let voice = || SendRequest { channel: Channel::Voice, ..ask() };
    assert_eq!(names(&run(voice(), &plan_of(&[("mitto", ABLE), ("calls", calls)])).unwrap()), ["calls"]);
    let refusal_ = refusal(voice(), &plan_of(&[("mitto", ABLE), ("twilio", ABLE)]));
    assert_eq!((refusal_.code(), refusal_.problems[0].field.as_str()), (Code::ChannelNotSupported, "channel"));
    // One that calls, but not so: the channel is not to blame.
    let short = Capabilities { body_units_max: 3, ..calls };
    assert_eq!(refusal(voice(), &plan_of(&[("mitto", ABLE), ("calls", short)])).code(), Code::NoRoute);
}

fn plan_split(weights: &[(&str, u32)]) -> Plan {
    let mut plan = plan();
    plan.providers =
        weights.iter().filter(|(name, _)| *name != "ghost").map(|(name, _)| provider(name, ABLE)).collect();
    plan.rules = vec![split("split", When::default(), weights)];
    plan
}

/// How often each order comes out of 10,000 dice spread evenly.
fn orders(plan: &Plan) -> BTreeMap<Vec<String>, u32> {
    let mut orders = BTreeMap::new();
    for step in 0..10_000_u64 {
        let dice = u32::try_from((step << 32) / 10_000).unwrap();
        let routed = run_at(ask(), plan, noon(), dice).unwrap();
        let order = routed.candidates().iter().map(ToString::to_string).collect();
        *orders.entry(order).or_insert(0) += 1;
    }
    orders
}

fn count(orders: &BTreeMap<Vec<String>, u32>, order: &[&str]) -> u32 {
    let order: Vec<String> = order.iter().map(|name| (*name).to_owned()).collect();
    orders.get(&order).copied().unwrap_or(0)
}

#[test]
fn a_split_draws_the_first_by_weight_and_fails_over_by_weight() {
    let orders = orders(&plan_split(&[("light", 10), ("heavy", 60), ("middle", 30)]));
    assert_eq!(orders.len(), 3, "{orders:?}");
    for (order, expected) in [
        (["heavy", "middle", "light"], 6_000_u32),
        (["middle", "heavy", "light"], 3_000),
        (["light", "heavy", "middle"], 1_000),
    ] {
        assert!(count(&orders, &order).abs_diff(expected) <= 2, "{orders:?}");
    }
}

#[test]
fn the_weight_of_one_who_cannot_falls_to_the_others() {
    let orders = orders(&plan_split(&[("ghost", 50), ("a", 30), ("b", 20)]));
    assert!(count(&orders, &["a", "b"]).abs_diff(6_000) <= 2, "{orders:?}");
    assert!(count(&orders, &["b", "a"]).abs_diff(4_000) <= 2, "{orders:?}");
}

#[test]
fn weightless_providers_are_fail_over_only() {
    let one = orders(&plan_split(&[("spare", 0), ("main", 1), ("last", 0)]));
    assert_eq!(count(&one, &["main", "spare", "last"]), 10_000, "{one:?}");
    let none = orders(&plan_split(&[("a", 0), ("b", 0)]));
    assert_eq!(count(&none, &["a", "b"]), 10_000, "{none:?}");
}

#[test]
fn greatest_weights_and_dice_do_not_overflow() {
    let plan = plan_split(&[("a", u32::MAX), ("b", u32::MAX), ("c", 1)]);
    assert_eq!(names(&run_at(ask(), &plan, noon(), u32::MAX).unwrap()), ["b", "a", "c"]);
    assert_eq!(names(&run_at(ask(), &plan, noon(), 0).unwrap()), ["a", "b", "c"]);
    assert_eq!(run_at(ask(), &plan, noon(), 0).unwrap().trace().why, "rule `split` matched; a first by weight");
}

#[test]
fn the_stored_message_carries_what_was_decided() {
    let mut plan = plan();
    let mut acme = tenant("acme");
    acme.webhook = Some(Webhook {
        url: "https://a.example".to_owned(),
        private: false,
        secrets: Vec::new(),
        disable_after: Duration::from_hours(120),
    });
    plan.tenants.insert(acme.id.clone(), acme.into());
    let request = SendRequest {
        client_id: Some("web".to_owned()),
        language: Some("fr_CA, en".to_owned()),
        reference: Some("r1".to_owned()),
        ttl_s: Some(60),
        ..text_to(SWISS, "Ihr Code: 123456 €")
    };
    let created = UnixMs::new(1_000);
    let id = MessageId::new(created, [1; 10]);
    let routed = run(request, &plan).unwrap();
    assert_eq!(routed.received(), noon());
    let message = routed.into_new_message(id, created);
    assert_eq!((message.id, message.created, message.expires), (id, created, UnixMs::new(61_000)));
    assert_eq!((message.tenant.as_str(), message.to.expose().as_str()), ("acme", SWISS));
    assert_eq!(message.body.expose(), "Ihr Code: 123456 €");
    let details = message.details;
    assert_eq!((details.encoding, details.units, details.segments), (Encoding::Gsm7, 19, 1));
    assert_eq!(details.client_id.as_deref(), Some("web"));
    assert_eq!(details.language.as_deref(), Some("fr-ca"));
    assert_eq!(details.reference.as_deref(), Some("r1"));
    assert_eq!((details.template, details.notify), (None, true));
    assert_eq!((details.route.rule.as_str(), details.route.copies_max), ("default", 2));
}

#[test]
fn status_changes_are_told_where_somebody_listens() {
    let notify = |callback: Option<&str>| {
        let request = SendRequest { callback_url: callback.map(str::to_owned), ..ask() };
        let id = MessageId::new(noon(), [0; 10]);
        run(request, &plan()).unwrap().into_new_message(id, noon()).details.notify
    };
    assert!(!notify(None));
    assert!(notify(Some("https://a.example/sms")));
}

#[test]
fn a_routed_message_shows_neither_number_nor_text() {
    let shown = format!("{:?}", run(ask(), &plan()).unwrap());
    assert!(!shown.contains("781234567") && !shown.contains("123456"), "{shown}");
}
