//! What variables become.

use serde_json::json;
use sms_core::{Body, Class, MessageId};

use super::{NUMBER, ask, object, plan_of, plan_with, text_of};
use crate::refusal::Code;
use crate::render::TemplateSpec;
use crate::request::{EndUser, SendRequest};
use crate::route::fixtures::{noon, run, spec, text_to};

fn body(text: &str) -> Body {
    Body::new(text.to_owned())
}

/// A request that carries everything.
fn full() -> SendRequest {
    SendRequest {
        code: Some(body("123456")),
        client_id: Some("web".to_owned()),
        client_name: Some("Acme App".to_owned()),
        client_metadata: object(&json!({ "brand": "Blue", "app-name": "x", "n": 7, "list": [1] })),
        language: Some("fr-CA".to_owned()),
        action: Some("enrollment".to_owned()),
        factor: Some("second".to_owned()),
        organization: Some("Blue Corp".to_owned()),
        user: object(
            &json!({ "id": "u1", "name": "Anna Smith", "given_name": "Anna", "email": "anna.s+x@mail.example", "secret": "s" }),
        ),
        end_user: EndUser { ip: Some("192.0.2.7".parse().unwrap()), ..EndUser::default() },
        variables: object(&json!({ "order": "A-17", "count": 3, "price": 9.5, "vip": true, "gone": null })),
        ttl_s: Some(241),
        ..ask()
    }
}

/// The text of one English template for the full request.
fn filled(template: &str) -> String {
    text_of(full(), &plan_of(template)).unwrap()
}

#[test]
fn every_variable_of_the_contract_has_its_value() {
    for (variable, expected) in [
        ("code", "123456"),
        ("client_name", "Acme App"),
        ("client_id", "web"),
        ("client_metadata.brand", "Blue"),
        ("client_metadata['app-name']", "x"),
        ("client_metadata.n + 1", "8"),
        ("user.id", "u1"),
        ("user.name", "Anna Smith"),
        ("user.given_name", "Anna"),
        ("user.email", "anna.s+x@mail.example"),
        ("user['given_name']", "Anna"),
        ("organization", "Blue Corp"),
        ("action", "enrollment"),
        ("factor", "second"),
        ("locale", "fr-ca"),
        ("ip", "192.0.2.7"),
        ("minutes", "5"),
        ("order", "A-17"),
        ("count + 1", "4"),
        ("price", "9.5"),
        ("vip", "True"),
        ("order | lower", "a-17"),
        ("gone | default('none')", "none"),
        ("'yes' if vip else 'no'", "yes"),
    ] {
        assert_eq!(filled(&format!("<{{{{ {variable} }}}}>")), format!("<{expected}>"), "{variable}");
    }
}

#[test]
fn the_finished_text_is_a_variable_too() {
    let mut plan = plan_of("Acme: {{ text }}!");
    plan.rules[0].template = Some("t".to_owned());
    assert_eq!(
        text_of(text_to(NUMBER, "Your code\u{200B}\nis 12345678"), &plan).unwrap(),
        "Acme: Your code\nis 12345678!"
    );
}

#[test]
fn what_is_not_told_has_a_sensible_stand_in() {
    let plain = SendRequest { code: Some(body("1")), ..ask() };
    assert_eq!(text_of(plain.clone(), &plan_of("{{ client_name }}")).unwrap(), "Acme Ltd.");
    assert_eq!(text_of(plain.clone(), &plan_of("{{ locale }}")).unwrap(), "en");
    assert_eq!(text_of(plain.clone(), &plan_of("{{ minutes }}")).unwrap(), "5");
    let short = SendRequest { ttl_s: Some(1), ..plain.clone() };
    assert_eq!(text_of(short, &plan_of("{{ minutes }}")).unwrap(), "1");
    let long = SendRequest { class: Class::Transactional, ..plain };
    assert_eq!(text_of(long, &plan_of("{{ minutes }}")).unwrap(), "60");
}

#[test]
fn minutes_follow_the_rules_time_to_live_unless_the_request_names_one() {
    let mut plan = plan_of("{{ minutes }}");
    plan.rules[0].ttl.otp = Some(std::time::Duration::from_secs(90));
    assert_eq!(text_of(ask(), &plan).unwrap(), "2");
    assert_eq!(text_of(SendRequest { ttl_s: Some(600), ..ask() }, &plan).unwrap(), "10");
    assert_eq!(text_of(SendRequest { class: Class::Transactional, ..ask() }, &plan).unwrap(), "60");
}

#[test]
fn the_callers_own_variables_fill_in_for_facts_but_do_not_replace_them() {
    let own = SendRequest {
        variables: object(&json!({ "code": "99", "organization": "Own Org", "client_name": "Fake", "minutes": 99 })),
        ..ask()
    };
    let text = |template: &str, request: SendRequest| text_of(request, &plan_of(template)).unwrap();
    assert_eq!(text("{{ code }} {{ organization }}", own.clone()), "99 Own Org");
    assert_eq!(text("{{ client_name }} {{ minutes }}", own.clone()), "Acme Ltd. 5");
    let both = SendRequest { code: Some(body("11")), organization: Some("Fact".to_owned()), ..own };
    assert_eq!(text("{{ code }} {{ organization }}", both), "11 Fact");
    let number = SendRequest { variables: object(&json!({ "code": 42 })), ..ask() };
    assert_eq!(text("{{ code }}", number), "42");
}

