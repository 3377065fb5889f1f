//! The commands that only look at a configuration: `check`, `routes explain`, `config`, and `serve` of a faulty one.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod cli_support;

use cli_support::{Ran, gateway, run};
use serde_json::Value;
use tempfile::TempDir;

const GOOD: &str = r#"
[server]
public_url = "https://sms.example.com"
[tenants.acme]
name = "Acme"
keys = [{ env = "ACME_KEY" }]
clients = ["spa_web", "ios_app"]
senders = ["Acme"]
template = "otp"
[tenants.globex]
keys = [{ env = "GLOBEX_KEY" }]
senders = ["Globex"]
[providers.mitto]
kind = "mitto"
base_url = "https://127.0.0.1:9"
api_key = { env = "MITTO_API_KEY" }
callback_secret = { env = "MITTO_CALLBACK" }
[providers.backup]
kind = "mitto"
base_url = "https://127.0.0.1:9"
api_key = { env = "MITTO_API_KEY" }
callback_secret = { env = "MITTO_CALLBACK" }
tenants = ["acme"]
[[routes]]
id = "french_app"
when = { client_id = "ios_app", language = "fr" }
use = ["backup", "mitto"]
[[routes]]
id = "default"
use = ["mitto", "backup"]
[templates.otp]
en = "{{ code }} is your {{ client_name }} code."
"#;

const SECRETS: [(&str, &str); 4] = [
    ("ACME_KEY", "sk_live_acme_0123456789"),
    ("GLOBEX_KEY", "sk_live_globex_0123456789"),
    ("MITTO_API_KEY", "mitto_key_canary"),
    ("MITTO_CALLBACK", "callback_canary"),
];

fn written(text: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("gateway.toml"), text).unwrap();
    dir
}

fn with_secrets(dir: &TempDir, words: &[&str]) -> Ran {
    Ran::from(gateway(dir.path(), words).envs(SECRETS).output().unwrap())
}

const CHECK: [&str; 4] = ["check", "--config", "gateway.toml", "--offline"];

