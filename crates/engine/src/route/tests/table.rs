//! One plan with many rules: what the pipeline does, and that explanations say the same.
#![expect(clippy::unwrap_used, reason = "tests' helpers")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::json;
use sms_core::{Body, Capabilities, Channel, Class, Encoding, TenantId, UnixMs};

use crate::plan::{Hours, Plan, Tenant, When};
use crate::refusal::Code;
use crate::request::SendRequest;
use crate::route::fixtures::{
    ABLE, at, countries, country, language, noon, plan, provider, provider_of, request, rule, run_as, sender, spec,
    split, strings, templates, tenant, text_to,
};
use crate::route::{CandidateDecision, Explanation, explain};

const US: &str = "+12025550123";
const CZ: &str = "+420601123456";
const CH: &str = "+41781234567";
const DE: &str = "+4915123456789";
const FR: &str = "+33612345678";
const JM: &str = "+18762101234";
const FICTION: &str = "+447700900123";

const EVENING: &str = "2026-11-24T21:30:00Z"; // 22:30 in Prague

fn big_plan() -> Plan {
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

fn to(number: &str) -> SendRequest {
    text_to(number, "Your code is 123456")
}

fn with(number: &str, change: impl FnOnce(&mut SendRequest)) -> SendRequest {
    let mut request = to(number);
    change(&mut request);
    request
}

fn text(number: &str, text: &str) -> SendRequest {
    text_to(number, text)
}

fn app(request: &mut SendRequest) {
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

fn by_who_and_why() -> Vec<Case> {
    let metadata = |value: serde_json::Value| json!({ "plan": value }).as_object().cloned().unwrap();
    vec![
        case("the French app", with(FR, app), Ok(("french_app", &["mitto", "o2"]))),
        case("the app in Germany", with(DE, app), Ok(("french_app", &["mitto", "o2"]))),
        case("the app in the US", with(US, app), Ok(("us_only", &["twilio", "mitto"]))),
        case(
            "the app in German",
            with(FR, |r| {
                app(r);
                r.language = Some("de".into())
            }),
            Ok(("default", &["mitto"])),
        ),
        case(
            "the app without language",
            with(FR, |r| {
                app(r);
                r.language = None
            }),
            Ok(("default", &["mitto"])),
        ),
        case(
            "French in the browser",
            with(FR, |r| {
                app(r);
                r.client_id = Some("web".into())
            }),
            Ok(("default", &["mitto"])),
        ),
        case(
            "the app without code",
            with(FR, |r| {
                app(r);
                r.code = None
            }),
            Err(Code::UnknownVariable),
        ),
        case("a foreign app", with(FR, |r| r.client_id = Some("other".into())), Err(Code::ForbiddenClient)),
        case(
            "a second factor",
            with(CH, |r| {
                r.action = Some("enrollment".into());
                r.factor = Some("second".into())
            }),
            Ok(("enrol", &["o2", "mitto"])),
        ),
        case(
            "a first factor",
            with(CH, |r| {
                r.action = Some("enrollment".into());
                r.factor = Some("first".into())
            }),
            Ok(("default", &["mitto"])),
        ),
        case("no factor", with(CH, |r| r.action = Some("enrollment".into())), Ok(("default", &["mitto"]))),
        case("gold", with(CH, |r| r.client_metadata = metadata(json!("gold"))), Ok(("gold", &["mitto"]))),
        case("seven", with(CH, |r| r.metadata = Some(metadata(json!(7)))), Ok(("gold", &["mitto"]))),
        case(
            "tin before gold",
            with(CH, |r| {
                r.client_metadata = metadata(json!("tin"));
                r.metadata = Some(metadata(json!("gold")))
            }),
            Ok(("default", &["mitto"])),
        ),
        case("gold in Germany", with(DE, |r| r.client_metadata = metadata(json!("gold"))), Ok(("gold", &["mitto"]))),
        Case { tenant: "globex", ..case("globex", to(CH), Ok(("globex", &["private", "mitto"]))) },
        Case { tenant: "globex", ..case("globex in the US", to(US), Ok(("us_only", &["mitto"]))) },
        case("bulk", with(CH, |r| r.class = Class::Transactional), Ok(("bulk", &["o2", "mitto"]))),
        case("bulk in Germany", with(DE, |r| r.class = Class::Transactional), Ok(("bulk", &["o2", "mitto"]))),
        case(
            "bulk with an emoji",
            with(CH, |r| {
                r.class = Class::Transactional;
                r.text = Some(Body::new("🔑".into()))
            }),
            Ok(("bulk", &["mitto"])),
        ),
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
        [by_place_and_time(), by_who_and_why(), by_channel_and_content()].into_iter().flatten().collect();
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

/// Runs both and compares everything that both tell.
fn agree(tenant: &str, request: &SendRequest, plan: &Plan, now: UnixMs) {
    let told = explain(request.clone(), &plan.tenants[tenant], plan, now);
    for dice in [0, u32::MAX / 3, u32::MAX / 10 * 9, u32::MAX] {
        match run_as(tenant, request.clone(), plan, (now, dice)) {
            // Without content an explanation leaves the text open.
            Err(_) if is_bare(request) && told.rule.is_some() => {}
            // It may go on and find more.
            Err(refusal) => assert_eq!(told.problems.get(..refusal.problems.len()), Some(&refusal.problems[..])),
            Ok(routed) => {
                assert_eq!(told.problems, []);
                agree_on_providers(
                    &told,
                    &routed.trace().candidates.iter().map(ToString::to_string).collect::<Vec<_>>(),
                );
                assert_eq!(told.rule.as_ref(), Some(&routed.trace().rule));
                let details = routed.into_new_message(sms_core::MessageId::new(now, [0; 10]), now).details;
                let text = told.text.unwrap();
                assert_eq!(
                    (text.segments, text.encoding, text.units),
                    (details.segments, details.encoding, details.units)
                );
                assert_eq!(told.sender.as_ref(), Some(&details.sender));
                assert_eq!(told.template.as_ref().map(|template| &template.name), details.template.as_ref());
            }
        }
    }
    agree_with_itself(&told, plan);
}

fn is_bare(request: &SendRequest) -> bool {
    let content = (&request.text, &request.code, &request.template);
    matches!(content, (None, None, None)) && request.variables.is_empty()
}

fn agree_on_providers(told: &Explanation, order: &[String]) {
    let taken = told.candidates.iter().filter(|candidate| candidate.decision != CandidateDecision::Skip);
    let (names, decisions): (Vec<String>, Vec<_>) =
        taken.map(|candidate| (candidate.provider.to_string(), (candidate.decision, candidate.share))).unzip();
    let first = names.iter().position(|name| *name == order[0]).unwrap();
    assert_eq!(decisions[first].0, CandidateDecision::Use);
    if decisions.iter().all(|(_, share)| share.is_none()) {
        assert_eq!(names, order);
        assert_eq!(decisions.iter().filter(|(decision, _)| *decision == CandidateDecision::Use).count(), 1);
    } else {
        assert_eq!(BTreeSet::from_iter(&names), BTreeSet::from_iter(order));
        let sum: f64 = decisions.iter().filter_map(|(_, share)| *share).sum();
        assert!((sum - 100.0).abs() < 0.5, "{sum}");
    }
}

fn agree_with_itself(told: &Explanation, plan: &Plan) {
    if told.rules.is_empty() {
        assert!(!told.problems.is_empty(), "only what is not admitted reaches no rule");
        return;
    }
    assert_eq!(told.rules.len(), plan.rules.len());
    let matched: Vec<&String> = told.rules.iter().filter(|rule| rule.matched).map(|rule| &rule.id).collect();
    assert_eq!(matched, told.rule.iter().collect::<Vec<_>>());
    let after = told.rules.iter().skip_while(|rule| !rule.matched).skip(1);
    assert!(after.into_iter().all(|rule| rule.why == "not reached"));
    assert!(told.rules.iter().all(|rule| rule.matched || rule.why == "not reached" || rule.why.contains("rule wants")));
}

fn any_request() -> impl Strategy<Value = SendRequest> {
    let pick = |values: &'static [Option<&'static str>]| {
        proptest::sample::select(values).prop_map(|value| value.map(str::to_owned))
    };
    let numbers =
        proptest::sample::select(vec![US, CZ, CH, DE, FR, JM, FICTION, "+8501921234567", "+44", "+18002345678"]);
    let texts = pick(&[None, Some("Your code is 123456"), Some("код"), Some("  "), Some("a.b"), Some("1234 5678 €")]);
    let words = (
        pick(&[None, Some("ios_app"), Some("web"), Some("other")]),
        pick(&[None, Some("fr-CA"), Some("de, fr"), Some("en"), Some("??")]),
        pick(&[None, Some("enrollment"), Some("login")]),
        pick(&[None, Some("first"), Some("second")]),
        pick(&[None, Some("otp"), Some("name"), Some("nope")]),
        pick(&[None, Some("Acme"), Some("+12025550100"), Some("Bank")]),
        pick(&[None, Some("gold"), Some("tin")]),
        pick(&[None, Some("123456"), Some("evil.com")]),
    );
    (numbers, texts, words, any::<(bool, bool)>()).prop_map(|(number, text, words, (voice, bulk))| {
        let (client_id, language, action, factor, template, sender, metadata, name) = words;
        SendRequest {
            text: text.map(Body::new),
            code: name.clone().map(Body::new),
            user: name.map(|name| json!({ "name": name }).as_object().cloned().unwrap_or_default()).unwrap_or_default(),
            client_metadata: metadata
                .map(|m| json!({ "plan": m }).as_object().cloned().unwrap_or_default())
                .unwrap_or_default(),
            channel: if voice { Channel::Voice } else { Channel::Sms },
            class: if bulk { Class::Transactional } else { Class::Otp },
            client_id,
            language,
            action,
            factor,
            template,
            sender,
            ..request(number)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn explanations_agree_with_the_pipeline(request in any_request(), globex in any::<bool>(), night in any::<bool>()) {
        let tenant = if globex { "globex" } else { "acme" };
        let now = if night { at(EVENING) } else { noon() };
        agree(tenant, &request, &big_plan(), now);
    }
}

#[test]
fn an_explanation_reads_well() {
    let plan = big_plan();
    let told = explain(to(DE), &plan.tenants["acme"], &plan, noon());
    let number = told.number.as_ref().unwrap();
    assert_eq!((number.masked.as_str(), number.country, number.kind.as_str()), ("+49•••89", country("DE"), "mobile"));
    let why: Vec<(&str, &str)> = told.rules.iter().map(|rule| (rule.id.as_str(), rule.why.as_str())).collect();
    assert_eq!(why[0], ("us_only", "country is DE, rule wants US, CA"));
    assert_eq!(why[1], ("night_cheap", "country is DE, rule wants CZ"));
    assert_eq!(why[2], ("french_app", "client_id is not given, rule wants ios_app"));
    assert_eq!(why[3], ("islands", "number begins differently, rule wants +1876"));
    assert_eq!(why[6], ("gold", "metadata.plan is not given, rule wants gold, 7"));
    assert_eq!(why[9], ("german", "country is DE"));
    assert_eq!(why[11], ("default", "not reached"));
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(
        json["candidates"],
        json!([
            { "provider": "mitto", "decision": "use", "why": "first for 80 % of messages, else fail-over", "share": 80.0 },
            { "provider": "o2", "decision": "use", "why": "first for 20 % of messages, else fail-over", "share": 20.0 },
        ])
    );
    assert_eq!(json["number"], json!({ "masked": "+49•••89", "country": "DE", "type": "mobile" }));
    assert_eq!((&json["rule"], &json["problems"]), (&json!("german"), &json!([])));
    let night = explain(to(CZ), &plan.tenants["acme"], &plan, noon());
    assert_eq!(night.rules[1].why, "local time is 13:00, rule wants 22:00-06:00 Europe/Prague");
}

#[test]
fn skipped_providers_come_last_with_their_reason() {
    let plan = big_plan();
    let told = explain(with(CH, |r| r.class = Class::Transactional), &plan.tenants["acme"], &plan, noon());
    let found: Vec<_> = told.candidates.iter().map(|c| (c.provider.as_str(), c.decision, c.why.as_str())).collect();
    assert_eq!(
        found,
        [
            ("o2", CandidateDecision::Use, "first"),
            ("mitto", CandidateDecision::Next, "if o2 fails"),
            ("ghost", CandidateDecision::Skip, "is not configured"),
        ]
    );
}

#[test]
fn without_content_the_text_is_left_open_and_the_route_explained() {
    let plan = big_plan();
    let mut bare = request(FR);
    app(&mut bare);
    bare.code = None;
    let told = explain(bare, &plan.tenants["acme"], &plan, noon());
    assert_eq!((told.problems, told.text), (vec![], None));
    let template = told.template.unwrap();
    assert_eq!((template.name.as_str(), template.language.as_str(), template.client_specific), ("otp", "fr", true));
    assert_eq!(told.candidates.len(), 2);
    assert_eq!(told.sender, Some(sender("Acme")));
}

#[test]
fn an_explanation_repeats_no_personal_values() {
    let plan = big_plan();
    let secret = with(CH, |r| {
        r.client_metadata = json!({ "plan": "Zxq9" }).as_object().cloned().unwrap();
        r.text = Some(Body::new("Zxq9".to_owned()));
    });
    let shown = serde_json::to_string(&explain(secret, &plan.tenants["acme"], &plan, noon())).unwrap();
    assert!(!shown.contains("Zxq9") && !shown.contains("781234567"), "{shown}");
}
