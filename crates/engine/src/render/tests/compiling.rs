//! What stops a configuration, and what is only worth a warning.

use crate::render::{TemplateFault, TemplateSpec, Templates};
use crate::route::fixtures::{language, spec};

fn faults(spec: TemplateSpec) -> Vec<TemplateFault> {
    match Templates::compile(vec![spec]) {
        Ok(_) => Vec::new(),
        Err(faults) => faults,
    }
}

/// The only fault of a one-text template.
fn fault(text: &str) -> TemplateFault {
    let mut faults = faults(spec("t", &[("en", text)]));
    assert_eq!(faults.len(), 1, "{text}: {faults:?}");
    faults.remove(0)
}

fn warnings(text: &str) -> Vec<String> {
    let templates = Templates::compile(vec![spec("t", &[("en", text)])]).unwrap();
    templates.warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn every_fault_of_every_text_is_told_with_its_place() {
    let mut bad = spec("otp", &[("en", "ok {{ code }}"), ("fr", "\n{{ code"), ("de", "{{ code | nope }}")]);
    bad.clients.insert("ios".to_owned(), [(language("en"), "{% include 'x' %}".to_owned())].into());
    let mut found: Vec<String> = Templates::compile(vec![bad, spec("empty", &[])])
        .unwrap_err()
        .iter()
        .map(|fault| {
            assert!(!fault.help.is_empty());
            fault.to_string()
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].starts_with("template `empty`: has no text"), "{}", found[0]);
    assert!(found[1].starts_with("template `otp`, client `ios`, en, line 1: "), "{}", found[1]);
    assert!(found[2].starts_with("template `otp`, de, line 1: unknown filter: filter nope is unknown"), "{}", found[2]);
    assert!(found[3].starts_with("template `otp`, fr, line 2: "), "{}", found[3]);
}

#[test]
fn what_can_never_work_does_not_compile() {
    for (text, words) in [
        ("{{ user.shoe_size }}", "there is no variable `user.shoe_size`"),
        ("{{ debug() }}", "is not callable"),
        ("{{ range(3) }}{{ code }}", "is not callable"),
        ("{{ order.x }} {{ code }}", "`order.x` is undefined"),
        ("{% if code is nope %}x{% endif %}", "unknown test"),
        ("{% set code = code %}{{ code }}", "undefined"),
        ("{% import 'x' as y %}{{ code }}", "unknown statement"),
        ("{% macro m() %}x{% endmacro %}{{ code }}", "unknown statement"),
        ("{{ code.nope() }}", "unknown method"),
    ] {
        let message = fault(text).message;
        assert!(message.contains(words), "{text}: {message}");
    }
    assert!(fault(&"x".repeat(1_601)).message.contains("longer than 1600"));
    let loops = "{% for a in 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' %}".repeat(4);
    let endless = format!("{loops}{{{{ code }}}}{}", "{% endfor %}".repeat(4));
    assert!(fault(&endless).message.contains("fuel"), "{}", fault(&endless).message);
}

#[test]
fn values_of_the_wrong_type_are_no_fault_of_the_template() {
    for text in
        ["{{ price * 2 }} {{ code }}", "{{ name ~ code }}", "{{ count + 1 }}", "{% for x in list %}{{ x }}{% endfor %}"]
    {
        assert_eq!(faults(spec("t", &[("en", text)])), [], "{text}");
    }
}

#[test]
fn a_strangers_value_must_not_touch_a_link() {
    for text in [
        "https://acme.example/{{ user.id }}",
        "{{ organization }}.acme.example {{ code }}",
        "mail {{ user.name }}@acme.example",
        "www.{{ organization }}.com",
        "{{ code }} acme.example?u={{ order }}&x=1",
        "{{ 'acme.example/' ~ user.name }}",
    ] {
        assert!(fault(text).message.contains("link"), "{text}");
        let allowed = TemplateSpec { allow_links: true, ..spec("t", &[("en", text)]) };
        assert_eq!(faults(allowed), [], "{text}");
    }
    for text in [
        "{{ organization }}: {{ code }}. See https://acme.example/help.",
        "https://acme.example/help {{ user.name }}, {{ code }}",
        "https://acme.example/{{ client_id }} {{ user.name }}",
        "{{ euros }}.{{ cents }} EUR, {{ code }}",
        "{{ user.name }}'s code ({{ organization }}): {{ code }}.",
        "Hi {{ user.name }}!\n{{ code }}\n@acme.example #{{ code }}",
    ] {
        assert_eq!(faults(spec("t", &[("en", text)])), [], "{text}");
    }
}

#[test]
fn autofill_domains_are_bare_hosts() {
    let of = |domain: &str| {
        faults(TemplateSpec { autofill_domain: Some(domain.to_owned()), ..spec("t", &[("en", "{{ code }}")]) }).len()
    };
    for good in ["acme.example", "login.acme-x.example", "xn--bcher-kva.example"] {
        assert_eq!(of(good), 0, "{good}");
    }
    for bad in [
        "",
        "acme",
        "https://acme.example",
        "acme.example:443",
        "acme.example/",
        "a..b",
        ".acme.example",
        "-a.example",
        "bücher.example",
        "a b.example",
    ] {
        assert_eq!(of(bad), 1, "{bad}");
    }
}

#[test]
fn a_text_that_names_no_available_variable_is_worth_a_warning() {
    for text in ["Your code is ready.", "{{ otp }} is your code", "{{ Code }}"] {
        let found = warnings(text);
        assert_eq!(found.len(), 1, "{text}");
        assert!(found[0].starts_with("template `t`, en: names none of the available variables"), "{}", found[0]);
    }
    for text in [
        "{{ code }}",
        "{% if action == 'x' %}a{% endif %}",
        "{{ user.name }}",
        "{{ client_metadata['k'] }}",
        "{{ otp }} {{ minutes }}",
    ] {
        assert_eq!(warnings(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn debug_shows_names_only() {
    let templates = Templates::compile(vec![spec("otp", &[("en", "secret words {{ code }}")])]).unwrap();
    assert_eq!(format!("{templates:?}"), "[\"otp\"]");
}