#[test]
fn a_good_configuration_passes_and_is_summed_up() {
    let ran = with_secrets(&written(GOOD), &CHECK);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("2 tenants · 2 providers · 2 routes · 1 limit · 1 template"), "{}", ran.out);
    let json = with_secrets(&written(GOOD), &[&CHECK[..], &["-o", "json"]].concat());
    assert_eq!((json.code, json.json()), (0, serde_json::json!({ "errors": [], "warnings": [] })));
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let faulty = GOOD
        .replace("keys = [{ env = \"GLOBEX_KEY\" }]", "kyes = []")
        .replace("use = [\"mitto\", \"backup\"]", "use = [\"mito\"]")
        .replace("en = \"{{ code }}", "en = \"{{ code }");
    let dir = written(&faulty);
    let json = with_secrets(&dir, &[&CHECK[..], &["-o", "json"]].concat());
    assert_eq!(json.code, 78);
    let errors = json.json()["errors"].as_array().unwrap().clone();
    let paths: Vec<&str> = errors.iter().map(|error| error["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["tenants.globex.kyes", "routes[1].use[0]", "templates.otp.en"]);
    for error in &errors {
        for key in ["file", "line", "column", "path", "message", "help"] {
            assert!(!error[key].is_null(), "{key} of {error}");
        }
    }
    let text = with_secrets(&dir, &CHECK);
    assert_eq!(text.code, 78);
    assert!(text.out.contains("did you mean `mitto`?") && text.out.contains("3 errors"), "{}", text.out);
    let serve = with_secrets(&dir, &["serve", "--config", "gateway.toml"]);
    assert_eq!((serve.code, serve.out.as_str()), (78, ""));
    assert!(serve.err.contains("did you mean `mitto`?"), "{}", serve.err);
}

#[test]
fn missing_secrets_are_mistakes_and_found_ones_never_shown() {
    let dir = written(GOOD);
    let without = run(dir.path(), &CHECK);
    assert_eq!(without.code, 78);
    assert!(without.out.contains("MITTO_API_KEY"), "{}", without.out);
    for words in [&CHECK[..], &["config", "show", "--config", "gateway.toml", "--origin"]] {
        let ran = with_secrets(&dir, words);
        assert!(!ran.out.contains("canary") && !ran.err.contains("canary"), "{}{}", ran.out, ran.err);
    }
}

#[test]
fn a_provider_that_cannot_be_reached_is_a_warning_unless_offline() {
    let online = with_secrets(&written(GOOD), &["check", "--config", "gateway.toml", "-o", "json"]);
    assert_eq!(online.code, 0, "{}", online.err);
    let warnings = online.json()["warnings"].as_array().unwrap().clone();
    let paths: Vec<&Value> = warnings.iter().map(|warning| &warning["path"]).collect();
    assert_eq!(paths, ["providers.backup", "providers.mitto"]);
    let text = with_secrets(&written(GOOD), &["check", "--config", "gateway.toml"]);
    assert!(text.out.contains("! reachability  backup: "), "{}", text.out);
}

#[test]
fn files_of_the_directory_are_read_too() {
    let dir = written(GOOD);
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    std::fs::write(dir.path().join("conf.d/more.toml"), "[tenants.initech]\nsenders = 5\n").unwrap();
    let words = [&CHECK[..], &["--config-dir", "conf.d", "-o", "json"]].concat();
    let ran = with_secrets(&dir, &words);
    assert_eq!(ran.code, 78);
    assert_eq!(ran.json()["errors"][0]["file"], "conf.d/more.toml");
}

fn explain(words: &[&str]) -> Ran {
    let words = [&["routes", "explain", "--config", "gateway.toml"], words].concat();
    run(written(GOOD).path(), &words)
}

#[test]
fn a_route_is_explained_without_any_secret() {
    let ran = explain(&["--tenant", "acme", "--to", "+4915112345730", "--client-id", "ios_app", "--language", "fr-CA"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in ["DE", "french_app", "YES", "→ backup", "→ mitto", "otp in en"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let json = explain(&["--tenant", "acme", "--to", "+4915112345730", "-o", "json"]).json();
    assert_eq!((&json["rule"], &json["candidates"][0]["provider"]), (&"default".into(), &"mitto".into()));
    assert!(!json.to_string().contains("4915112345730"));
}

#[test]
fn an_expectation_decides_the_exit_code() {
    let to = ["--tenant", "acme", "--to", "+4915112345730"];
    let expecting = |provider: &str| explain(&[&to[..], &["--expect", provider]].concat());
    assert_eq!(expecting("mitto").code, 0);
    let other = expecting("backup");
    assert_eq!(other.code, 1);
    assert!(other.err.contains("expected backup, but mitto"), "{}", other.err);
    let skipped = explain(&["--tenant", "globex", "--to", "+4915112345730", "--expect", "backup"]);
    assert_eq!(skipped.code, 1);
    let refused = explain(&["--tenant", "acme", "--to", "+49", "--expect", "mitto"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("would be refused"), "{}", refused.err);
    let voice = explain(&[&to[..], &["--channel", "voice", "--expect", "mitto"]].concat());
    assert_eq!(voice.code, 1);
    assert!(voice.out.contains("channel_not_supported"), "{}", voice.out);
}

#[test]
fn an_unknown_tenant_or_a_nonsense_channel_is_told() {
    let tenant = explain(&["--tenant", "acne", "--to", "+4915112345730"]);
    assert_eq!(tenant.code, 1);
    assert!(tenant.err.contains("acme, globex"), "{}", tenant.err);
    assert_eq!(explain(&["--tenant", "acme", "--to", "+49", "--channel", "fax"]).code, 2);
}

#[test]
fn values_are_shown_with_their_origin() {
    let dir = written(GOOD);
    let mut command = gateway(dir.path(), &["config", "show", "--config", "gateway.toml", "--origin"]);
    let ran = Ran::from(command.env("GATEWAY__SERVER__DRAIN", "5s").output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let line = |key: &str| ran.out.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("server.drain").ends_with("= \"5s\"  # GATEWAY__SERVER__DRAIN"), "{}", line("server.drain"));
    assert!(line("tenants.acme.name").contains("gateway.toml:5"), "{}", line("tenants.acme.name"));
    assert!(line("server.listen").ends_with("# default"));
    let json = run(dir.path(), &["config", "show", "--config", "gateway.toml", "-o", "json"]).json();
    let values = json["values"].as_array().unwrap();
    assert!(values.iter().any(|value| value["key"] == "tenants.acme.name" && value["value"] == "\"Acme\""));
}

#[test]
fn the_schema_is_json() {
    let schema = run(written("").path(), &["config", "schema"]).json();
    assert!(schema["properties"]["server"].is_object());
}
