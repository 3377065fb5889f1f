use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sms_core::{Body, Class};

use super::*;
use crate::route::fixtures::{country, language, noon, plan, request, sender, tenant, text_to};

const NUMBER: &str = "+41781234567";

fn admitted(request: SendRequest) -> Result<Admitted, Refusal> {
    with_tenant(request, tenant("acme"))
}

fn with_tenant(request: SendRequest, tenant: Tenant) -> Result<Admitted, Refusal> {
    admit(request, &Arc::new(tenant), &plan(), noon())
}

fn good() -> SendRequest {
    text_to(NUMBER, "Your code is 123456")
}

fn object(json: &Value) -> Map<String, Value> {
    json.as_object().cloned().unwrap()
}

/// The codes and fields of all problems.
fn problems(result: Result<Admitted, Refusal>) -> Vec<(Code, String)> {
    let refusal = result.expect_err("refused");
    assert!(refusal.problems.iter().all(|problem| !problem.detail.is_empty() && !problem.fix.is_empty()));
    refusal.problems.into_iter().map(|problem| (problem.code, problem.field)).collect()
}

fn only(result: Result<Admitted, Refusal>) -> (Code, String) {
    let mut problems = problems(result);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn a_good_request_is_admitted_as_it_stands() {
    let admitted = admitted(SendRequest {
        language: Some("fr_CA;q=0.5, de".to_owned()),
        sender: Some("Acme".to_owned()),
        class: Class::Transactional,
        ..good()
    })
    .unwrap();
    assert_eq!(admitted.to().expose(), NUMBER);
    assert_eq!(admitted.languages(), [language("de"), language("fr-ca")]);
    assert_eq!(admitted.language(), Some(&language("de")));
    assert_eq!(admitted.sender(), Some(&sender("Acme")));
    assert_eq!(admitted.ttl(), Duration::from_hours(1));
    assert_eq!(admitted.received(), noon());
}

#[test]
fn debug_shows_neither_number_nor_text() {
    let shown = format!("{:?}", admitted(good()).unwrap());
    assert!(shown.contains("acme") && !shown.contains("781234567") && !shown.contains("123456"), "{shown}");
}

#[test]
fn every_problem_is_told_at_once_the_weightiest_first() {
    let acme = Tenant { clients: Some(BTreeSet::from(["web".to_owned()])), ..tenant("acme") };
    let bad = SendRequest {
        client_id: Some("foreign".to_owned()),
        sender: Some("Bank".to_owned()),
        ttl_s: Some(0),
        callback_url: Some("ftp://x".to_owned()),
        reference: Some("r".repeat(257)),
        ..text_to("12", "  ")
    };
    let found = problems(with_tenant(bad, acme));
    let expected = [
        (Code::ForbiddenClient, "client_id"),
        (Code::InvalidRecipient, "to"),
        (Code::SenderNotAllowed, "sender"),
        (Code::InvalidRequest, "text"),
        (Code::InvalidRequest, "ttl_s"),
        (Code::InvalidRequest, "reference"),
        (Code::InvalidRequest, "callback_url"),
    ];
    assert_eq!(found, expected.map(|(code, field)| (code, field.to_owned())));
}

#[test]
fn client_ids_are_checked_only_against_a_list() {
    let listed = || Tenant { clients: Some(BTreeSet::from(["web".to_owned()])), ..tenant("acme") };
    let with = |id: Option<&str>| SendRequest { client_id: id.map(str::to_owned), ..good() };
    assert!(with_tenant(with(Some("web")), listed()).is_ok());
    assert!(with_tenant(with(None), listed()).is_ok());
    assert!(admitted(with(Some("any"))).is_ok());
    assert_eq!(only(with_tenant(with(Some("Web")), listed())).0, Code::ForbiddenClient);
    assert_eq!(only(admitted(with(Some(&"x".repeat(257))))), (Code::InvalidRequest, "client_id".to_owned()));
}

#[test]
fn numbers_are_read_as_people_write_them() {
    for written in ["+41 78 123 45 67", "0041781234567", "tel:+41-78-123-45-67", "41781234567"] {
        assert_eq!(
            admitted(SendRequest { to: written.to_owned(), ..good() }).unwrap().to().expose(),
            NUMBER,
            "{written}"
        );
    }
    let swiss = Tenant { default_country: Some(country("CH")), ..tenant("acme") };
    let national = SendRequest { to: "078 123 45 67".to_owned(), ..good() };
    assert_eq!(only(admitted(national.clone())).0, Code::InvalidRecipient);
    assert_eq!(with_tenant(national, swiss).unwrap().to().expose(), NUMBER);
}

#[test]
fn lines_that_no_message_reaches_are_refused() {
    // libphonenumber's own examples of each kind.
    for (kind, number) in [
        ("premium", "+449012345678"),
        ("shared cost", "+448431234567"),
        ("toll-free", "+18002345678"),
        ("personal", "+447012345678"),
        ("pager", "+447640123456"),
        ("UAN", "+445512345678"),
        ("short code", "+41144"),
        ("empty", ""),
        ("name", "Anna"),
    ] {
        let (code, field) = only(admitted(SendRequest { to: number.to_owned(), ..good() }));
        assert_eq!((code, field.as_str()), (Code::InvalidRecipient, "to"), "{kind}");
    }
    for (kind, number) in [("landline", "+41446681800"), ("test", "+447700900123"), ("either", "+12025550123")] {
        assert!(admitted(SendRequest { to: number.to_owned(), ..good() }).is_ok(), "{kind}");
    }
}

#[test]
fn countries_hold_for_test_numbers_too() {
    let mut plan = plan();
    plan.countries.block.insert(country("GB"));
    let code = |to: &str| {
        let result = admit(text_to(to, "x"), &Arc::new(tenant("acme")), &plan, noon());
        result.err().map(|refusal| refusal.code())
    };
    assert_eq!(code("+447700900123"), Some(Code::CountryNotAllowed));
    assert_eq!(code("+447400123456"), Some(Code::CountryNotAllowed));
    assert_eq!(code(NUMBER), None);
}

#[test]
fn time_to_live_is_bound_by_the_class() {
    let ttl = |class, ttl_s| admitted(SendRequest { class, ttl_s: Some(ttl_s), ..good() });
    for (class, max) in [(Class::Otp, 600), (Class::Transactional, 36_000)] {
        for good in [1, max] {
            assert_eq!(ttl(class, good).unwrap().ttl(), Duration::from_secs(good));
        }
        for bad in [0, max + 1, u64::MAX] {
            let refusal = ttl(class, bad).unwrap_err();
            assert_eq!((refusal.code(), refusal.problems[0].field.as_str()), (Code::InvalidRequest, "ttl_s"));
            assert!(refusal.problems[0].detail.contains(&max.to_string()));
        }
    }
    assert_eq!(admitted(good()).unwrap().ttl(), Duration::from_mins(5));
}

#[test]
fn a_sender_must_be_the_tenants_own() {
    let mut acme = tenant("acme");
    acme.sender_by_country.insert(country("US"), sender("+12025550100"));
    let with = |text: &str| SendRequest { sender: Some(text.to_owned()), ..good() };
    for own in ["Acme", " Acme ", "+12025550100"] {
        assert!(with_tenant(with(own), acme.clone()).is_ok(), "{own}");
    }
    for foreign in ["Bank", "acme", "", "far too long a name", "12025550100"] {
        let refusal = with_tenant(with(foreign), acme.clone()).unwrap_err();
        assert_eq!(refusal.code(), Code::SenderNotAllowed, "{foreign}");
        assert!(refusal.problems[0].fix.contains("+12025550100, Acme"), "{}", refusal.problems[0].fix);
    }
    acme.senders.clear();
    acme.sender_by_country.clear();
    assert!(with_tenant(with("Acme"), acme).unwrap_err().problems[0].fix.starts_with("Leave `sender` out"));
}

#[test]
fn a_hinted_sender_is_used_or_ignored_but_never_refused() {
    let hint = |text: &str| admitted(SendRequest { sender_hint: Some(text.to_owned()), ..good() }).unwrap();
    assert_eq!(hint("Acme").sender_hint(), Some(&sender("Acme")));
    for foreign in ["Bank", "", "+15005550006", "far too long a name"] {
        assert_eq!(hint(foreign).sender_hint(), None, "{foreign}");
    }
}

#[test]
fn text_and_template_exclude_each_other_and_both_may_lack() {
    let template = Some("otp".to_owned());
    assert_eq!(only(admitted(SendRequest { template: template.clone(), ..good() })).0, Code::InvalidRequest);
    assert!(admitted(SendRequest { template, ..request(NUMBER) }).is_ok());
    assert!(admitted(request(NUMBER)).is_ok(), "a template may come from the route");
}

#[test]
fn a_text_has_a_length() {
    let with = |text: String| admitted(text_to(NUMBER, &text));
    assert!(with("é".repeat(TEXT_CHARS_MAX)).is_ok());
    for bad in [String::new(), " \n\t".to_owned(), "é".repeat(TEXT_CHARS_MAX + 1)] {
        assert_eq!(only(with(bad)), (Code::InvalidRequest, "text".to_owned()));
    }
}

#[test]
fn reference_and_metadata_have_a_size() {
    let reference = |n| admitted(SendRequest { reference: Some("ü".repeat(n)), ..good() });
    assert!(reference(256).is_ok());
    assert_eq!(only(reference(257)).1, "reference");
    // {"k":"…"} is eight bytes and the value.
    let metadata = |n| admitted(SendRequest { metadata: Some(object(&json!({ "k": "x".repeat(n) }))), ..good() });
    assert!(metadata(1_024 - 8).is_ok());
    assert_eq!(only(metadata(1_024 - 7)).1, "metadata");
}

#[test]
fn callback_urls_have_a_form() {
    let with = |url: &str| admitted(SendRequest { callback_url: Some(url.to_owned()), ..good() });
    for good in ["https://a.example", "HTTP://a.example:8080/x?y=z@w#f", "https://[::1]:443/", "http://127.0.0.1?x"] {
        assert!(with(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "a.example/x",
        "ftp://a.example",
        "javascript://x",
        "https://",
        "https:///path",
        "https://:443",
        "https://user@a.example",
        "https://user:pass@a.example/",
        "https://a.example:0",
        "https://a.example:99999",
        "https://a.example:80x",
        "https://a.example/with space",
        "https://a.example\\@evil.example",
        "https://a.example/\n",
        &format!("https://a.example/{}", "x".repeat(2_048)),
    ] {
        assert_eq!(only(with(bad)), (Code::InvalidRequest, "callback_url".to_owned()), "{bad}");
    }
}

#[test]
fn variables_are_few_short_scalars_with_plain_names() {
    let with = |variables: Value| admitted(SendRequest { variables: object(&variables), ..good() });
    assert!(with(json!({ "a": "x".repeat(200), "_b": 1, "C9": true, "d": null, "e": 1.5 })).is_ok());
    for (bad, field) in [
        (json!({ "a": "x".repeat(201) }), "variables.a"),
        (json!({ "a": [1] }), "variables.a"),
        (json!({ "a": { "b": 1 } }), "variables.a"),
        (json!({ "1a": 1 }), "variables"),
        (json!({ "a-b": 1 }), "variables"),
        (json!({ "": 1 }), "variables"),
        (json!({ "ä": 1 }), "variables"),
        (json!({ "a".repeat(65): 1 }), "variables"),
    ] {
        assert_eq!(only(with(bad.clone())), (Code::InvalidRequest, field.to_owned()), "{bad}");
    }
    let many: Map<String, Value> = (0..65).map(|n| (format!("v{n}"), json!(n))).collect();
    assert_eq!(only(with(Value::Object(many))).1, "variables");
    assert_eq!(problems(with(json!({ "a": [], "b": {}, "c": "" }))).len(), 2);
}

#[test]
fn unreadable_languages_are_ignored() {
    let with = |text: &str| admitted(SendRequest { language: Some(text.to_owned()), ..good() }).unwrap();
    assert_eq!(with("???").languages(), []);
    assert_eq!(with("???").language(), Some(&language("en")), "the tenant's first");
    assert_eq!(with("x, pt_BR").languages(), [language("pt-br")]);
}

#[test]
fn refusals_never_repeat_what_is_personal() {
    let secret = "Zxq9";
    let bad = SendRequest {
        to: format!("+4178123456{secret}"),
        client_id: Some(secret.repeat(70)),
        sender: Some(format!("{secret}{secret}{secret}{secret}")),
        reference: Some(secret.repeat(100)),
        metadata: Some(object(&json!({ "k": secret.repeat(300) }))),
        callback_url: Some(format!("https://{secret}@x")),
        variables: object(&json!({ "a": secret.repeat(60), format!("-{secret}"): 1 })),
        text: Some(Body::new(secret.repeat(500))),
        ttl_s: Some(9_999_999),
        template: Some(secret.to_owned()),
        ..request(NUMBER)
    };
    let refusal = admitted(bad).unwrap_err();
    assert_eq!(refusal.problems.len(), 10);
    let shown = format!("{refusal:?}");
    assert!(!shown.contains(secret) && !shown.contains("78123456"), "{shown}");
}

#[test]
fn senders_of_others_stay_unknown() {
    let plan = plan();
    let refusal = admit(
        SendRequest { sender: Some("Globex".to_owned()), ..good() },
        &Arc::new(Tenant { senders: vec![sender("Other")], ..tenant("other") }),
        &plan,
        noon(),
    )
    .unwrap_err();
    assert!(!format!("{refusal:?}").contains("Acme"));
}
