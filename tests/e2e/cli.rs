//! The command line against a running gateway: what it prints, and the exit codes that scripts go by.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use std::process::Output;

use e2e::{Behaviour, Gateway, Mitto, OPS_TOKEN, Tenant, cli, hash_of, swiss};
use serde_json::{Value, json};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[track_caller]
fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    stdout(output)
}

#[track_caller]
fn failed(output: &Output, exit: i32) {
    assert_eq!(output.status.code(), Some(exit), "{output:?}");
    assert!(!(output.stderr.is_empty() && output.stdout.is_empty()), "says why");
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A gateway whose address and keys stand in the environment of [`Gateway::cli`]'s calls.
async fn gateway(upstream: &Mitto) -> Gateway {
    let builder =
        Gateway::builder().tenant(Tenant::new("acme").set("name = \"Acme\"")).mitto("mitto", upstream).mock("mock");
    let builder = builder.route("fiction", "when = { prefix = \"+447700\" }\nuse = [\"mock\"]");
    let builder = builder.route("default", "use = [\"mitto\"]").template("otp", "en = \"{{ code }} is your code.\"");
    builder.start().await
}

/// Runs a command with address and credentials in the environment.
fn run(gateway: &Gateway, args: &[&str]) -> Output {
    let (url, ops_url, acme) = (gateway.url(), gateway.ops_url(), gateway.acme());
    let env = [
        ("GATEWAY_URL", url.as_str()),
        ("GATEWAY_KEY", acme.key()),
        ("GATEWAY_OPS_URL", &ops_url),
        ("GATEWAY_OPS_TOKEN", OPS_TOKEN),
    ];
    cli(args, &env)
}

#[tokio::test]
async fn a_created_key_works_once_its_line_is_configured() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let made = json_of(&done(&cli(&["keys", "create", "--tenant", "globex", "-o", "json"], &[])));
    let (key, hash) = (made["key"].as_str().unwrap(), made["hash"].as_str().unwrap());
    assert_eq!(hash, hash_of(key), "the hash of the whole key text");
    assert!(key.starts_with("sk_live_") && key.split('_').count() == 4 && key.len() >= 40, "{key}");

    let text = done(&cli(&["keys", "create", "--tenant", "globex"], &[]));
    assert!(
        text.trim().starts_with("sk_live_") && text.trim() != key,
        "the key alone on stdout, another one each time"
    );

    gateway.caller(key).list(&[]).await.problem(401, "unauthorized");
    gateway.configure(&format!("{}\n{}\nsenders = [\"Globex\"]\n", gateway.config(), made["config"].as_str().unwrap()));
    gateway.operator().post_with("/admin/v1/reload", &[], &json!({})).await.expect(200).text();
    let body = json!({ "to": swiss(1), "text": "hello there" });
    gateway.caller(key).accepted(&body).await;
}

#[tokio::test]
async fn a_message_is_sent_and_looked_at() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let to = swiss(1);
    let sent = json_of(&done(&run(
        &gateway,
        &["send", "--to", &to, "--text", "Your code is 482913", "--reference", "r7", "-o", "json"],
    )));
    let id = sent["id"].as_str().unwrap().to_owned();
    gateway.acme().wait_status(&id, "sent").await;
    let shown = json_of(&done(&run(&gateway, &["messages", "show", &id, "-o", "json"])));
    assert_eq!((&shown["id"], &shown["status"], &shown["reference"]), (&json!(id), &json!("sent"), &json!("r7")));
    let listed = json_of(&done(&run(&gateway, &["messages", "list", "--to", &to, "-o", "json"])));
    assert!(listed.to_string().contains(&id));
    for args in [["messages", "list"].as_slice(), &["messages", "show", &id]] {
        let text = done(&run(&gateway, args));
        assert!(text.contains(&id) && text.contains("sent") && !text.contains("482913"), "{text}");
    }

    let with_template = ["send", "--to", &swiss(2), "--template", "otp", "--var", "code=482914", "--wait", "sent"];
    done(&run(&gateway, &with_template));
    assert_eq!(upstream.sends_to(&swiss(2)).pop().unwrap().text, "482914 is your code.");
    let once = ["send", "--to", &swiss(3), "--text", "hello there", "--idempotency-key", "k1", "--wait", "sent"];
    done(&run(&gateway, &once));
    done(&run(&gateway, &once));
    assert_eq!(upstream.sends_to(&swiss(3)).len(), 1);
}

