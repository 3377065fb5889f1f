//! Providers that are down, slow, disabled, or deliver nothing; and who goes first when not everybody can.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

use std::time::Duration;

use e2e::{Behaviour, Gateway, Mitto, PATIENCE, ReceiptPlan, Tenant, eventually, german, swiss};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

fn body(to: &str) -> Value {
    json!({ "to": to, "text": "hello there" })
}

fn undelivered() -> ReceiptPlan {
    ReceiptPlan { statuses: vec!["Failure".to_owned()], ..ReceiptPlan::delivered(Duration::from_millis(20)) }
}

/// Two accounts of Mitto in this order, on every route the first before the second.
async fn pair(lines: &str) -> (Mitto, Mitto, Gateway) {
    let (a, b) = (Mitto::start(), Mitto::start());
    let builder = Gateway::builder().mitto_with("a", &a, lines).mitto("b", &b);
    let gateway = builder.route("default", "use = [\"a\", \"b\"]").start().await;
    (a, b, gateway)
}

/// One provider as the admin API tells it.
async fn told(gateway: &Gateway, name: &str) -> Value {
    gateway.operator().get(&format!("/admin/v1/providers/{name}")).await.expect(200).json()
}

/// One country of it.
fn country<'v>(provider: &'v Value, code: &str) -> &'v Value {
    let countries = provider["countries"].as_array().unwrap();
    countries.iter().find(|line| line["country"] == code).unwrap_or(&Value::Null)
}

async fn set(gateway: &Gateway, path: &str, wish: &Value) -> e2e::Answer {
    gateway.operator().post_with(&format!("/admin/v1/providers/{path}"), &[], wish).await
}

/// Sends to these numbers one after the other, each until it is sent.
async fn send(gateway: &Gateway, to: impl Iterator<Item = String>) {
    for to in to {
        let id = gateway.acme().accepted(&body(&to)).await;
        gateway.acme().wait_any_status(&id, &["sent", "delivered", "undelivered"], PATIENCE).await;
    }
}

