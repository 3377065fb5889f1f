use std::collections::BTreeSet;

use sms_core::{Channel, Class, Country, Sender};
use sms_engine::plan::{Choice, ClassTtl, Dimension};

use super::*;
use crate::config::{Input, Placeholders};

/// Every table of the contract, with every key that a stage reads.
const EVERYTHING: &str = r#"
[server]
public_url = "https://sms.example.com/"
body_max = "32KiB"
max_connections = 7
header_timeout = "5s"
drain = "12s"
ops_token = { env = "GATEWAY_OPS_TOKEN" }

[store]
keep_messages = "3d"
keep_numbers = "1d"

[tenants.acme]
keys = ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
clients = ["spa_web", "ios_app"]
senders = ["Acme", "+12025550100"]
sender_by_country.us = "+12025550100"
languages = ["en", "pt_BR"]
template = "otp"
default_country = "FR"
webhook = { url = "https://acme.example/sms", secret = { env = "NEW" }, old_secret = { env = "OLD" }, private = true }
passwordless = { secret = { env = "JWT" }, subject = "urn:Auth0", audience = "urn:sms" }

[tenants.globex]
name = "Globex Inc"
keys = [{ env = "GLOBEX_KEY" }]

[providers.mitto]
kind = "mitto"
tenants = ["acme"]
api_key = { env = "MITTO_API_KEY" }
timeout = "2s"
throughput = "200/s"
concurrency = 9

[providers.backup]
kind = "mock"

[[routes]]
id = "french"
when = { client_id = "ios_app", language = ["fr", "pt-BR"], prefix = "+33", hours = "22:00-06:00 Europe/Prague", channel = "sms", class = ["otp"], action = "login", factor = "second", tenant = "acme", country = "FR", metadata = { tier = ["gold", "silver"] } }
use = ["mitto", "backup"]
template = "otp"
sender = "Acme"
max_copies = 1
unknown_wait = "3s"
ttl = { otp = "2m" }

[[routes]]
id = "split"
split = { mitto = 80, backup = 20 }
prefer = "delivery"

[[limits]]
id = "per_ip"
per = ["ip", "client_id", "country", "prefix", "end_user", "recipient", "tenant"]
allow = ["5/10m", "10/h"]
mode = "shadow"

[countries]
default = "block"
allow = ["FR", "DE"]
block = ["KP"]

[templates.otp]
autofill_domain = "acme.example"
tenants = ["acme"]
en = "{{ code }} is your {{ client_name }} code."
[templates.otp.client.ios_app]
en = "<#> {{ code }} is your code."
"#;

const LEAST: &str =
    "[tenants.acme]\nkeys = [{ env = \"K\" }]\n[providers.m]\nkind = \"mock\"\n[[routes]]\nid = \"r\"\nuse = [\"m\"]";

fn loaded(text: &str) -> Loaded {
    let documents = vec![Input::Text { name: "test".to_owned(), text: text.to_owned() }];
    let sources =
        Sources { documents, dir: None, env: Vec::new(), flags: Vec::new(), mode: Mode::Serve, secrets: &Placeholders };
    load(&sources).unwrap()
}

fn wired(text: &str, mode: Mode) -> Wired {
    wire(loaded(text).config, mode, &Providers::new().unwrap(), &idle_deps()).unwrap()
}

#[test]
fn listeners_and_keeping_follow_their_keys() {
    let loaded = loaded(EVERYTHING);
    assert_eq!(callback_base(&loaded.config).as_deref(), Some("https://sms.example.com"));
    let Wired { live, network, keeping, .. } = wired(EVERYTHING, Mode::Serve);
    assert_eq!((live.body_bytes_max, live.passwordless.len()), (32 * 1024, 1));
    assert!(live.ops_token.is_some());
    assert_eq!((network.connections_max, network.drain), (7, Duration::from_secs(12)));
    assert_eq!(network.header_timeout, Duration::from_secs(5));
    assert_eq!(keeping.policy.keep_messages, Duration::from_hours(72));
    assert_eq!(keeping.policy.keep_numbers, Duration::from_hours(24));
}

#[test]
fn tenants_are_found_by_key_and_keep_what_they_may() {
    let plan = wired(EVERYTHING, Mode::Serve).plan;
    assert_eq!(plan.keys.len(), 2);
    let acme = plan.tenants.get("acme").unwrap();
    assert!(plan.keys.values().any(|id| *id == acme.id));
    assert_eq!(acme.name, "acme", "the table's name where no other is given");
    assert_eq!(plan.tenants.get("globex").unwrap().name, "Globex Inc");
    assert_eq!(acme.clients, Some(BTreeSet::from(["ios_app".to_owned(), "spa_web".to_owned()])));
    assert_eq!(acme.senders.first(), Sender::parse("Acme").as_ref());
    assert_eq!(acme.sender_by_country.keys().collect::<Vec<_>>(), [&Country::parse("US").unwrap()]);
    assert_eq!(acme.languages.iter().map(plan::Language::as_str).collect::<Vec<_>>(), ["en", "pt-br"]);
    assert_eq!((acme.template.as_deref(), acme.default_country), (Some("otp"), Country::parse("FR")));
    let webhook = acme.webhook.as_ref().unwrap();
    let secrets: Vec<_> = webhook.secrets.iter().map(sms_core::Secret::expose).collect();
    assert_eq!(secrets, ["placeholder-for-variable-NEW", "placeholder-for-variable-OLD"], "newest first");
    assert!(webhook.private && webhook.url == "https://acme.example/sms");
}

