//! Each condition, alone.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use sms_core::{Channel, Class, TenantId, UnixMs};

use crate::plan::{Hours, Plan, When};
use crate::refusal::Code;
use crate::request::SendRequest;
use crate::route::fixtures::{at, countries, language, noon, plan, rule, run_as, run_at, strings, tenant, text_to};

const SWISS: &str = "+41781234567";

/// A plan in which `when` decides between the rules `wanted` and `default`.
fn plan_with(when: When) -> Plan {
    let mut plan = plan();
    plan.rules.insert(0, rule("wanted", when, &["mitto"]));
    plan
}

fn matches_at(when: When, request: SendRequest, now: UnixMs) -> bool {
    run_at(request, &plan_with(when), now, 0).unwrap().trace().rule == "wanted"
}

fn matches(when: When, request: SendRequest) -> bool {
    matches_at(when, request, noon())
}

fn ask() -> SendRequest {
    text_to(SWISS, "Your code is 123456")
}

fn object(json: &Value) -> Map<String, Value> {
    json.as_object().unwrap().clone()
}

#[test]
fn a_rule_without_conditions_matches_and_the_first_match_wins() {
    assert!(matches(When::default(), ask()));
    let mut plan = plan_with(When { country: countries(&["DE"]), ..When::default() });
    plan.rules.push(rule("never reached", When::default(), &["mitto"]));
    assert_eq!(run_at(ask(), &plan, noon(), 0).unwrap().trace().rule, "default");
}

#[test]
fn no_matching_rule_is_no_route() {
    let mut plan = plan_with(When { country: countries(&["DE"]), ..When::default() });
    plan.rules.truncate(1);
    let refusal = run_at(ask(), &plan, noon(), 0).unwrap_err();
    assert_eq!(refusal.code(), Code::NoRoute);
    assert!(refusal.problems[0].fix.contains("routes explain"));
}

#[test]
fn all_conditions_must_hold_each_by_any_value() {
    let when =
        |clients: &[&str]| When { country: countries(&["DE", "CH"]), client_id: strings(clients), ..When::default() };
    let request = || SendRequest { client_id: Some("web".to_owned()), ..ask() };
    assert!(matches(when(&["ios", "web"]), request()));
    assert!(!matches(when(&["ios"]), request()));
    assert!(!matches(when(&["ios", "web"]), ask()), "no client_id is none of them");
}

#[test]
fn tenants_are_told_apart() {
    let mut plan = plan_with(When { tenant: vec![TenantId::new("globex")], ..When::default() });
    let globex = tenant("globex");
    plan.tenants.insert(globex.id.clone(), globex.into());
    let rule = |tenant| run_as(tenant, ask(), &plan, (noon(), 0)).unwrap().trace().rule.clone();
    assert_eq!((rule("globex"), rule("acme")), ("wanted".to_owned(), "default".to_owned()));
}

#[test]
fn a_language_covers_its_regions_and_only_the_best_asked_for_counts() {
    let when = |tag| When { language: vec![language(tag)], ..When::default() };
    let asked = |list: &str| SendRequest { language: Some(list.to_owned()), ..ask() };
    assert!(matches(when("fr"), asked("fr-CA")));
    assert!(matches(when("fr"), asked("de;q=0.3, fr_ca")));
    assert!(!matches(when("fr-ca"), asked("fr")));
    assert!(!matches(when("fr"), asked("de, fr;q=0.9")));
    assert!(matches(when("en"), ask()), "the tenant's first language stands in");
    assert!(!matches(when("fr"), ask()));
}

#[test]
fn prefixes_are_leading_digits_with_the_country_code() {
    let when = |prefix| When { prefix: strings(&["+1876", prefix]), ..When::default() };
    for good in ["41", "+4178", "41781234567"] {
        assert!(matches(when(good), ask()), "{good}");
    }
    for bad in ["78", "4179", "417812345678", "", "+", "041", "4x"] {
        assert!(!matches(when(bad), ask()), "{bad}");
    }
}

#[test]
fn channel_and_class_are_matched() {
    let voice = When { channel: vec![Channel::Voice], ..When::default() };
    assert!(!matches(voice, ask()));
    let bulk = || When { class: vec![Class::Transactional], ..When::default() };
    assert!(!matches(bulk(), ask()));
    assert!(matches(bulk(), SendRequest { class: Class::Transactional, ..ask() }));
}

