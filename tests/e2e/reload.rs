//! Changing the configuration of a running gateway: nobody notices but the next message.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use e2e::{Caller, Gateway, Mitto, PATIENCE, Tenant, eventually, key_of, swiss};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const LAST_RELOAD: &str = "gateway_config_last_reload_successful";

async fn gateway(upstream: &Mitto) -> Gateway {
    Gateway::builder().mitto("mitto", upstream).mock("mock").route("default", "use = [\"mitto\"]").start().await
}

fn body(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913" })
}

fn swapped(gateway: &Gateway) -> String {
    gateway.config().replace("use = [\"mitto\"]", "use = [\"mock\"]")
}

/// The line of the configuration file that holds `text`, from 1.
fn line_of(gateway: &Gateway, text: &str) -> usize {
    gateway.config().lines().position(|line| line.contains(text)).expect("the line") + 1
}

async fn last_reload(gateway: &Gateway) -> Option<bool> {
    gateway.metrics().await.sum(LAST_RELOAD, &[]).map(|value| value > 0.5)
}

/// Callers that send one message after the other until told to stop; every answer must be 202.
struct Traffic {
    answered: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Traffic {
    fn start(caller: &Caller) -> Self {
        let mut traffic = Self { answered: Arc::default(), stop: Arc::default(), callers: JoinSet::new() };
        let next = Arc::new(AtomicU32::new(100_000));
        for _ in 0..16 {
            let (caller, answered, stop, next) =
                (caller.clone(), traffic.answered.clone(), traffic.stop.clone(), next.clone());
            traffic.callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = caller.try_send(&body(next.fetch_add(1, Ordering::Relaxed))).await.expect("an answer");
                    assert_eq!(answer.status, 202, "{}", answer.text());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        traffic
    }

    async fn wait_for(&self, more: u32) {
        let target = self.answered.load(Ordering::Relaxed) + more;
        let answered = async || (self.answered.load(Ordering::Relaxed) >= target).then_some(());
        eventually("traffic goes on", PATIENCE, answered).await;
    }

    /// How many were answered; panics when one failed.
    async fn end(mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("no request fails");
        }
        self.answered.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_swapped_provider_takes_the_next_message_and_no_request_fails() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let (acme, pid) = (gateway.acme(), gateway.pid());
    let traffic = Traffic::start(&acme);
    traffic.wait_for(100).await;

    gateway.configure(&swapped(&gateway));
    gateway.hup();
    let reloaded = async || gateway.logs().contains("configuration reloaded").then_some(());
    eventually("the reload is logged", PATIENCE, reloaded).await;
    let id = acme.accepted(&body(1)).await;
    let message = acme.wait_status(&id, "delivered").await;
    assert_eq!((&message["provider"], &message["route"]["candidates"]), (&json!("mock"), &json!(["mock"])));
    assert_eq!(gateway.code(&swiss(1)).await, "482913");

    traffic.wait_for(100).await;
    let answered = traffic.end().await;
    assert!(answered >= 200, "{answered}");
    assert_eq!((gateway.pid(), last_reload(&gateway).await), (pid, Some(true)), "the same process");
    assert!(upstream.sends_to(&swiss(1)).is_empty() && upstream.sends().len() >= 100);
    let total = gateway.metrics().await.count("gateway_messages_accepted_total", &[]);
    assert!((total - f64::from(answered + 1)).abs() < f64::EPSILON, "{total} and {answered}");
}

#[tokio::test]
async fn many_reloads_under_traffic_fail_nobody() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let (one, other) = (gateway.config(), swapped(&gateway));
    let traffic = Traffic::start(&gateway.acme());
    for _ in 0..20 {
        for text in [&other, &one] {
            gateway.configure(text);
            gateway.operator().post_with("/admin/v1/reload", &[], &json!({})).await.expect(200).text();
        }
    }
    traffic.wait_for(20).await;
    traffic.end().await;
}

#[tokio::test]
async fn bad_config_changes_nothing() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let (acme, pid) = (gateway.acme(), gateway.pid());
    let good = gateway.config();
    let traffic = Traffic::start(&acme);
    traffic.wait_for(50).await;