#[test]
fn providers_get_their_bounds() {
    let plan = wired(EVERYTHING, Mode::Serve).plan;
    let mitto = plan.providers.get("mitto").unwrap();
    assert_eq!((mitto.timeout, mitto.concurrency), (Duration::from_secs(2), 9));
    assert_eq!(mitto.interval, Some(Duration::from_millis(5)));
    assert_eq!(mitto.tenants, Some(BTreeSet::from([TenantId::new("acme")])));
    assert_eq!(plan.providers.get("backup").unwrap().instance.descriptor().kind, "mock");
}

#[test]
fn a_route_keeps_every_condition() {
    let plan = wired(EVERYTHING, Mode::Serve).plan;
    let rule = plan.rules.first().unwrap();
    let plan::When { tenant, client_id, language, country, prefix, channel, class, action, factor, hours, metadata } =
        &rule.when;
    assert_eq!((tenant.as_slice(), client_id.as_slice()), (&[TenantId::new("acme")][..], &["ios_app".to_owned()][..]));
    assert_eq!(language.iter().map(plan::Language::as_str).collect::<Vec<_>>(), ["fr", "pt-br"]);
    assert_eq!((country.as_slice(), prefix.as_slice()), (&[Country::parse("FR").unwrap()][..], &["33".to_owned()][..]));
    assert_eq!((channel.as_slice(), class.as_slice()), (&[Channel::Sms][..], &[Class::Otp][..]));
    assert_eq!((action.as_slice(), factor.as_slice()), (&["login".to_owned()][..], &["second".to_owned()][..]));
    let hours = hours.first().unwrap();
    assert_eq!((hours.from, hours.to, hours.zone.iana_name()), (1320, 360, Some("Europe/Prague")));
    assert_eq!(metadata.get("tier").map(Vec::as_slice), Some(&["gold".to_owned(), "silver".to_owned()][..]));
    assert_eq!((rule.copies_max, rule.unknown_wait), (1, Duration::from_secs(3)));
    assert_eq!(rule.ttl, ClassTtl { otp: Some(Duration::from_mins(2)), transactional: None });
    assert!(rule.template.as_deref() == Some("otp") && rule.sender.is_some());
    assert!(matches!(&rule.choice, Choice::Use(list) if list.len() == 2));
}

#[test]
fn a_split_comes_before_those_that_are_only_its_fail_over() {
    let text =
        format!("{LEAST}\n[providers.n]\nkind = \"mock\"\n[[routes]]\nid = \"s\"\nsplit = {{ n = 3 }}\nuse = [\"m\"]");
    let plan = wired(&text, Mode::Serve).plan;
    let Choice::Split(list) = &plan.rules.last().unwrap().choice else { panic!("a split") };
    let weights: Vec<_> = list.iter().map(|(name, weight)| (name.as_str(), *weight)).collect();
    assert_eq!(weights, [("n", 3), ("m", 0)]);
}

#[test]
fn limits_and_countries_follow_their_tables() {
    let plan = wired(EVERYTHING, Mode::Serve).plan;
    let limit = plan.limits.first().unwrap();
    assert_eq!((limit.id.as_str(), limit.windows.len()), ("per_ip", 2));
    assert_eq!(limit.charging, sms_core::store::Charging::Shadow);
    assert_eq!(limit.per.iter().collect::<BTreeSet<_>>().len(), 7);
    let allows = |country: &str| plan.countries.allows(Country::parse(country).unwrap());
    assert!(allows("DE") && !allows("US") && !allows("KP"));
}

#[test]
fn without_limits_the_built_in_one_holds_and_only_dev_spares_test_numbers() {
    let plan = wired(LEAST, Mode::Serve).plan;
    assert_eq!(plan.limits.len(), 1);
    let limit = plan.limits.first().unwrap();
    assert_eq!(limit.per, [Dimension::Tenant, Dimension::Recipient]);
    let windows: Vec<_> = limit.windows.iter().map(ToString::to_string).collect();
    assert_eq!(windows, ["1/30s", "5/10m", "10/h", "20/d"]);
    assert!(!plan.test_numbers_unlimited && wired(LEAST, Mode::Dev).plan.test_numbers_unlimited);
}

#[test]
fn a_secret_that_should_be_base64_and_is_not_is_told_without_it() {
    let text = format!(
        "{LEAST}\n[tenants.t]\npasswordless = {{ secret = {{ file = \"/!\" }}, secret_base64 = true, subject = \"s\", audience = \"a\" }}"
    );
    let error = plan(&loaded(&text)).unwrap_err().to_string();
    assert!(error.contains("tenants.t.passwordless.secret") && !error.contains("placeholder"), "{error}");
}

#[test]
fn faults_of_providers_and_templates_have_their_place() {
    let text = format!("{LEAST}\n[providers.x]\nkind = \"mitto\"\n[templates.t]\nen = \"{{{{ code\"");
    let documents = vec![Input::Text { name: "test".to_owned(), text }];
    let sources =
        Sources { documents, dir: None, env: Vec::new(), flags: Vec::new(), mode: Mode::Serve, secrets: &Placeholders };
    let report = load(&sources).unwrap_err();
    let told: Vec<_> = report.errors.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(told, ["providers.x.api_key", "templates.t.en"], "{report}");
}

#[test]
fn every_provider_can_be_asked_whether_it_serves() {
    assert_eq!(providers(&loaded(EVERYTHING)).unwrap().len(), 2);
}