#[test]
fn action_and_factor_are_matched_as_written() {
    let when = When { action: strings(&["enrollment"]), factor: strings(&["second"]), ..When::default() };
    let told = |action: &str, factor: &str| SendRequest {
        action: Some(action.to_owned()),
        factor: Some(factor.to_owned()),
        ..ask()
    };
    assert!(matches(when.clone(), told("enrollment", "second")));
    assert!(!matches(when.clone(), told("enrollment", "first")));
    assert!(!matches(when.clone(), told("login", "second")));
    assert!(!matches(when, ask()));
}

#[test]
fn metadata_of_the_client_come_before_the_requests_own() {
    let when = |value: &str| When {
        metadata: BTreeMap::from([("plan".to_owned(), strings(&["x", value]))]),
        ..When::default()
    };
    let both = |client: Value, own: Value| SendRequest {
        client_metadata: object(&client),
        metadata: Some(object(&own)),
        ..ask()
    };
    assert!(matches(when("gold"), both(json!({ "plan": "gold" }), json!({}))));
    assert!(matches(when("gold"), both(json!({}), json!({ "plan": "gold" }))));
    assert!(!matches(when("gold"), both(json!({ "plan": "tin" }), json!({ "plan": "gold" }))));
    assert!(matches(when("7"), both(json!({ "plan": 7 }), json!({}))));
    assert!(matches(when("true"), both(json!({ "plan": true }), json!({}))));
    assert!(!matches(when("gold"), both(json!({ "plan": ["gold"] }), json!({}))));
    assert!(!matches(when("null"), both(json!({ "plan": null }), json!({}))));
    assert!(!matches(when("gold"), ask()));
}

fn hours(from: u16, to: u16, zone: &str) -> When {
    let text = format!("{:02}:{:02}-{:02}:{:02} {zone}", from / 60, from % 60, to / 60, to % 60);
    let zone = TimeZone::get(zone).unwrap();
    When { hours: vec![Hours { from, to, zone, text }], ..When::default() }
}

#[test]
fn hours_wrap_over_midnight_on_the_local_clock_in_summer_and_winter() {
    let night = || hours(22 * 60, 6 * 60, "Europe/Prague");
    for (time, inside) in [
        ("2026-07-01T19:59:59Z", false), // 21:59 in summer
        ("2026-07-01T20:00:00Z", true),  // 22:00
        ("2026-07-01T22:30:00Z", true),  // 00:30
        ("2026-07-02T03:59:59Z", true),  // 05:59
        ("2026-07-02T04:00:00Z", false), // 06:00
        ("2026-12-01T20:30:00Z", false), // 21:30 in winter
        ("2026-12-01T21:00:00Z", true),  // 22:00
        ("2026-12-02T04:59:59Z", true),  // 05:59
        ("2026-12-02T05:00:00Z", false), // 06:00
        ("2026-03-29T00:59:59Z", true),  // 01:59, a second before the clocks go forward
        ("2026-03-29T01:00:00Z", true),  // 03:00
        ("2026-03-29T03:59:59Z", true),  // 05:59
        ("2026-03-29T04:00:00Z", false), // 06:00
        ("2026-10-25T00:30:00Z", true),  // 02:30, the first time
        ("2026-10-25T01:30:00Z", true),  // 02:30, the second time
        ("2026-10-25T05:00:00Z", false), // 06:00
    ] {
        assert_eq!(matches_at(night(), ask(), at(time)), inside, "{time}");
    }
}

#[test]
fn hours_within_a_day_end_before_their_last_minute() {
    let office = || hours(9 * 60, 17 * 60 + 30, "America/New_York");
    for (time, inside) in [
        ("2026-11-24T13:59:59Z", false),
        ("2026-11-24T14:00:00Z", true),
        ("2026-11-24T22:29:59Z", true),
        ("2026-11-24T22:30:00Z", false),
    ] {
        assert_eq!(matches_at(office(), ask(), at(time)), inside, "{time}");
    }
    let mut either = office();
    either.hours.extend(hours(0, 60, "Asia/Kolkata").hours);
    assert!(matches_at(either, ask(), at("2026-11-24T18:45:00Z")), "00:15 in India");
}

#[test]
fn an_impossible_time_matches_no_hours() {
    assert!(!matches_at(hours(0, 24 * 60, "UTC"), ask(), UnixMs::new(i64::MAX)));
}
