//! Canaries on every path: no code, text, number, credential or anything else about a person in logs, metrics, errors or,
//! in clear, on the disk.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

mod canaries;
mod paths;

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use e2e::{Behaviour, Gateway, Mitto, PATIENCE, ReceiptPlan, Reply, Request, Tenant, Upstream, Verdict, eventually};
use serde_json::json;

use canaries::{CODE, Canaries, INLINE, NATIVE, PASSWORDLESS, STRANGER, WORDS, number, prefix};
use paths::{Told, good, mistakes, moods, strangers, text};

/// A tenant's server that is out of order, and quotes what it was told.
fn receiver() -> Upstream {
    Upstream::start(|request: &Request, _: Verdict| Reply::text(500, &String::from_utf8_lossy(&request.body)))
}

async fn gateway(upstream: &Mitto, receiver: &Upstream) -> Gateway {
    let webhook = format!(
        "webhook = {{ url = \"{}/told\", secret = {{ env = \"E2E_WEBHOOK_SECRET\" }}, private = true }}",
        receiver.url()
    );
    let passwordless =
        "passwordless = { secret = { env = \"E2E_PASSWORDLESS\" }, subject = \"urn:Auth0\", audience = \"urn:sms\" }";
    let tenant = Tenant::new("acme").set("clients = [\"app\"]").set(&webhook).set(passwordless);
    let builder = Gateway::builder().log("trace").tenant(tenant).env("E2E_PASSWORDLESS", PASSWORDLESS);
    let builder = builder.mitto_with("mitto", upstream, "timeout = \"500ms\"").mock("fake");
    let builder =
        builder.template("named", "en = \"{{ code }} for {{ name }}\"").template("otp", "en = \"{{ code }} is it\"");
    // One provider for each behaviour, so that no breaker hides one from another.
    let builder = (1..=Behaviour::ALL.len()).fold(builder, |builder, block| {
        let (name, when) = (format!("mood{block}"), format!("when = {{ prefix = \"{}\" }}", prefix(block)));
        let route = format!("{when}\nuse = [\"{name}\"]\nunknown_wait = \"1s\"");
        builder.mitto_with(&name, upstream, "timeout = \"500ms\"").route(&name, &route)
    });
    builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await
}

#[tokio::test]
async fn nothing_personal_leaks() {
    let (upstream, receiver) = (Mitto::start(), receiver());
    upstream.receipts(Some(ReceiptPlan::delivered(Duration::from_millis(5))));
    let mut gateway = gateway(&upstream, &receiver).await;
    let acme = gateway.acme();
    let accepted = acme.accepted(&good(NATIVE)).await;
    acme.wait_status(&accepted, "delivered").await;
    let callback = upstream.sends().pop().and_then(|send| send.callback).expect("a receipt URL");
    let mut canaries = Canaries::new(true);
    canaries.add(callback.rsplit('/').next().expect("a secret"));

    let told = moods(&gateway, &upstream).await;
    judge(&canaries, &told);
    assert!(told.iter().any(|told| told.answer.status >= 400) && told.iter().any(|told| told.answer.status == 200));
    let mut refused = mistakes(&acme).await;
    refused.extend(strangers(&gateway, &callback).await);
    judge(&canaries, &refused);
    let odd: Vec<&str> =
        refused.iter().filter(|told| told.answer.status >= 500).map(|told| told.place.as_str()).collect();
    assert!(odd.is_empty(), "5xx: {odd:?}");
    bad_configurations(&gateway, &canaries).await;
    command_line(&gateway, &canaries);

    canaries.none_in("/metrics", gateway.metrics().await.text().as_bytes());
    let (shown, listed) = (acme.message(&accepted).await.to_string(), acme.list(&[]).await.text());
    assert!(![CODE, WORDS].iter().any(|secret| shown.contains(secret) || listed.contains(secret)), "{shown}");
    eventually("a webhook", PATIENCE, async || (!receiver.requests().is_empty()).then_some(())).await;
    for call in receiver.requests() {
        let body = String::from_utf8(call.body.clone()).unwrap();
        assert!(!body.contains(WORDS) && !body.contains(CODE), "{body}");
    }
    gateway = killed_in_flight(gateway, &upstream, &canaries).await;
    gateway.term();
    gateway.ended(PATIENCE).await;
    disk(&gateway, &canaries, "after it ended");
    let logs = gateway.logs();
    for looked_at in [accepted.as_str(), "\"level\":\"DEBUG\"", " DEBUG request{"] {
        assert!(logs.contains(looked_at), "{looked_at} is not in the log");
    }
    canaries.none_in("the log", logs.as_bytes());
    eprintln!("{} needles, {} answers, {} KiB of log", canaries.len(), told.len() + refused.len(), logs.len() / 1024);
}

/// Errors hold nothing at all; a success may name the number that it is about.
fn judge(canaries: &Canaries, all: &[Told]) {
    let mild = Canaries::new(false);
    for Told { place, answer } in all {
        let canaries = if answer.status < 300 { &mild } else { canaries };
        let place = format!("the answer {} to `{place}`", answer.status);
        canaries.none_in(&place, &answer.body);
        for (name, value) in &answer.headers {
            canaries.none_in(&format!("{name} of {place}"), value.as_bytes());
        }
    }
}