#[tokio::test]
async fn an_operator_sees_providers_and_disables_one_for_a_while() {
    let (a, b, gateway) = pair("concurrency = 8").await;
    send(&gateway, (0..3).map(swiss)).await;
    let list = gateway.operator().get("/admin/v1/providers").await.expect(200).json();
    let names: Vec<&str> = list["providers"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    let first = &list["providers"][0];
    assert_eq!(
        (&first["kind"], &first["state"], &first["circuit"], &first["concurrency"], &first["in_flight"]),
        (&json!("mitto"), &json!("healthy"), &json!("closed"), &json!(8), &json!(0)),
        "{first}"
    );
    assert_eq!((&country(first, "CH")["answers"], &first["disabled_until"]), (&json!(3), &Value::Null), "{first}");
    assert!(country(first, "CH")["latency_seconds"].as_f64().unwrap() < 5.0);

    let disabled = set(&gateway, "a/disable", &json!({ "for": "15m" })).await.expect(200).json();
    assert_eq!((&disabled["state"], &disabled["disabled"]), (&json!("disabled"), &json!(true)));
    assert!(disabled["disabled_until"].as_str().unwrap().ends_with('Z'), "{disabled}");
    send(&gateway, (10..15).map(swiss)).await;
    assert_eq!((a.sends().len(), b.sends().len()), (3, 5));
    let is_disabled = [("provider", "a")];
    assert!(gateway.metrics().await.count("gateway_provider_disabled", &is_disabled) > 0.5);

    let enabled = set(&gateway, "a/enable", &json!({})).await.expect(200).json();
    assert_eq!((&enabled["state"], &enabled["disabled_until"]), (&json!("healthy"), &Value::Null));
    send(&gateway, (20..22).map(swiss)).await;
    assert_eq!(a.sends().len(), 5);
    assert!(gateway.metrics().await.count("gateway_provider_disabled", &is_disabled) < 0.5);

    set(&gateway, "a/disable", &json!({ "for": "1s" })).await.expect(200).text();
    eventually("its time is over", PATIENCE, async || (told(&gateway, "a").await["state"] == "healthy").then_some(()))
        .await;
}

#[tokio::test]
async fn only_the_operator_may_and_only_what_there_is() {
    let (_a, _b, gateway) = pair("").await;
    for path in ["/admin/v1/providers", "/admin/v1/providers/a"] {
        let stranger = gateway.http().get(format!("{}{path}", gateway.ops_url()));
        e2e::Answer::to(stranger).await.unwrap().problem(403, "forbidden");
        gateway.acme().get(path).await.problem(404, "not_found");
    }
    let stranger = gateway.http().post(format!("{}/admin/v1/providers/a/disable", gateway.ops_url()));
    e2e::Answer::to(stranger).await.unwrap().problem(403, "forbidden");
    assert_eq!(told(&gateway, "a").await["state"], "healthy");
    for path in ["nobody/disable", "nobody/enable"] {
        set(&gateway, path, &json!({})).await.problem(404, "not_found");
    }
    gateway.operator().get("/admin/v1/providers/nobody").await.problem(404, "not_found");
    for wish in [json!({ "for": "soon" }), json!({ "for": 15 }), json!({ "until": "x" }), json!([])] {
        set(&gateway, "a/disable", &wish).await.problem(422, "invalid_request");
    }
    let odd = gateway.operator().post_bytes("/admin/v1/providers/a/disable", "application/json", "{").await;
    odd.problem(400, "invalid_json");
    assert_eq!(told(&gateway, "a").await["state"], "healthy", "nothing of that disabled it");
}

#[tokio::test]
async fn a_country_in_which_nothing_is_delivered_goes_elsewhere() {
    let (a, b, gateway) = pair("").await;
    a.receipts(Some(undelivered()));
    send(&gateway, (0..20).map(swiss)).await;
    eventually("the breaker of the country is open", PATIENCE, async || {
        let told = told(&gateway, "a").await;
        let line = country(&told, "CH");
        (line["circuit"] == "open" && line["reason"] == "receipts").then_some(())
    })
    .await;
    let before = (a.sends().len(), b.sends().len());
    send(&gateway, (100..110).map(swiss)).await;
    assert_eq!((a.sends().len(), b.sends().len()), (before.0, before.1 + 10));
    send(&gateway, (0..3).map(german)).await;
    assert_eq!(a.sends().len(), before.0 + 3, "other countries are not concerned");
    let open = [("provider", "a"), ("country", "CH")];
    assert!(gateway.metrics().await.count("gateway_provider_country_circuit_open", &open) > 0.5);
    assert_eq!(told(&gateway, "a").await["state"], "degraded");
}

#[tokio::test]
async fn a_route_follows_the_delivery_it_measures_and_explains_it() {
    let (a, b) = (Mitto::start(), Mitto::start());
    b.receipts(Some(ReceiptPlan::delivered(Duration::from_millis(20))));
    let builder = Gateway::builder().mitto("a", &a).mitto("b", &b);
    let gateway = builder.route("default", "use = [\"a\", \"b\"]\nprefer = \"delivery\"").start().await;
    // Two of three through `a` are lost: never enough in a row to open a breaker.
    for n in 0..45 {
        let plan = if n % 3 == 0 { ReceiptPlan::delivered(Duration::from_millis(20)) } else { undelivered() };
        a.receipts(Some(plan));
        let id = gateway.acme().accepted(&body(&swiss(n))).await;
        gateway.acme().wait_any_status(&id, &["delivered", "undelivered"], PATIENCE).await;
    }
    let before = (a.sends().len(), b.sends().len());
    send(&gateway, (100..150).map(swiss)).await;
    let (to_a, to_b) = (a.sends().len() - before.0, b.sends().len() - before.1);
    assert!(to_b >= 42, "{to_a} to a, {to_b} to b");

    let config = gateway.config_path();
    let args = |more: &[&'static str]| {
        let base =
            ["routes", "explain", "--config", config.to_str().unwrap(), "--tenant", "acme", "--to", "+41791234567"];
        base.iter().map(|arg| (*arg).to_owned()).chain(more.iter().map(|arg| (*arg).to_owned())).collect::<Vec<_>>()
    };
    let run = |more: &[&'static str]| {
        let args = args(more);
        gateway.cli(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let offline: Value = serde_json::from_slice(&run(&["-o", "json"]).stdout).unwrap();
    assert_eq!(offline["candidates"][0]["provider"], "a", "a file alone knows no measurements");
    let ops = [gateway.ops_url(), e2e::OPS_TOKEN.to_owned()];
    let live = ["-o", "json", "--measured", "--ops-url", &ops[0], "--ops-token", &ops[1], "--expect", "b"];
    let mut all = args(&[]);
    all.extend(live.iter().map(|arg| (*arg).to_owned()));
    let output = gateway.cli(&all.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let live: Value = serde_json::from_slice(&output.stdout).unwrap();
    let first = &live["candidates"][0];
    assert_eq!(first["provider"], "b", "{live}");
    assert!(first["why"].as_str().unwrap().starts_with("b preferred by delivery: 100.0 % of "), "{first}");
    assert!(first["measured"]["receipts"].as_f64().unwrap() > 20.0, "{first}");
    assert!(live["candidates"][1]["measured"]["delivery_rate"].as_f64().unwrap() < 0.6, "{live}");
    let message = gateway.acme().list(&[("limit", "1")]).await.expect(200).json();
    let id = message["messages"][0]["id"].as_str().unwrap();
    let why = gateway.acme().message(id).await["route"]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("by delivery"), "{why}");
}

#[tokio::test]
async fn a_route_follows_the_latency_it_measures() {
    let (a, b) = (Mitto::start(), Mitto::start());
    a.answer_after(Duration::from_millis(400));
    let builder = Gateway::builder().mitto("a", &a).mitto("b", &b);
    let gateway = builder.route("default", "use = [\"a\", \"b\"]\nprefer = \"latency\"").start().await;
    send(&gateway, (0..15).map(swiss)).await;
    let before = (a.sends().len(), b.sends().len());
    send(&gateway, (100..150).map(swiss)).await;
    let (to_a, to_b) = (a.sends().len() - before.0, b.sends().len() - before.1);
    assert!(to_b >= 42, "{to_a} to a, {to_b} to b");
}

/// Guarantee 15.
#[tokio::test]
async fn a_provider_that_turns_slow_is_avoided_within_ten_seconds() {
    let (a, b, gateway) = pair("timeout = \"40s\"").await;
    send(&gateway, (0..10).map(swiss)).await;
    a.answer_after(Duration::from_secs(30));
    let (began, mut n) = (Instant::now(), 100);
    while began.elapsed() < Duration::from_secs(10) {
        gateway.acme().accepted(&body(&swiss(n))).await;
        n += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = b.sends().len();
    for n in 1_000..1_020 {
        let began = Instant::now();
        let id = gateway.acme().accepted(&body(&swiss(n))).await;
        gateway.acme().wait_status(&id, "sent").await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    assert_eq!(b.sends().len(), before + 20);
    let slow = told(&gateway, "a").await;
    assert_eq!((&slow["state"], &country(&slow, "CH")["reason"]), (&json!("degraded"), &json!("slow")), "{slow}");
    assert!(slow["limit"].as_u64().unwrap() < slow["concurrency"].as_u64().unwrap(), "{slow}");
}

/// Guarantee 16, seen from outside: attempts are counted, and nothing is lost that lived to see the end.
#[tokio::test]
async fn an_outage_of_the_only_provider_is_no_storm_and_no_loss() {
    const MESSAGES: u32 = 200;
    let a = Mitto::start();
    let gateway = Gateway::builder().mitto("a", &a).route("default", "use = [\"a\"]").start().await;
    send(&gateway, (0..5).map(swiss)).await;
    a.behave(Behaviour::RefuseConnect);
    let mut ids = Vec::new();
    for n in 0..MESSAGES {
        ids.push(gateway.acme().accepted(&body(&swiss(100 + n))).await);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let attempts = gateway.metrics().await.count("gateway_provider_attempts_total", &[("outcome", "not_sent")]);
    assert!(attempts <= 1.2 * f64::from(MESSAGES), "{attempts} attempts for {MESSAGES} messages");
    assert!((gateway.metrics().await.count("gateway_provider_circuit_state", &[("state", "open")]) - 1.0).abs() < 0.1);
    a.behave(Behaviour::Accept);
    let mut lost = 0;
    for id in ids {
        let ended = gateway.acme().wait_any_status(&id, &["sent", "failed"], Duration::from_secs(30)).await;
        lost += u32::from(ended["status"] == "failed");
    }
    // Those on the wire when it began may have spent their attempts.
    assert!(lost <= MESSAGES / 3, "{lost} of {MESSAGES}");
}

/// Guarantee 17.
#[tokio::test]
async fn more_than_may_wait_is_refused_at_once_and_others_find_room() {
    let a = Mitto::start();
    a.answer_after(Duration::from_secs(2));
    let builder = Gateway::builder().tenant(Tenant::new("acme")).tenant(Tenant::new("globex"));
    let builder = builder.server("max_waiting = 90").mitto_with("a", &a, "concurrency = 1");
    let gateway = builder.route("default", "use = [\"a\"]").start().await;
    let (mut accepted, mut refused) = (0, Vec::new());
    for n in 0..160 {
        let began = Instant::now();
        let answer = gateway.acme().send(&body(&swiss(n))).await;
        if answer.status == 202 {
            accepted += 1;
        } else {
            assert_eq!(answer.header("retry-after"), "1");
            answer.problem(503, "overloaded");
            refused.push(began.elapsed());
        }
    }
    assert!((75..=90).contains(&accepted), "{accepted}");
    refused.sort_unstable();
    let median = refused[refused.len() / 2];
    assert!(median < Duration::from_millis(10), "{median:?}");
    gateway.tenant("globex").accepted(&body(&swiss(500))).await;
}

/// Guarantee 18.
#[tokio::test]
async fn a_flood_of_one_tenant_holds_up_no_other() {
    let a = Mitto::start();
    a.answer_after(Duration::from_millis(50));
    let builder = Gateway::builder().tenant(Tenant::new("loud")).tenant(Tenant::new("quiet"));
    let gateway = builder.mitto_with("a", &a, "concurrency = 2").route("default", "use = [\"a\"]").start().await;
    let mut flood = JoinSet::new();
    for part in 0..10 {
        let loud = gateway.tenant("loud");
        flood.spawn(async move {
            for n in 0..60 {
                loud.accepted(&body(&swiss(part * 1_000 + n))).await;
            }
        });
    }
    flood.join_all().await;
    // 600 messages at 40 a second: the quiet tenant would wait for a quarter of a minute in line.
    for n in 0..5 {
        let began = Instant::now();
        let id = gateway.tenant("quiet").accepted(&body(&german(n))).await;
        gateway.tenant("quiet").wait_status(&id, "sent").await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    assert!(a.sends().len() < 600, "the flood still waits");
}
