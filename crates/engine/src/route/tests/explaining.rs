//! Explanations: they agree with the pipeline, and read well.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;
use sms_core::{Body, Channel, Class, MessageId, UnixMs};

use super::table::{CH, CZ, DE, EVENING, FICTION, FR, JM, US, app, big_plan, to, with};
use crate::plan::Plan;
use crate::request::SendRequest;
use crate::route::fixtures::{at, country, noon, request, run_as, sender};
use crate::route::{CandidateDecision, Explanation, explain};

/// Runs both and compares everything that both tell.
pub(super) fn agree(tenant: &str, request: &SendRequest, plan: &Plan, now: UnixMs) {
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
                let details = routed.into_new_message(MessageId::new(now, [0; 10]), now).details;
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
