//! What is told about a file full of mistakes.

use super::*;

/// Every kind of slip at once.
const BAD: &str = r#"[server]
listen = "127.0.0.1:8080"
max_connections = "many"
drian = "30s"

[tenants.acme]
keys = ["sha256:9f86d0", 17, "an-api-key-in-clear-text"]
senders = ["Acme", "far too long a sender"]
webhook = { url = "https://a.example", secret = "whsec_in_clear" }
template = "opt"

[tenants.Globex]
keys = []

[providers.mitto]
kind = "mitto"
base_url = "http://rest.mittoapi.net"
api_key = "hunter2hunter2"
timeuot = "3s"
tenants = ["acmee"]

[providers.other]
kind = "mito"

[[routes]]
id = "french"
when = { language = "french", hours = "22-06", country = ["DE", "GER"] }
use = ["mitto", "vonage"]
max_copies = 3

[[routes]]
id = "french"

[[limits]]
id = "l"
per = ["tenant", "recipent"]
allow = ["5/10m", "5 per hour"]

[[limits]]
per = ["tenant"]

[templates.otp]
en = "{{ code is your code"
autofil_domain = "acme.example"

[countries]
allow = ["DE"]
block = ["DE"]
default = "deny"
"#;

fn bad() -> Report {
    refused(&sources(vec![text("gateway.toml", BAD)]))
}

#[test]
fn every_fault_is_told_at_once_in_the_order_of_the_file() {
    assert_eq!(
        codes(&bad()),
        [
            "E106 server.max_connections",
            "E104 server.drian",
            "E106 tenants.acme.keys[0]",
            "E106 tenants.acme.keys[1]",
            "E120 tenants.acme.keys[2]",
            "E106 tenants.acme.senders[1]",
            "E120 tenants.acme.webhook.secret",
            "E113 tenants.acme.template",
            "E107 tenants.Globex",
            "E116 providers.mitto.base_url",
            "E120 providers.mitto.api_key",
            "E104 providers.mitto.timeuot",
            "E111 providers.mitto.tenants[0]",
            "E114 providers.other.kind",
            "E106 routes[0].when.language",
            "E106 routes[0].when.hours",
            "E106 routes[0].when.country[1]",
            "E112 routes[0].use[1]",
            "E106 routes[0].max_copies",
            "E108 routes[1].id",
            "E117 routes[1].id",
            "E106 limits[0].per[1]",
            "E106 limits[0].allow[1]",
            "E105 limits[1].allow",
            "E105 limits[1].id",
            "E115 templates.otp.en",
            "E104 templates.otp.autofil_domain",
            "E109 countries.block[0]",
            "E106 countries.default",
        ]
    );
}

#[test]
fn places_are_lines_and_columns() {
    let places: Vec<_> = bad()
        .errors
        .iter()
        .take(3)
        .map(|finding| finding.place.as_ref().map(|place| (place.file.clone(), place.line, place.column)).unwrap())
        .collect();
    let file = || "gateway.toml".to_owned();
    assert_eq!(places, [(file(), 3, 19), (file(), 4, 1), (file(), 7, 9)]);
}

#[test]
fn the_text_has_carets_and_suggestions() {
    let shown = bad().to_text();
    for expected in [
        "error[E104]: unknown key `timeuot` in provider `mitto`\n  --> gateway.toml:19:1\n   |\n19 | timeuot = \"3s\"\n   | ^^^^^^^ did you mean `timeout`?",
        "error[E112]: provider `vonage`, named by route `french`, is not defined\n  --> gateway.toml:28:17\n   |\n28 | use = [\"mitto\", \"vonage\"]\n   |                 ^^^^^^^^ defined: mitto, other",
        "did you mean `drain`?",
        "did you mean `acme`? defined: Globex, acme",
        "did you mean \"mitto\"? this build knows: mitto, mock",
        "did you mean `autofill_domain`?",
        "expected COUNT/PERIOD such as",
        "44 | autofil_domain = \"acme.example\"",
        "39 | [[limits]]\n   | ^^^^^^^^^^ add `id = …` here",
        "expected one of allow, block",
        "defined: otp",
        "expected one of client_id, country",
        "first used at gateway.toml:26",
        "29 errors, ",
        "Nothing was changed. More: gateway explain E106",
    ] {
        assert!(shown.contains(expected), "{expected}\n\n{shown}");
    }
}