#[test]
fn a_missing_variable_is_named() {
    for (template, name) in [
        ("{{ code }}", "code"),
        ("{{ text }}", "text"),
        ("{{ user.name }}", "user.name"),
        ("{{ user['email'] }}", "user.email"),
        ("{{ client_metadata.brand }}", "client_metadata.brand"),
        ("{{ organization }}", "organization"),
        ("{{ action }}", "action"),
        ("{{ ip }}", "ip"),
        ("{{ order }}", "order"),
        ("{{ order | upper }}", "order"),
        ("{{ minutes }} {{ order ~ '!' }}", "order"),
        ("{% if order %}x{% endif %}", "order"),
        ("{% for c in order %}{{ c }}{% endfor %}", "order"),
        ("{{ other | default('') }}{{ order }}", "order"),
    ] {
        let refusal = text_of(ask(), &plan_of(template)).unwrap_err();
        assert_eq!(refusal.code(), Code::UnknownVariable, "{template}");
        let problem = &refusal.problems[0];
        assert_eq!(problem.field, format!("variables.{name}"), "{template}");
        assert!(
            problem.detail.contains(&format!("`{name}`")) && problem.detail.contains("`t` (en)"),
            "{}",
            problem.detail
        );
    }
}

#[test]
fn a_default_or_a_test_makes_a_missing_variable_harmless() {
    for (template, expected) in [
        ("a{{ order | default('none') }}", "anone"),
        ("a{% if user.name is defined %}{{ user.name }}{% endif %}", "a"),
        ("a{{ user.name | default('') }}", "a"),
    ] {
        assert_eq!(text_of(ask(), &plan_of(template)).unwrap(), expected, "{template}");
    }
}

#[test]
fn values_are_cleaned_and_cut() {
    let of = |name: &str| {
        let request = SendRequest { user: object(&json!({ "name": name })), ..ask() };
        text_of(request, &plan_of("<{{ user.name }}>")).unwrap()
    };
    assert_eq!(of("  An\u{200B}na\u{202E}\r\n\tSmith \u{7}"), "<Anna Smith>");
    assert_eq!(of(&"ü".repeat(300)), format!("<{}>", "ü".repeat(64)));
    let request = SendRequest { client_name: Some("n".repeat(300)), ..ask() };
    assert_eq!(text_of(request, &plan_of("{{ client_name }}")).unwrap().len(), 200);
}

#[test]
fn values_are_never_templates() {
    let evil = "{{ code }}{% for x in code %}{{ x }}{% endfor %}{# #}";
    let request = SendRequest {
        code: Some(body("123456")),
        organization: Some(evil.to_owned()),
        client_name: Some("{{ user }}".to_owned()),
        variables: object(&json!({ "order": "{{ code }}" })),
        ..ask()
    };
    let text = text_of(request, &plan_of("{{ organization }} {{ client_name }} {{ order }}")).unwrap();
    assert_eq!(text, format!("{evil} {{{{ user }}}} {{{{ code }}}}"));
}

#[test]
fn nothing_is_escaped() {
    let request = SendRequest { organization: Some("<Tom & \"Jerry's\">".to_owned()), ..ask() };
    assert_eq!(text_of(request, &plan_of("{{ organization }}")).unwrap(), "<Tom & \"Jerry's\">");
}

#[test]
fn a_link_in_a_strangers_value_is_refused_where_the_template_names_it() {
    let template = "{{ code }} {{ organization }} {{ user.name }} {{ order }}";
    let good = || SendRequest {
        code: Some(body("12345678")),
        organization: Some("Blue Corp".to_owned()),
        user: object(&json!({ "name": "Anna", "id": "evil.com" })),
        variables: object(&json!({ "order": "A-17", "unused": "http://evil.com" })),
        client_name: Some("acme.com".to_owned()),
        ..ask()
    };
    let plan = plan_of(template);
    assert_eq!(text_of(good(), &plan).unwrap(), "12345678 Blue Corp Anna A-17");
    let bad = SendRequest {
        organization: Some("see evil.com".to_owned()),
        user: object(&json!({ "name": "call +44 7700 900123" })),
        variables: object(&json!({ "order": 12_345_678 })),
        ..good()
    };
    let refusal = text_of(bad.clone(), &plan).unwrap_err();
    let fields: Vec<&str> = refusal.problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!((refusal.code(), fields), (Code::InvalidRequest, vec!["variables.order", "organization", "user.name"]));
    assert!(!format!("{refusal:?}").contains("evil"));
    let allowed = plan_with(vec![TemplateSpec { allow_links: true, ..spec("t", &[("en", template)]) }]);
    assert_eq!(text_of(bad, &allowed).unwrap(), "12345678 see evil.com call +44 7700 900123 12345678");
}

