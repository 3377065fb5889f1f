//! Which template, in which language.

use std::collections::BTreeSet;
use std::sync::Arc;

use sms_core::{Body, TenantId};

use super::{NUMBER, ask, plan_with, text_of};
use crate::plan::{Plan, Tenant};
use crate::refusal::Code;
use crate::render::TemplateSpec;
use crate::request::SendRequest;
use crate::route::fixtures::{language, request, spec, tenant, text_to};

fn with_tenant(mut plan: Plan, change: impl FnOnce(&mut Tenant)) -> Plan {
    let mut acme = tenant("acme");
    change(&mut acme);
    plan.tenants.insert(acme.id.clone(), Arc::new(acme));
    plan
}

fn in_language(list: &str) -> SendRequest {
    SendRequest { language: Some(list.to_owned()), ..ask() }
}

/// Texts that are their own language tags.
fn tags(tags: &[&str]) -> TemplateSpec {
    spec("t", &tags.iter().map(|tag| (*tag, *tag)).collect::<Vec<_>>())
}

#[test]
fn lookup_goes_from_the_region_to_the_language_to_the_tenants_first() {
    let plan = with_tenant(plan_with(vec![tags(&["fr-ca", "fr", "en", "de"])]), |acme| {
        acme.languages = vec![language("de-AT"), language("en")];
    });
    for (list, expected) in [
        ("fr-CA", "fr-ca"),
        ("fr_ca", "fr-ca"),
        ("fr-CA-x-quebec", "fr-ca"),
        ("fr-BE", "fr"),
        ("it-IT", "de"),
        ("it, fr-FR;q=0.4, en;q=0.3", "fr"),
        ("???", "de"),
    ] {
        assert_eq!(text_of(in_language(list), &plan).unwrap(), expected, "{list}");
    }
    assert_eq!(text_of(ask(), &plan).unwrap(), "de");
}

#[test]
fn when_nobodys_language_has_a_text_the_first_by_alphabet_is_taken() {
    assert_eq!(text_of(in_language("it"), &plan_with(vec![tags(&["pl", "cs", "hu"])])).unwrap(), "cs");
}

#[test]
fn an_applications_own_text_goes_before_the_common_one_of_the_same_language() {
    let mut otp = spec("t", &[("en", "common en"), ("fr", "common fr"), ("de", "common de")]);
    let own = [(language("fr"), "own fr".to_owned()), (language("en-us"), "own us".to_owned())];
    otp.clients.insert("ios".to_owned(), own.into());
    let plan = plan_with(vec![otp]);
    let of = |client: &str, list: &str| {
        text_of(SendRequest { client_id: Some(client.to_owned()), ..in_language(list) }, &plan).unwrap()
    };
    assert_eq!(of("ios", "fr-CA"), "own fr");
    assert_eq!(of("ios", "en-US"), "own us");
    assert_eq!(of("ios", "en-GB"), "common en");
    assert_eq!(of("ios", "de, fr;q=0.5"), "common de", "the language asked for goes before the application");
    assert_eq!(of("ios", "it"), "common en");
    assert_eq!(of("web", "fr-CA"), "common fr");
}

#[test]
fn the_requests_template_goes_before_the_routes_before_the_tenants() {
    let named = |name: &str| spec(name, &[("en", name)]);
    let mut plan = with_tenant(plan_with(vec![named("t"), named("route"), named("tenant")]), |acme| {
        acme.template = Some("tenant".to_owned());
    });
    let bare = || text_to(NUMBER, "a finished text");
    assert_eq!(text_of(bare(), &plan).unwrap(), "tenant", "a template wins over the text");
    plan.rules[0].template = Some("route".to_owned());
    assert_eq!(text_of(bare(), &plan).unwrap(), "route");
    assert_eq!(text_of(request(NUMBER), &plan).unwrap(), "route");
    assert_eq!(text_of(ask(), &plan).unwrap(), "t");
}

#[test]
fn without_any_template_the_text_is_sent_as_it_is() {
    let plan = plan_with(Vec::new());
    assert_eq!(text_of(text_to(NUMBER, "{{ code }} \u{202E}as\u{200B} is\r\n"), &plan).unwrap(), "{{ code }} as is\n");
    let refusal = text_of(request(NUMBER), &plan).unwrap_err();
    assert_eq!((refusal.code(), refusal.problems[0].field.as_str()), (Code::InvalidRequest, "text"));
    let invisible = SendRequest { text: Some(Body::new("\u{200B}\u{2060}".to_owned())), ..request(NUMBER) };
    assert_eq!(text_of(invisible, &plan).unwrap_err().code(), Code::InvalidRequest);
}

#[test]
fn an_unknown_template_is_refused_with_the_names_of_the_tenants_own() {
    let mut private = spec("private", &[("en", "x")]);
    private.tenants = Some(BTreeSet::from([TenantId::new("globex")]));
    let mut plan = plan_with(vec![spec("otp", &[("en", "x")]), spec("welcome", &[("en", "x")]), private]);
    for name in ["t", "private", "", "OTP"] {
        let refusal = text_of(SendRequest { template: Some(name.to_owned()), ..ask() }, &plan).unwrap_err();
        assert_eq!(refusal.code(), Code::UnknownTemplate, "{name}");
        assert_eq!(refusal.problems[0].fix, "Use one of: otp, welcome.");
    }
    plan.rules[0].template = Some("private".to_owned());
    let refusal = text_of(text_to(NUMBER, "x"), &plan).unwrap_err();
    assert_eq!(refusal.code(), Code::UnknownTemplate);
    assert!(refusal.problems[0].detail.contains("`private`"));
    let none = text_of(ask(), &plan_with(Vec::new())).unwrap_err();
    assert!(none.problems[0].fix.starts_with("Send `text` instead"));
}
