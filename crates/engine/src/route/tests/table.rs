//! One plan with many rules, and what it does with many requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::json;
use sms_core::{Body, Capabilities, Channel, Class, Encoding, TenantId};

use super::explaining::agree;
use crate::plan::{Hours, Plan, Tenant, When};
use crate::refusal::Code;
use crate::request::SendRequest;
use crate::route::fixtures::{
    ABLE, at, countries, country, language, noon, plan, provider, provider_of, request, rule, run_as, sender, spec,
    split, strings, templates, tenant, text_to,
};

pub(super) const US: &str = "+12025550123";
pub(super) const CZ: &str = "+420601123456";
pub(super) const CH: &str = "+41781234567";
pub(super) const DE: &str = "+4915123456789";
pub(super) const FR: &str = "+33612345678";
pub(super) const JM: &str = "+18762101234";
pub(super) const FICTION: &str = "+447700900123";

pub(super) const EVENING: &str = "2026-11-24T21:30:00Z"; // 22:30 in Prague

pub(super) fn big_plan() -> Plan {
    let mut plan = plan();
    let numeric = Capabilities { alphanumeric_sender: false, ..ABLE };
    let gsm = Capabilities { encodings: &[Encoding::Gsm7], body_units_max: 160, ..ABLE };
    let calls = Capabilities { channels: &[Channel::Voice], ..ABLE };
    let mock = Capabilities { test_numbers: true, ..ABLE };
    plan.providers = BTreeMap::from([
        provider("mitto", ABLE),
        provider("twilio", numeric),
        provider("o2", gsm),
        provider("calls", calls),
        provider("mock", mock),
        provider_of("globex", "private"),
    ]);
    let hours = Hours {
        from: 22 * 60,
        to: 6 * 60,
        zone: TimeZone::get("Europe/Prague").unwrap(),
        text: "22:00-06:00 Europe/Prague".to_owned(),
    };
    let any = When::default;
    let french = When { client_id: strings(&["ios_app"]), language: vec![language("fr")], ..any() };
    let enrol = When { action: strings(&["enrollment"]), factor: strings(&["second"]), ..any() };
    let gold = When { metadata: BTreeMap::from([("plan".to_owned(), strings(&["gold", "7"]))]), ..any() };
    let mut french = rule("french_app", french, &["mitto", "o2"]);
    french.template = Some("otp".to_owned());
    plan.rules = vec![
        rule("us_only", When { country: countries(&["US", "CA"]), ..any() }, &["twilio", "mitto"]),
        rule("night_cheap", When { hours: vec![hours], country: countries(&["CZ"]), ..any() }, &["o2", "mitto"]),
        french,
        rule("islands", When { prefix: strings(&["+1876"]), ..any() }, &["twilio"]),
        rule("calls", When { channel: vec![Channel::Voice], ..any() }, &["calls"]),
        rule("enrol", enrol, &["o2", "mitto"]),
        rule("gold", gold, &["mitto"]),
        rule("globex", When { tenant: vec![TenantId::new("globex")], ..any() }, &["private", "mitto"]),
        rule("bulk", When { class: vec![Class::Transactional], ..any() }, &["ghost", "o2", "mitto"]),
        split("german", When { country: countries(&["DE", "AT"]), ..any() }, &[("mitto", 80), ("o2", 20)]),
        rule("fiction", When { prefix: strings(&["4477009"]), ..any() }, &["mitto", "mock"]),
        rule("default", any(), &["mitto", "twilio"]),
    ];
    let mut otp = spec("otp", &[("en", "{{ code }} is your code."), ("fr", "{{ code }} est votre code.")]);
    otp.clients.insert("ios_app".to_owned(), [(language("fr"), "<#> {{ code }}".to_owned())].into());
    plan.templates = templates(vec![otp, spec("name", &[("en", "Hi {{ user.name }}, {{ code }}")])]);
    plan.countries.block.insert(country("KP"));
    let acme = Tenant {
        clients: Some(BTreeSet::from(["ios_app".to_owned(), "web".to_owned()])),
        senders: vec![sender("Acme"), sender("+12025550100")],
        sender_by_country: [(country("US"), sender("+12025550100"))].into(),
        languages: vec![language("en"), language("fr")],
        ..tenant("acme")
    };
    plan.tenants = [acme, tenant("globex")].into_iter().map(|tenant| (tenant.id.clone(), Arc::new(tenant))).collect();
    plan
}

