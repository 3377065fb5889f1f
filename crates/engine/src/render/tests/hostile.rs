//! Ten thousand hostile values: a text never gains a link, never grows beyond its bound, never becomes a template.

use serde_json::json;
use sms_core::Body;
use sms_core::text::{contains_link, segment};

use super::{ask, object, plan_with, text_of};
use crate::render::TemplateSpec;
use crate::request::SendRequest;
use crate::route::fixtures::spec;

/// What links, numbers and templates are made of.
const PIECES: [&str; 40] = [
    "evil",
    "com",
    ".",
    ".",
    "/",
    "//",
    ":",
    "http",
    "https",
    "tel",
    "sms",
    "www",
    "xn--",
    "@",
    "+",
    "+44",
    "7700",
    "900",
    "1",
    "22",
    "333",
    "-",
    " ",
    "  ",
    "\n",
    "\t",
    "\u{200B}",
    "\u{202E}",
    "．",
    "：",
    "。",
    "１２",
    "{{ code }}",
    "{% if x %}",
    "é",
    "🔑",
    "Anna",
    "'",
    "(",
    ")",
];

const OWN_LINK: &str = "https://acme.example/help";

const TEXTS: [&str; 10] = [
    "{{ code }} is your {{ organization }} code, {{ user.name }}.",
    "{{ user.name }}:{{ code }}",
    "{{ organization }}: {{ code }}",
    "{{ user.given_name }} {{ user.name }} {{ order }} code {{ code }}",
    "{{ user.name }}{{ organization }}{{ order }}\n{{ code }}",
    "({{ organization }})-({{ order }}) {{ code }}",
    "{{ user.name | upper }} {{ order ~ ' ' ~ organization }} {{ code }}",
    "{% set n = user.name %}{{ n }}/{{ order | replace(' ', '') }} {{ code }}",
    "{% if code %}{{ order }}{% endif %}-{{ organization | trim }}, {{ code }}",
    "Hi {{ user.name }}, see https://acme.example/help or {{ organization }} {{ code }}",
];

/// A small linear congruential generator: the same run every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn value(&mut self, pieces_max: usize) -> String {
        let count = self.below(pieces_max + 1);
        let mut value: String = (0..count).map(|_| PIECES[self.below(PIECES.len())]).collect();
        if let Some((end, _)) = value.char_indices().nth(200) {
            value.truncate(end);
        }
        value
    }
}

#[test]
fn hostile_values_never_gain_a_link_or_another_part() {
    let specs: Vec<TemplateSpec> = TEXTS.iter().map(|text| spec(text, &[("en", text)])).collect();
    let plan = plan_with(specs);
    let mut dice = Dice(0x5eed);
    let (mut sent, mut refused) = (0, 0);
    for round in 0..10_000 {
        let template = TEXTS[dice.below(TEXTS.len())];
        let pieces_max = if round % 50 == 0 { 400 } else { 5 };
        let request = SendRequest {
            template: Some(template.to_owned()),
            code: Some(Body::new("123456".to_owned())),
            organization: Some(dice.value(pieces_max)),
            user: object(&json!({ "name": dice.value(pieces_max), "given_name": dice.value(pieces_max) })),
            variables: object(&json!({ "order": dice.value(pieces_max) })),
            ..ask()
        };
        let shown = format!("{:?} {:?} {:?}", request.organization, request.user, request.variables);
        let Ok(text) = text_of(request, &plan) else {
            refused += 1;
            continue;
        };
        sent += 1;
        // At the very beginning, where only a value can complete a template's domain, `/x` counts as one.
        let gained = format!(" {}", text.replace(OWN_LINK, " "));
        assert!(!contains_link(&gained), "{template}\n{shown}\n{text}");
        assert!(text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202E}' && c != '\u{200B}')), "{text:?}");
        assert_eq!(text.matches('\n').count(), template.matches('\n').count(), "no value brings a line: {text:?}");
        // Three names of 64 and one value of 200 characters, two UTF-16 units each, and the template.
        let units_max = 2 * (3 * 64 + 200) + template.len();
        assert!(usize::from(segment(&text).segments) <= units_max.div_ceil(66), "{text}");
    }
    assert!(sent > 2_000 && refused > 2_000, "{sent} sent, {refused} refused");
}

#[test]
fn values_that_are_harmless_alone_do_not_join_to_a_link() {
    let plan = plan_with(TEXTS.iter().map(|text| spec(text, &[("en", text)])).collect());
    let of = |template: usize, name: &str, organization: &str, order: &str| {
        let request = SendRequest {
            template: Some(TEXTS[template].to_owned()),
            code: Some(Body::new("123456".to_owned())),
            organization: Some(organization.to_owned()),
            user: object(&json!({ "name": name, "given_name": "Anna" })),
            variables: object(&json!({ "order": order })),
            ..ask()
        };
        text_of(request, &plan).map_err(|refusal| refusal.problems[0].field.clone())
    };
    let joined = Err("variables".to_owned());
    assert_eq!(of(1, "tel", "", ""), joined, "tel:123456");
    assert_eq!(of(4, "evil.", "", "com"), joined, "evil.com");
    assert_eq!(of(3, "+44 7", "", "700 900"), joined, "a number in two halves");
    assert_eq!(of(7, "http:", "", "evil"), joined, "http:/evil");
    assert_eq!(of(3, "Anna", "", "A 17"), Ok("Anna Anna A 17 code 123456".to_owned()));
    assert_eq!(of(9, "Bob", "Blue", ""), Ok(format!("Hi Bob, see {OWN_LINK} or Blue 123456")));
}

#[test]
fn a_long_code_neither_makes_names_suspicious_nor_hides_what_they_join_to() {
    let plan = plan_with(vec![spec("t", &[("en", "{{ organization }}:{{ user.name }} {{ code }}")])]);
    let of = |organization: &str, name: &str| {
        let request = SendRequest {
            code: Some(Body::new("12345678".to_owned())), // reads as a phone number itself
            organization: Some(organization.to_owned()),
            user: object(&json!({ "name": name })),
            ..ask()
        };
        text_of(request, &plan).map_err(|refusal| refusal.problems[0].field.clone())
    };
    assert_eq!(of("Blue", "Anna"), Ok("Blue:Anna 12345678".to_owned()));
    assert_eq!(of("Blue", "evil.com"), Err("user.name".to_owned()));
    assert_eq!(of("tel", "9"), Err("variables".to_owned()));
}
