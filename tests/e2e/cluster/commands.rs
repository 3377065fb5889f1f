//! What an operator does to a store: migrate, check, copy.

use std::process::Output;

use e2e::{DATABASE_PASSWORD, Gateway, Mitto, Postgres, knob, swiss};
use serde_json::{Value, json};

use super::nodes::{body, node};

fn told(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(!text.contains(DATABASE_PASSWORD), "the password is told: {text}");
    text
}

#[tokio::test]
async fn tables_are_looked_at_made_and_checked() {
    let Some(postgres) = Postgres::start().await else { return };
    let upstream = Mitto::start();
    let sqlite = Gateway::builder().mitto("mitto", &upstream).route("default", "use = [\"mitto\"]").start().await;
    let file = sqlite.cli(&["migrate", "status", "--config", "gateway.toml"]);
    assert!(file.status.success() && told(&file).contains("SQLite: nothing to do"), "{}", told(&file));

    let config = node(&upstream, &postgres.url()).configuration();
    sqlite.configure(&config);
    let run = |words: &[&str]| {
        let mut env: Vec<(&str, &str)> = ENV.to_vec();
        let url = postgres.url();
        env.push(("DATABASE_URL", &url));
        e2e::cli(&[words, &["--config", sqlite.config_path().to_str().expect("UTF-8")]].concat(), &env)
    };
    let empty = run(&["migrate", "status"]);
    assert_eq!(empty.status.code(), Some(1));
    assert!(told(&empty).contains("no tables yet"), "{}", told(&empty));
    let up = run(&["migrate", "up", "-o", "json"]);
    let json: Value = serde_json::from_slice(&up.stdout).unwrap_or_else(|_| panic!("{}", told(&up)));
    assert_eq!((json["store"].as_str(), json["usable"].as_bool()), (Some("postgresql"), Some(true)), "{json}");
    let status = run(&["migrate", "status"]);
    assert!(status.status.success() && told(&status).contains("as this version needs it"), "{}", told(&status));
    let check = run(&["check"]);
    assert!(told(&check).contains("[store] in "), "{}", told(&check));

    postgres.sql("gateway", "INSERT INTO schema_version SELECT max(version) + 2, now() FROM schema_version");
    let newer = run(&["migrate", "status"]);
    assert!(newer.status.code() == Some(1) && told(&newer).contains("too new"), "{}", told(&newer));
    drop(postgres);
}

const ENV: [(&str, &str); 5] = [
    ("E2E_CALLBACK_SECRET", "callback-secret-of-the-tests"),
    ("E2E_MITTO_KEY", "mitto-key-of-the-tests"),
    ("E2E_OPS_TOKEN", e2e::OPS_TOKEN),
    ("GATEWAY_STORE_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
    ("PATH", "/usr/bin:/bin"),
];

/// `E2E_COPIES` asks for more messages.
#[tokio::test]
async fn a_file_is_copied_into_a_database_and_nothing_is_missing() {
    let Some(postgres) = Postgres::start().await else { return };
    let count = u32::try_from(knob("E2E_COPIES", 120)).expect("a number");
    let upstream = Mitto::start();
    let builder = Gateway::builder().mitto("mitto", &upstream).route("default", "use = [\"mitto\"]");
    let mut sqlite = builder.env("DATABASE_URL", &postgres.url()).start().await;
    let acme = sqlite.acme();
    let key = [("idempotency-key", "login-1")];
    let first = acme.send_with(&key, &body(1)).await.expect(202);
    let mut ids = vec![first.message_id()];
    for n in 1..count {
        ids.push(acme.accepted(&json!({ "to": swiss(n), "text": "123456", "reference": format!("r{n}") })).await);
    }
    let mut before = Vec::new();
    for id in &ids {
        before.push(acme.wait_status(id, "sent").await);
    }
    let words = ["store", "copy", "--from", "sqlite:gateway.db", "--to", "env:DATABASE_URL"];
    let in_use = sqlite.cli(&words);
    assert_eq!(in_use.status.code(), Some(1), "a gateway runs on it: {}", told(&in_use));
    sqlite.term();
    assert!(sqlite.ended(e2e::PATIENCE).await.success());
    let copied = sqlite.cli(&[&words[..], &["-o", "json"]].concat());
    let json: Value = serde_json::from_slice(&copied.stdout).unwrap_or_else(|_| panic!("{}", told(&copied)));
    assert_eq!((json["messages"].as_u64(), json["idempotency_records"].as_u64()), (Some(u64::from(count)), Some(1)));
    let again = sqlite.cli(&words);
    assert_eq!(again.status.code(), Some(1), "it holds messages now: {}", told(&again));

    let node = node(&upstream, &postgres.url()).start().await;
    for (id, before) in ids.iter().zip(before) {
        assert_eq!(node.acme().message(id).await, before);
    }
    let replay = node.acme().send_with(&key, &body(1)).await.expect(202);
    assert_eq!((replay.header("idempotent-replayed"), &replay.body), ("true", &first.body));
    assert_eq!(upstream.sends().len(), ids.len(), "nothing was sent twice");
}

#[tokio::test]
async fn a_database_is_spoken_to_over_tls_and_only_if_its_certificate_is_trusted() {
    let Some(postgres) = Postgres::start().await else { return };
    let certificate = postgres.speak_tls();
    let url = postgres.url().replace("sslmode=disable", "sslmode=require");
    let upstream = Mitto::start();
    let builder = node(&upstream, &url);
    let file = certificate.to_str().expect("UTF-8");
    let gateway = builder.clone().env("SSL_CERT_FILE", file).start().await;
    let id = gateway.acme().accepted(&body(1)).await;
    gateway.acme().wait_status(&id, "sent").await;
    let plain = "SELECT count(*) FILTER (WHERE NOT ssl) || ' of ' || (count(*) > 0) FROM pg_stat_ssl \
        JOIN pg_stat_activity USING (pid) WHERE application_name = 'sms-gateway'";
    assert_eq!(postgres.sql("gateway", plain), "0 of true");

    gateway.configure(&builder.configuration());
    let mut env: Vec<(&str, &str)> = ENV.to_vec();
    env.push(("DATABASE_URL", &url));
    let config = gateway.config_path();
    let words = ["migrate", "status", "--config", config.to_str().expect("UTF-8")];
    let refused = e2e::cli(&words, &env);
    assert!(!refused.status.success() && told(&refused).contains("certificate"), "{}", told(&refused));
    let trusted = e2e::cli(&words, &[&env[..], &[("SSL_CERT_FILE", file)]].concat());
    assert!(trusted.status.success(), "{}", told(&trusted));
}
