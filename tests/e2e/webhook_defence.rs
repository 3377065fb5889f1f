//! Webhooks against hostile URLs and hostile endpoints: nobody is led inside, nobody costs more than a little time and
//! memory, and everything ends in a counted outcome. The list of URLs is the one of the gateway's own tests.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use e2e::{
    Behaviour, Builder, Gateway, Mitto, PATIENCE, Reply, Request, Tenant, Trap, Upstream, Verdict, eventually, swiss,
};
use serde_json::{Value, json};

const LIST: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/gateway/src/webhooks/tests/ssrf.txt"));

/// Reasons that mean that something was connected to, or tried.
const CONNECTED: [&str; 6] = ["broken", "connect", "redirect", "status", "throttled", "timeout"];

fn urls(port: u16) -> Vec<String> {
    let urls = LIST.lines().filter_map(|line| line.strip_prefix("url "));
    urls.map(|url| url.trim().replace("{port}", &port.to_string())).collect()
}

fn body(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913" })
}

async fn failures(gateway: &Gateway, reasons: &[&str]) -> f64 {
    let metrics = gateway.metrics().await;
    reasons.iter().map(|reason| metrics.count("gateway_webhook_failures_total", &[("reason", reason)])).sum()
}

/// Waits until so many calls were refused before anything was connected to; panics when one was not.
async fn all_refused(gateway: &Gateway, count: usize) {
    eventually(&format!("{count} calls are refused"), PATIENCE, async || {
        let refused = failures(gateway, &["address", "url"]).await;
        (refused >= f64::from(u32::try_from(count).unwrap())).then_some(())
    })
    .await;
    assert!(failures(gateway, &CONNECTED).await < 0.5, "{}", gateway.metrics().await.text());
    assert!(gateway.metrics().await.count("gateway_webhook_deliveries_total", &[("outcome", "delivered")]) < 0.5);
}

/// The ports of the URLs that name none, where this process may have them.
fn traps() -> Vec<Trap> {
    let mut traps = vec![Trap::set()];
    traps.extend([443, 80].into_iter().filter_map(Trap::on));
    traps
}

async fn none_caught(traps: &[Trap]) {
    for trap in traps {
        assert_eq!(trap.caught().await, 0, "port {}", trap.port);
    }
}

#[tokio::test]
async fn no_callback_url_leads_inside() {
    let (upstream, traps) = (Mitto::start(), traps());
    upstream.behave(Behaviour::RejectNumber); // one status change each
    let gateway = Gateway::builder().mitto("mitto", &upstream).route("default", "use = [\"mitto\"]").start().await;
    let urls = urls(traps[0].port);
    assert!(urls.len() >= 200, "{}", urls.len());
    let mut accepted = 0;
    for (n, url) in (0..).zip(&urls) {
        let mut request = body(n);
        request.as_object_mut().unwrap().insert("callback_url".to_owned(), json!(url));
        let answer = gateway.acme().send(&request).await;
        match answer.status {
            202 => accepted += 1,
            _ => drop(answer.problem(422, "invalid_request")),
        }
    }
    assert!(accepted >= 200, "most have the form of a URL: {accepted}");
    all_refused(&gateway, accepted).await;
    none_caught(&traps).await;
    for url in urls.iter().filter(|url| url.len() > 25) {
        assert!(!gateway.logs().contains(url), "a URL may hold a secret: {url}");
    }
}

/// A tenant for each URL that the configuration takes.
#[tokio::test]
async fn no_tenants_webhook_leads_inside_unless_the_operator_says_so() {
    let (upstream, traps) = (Mitto::start(), traps());
    upstream.behave(Behaviour::RejectNumber);
    let tenants: BTreeMap<String, String> =
        urls(traps[0].port).into_iter().enumerate().map(|(n, url)| (format!("t{n}"), url)).collect();
    let builder = |tenants: &BTreeMap<String, String>| {
        let mut builder = Gateway::builder().mitto("mitto", &upstream).route("default", "use = [\"mitto\"]");
        for (name, url) in tenants {
            let url = serde_json::to_string(url).unwrap(); // TOML escapes as JSON does
            let webhook = format!("webhook = {{ url = {url}, secret = {{ env = \"E2E_WEBHOOK_SECRET\" }} }}");
            builder = builder.tenant(Tenant::new(name).set(&webhook));
        }
        builder
    };
    let tenants = taken(&builder(&tenants), tenants);
    assert!(tenants.len() >= 150, "most have the form of a URL: {}", tenants.len());
    let gateway = builder(&tenants).start().await;
    for (n, name) in (0..).zip(tenants.keys()) {
        gateway.tenant(name).accepted(&body(n)).await;
    }
    all_refused(&gateway, tenants.len()).await;
    none_caught(&traps).await;
}

/// The tenants whose URL `check` does not refuse.
fn taken(builder: &Builder, mut tenants: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let (dir, mut env) = (tempfile::tempdir().unwrap(), vec![("E2E_WEBHOOK_SECRET", Builder::WEBHOOK_SECRET)]);
    env.extend([("E2E_OPS_TOKEN", "ops_0123456789abcdefghij"), ("E2E_MITTO_KEY", "k"), ("E2E_CALLBACK_SECRET", "s")]);
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, builder.configuration()).unwrap();
    let output = e2e::cli(&["check", "--offline", "-o", "json", "--config", file.to_str().unwrap()], &env);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for error in report["errors"].as_array().unwrap() {
        let path = error["path"].as_str().unwrap();
        let name = path.split('.').nth(1).unwrap_or_else(|| panic!("{error}"));
        assert!(path.ends_with(".webhook.url"), "{error}");
        tenants.remove(name);
    }
    tenants
}