#[test]
fn secrets_in_clear_are_never_shown() {
    let report = bad();
    let (shown, json) = (report.to_text(), report.to_json().to_string());
    for secret in ["hunter2", "whsec_in_clear", "an-api-key-in-clear-text"] {
        assert!(
            !shown.contains(secret) && !json.contains(secret) && !format!("{report:?}").contains(secret),
            "{secret}\n{shown}"
        );
    }
    assert!(shown.contains("18 | api_key = \"**************\"\n"), "{shown}");
}

#[test]
fn a_secret_under_a_misspelled_key_beside_a_fault_or_in_a_broken_line_is_not_shown() {
    for toml in [
        "[providers.mitto]\nkind = \"mitto\"\nbase_url = \"https://h\"\napi_kye = \"hunter2hunter2\"\n",
        "[providers.mitto]\nkind = \"mitto\"\nbase_url = \"https://h\"\napy = \"hunter2hunter2\"\n",
        "providers.mitto = { kind = \"mito\", api_key = \"hunter2hunter2\" }\n",
        "providers.mitto = { knid = \"mitto\", secret = '''hunter2hunter2''' }\n",
        "[store]\nurl = \"postgres://gateway:hunter2hunter2@db/gateway\"\nkeep_messages = 5\n",
        "[server]\nops_token = \"hunter2hunter2\n",
        "[server]\nops_token = hunter2hunter2\n",
        "[tenants.acme]\nkeys = [\"hunter2hunter2\", 5]\n",
        "[server]\ndrain = \"sk_live_1_hunter2hunter2\"\n",
    ] {
        let report = refused(&sources(vec![text("gateway.toml", toml)]));
        let shown = format!("{}{}{report:?}", report.to_text(), report.to_json());
        assert!(!shown.contains("hunter2"), "{toml}\n{shown}");
    }
}