/// What is asked, and who should take it: rule and providers, or the refusal.
struct Case {
    what: &'static str,
    tenant: &'static str,
    time: Option<&'static str>,
    request: SendRequest,
    expected: Result<(&'static str, &'static [&'static str]), Code>,
}

fn case(
    what: &'static str,
    request: SendRequest,
    expected: Result<(&'static str, &'static [&'static str]), Code>,
) -> Case {
    Case { what, tenant: "acme", time: None, request, expected }
}

pub(super) fn to(number: &str) -> SendRequest {
    text_to(number, "Your code is 123456")
}

pub(super) fn with(number: &str, change: impl FnOnce(&mut SendRequest)) -> SendRequest {
    let mut request = to(number);
    change(&mut request);
    request
}

fn text(number: &str, text: &str) -> SendRequest {
    text_to(number, text)
}

pub(super) fn app(request: &mut SendRequest) {
    request.client_id = Some("ios_app".to_owned());
    request.language = Some("fr-CA".to_owned());
    request.code = Some(Body::new("123456".to_owned()));
}

fn by_place_and_time() -> Vec<Case> {
    vec![
        case("US has its own sender", to(US), Ok(("us_only", &["twilio", "mitto"]))),
        case("letters in the US", with(US, |r| r.sender = Some("Acme".into())), Ok(("us_only", &["mitto"]))),
        case("Canada", to("+14165550123"), Ok(("us_only", &["mitto"]))),
        case("Jamaica is not the US", to(JM), Err(Code::NoRoute)),
        case(
            "Jamaica from a number",
            with(JM, |r| r.sender = Some("+12025550100".into())),
            Ok(("islands", &["twilio"])),
        ),
        case("Czechia by day", to(CZ), Ok(("default", &["mitto"]))),
        Case { time: Some(EVENING), ..case("Czechia by night", to(CZ), Ok(("night_cheap", &["o2", "mitto"]))) },
        Case {
            time: Some(EVENING), ..case("Slavic by night", text(CZ, "Váš kód"), Ok(("night_cheap", &["mitto"])))
        },
        Case { time: Some(EVENING), ..case("Swiss by night", to(CH), Ok(("default", &["mitto"]))) },
        Case { time: Some("2026-11-25T05:00:00Z"), ..case("the morning", to(CZ), Ok(("default", &["mitto"]))) },
        Case {
            time: Some("2026-11-25T04:59:59Z"),
            ..case("a second before", to(CZ), Ok(("night_cheap", &["o2", "mitto"])))
        },
        case("Switzerland", to(CH), Ok(("default", &["mitto"]))),
        case(
            "from a number",
            with(CH, |r| r.sender = Some("+12025550100".into())),
            Ok(("default", &["mitto", "twilio"])),
        ),
        case("France without the app", with(FR, |r| r.language = Some("fr".into())), Ok(("default", &["mitto"]))),
        case("Germany", to(DE), Ok(("german", &["mitto", "o2"]))),
        case("Austria", to("+436641234567"), Ok(("german", &["mitto", "o2"]))),
        case("Germany in Cyrillic", text(DE, "код"), Ok(("german", &["mitto"]))),
        case("Germany at length", text(DE, &"a".repeat(161)), Ok(("german", &["mitto"]))),
        case("North Korea", to("+8501921234567"), Err(Code::CountryNotAllowed)),
    ]
}

fn by_app() -> Vec<Case> {
    let plain = |what, number, expected| case(what, with(number, app), expected);
    let but = |what, change: fn(&mut SendRequest), expected| {
        let mut request = with(FR, app);
        change(&mut request);
        case(what, request, expected)
    };
    let default: Result<(&str, &[&str]), Code> = Ok(("default", &["mitto"]));
    vec![
        plain("the French app", FR, Ok(("french_app", &["mitto", "o2"]))),
        plain("the app in Germany", DE, Ok(("french_app", &["mitto", "o2"]))),
        plain("the app in the US", US, Ok(("us_only", &["twilio", "mitto"]))),
        but("the app in German", |r| r.language = Some("de".into()), default),
        but("the app without language", |r| r.language = None, default),
        but("French in the browser", |r| r.client_id = Some("web".into()), default),
        but("the app without code", |r| r.code = None, Err(Code::UnknownVariable)),
        but("a foreign app", |r| r.client_id = Some("other".into()), Err(Code::ForbiddenClient)),
    ]
}

fn by_facts() -> Vec<Case> {
    let enrol = |factor: Option<&str>| SendRequest {
        action: Some("enrollment".to_owned()),
        factor: factor.map(str::to_owned),
        ..to(CH)
    };
    let plan = |number, client: &str, own: &str| SendRequest {
        client_metadata: json!({ "plan": client }).as_object().cloned().unwrap(),
        metadata: json!({ "plan": own }).as_object().cloned(),
        ..to(number)
    };
    let seven = SendRequest { metadata: json!({ "plan": 7 }).as_object().cloned(), ..to(CH) };
    let bulk = |request| SendRequest { class: Class::Transactional, ..request };
    vec![
        case("a second factor", enrol(Some("second")), Ok(("enrol", &["o2", "mitto"]))),
        case("a first factor", enrol(Some("first")), Ok(("default", &["mitto"]))),
        case("no factor", enrol(None), Ok(("default", &["mitto"]))),
        case("gold", plan(CH, "gold", "tin"), Ok(("gold", &["mitto"]))),
        case("gold in Germany", plan(DE, "gold", ""), Ok(("gold", &["mitto"]))),
        case("tin before gold", plan(CH, "tin", "gold"), Ok(("default", &["mitto"]))),
        case("seven", seven, Ok(("gold", &["mitto"]))),
        Case { tenant: "globex", ..case("globex", to(CH), Ok(("globex", &["private", "mitto"]))) },
        Case { tenant: "globex", ..case("globex in the US", to(US), Ok(("us_only", &["mitto"]))) },
        case("bulk", bulk(to(CH)), Ok(("bulk", &["o2", "mitto"]))),
        case("bulk in Germany", bulk(to(DE)), Ok(("bulk", &["o2", "mitto"]))),
        case("bulk with an emoji", bulk(text(CH, "🔑")), Ok(("bulk", &["mitto"]))),
    ]
}

fn by_channel_and_content() -> Vec<Case> {
    let template = |number: &str, name: &str| SendRequest {
        template: Some(name.to_owned()),
        code: Some(Body::new("123456".to_owned())),
        ..request(number)
    };
    vec![
        case("a call", with(CH, |r| r.channel = Channel::Voice), Ok(("calls", &["calls"]))),
        case("a call to the US", with(US, |r| r.channel = Channel::Voice), Err(Code::ChannelNotSupported)),
        case("a call to a test number", with(FICTION, |r| r.channel = Channel::Voice), Err(Code::TestNumber)),
        case("a test number", to(FICTION), Ok(("fiction", &["mock"]))),
        case("a test number in bulk", with(FICTION, |r| r.class = Class::Transactional), Err(Code::TestNumber)),
        case("a template", template(CH, "otp"), Ok(("default", &["mitto"]))),
        case("no such template", template(CH, "nope"), Err(Code::UnknownTemplate)),
        case("a missing name", template(CH, "name"), Err(Code::UnknownVariable)),
        case(
            "a link for a name",
            SendRequest { user: json!({ "name": "evil.com" }).as_object().cloned().unwrap(), ..template(CH, "name") },
            Err(Code::InvalidRequest),
        ),
        case("no content", request(CH), Err(Code::InvalidRequest)),
        case("no number", to("Anna"), Err(Code::InvalidRecipient)),
        case("a foreign sender", with(CH, |r| r.sender = Some("Bank".into())), Err(Code::SenderNotAllowed)),
        case("too long a life", with(CH, |r| r.ttl_s = Some(601)), Err(Code::InvalidRequest)),
        case("long", text(CH, &"ж".repeat(1_600)), Ok(("default", &["mitto"]))),
    ]
}

#[test]
fn a_table_of_cases_goes_where_it_should_and_explanations_agree() {
    let plan = big_plan();
    let cases: Vec<Case> =
        [by_place_and_time(), by_app(), by_facts(), by_channel_and_content()].into_iter().flatten().collect();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    for Case { what, tenant, time, request, expected } in cases {
        let now = time.map_or_else(noon, at);
        let found = run_as(tenant, request.clone(), &plan, (now, 0)).map_err(|refusal| refusal.code());
        let found = found.map(|routed| {
            let names: Vec<String> = routed.candidates().iter().map(ToString::to_string).collect();
            (routed.trace().rule.clone(), names)
        });
        assert_eq!(found, expected.map(|(rule, names)| (rule.to_owned(), strings(names))), "{what}");
        agree(tenant, &request, &plan, now);
    }
}