/// Even where a webhook may go inside, what it answers leads nowhere else.
#[tokio::test]
async fn no_redirect_of_any_kind_is_followed() {
    let (upstream, trap) = (Mitto::start(), Trap::set());
    upstream.behave(Behaviour::RejectNumber);
    let port = trap.port;
    let redirector = Upstream::start(move |request: &Request, _: Verdict| {
        let status = request.path().trim_start_matches('/').parse().unwrap_or(302);
        let target = format!("http://127.0.0.1:{port}/");
        Reply::text(status, "").with("location", &target).with("refresh", &format!("0;url={target}"))
    });
    let mut builder = Gateway::builder().mitto("mitto", &upstream).route("default", "use = [\"mitto\"]");
    let statuses = [300, 301, 302, 303, 305, 307, 308];
    for status in statuses {
        builder = builder.tenant(told_at(&format!("t{status}"), &format!("{}/{status}", redirector.url())));
    }
    let gateway = builder.start().await;
    for (n, status) in (0..).zip(statuses) {
        gateway.tenant(&format!("t{status}")).accepted(&body(n)).await;
    }
    gateway.wait_metric("gateway_webhook_failures_total", &[("reason", "redirect")], 7.0).await;
    assert_eq!(trap.caught().await, 0);
}

/// A tenant that is told at `url`, inside our own network.
fn told_at(name: &str, url: &str) -> Tenant {
    let mut line = String::new();
    write!(line, "webhook = {{ url = \"{url}\", secret = {{ env = \"E2E_WEBHOOK_SECRET\" }}, private = true }}")
        .unwrap();
    Tenant::new(name).set(&line)
}

fn rss_kib(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Each kind of endpoint with many messages at once; the honest one beside them is told all the while.
#[tokio::test]
async fn hostile_endpoints_cost_little_and_are_counted() {
    const EACH: u32 = 20;
    let (upstream, honest) = (Mitto::start(), ("honest", endpoint(Behaviour::Accept)));
    upstream.behave(Behaviour::RejectNumber);
    let kinds = [
        ("endless", Behaviour::HugeBody),
        ("garbage", Behaviour::Garbage),
        ("hanging", Behaviour::HangAfterRead),
        ("deaf", Behaviour::HangBeforeRead),
        ("closed", Behaviour::RefuseConnect),
        ("reset", Behaviour::ResetAfterRead),
        ("dripping", Behaviour::SlowHeaders),
    ];
    let endpoints = kinds.map(|(name, behaviour)| (name, endpoint(behaviour)));
    let mut builder = Gateway::builder().mitto("mitto", &upstream).route("default", "use = [\"mitto\"]");
    for (name, endpoint) in endpoints.iter().chain([&honest]) {
        builder = builder.tenant(told_at(name, &endpoint.url()));
    }
    let gateway = builder.start().await;
    gateway.tenant("honest").accepted(&body(0)).await;
    gateway.wait_metric("gateway_webhook_deliveries_total", &[("outcome", "delivered")], 1.0).await;
    let before = rss_kib(&gateway);
    for n in 0..EACH {
        for (k, (name, _)) in (1..).zip(&kinds) {
            gateway.tenant(name).accepted(&body(n + EACH * k)).await;
        }
        gateway.tenant("honest").accepted(&body(n + EACH * 100)).await;
    }
    // The status of an answer counts, whatever follows it: the endless and the nonsensical ones said 200.
    let delivered = f64::from(1 + 3 * EACH);
    gateway.wait_metric("gateway_webhook_deliveries_total", &[("outcome", "delivered")], delivered).await;
    for (reason, least) in [("broken", EACH), ("connect", 8), ("timeout", 3 * 8)] {
        gateway.wait_metric("gateway_webhook_failures_total", &[("reason", reason)], f64::from(least)).await;
    }
    let grown = rss_kib(&gateway).saturating_sub(before);
    assert!(grown < 48 * 1024, "grew by {grown} KiB");
}

fn endpoint(behaviour: Behaviour) -> Upstream {
    let endpoint = Upstream::start(|_: &Request, _: Verdict| Reply::text(204, ""));
    endpoint.behave(behaviour);
    endpoint
}

/// Nothing that an endpoint sends is unpacked, stored or shown.
#[tokio::test]
async fn what_an_endpoint_answers_is_not_kept() {
    const MARK: &str = "sm0ke-1n-the-answer";
    let (upstream, endpoint) = (Mitto::start(), Upstream::start(|_: &Request, _: Verdict| Reply::text(500, MARK)));
    upstream.behave(Behaviour::RejectNumber);
    let gateway = Gateway::builder()
        .tenant(told_at("acme", &endpoint.url()))
        .mitto("mitto", &upstream)
        .route("default", "use = [\"mitto\"]")
        .log("trace")
        .start()
        .await;
    gateway.acme().accepted(&body(1)).await;
    gateway.wait_metric("gateway_webhook_failures_total", &[("reason", "status")], 1.0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!gateway.logs().contains(MARK));
    assert!(!String::from_utf8_lossy(&std::fs::read(gateway.database()).unwrap()).contains(MARK));
}