    let bad = [
        ("an unknown key", swapped(&gateway).replace("[log]", "[log]\nlevle = \"info\""), "levle"),
        ("no TOML", swapped(&gateway).replace("[log]", "[log\n"), "[log"),
        ("an unknown provider", good.replace("use = [\"mitto\"]", "use = [\"nobody\"]"), "nobody"),
        (
            "a secret in clear",
            swapped(&gateway).replace("api_key = { env = \"E2E_MITTO_KEY\" }", "api_key = \"inline-canary\""),
            "inline-canary",
        ),
        ("a secret that is not set", swapped(&gateway).replace("E2E_MITTO_KEY", "E2E_NOT_SET"), "E2E_NOT_SET"),
    ];
    for (name, text, fault) in bad {
        let before = gateway.logs().len();
        gateway.configure(&text);
        let line = line_of(&gateway, fault);
        gateway.hup();
        let told = async || {
            let logs = gateway.logs();
            let new = logs.get(before..).unwrap_or_default().to_owned();
            new.contains(&format!("gateway.toml:{line}")).then_some(new)
        };
        let told = eventually(&format!("{name} is told with its place"), PATIENCE, told).await;
        assert!(!told.contains("inline-canary"), "a secret is not repeated: {told}");
        assert_eq!(last_reload(&gateway).await, Some(false), "{name}");

        let refused = gateway.operator().post_with("/admin/v1/reload", &[], &json!({})).await;
        let problem = refused.problem(422, "invalid_config");
        assert!(
            problem.to_string().contains(&format!("{line}")) && !problem.to_string().contains("inline-canary"),
            "{problem}"
        );

        let id = acme.accepted(&body(1)).await;
        let message = acme.wait_status(&id, "sent").await;
        assert_eq!(message["provider"], "mitto", "{name}: the old configuration runs on");
    }
    assert_eq!(gateway.pid(), pid);

    gateway.configure(&good);
    gateway.operator().post_with("/admin/v1/reload", &[], &json!({})).await.expect(200).text();
    assert_eq!(last_reload(&gateway).await, Some(true), "and a good one mends it");
    traffic.end().await;
}

#[tokio::test]
async fn a_bad_config_does_not_start_and_ends_with_78() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let faulty = gateway.dir().join("faulty.toml");
    let text = gateway.config().replace("[log]", "[log]\nlevle = 1").replace("use = [\"mitto\"]", "use = [\"nobody\"]");
    std::fs::write(&faulty, text).unwrap();
    let path = faulty.to_str().unwrap();
    for command in ["serve", "check"] {
        let output = gateway.cli(&[command, "--config", path]);
        let told = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(78), "{command}: {told}");
        assert!(
            told.contains("faulty.toml:") && told.contains("level") && told.contains("nobody"),
            "both at once: {told}"
        );
    }
    let output = gateway.cli(&["check", "--config", path, "-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report["errors"].as_array().map(Vec::len)), (Some(78), Some(2)), "{report}");
    for error in report["errors"].as_array().unwrap() {
        assert!(error["line"].as_u64() > Some(0) && error["column"].as_u64() > Some(0), "{error}");
        assert!(["file", "path", "message", "help"].iter().all(|key| error[key].is_string()), "{error}");
    }
    let good = gateway.cli(&["check", "--config", "gateway.toml", "--offline", "-o", "json"]);
    let report: Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!((good.status.code(), report["errors"].as_array().map(Vec::len)), (Some(0), Some(0)), "{report}");
    assert!(report["warnings"].to_string().contains("mock"), "a mock in a serve config is worth a warning: {report}");
}

#[tokio::test]
async fn what_needs_a_restart_is_said_and_left() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    let good = gateway.config();
    let listen = format!("listen = \"{}\"", gateway.listen());
    let elsewhere = format!("listen = \"127.0.0.1:{}\"", e2e::free_port());
    gateway.configure(&swapped(&gateway).replace(&listen, &elsewhere));
    let answer = gateway.operator().post_with("/admin/v1/reload", &[], &json!({})).await.expect(200).json();
    assert!(answer.to_string().contains("server.listen"), "{answer}");
    let id = gateway.acme().accepted(&body(1)).await;
    let message = gateway.acme().wait_status(&id, "delivered").await;
    assert_eq!(message["provider"], "mock", "the rest of it took effect, at the old address");

    gateway.configure(&good);
    gateway.restart().await;
    assert_eq!(gateway.acme().message(&id).await["status"], "delivered", "the restarted one knows it");
}

#[tokio::test]
async fn keys_and_tenants_change_at_once() {
    let upstream = Mitto::start();
    let builder = Gateway::builder().tenant(Tenant::new("acme")).tenant(Tenant::new("globex"));
    let gateway = builder.mitto("mitto", &upstream).route("default", "use = [\"mitto\"]").start().await;
    let (acme, globex) = (gateway.acme(), gateway.tenant("globex"));
    acme.accepted(&body(1)).await;
    globex.accepted(&body(2)).await;

    let text = gateway.config();
    let (before, after) = text.split_once("[tenants.globex]").unwrap();
    let rest = after.split_once("\n[").map(|(_, rest)| format!("[{rest}")).unwrap();
    gateway.configure(&format!("{before}{rest}"));
    gateway.operator().post_with("/admin/v1/reload", &[], &json!({})).await.expect(200).text();
    globex.send(&body(3)).await.problem(401, "unauthorized");
    acme.accepted(&body(4)).await;
    assert!(!gateway.logs().contains(&key_of("globex")));
}

#[tokio::test]
async fn only_the_operator_reloads() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let url = format!("{}/admin/v1/reload", gateway.ops_url());
    for key in [None, Some(key_of("acme")), Some("ops_0123456789abcdefghi".to_owned())] {
        let request = gateway.http().post(&url);
        let request = key.iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        e2e::Answer::to(request).await.unwrap().problem(403, "forbidden");
    }
}