/// What waits and what is on the wire when it dies lies on the disk; after it a log for people is written.
async fn killed_in_flight(mut gateway: Gateway, upstream: &Mitto, canaries: &Canaries) -> Gateway {
    let plain = gateway.config().replace("level = \"trace\"", "level = \"trace\"\nformat = \"text\"");
    upstream.behave(Behaviour::HangAfterRead);
    let before = upstream.sends().len();
    gateway.acme().accepted(&good(NATIVE)).await;
    assert!(upstream.wait_for_sends(before + 1, PATIENCE).await);
    upstream.behave(Behaviour::RefuseConnect);
    let waiting = json!({ "to": number(0, 1), "text": text(), "client_id": "app" });
    let waiting = gateway.acme().accepted(&waiting).await;
    gateway.acme().wait_status(&waiting, "sending").await;
    disk(&gateway, canaries, "while it runs");
    gateway.kill9();
    disk(&gateway, canaries, "after a kill");
    upstream.behave(Behaviour::Accept);
    gateway.configure(&plain);
    gateway.restart().await;
    gateway.acme().wait_any_status(&waiting, &["sent", "delivered", "failed"], PATIENCE).await;
    judge(canaries, &mistakes(&gateway.acme()).await);
    gateway
}

/// A secret where none belongs, in a file that is not TOML, under a wrong key, with a wrong type.
async fn bad_configurations(gateway: &Gateway, canaries: &Canaries) {
    let good = gateway.config();
    let additions = [
        format!("[providers.leaky]\nkind = \"mitto\"\nbase_url = \"https://a.example\"\napi_key = \"{INLINE}\""),
        format!("[providers.leaky]\nkind = \"mitto\"\napi_kye = \"{INLINE}\""),
        format!("[providers.leaky]\nkind = \"mitto\"\napi_key = [\"{INLINE}\"]"),
        format!("[providers.leaky]\nkind = \"mitto\"\napi_key = {{ env = \"E2E_NONE\", value = \"{INLINE}\" }}"),
        format!("[providers.leaky]\nkind = \"mitto\"\napi_key = \"{INLINE}"),
        format!("[providers.leaky]\nkind = \"mitto\"\nbase_url = \"https://user:{INLINE}@a.example\""),
        format!("[tenants.globex]\nkeys = [\"{INLINE}\"]"),
        format!("[tenants.globex]\nkeys = \"{STRANGER}\""),
        format!("[tenants.globex]\nwebhook = {{ url = \"https://u:{INLINE}@a.example\", secret = \"{INLINE}\" }}"),
        format!("[tenants.globex]\npasswordless = {{ secret = \"{INLINE}\", subjetc = \"x\" }}"),
        format!("[[routes]]\nid = \"x\"\nuse = [\"nobody\"]\nsecret = \"{INLINE}\""),
    ];
    for addition in additions {
        gateway.configure(&format!("{good}\n{addition}\n"));
        let answer = gateway.operator().post_with("/admin/v1/reload", &[], &json!({})).await;
        assert_eq!(answer.status, 422, "{addition}: {}", answer.text());
        canaries.none_in(&format!("the answer to a reload of {addition}"), &answer.body);
        let config = gateway.config_path();
        for more in [[].as_slice(), &["-o", "json"]] {
            let args = [["check", "--config", config.to_str().unwrap()].as_slice(), more].concat();
            let output = gateway.cli(&args);
            assert_eq!(output.status.code(), Some(78), "{addition}");
            printed_none(canaries, &format!("check of {addition}"), &output);
        }
    }
    let bad_store = good.replace("url = \"sqlite:", &format!("url = \"postgres://u:{INLINE}@h/d?x="));
    gateway.configure(&bad_store);
    printed_none(
        canaries,
        "check of a store's URL",
        &gateway.cli(&["check", "--config", gateway.config_path().to_str().unwrap()]),
    );
    let reloads = gateway.logs().matches("E120").count();
    gateway.hup();
    eventually("a refused reload", PATIENCE, async || (gateway.logs().matches("E120").count() > reloads).then_some(()))
        .await;
    gateway.configure(&good);
    let answer = gateway.operator().post_with("/admin/v1/reload", &[], &json!({})).await.expect(200);
    canaries.none_in("the answer to a reload", &answer.body);
}

fn command_line(gateway: &Gateway, canaries: &Canaries) {
    let config = gateway.config_path();
    let config = config.to_str().unwrap();
    for args in [
        ["check", "--config", config].as_slice(),
        &["config", "show", "--config", config, "--origin"],
        &["config", "show", "--config", config, "-o", "json"],
        &["messages", "list", "--url", &gateway.url(), "--key", STRANGER],
        &["send", "--url", &gateway.url(), "--key", STRANGER, "--to", NATIVE, "--text", &text()],
        &["send", "--url", "http://127.0.0.1:1", "--key", STRANGER, "--to", NATIVE, "--text", &text()],
    ] {
        let output = gateway.cli(args);
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{args:?} says something");
        printed_none(canaries, args.first().unwrap(), &output);
    }
}

#[track_caller]
fn printed_none(canaries: &Canaries, place: &str, output: &Output) {
    canaries.none_in(place, &[output.stdout.as_slice(), &output.stderr].concat());
}

/// Everything that begins with the database's name: its log, its index, its lock.
fn disk(gateway: &Gateway, canaries: &Canaries, when: &str) {
    let is_store = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("gateway.db"));
    let mut bytes = 0;
    for entry in fs::read_dir(gateway.dir()).unwrap() {
        let path = entry.unwrap().path();
        if is_store(&path) {
            let content = fs::read(&path).unwrap();
            bytes += content.len();
            canaries.none_in(&format!("{} {when}", path.display()), &content);
        }
    }
    assert!(bytes > 20_000, "{bytes} bytes of store {when}");
}