#[test]
fn what_the_operator_or_the_platform_writes_may_hold_links() {
    let request = SendRequest {
        code: Some(body("12345678")),
        client_name: Some("acme.com".to_owned()),
        client_metadata: object(&json!({ "site": "https://acme.com" })),
        client_id: Some("com.acme.app".to_owned()),
        ..ask()
    };
    let plan = plan_of("{{ code }} {{ client_name }} {{ client_metadata.site }} {{ client_id }}");
    assert_eq!(text_of(request, &plan).unwrap(), "12345678 acme.com https://acme.com com.acme.app");
}

#[test]
fn a_mail_address_must_be_one() {
    let of = |email: &str| {
        let request = SendRequest { user: object(&json!({ "email": email })), ..ask() };
        text_of(request, &plan_of("For {{ user.email }}")).map_err(|refusal| refusal.code())
    };
    assert_eq!(of("a.b+c@x-y.example"), Ok("For a.b+c@x-y.example".to_owned()));
    for bad in ["a@b c", "a@b/c", "http://a@b", "a@b@c", "@b", "a@", "a", "see a@b.c now", "a@b.c?x"] {
        assert_eq!(of(bad), Err(Code::InvalidRequest), "{bad}");
    }
}

#[test]
fn work_without_end_is_cut_off() {
    let template = "{% for a in order %}{% for b in order %}{% for c in order %}x{% endfor %}{% endfor %}{% endfor %}";
    let request = SendRequest { variables: object(&json!({ "order": "o".repeat(200) })), ..ask() };
    let refusal = text_of(request, &plan_of(template)).unwrap_err();
    assert_eq!((refusal.code(), refusal.problems[0].field.as_str()), (Code::InvalidRequest, "template"));
    assert!(refusal.problems[0].fix.contains("do less"));
}

#[test]
fn errors_of_the_engine_do_not_repeat_values() {
    for template in ["{{ order + 1 }}", "{{ order | round }}", "{{ order / 2 }}"] {
        let request = SendRequest { variables: object(&json!({ "order": "Zxq9" })), ..ask() };
        let refusal = text_of(request, &plan_of(template)).unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidRequest, "{template}");
        assert!(!format!("{refusal:?}").contains("Zxq9"), "{refusal:?}");
    }
}

#[test]
fn a_text_has_something_to_show_and_a_length() {
    let of = |order: &str, template: &str| {
        let request = SendRequest { variables: object(&json!({ "order": order })), ..ask() };
        text_of(request, &plan_of(template)).map_err(|refusal| refusal.code())
    };
    assert_eq!(of("", " {{ order }} "), Err(Code::InvalidRequest));
    assert_eq!(of("x", "{{ order }}\n\n  "), Ok("x".to_owned()));
    let eight = "{{ order }}".repeat(8);
    assert_eq!(of(&"x".repeat(200), &eight).map(|text| text.len()), Ok(1_600));
    assert_eq!(of(&"x".repeat(200), &format!("{eight}y")), Err(Code::InvalidRequest));
}

#[test]
fn the_code_is_bound_to_the_domain_in_the_last_line() {
    let plan = |text: &str| {
        let bound = TemplateSpec { autofill_domain: Some("acme.example".to_owned()), ..spec("t", &[("en", text)]) };
        let mut plan = plan_with(vec![bound]);
        plan.rules[0].template = Some("t".to_owned());
        plan
    };
    let line = "\n\n@acme.example #123456";
    let told = SendRequest { code: Some(body(" 123456 ")), ..ask() };
    assert_eq!(text_of(told.clone(), &plan("{{ code }} is it.\n")).unwrap(), format!("123456 is it.{line}"));
    let own = SendRequest { variables: object(&json!({ "code": "123456" })), ..ask() };
    assert_eq!(text_of(own, &plan("Use {{ code }}")).unwrap(), format!("Use 123456{line}"));
    let found = text_to(NUMBER, "Your code 123456 is valid 15 minutes");
    assert_eq!(text_of(found, &plan("{{ text }}")).unwrap(), format!("Your code 123456 is valid 15 minutes{line}"));
    let ambiguous = text_to(NUMBER, "Codes 123456 and 654321");
    assert_eq!(text_of(ambiguous, &plan("{{ text }}")).unwrap(), "Codes 123456 and 654321");
    let none = text_to(NUMBER, "No code, 123 or 12345678901");
    assert_eq!(text_of(none, &plan("{{ text }}")).unwrap(), "No code, 123 or 12345678901");
    let already = text_to(NUMBER, "It is 123456\n@other.example #123456");
    assert_eq!(text_of(already, &plan("{{ text }}")).unwrap(), "It is 123456\n@other.example #123456");
    let spaced = SendRequest { code: Some(body("123 456")), ..ask() };
    assert_eq!(text_of(spaced, &plan("{{ code }}")).unwrap(), "123 456");
}

#[test]
fn the_stored_message_names_its_template() {
    let routed = run(SendRequest { code: Some(body("1")), ..ask() }, &plan_of("{{ code }}")).unwrap();
    let details = routed.into_new_message(MessageId::new(noon(), [0; 10]), noon()).details;
    assert_eq!(details.template.as_deref(), Some("t"));
}