#[test]
fn the_json_form_has_what_editors_need() {
    let json = bad().to_json();
    let first = json["errors"][1].clone();
    assert_eq!(
        first,
        serde_json::json!({
            "code": "E104", "column": 1, "file": "gateway.toml", "help": "did you mean `drain`?", "line": 4,
            "message": "unknown key `drian` in [server]", "path": "server.drian", "set_by": null,
        })
    );
    assert!(json["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "W203"));
}

#[test]
fn secrets_that_are_not_there_are_told_with_where_they_were_looked_for() {
    let toml = MINIMAL.replace("MITTO_API_KEY", "EMPTY").replace("ACME_KEY", "UNSET")
        + "[store]\nkey = { file = \"/missing\" }\n";
    let report = refused(&sources(vec![text("gateway.toml", &toml)]));
    assert_eq!(codes(&report), ["E121 tenants.acme.keys[0]", "E121 providers.mitto.api_key", "E122 store.key"]);
    let shown = report.to_text();
    assert!(shown.contains("from environment variable EMPTY (0 characters)"), "{shown}");
    assert!(shown.contains("from environment variable UNSET (not set)"), "{shown}");
    assert!(shown.contains("from file /missing: entity not found"), "{shown}");
}

#[test]
fn http_is_for_this_machine_unless_said_otherwise() {
    let plain = MINIMAL.replace("https://rest.mittoapi.net", "http://rest.mittoapi.net");
    let report = refused(&sources(vec![text("gateway.toml", &plain)]));
    assert_eq!(codes(&report), ["E116 providers.mitto.base_url"]);
    let insecure = plain.replace("kind = \"mitto\"", "kind = \"mitto\"\ninsecure = true");
    assert_eq!(config(&insecure).providers.len(), 1);
    assert_eq!(config(&MINIMAL.replace("https://rest.mittoapi.net", "http://127.0.0.1:9")).providers.len(), 1);
}

#[test]
fn a_key_of_two_tenants_is_refused() {
    let toml = format!("{MINIMAL}\n[tenants.globex]\nkeys = [{{ env = \"ACME_KEY\" }}]\n");
    let report = refused(&sources(vec![text("gateway.toml", &toml)]));
    assert_eq!(codes(&report), ["E119 tenants.globex.keys[0]"]);
}

#[test]
fn routes_and_tables_are_checked_against_each_other() {
    let toml = format!(
        "{MINIMAL}
[[routes]]
id = \"weights\"
split = {{ mitto = 0 }}
use = [\"mitto\"]
ttl = {{ otp = \"11m\", transactional = \"0s\" }}
when = {{ tenant = [\"acme\", \"globex\"] }}
template = \"otp\"
[[limits]]
id = \"empty\"
per = []
allow = []
[[limits]]
id = \"twice\"
per = [\"ip\", \"ip\"]
allow = [\"1/s\"]
[templates.none]
tenants = [\"acmee\"]
[server]
ops = \"127.0.0.1:8080\"
max_connections = 0
body_max = \"1B\"
"
    );
    let mut told = codes(&refused(&sources(vec![text("gateway.toml", &toml)])));
    told.sort();
    assert_eq!(
        told,
        [
            "E105 templates.none",
            "E106 limits[0].allow",
            "E106 limits[0].per",
            "E106 limits[1].per",
            "E106 routes[1].split",
            "E106 routes[1].ttl.otp",
            "E106 routes[1].ttl.transactional",
            "E106 server.body_max",
            "E106 server.max_connections",
            "E109 server.ops",
            "E111 routes[1].when.tenant[1]",
            "E111 templates.none.tenants[0]",
            "E113 routes[1].template",
            "E118 routes[1].use[0]",
        ]
    );
}

#[test]
fn warnings_stop_nothing() {
    let toml = "limits = []\n[tenants.acme]\n[providers.mock]\nkind = \"mock\"\n[[routes]]\nid = \"all\"\nuse = [\"mock\"]\n[[routes]]\nid = \"late\"\nuse = [\"mock\"]\n[templates.otp]\nen = \"Hello\"\npt_BR = \"Hello\"\n[countries]\nblock = [\"XX\"]\n[templates.otp.client.ios]\nen = \"Hello\"\n[guard]\nmode = \"block\"\n";
    let loaded = loaded(&sources(vec![text("gateway.toml", toml)]));
    assert_eq!(warnings(&loaded), ["W205", "W202", "W201", "W206", "W204", "W204", "W209", "W204", "W208"]);
    assert!(loaded.warnings.to_text().contains("warning[W206]: no message can reach route `late`"));
    assert!(loaded.warnings.to_text().ends_with("0 errors, 9 warnings. More: gateway explain W205"));
}

#[test]
fn development_takes_secrets_in_clear_and_expects_mocks() {
    let toml = "[tenants.demo]\nkeys = [\"sk_dev_0123456789abcdef\"]\n[providers.mock]\nkind = \"mock\"\n[[routes]]\nid = \"default\"\nuse = [\"mock\"]\n";
    let dev = Sources { mode: Mode::Dev, ..sources(vec![text("dev", toml)]) };
    let loaded = loaded(&dev);
    assert_eq!(warnings(&loaded), [] as [&str; 0]);
    let key = loaded.config.tenants.get("demo").unwrap().keys.first().copied();
    assert_eq!(key, Some(crate::config::schema::KeyHash::of_key("sk_dev_0123456789abcdef")));
    assert!(!loaded.show(true).contains("sk_dev_"), "{}", loaded.show(true));
    assert_eq!(codes(&refused(&sources(vec![text("dev", toml)]))), ["E120 tenants.demo.keys[0]"]);
}

#[test]
fn no_broken_file_panics_hangs_or_shows_a_secret() {
    let cuts = (0..BAD.len()).filter(|at| BAD.is_char_boundary(*at)).filter_map(|at| BAD.get(..at).map(str::to_owned));
    let lines: Vec<&str> = BAD.lines().collect();
    let without = (0..lines.len()).map(|gap| {
        let kept: Vec<_> = lines.iter().enumerate().filter(|(at, _)| *at != gap).map(|(_, line)| *line).collect();
        kept.join("\n")
    });
    for toml in cuts.chain(without) {
        let shown = match load(&sources(vec![text("gateway.toml", &toml)]), &HOOKS) {
            Ok(loaded) => format!("{}{}", loaded.warnings.to_text(), loaded.show(true)),
            Err(report) => format!("{}{}", report.to_text(), report.to_json()),
        };
        for secret in ["hunter2", "whsec_in", "an-api-key"] {
            assert!(!shown.contains(secret), "{secret}\n{toml}\n{shown}");
        }
    }
}