#[tokio::test]
async fn the_inbox_prints_the_code_alone() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    done(&run(&gateway, &["send", "--to", "+447700900000", "--text", "Your code is 482913", "--wait", "delivered"]));
    assert_eq!(done(&run(&gateway, &["inbox", "code", "--to", "+447700900000", "--wait", "10s"])), "482913\n");
    let last = json_of(&done(&run(&gateway, &["inbox", "last", "--to", "+447700900000", "-o", "json"])));
    assert_eq!((&last["text"], &last["sender"]), (&json!("Your code is 482913"), &json!("Acme")));
    assert!(done(&run(&gateway, &["inbox", "list"])).contains("482913"));
}

#[tokio::test]
async fn failures_have_their_exit_codes() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    upstream.behave_for(&swiss(2), Behaviour::RejectNumber);
    failed(&run(&gateway, &["send", "--to", "+4179", "--text", "hello there"]), 1);
    failed(&run(&gateway, &["send", "--to", &swiss(2), "--text", "hello there", "--wait", "sent"]), 1);
    failed(&run(&gateway, &["messages", "show", "msg_01890000000070008000000000000000"]), 1);
    failed(&run(&gateway, &["send", "--to", &swiss(1)]), 2);
    failed(&run(&gateway, &["sned"]), 2);
    failed(
        &run(&gateway, &["send", "--to", &swiss(1), "--text", "hello there", "--wait", "delivered", "--timeout", "1s"]),
        75,
    );
    failed(&run(&gateway, &["inbox", "code", "--to", "+447700900000", "--wait", "1s"]), 75);
    let url = gateway.url();
    let wrong_key = [("GATEWAY_URL", url.as_str()), ("GATEWAY_KEY", "sk_live_acme_wrong000000000000000000")];
    failed(&cli(&["messages", "list"], &wrong_key), 77);
    let ops_url = gateway.ops_url();
    failed(&cli(&["inbox", "list"], &[("GATEWAY_OPS_URL", ops_url.as_str()), ("GATEWAY_OPS_TOKEN", "wrong")]), 77);
    let nobody = [("GATEWAY_URL", "http://127.0.0.1:1"), ("GATEWAY_KEY", "sk_live_acme_wrong000000000000000000")];
    failed(&cli(&["messages", "list"], &nobody), 69);
}

#[tokio::test]
async fn a_configuration_is_shown_with_origins_and_without_secrets() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let shown = done(&gateway.cli(&["config", "show", "--config", "gateway.toml", "--origin"]));
    assert!(shown.contains("gateway.toml:") && shown.contains("drain"), "{shown}");
    for secret in [OPS_TOKEN, e2e::Builder::MITTO_KEY, e2e::Builder::WEBHOOK_SECRET] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let schema = json_of(&done(&cli(&["config", "schema"], &[])));
    assert!(schema["properties"].get("tenants").is_some() && schema["properties"].get("routes").is_some());
    let overridden = gateway.cli(&["check", "--config", "gateway.toml", "--offline"]);
    done(&overridden);
}

#[test]
fn codes_are_explained_and_the_version_told() {
    assert!(done(&cli(&["explain", "invalid_recipient"], &[])).contains("422"));
    assert!(done(&cli(&["explain", "E104"], &[])).contains("unknown key"));
    failed(&cli(&["explain", "E999999"], &[]), 1);
    assert!(done(&cli(&["version"], &[])).starts_with("gateway "));
    assert!(json_of(&done(&cli(&["version", "-o", "json"], &[])))["version"].is_string());
}
