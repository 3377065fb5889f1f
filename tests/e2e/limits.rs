//! Exact limits, seen from outside: who is refused, with which code, for how long, and across every kind of restart.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use e2e::{Answer, Gateway, Mitto, Tenant, french, german, swiss};
use serde_json::{Value, json};
use tokio::task::JoinSet;

fn body(to: &str) -> Value {
    json!({ "to": to, "text": "Your code is 482913" })
}

fn for_user(to: &str, field: &str, value: &str) -> Value {
    json!({ "to": to, "text": "Your code is 482913", "end_user": { field: value } })
}

/// Panics unless this is a refusal by `limit`, with the same pause in header and body. The pause may be a second longer than
/// the window: it ends a millisecond after it, and header seconds are rounded up.
#[track_caller]
fn limited(answer: &Answer, code: &str, limit: &str) -> u64 {
    let problem = answer.problem(429, code);
    assert_eq!(problem["limit"], limit, "{problem}");
    let (pause_s, pause_ms) =
        (answer.header("retry-after").parse::<u64>().expect("seconds"), problem["retry_after_ms"].as_u64());
    let pause_ms = pause_ms.expect("milliseconds");
    assert!(pause_s >= 1 && pause_ms.div_ceil(1_000).max(1) == pause_s, "{pause_s} s and {pause_ms} ms");
    pause_s
}

async fn gateway(upstream: &Mitto, limits: &[(&str, &str)]) -> Gateway {
    let builder = Gateway::builder().tenant(Tenant::new("acme")).tenant(Tenant::new("globex"));
    let builder = builder.mitto("mitto", upstream).route("default", "use = [\"mitto\"]");
    limits.iter().fold(builder, |builder, (id, lines)| builder.limit(id, lines)).start().await
}

const RECIPIENT: (&str, &str) = ("per_recipient", "per = [\"tenant\", \"recipient\"]\nallow = [\"1/30s\"]");

#[tokio::test]
async fn limits_exact_under_concurrency() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream, &[RECIPIENT]).await;
    let mut sends = JoinSet::new();
    for _ in 0..64 {
        let acme = gateway.acme();
        sends.spawn(async move { acme.send(&body(&swiss(1))).await });
    }
    let answers = sends.join_all().await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(accepted, 1);
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        let pause_s = limited(answer, "recipient_rate_limited", "per_recipient");
        assert!(pause_s <= 31, "{pause_s}");
        assert!(!answer.text().contains("790000001"), "{}", answer.text());
    }
    assert!(upstream.wait_for_sends(1, e2e::PATIENCE).await);
    let metrics = gateway
        .wait_metric("gateway_rate_limited_total", &[("tenant", "acme"), ("limit", "per_recipient")], 63.0)
        .await;
    let blocked =
        metrics.count("gateway_messages_blocked_total", &[("tenant", "acme"), ("country", "CH"), ("reason", "limit")]);
    assert!((blocked - 63.0).abs() < f64::EPSILON, "{blocked}");
    assert_eq!(upstream.sends().len(), 1);
}

#[tokio::test]
async fn a_window_of_three_takes_three() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream, &[("burst", "per = [\"recipient\"]\nallow = [\"3/10m\", \"100/h\"]")]).await;
    let mut sends = JoinSet::new();
    for n in 0..64 {
        let caller = gateway.tenant(if n % 2 == 0 { "acme" } else { "globex" });
        sends.spawn(async move { caller.send(&body(&swiss(n % 4))).await });
    }
    let answers = sends.join_all().await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 202).count(),
        12,
        "three for each of four numbers, over both tenants"
    );
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        let pause_s = limited(answer, "recipient_rate_limited", "burst");
        assert!(pause_s <= 601, "{}", answer.text());
    }
}

#[tokio::test]
async fn every_form_of_a_number_hits_one_bucket() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream, &[RECIPIENT]).await;
    let acme = gateway.acme();
    acme.accepted(&body("+41791234567")).await;
    let forms = [
        "+41791234567",
        "0041791234567",
        "+41 79 123 45 67",
        "+41-79-123-45-67",
        "+41 (0)79 123 45 67",
        "+41.79.123.45.67",
        "  +41791234567  ",
        "＋４１７９１２３４５６７",
        "+٤١٧٩١٢٣٤٥٦٧",
        "+41\u{a0}79\u{a0}1234567",
    ];
    for to in forms {
        limited(&acme.send(&body(to)).await, "recipient_rate_limited", "per_recipient");
    }
    acme.accepted(&body("+41791234568")).await;
    gateway.tenant("globex").accepted(&body("+41791234567")).await;
}

#[tokio::test]
async fn each_kind_of_limit_has_its_code() {
    let upstream = Mitto::start();
    let kinds = [
        ("r", "per = [\"tenant\", \"recipient\"]\nallow = [\"1/h\"]"),
        ("u", "per = [\"end_user\"]\nallow = [\"1/h\"]"),
        ("i", "per = [\"tenant\", \"ip\"]\nallow = [\"1/h\"]"),
        ("c", "per = [\"tenant\", \"country\"]\nallow = [\"6/h\"]"),
        ("p", "per = [\"prefix\"]\nallow = [\"3/h\"]"),
        ("t", "per = [\"tenant\"]\nallow = [\"9/h\"]"),
    ];
    let gateway = gateway(&upstream, &kinds).await;
    let acme = gateway.acme();
    // A number's prefix is all but its last four digits: +417900n.
    acme.accepted(&body(&swiss(10_000))).await;
    limited(&acme.send(&body(&swiss(10_000))).await, "recipient_rate_limited", "r");
    acme.accepted(&for_user(&swiss(10_001), "id", "user-1")).await;
    limited(&acme.send(&for_user(&swiss(20_000), "id", "user-1")).await, "end_user_rate_limited", "u");
    acme.accepted(&for_user(&swiss(10_002), "ip", "192.0.2.7")).await;
    limited(&acme.send(&for_user(&swiss(20_001), "ip", "192.0.2.7")).await, "end_user_rate_limited", "i");
    limited(&acme.send(&body(&swiss(10_003))).await, "destination_rate_limited", "p");
    for n in [30_000, 40_000, 50_000] {
        acme.accepted(&body(&swiss(n))).await;
    }
    limited(&acme.send(&body(&swiss(60_000))).await, "destination_rate_limited", "c");
    for to in [french(1), german(1), french(20_000)] {
        acme.accepted(&body(&to)).await;
    }
    limited(&acme.send(&body(&german(20_000))).await, "tenant_rate_limited", "t");
    gateway.tenant("globex").accepted(&body(&german(20_000))).await;
}

#[tokio::test]
async fn a_refusal_costs_nothing_and_a_missing_key_is_not_limited() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream, &[("i", "per = [\"ip\"]\nallow = [\"2/h\"]"), RECIPIENT]).await;
    let acme = gateway.acme();
    acme.accepted(&for_user(&swiss(1), "ip", "192.0.2.7")).await;
    for _ in 0..5 {
        limited(&acme.send(&for_user(&swiss(1), "ip", "192.0.2.7")).await, "recipient_rate_limited", "per_recipient");
    }
    acme.send(&for_user("+4179", "ip", "192.0.2.7")).await.problem(422, "invalid_recipient");
    acme.accepted(&for_user(&swiss(2), "ip", "192.0.2.7")).await;
    limited(&acme.send(&for_user(&swiss(3), "ip", "192.0.2.7")).await, "end_user_rate_limited", "i");
    acme.accepted(&for_user(&swiss(3), "ip", "192.0.2.8")).await;
    acme.accepted(&body(&swiss(4))).await;
}

#[tokio::test]
async fn a_shadow_limit_counts_and_refuses_nobody() {
    let upstream = Mitto::start();
    let gateway =
        gateway(&upstream, &[("trial", "per = [\"tenant\", \"recipient\"]\nallow = [\"1/h\"]\nmode = \"shadow\"")])
            .await;
    for _ in 0..3 {
        gateway.acme().accepted(&body(&swiss(1))).await;
    }
    let metrics = gateway.metrics().await;
    let shadowed: Vec<_> =
        metrics.series().filter(|series| series.contains("shadow") && series.contains("trial")).collect();
    assert!(!shadowed.is_empty(), "what it would have refused is counted: {}", metrics.text());
    let limited = metrics.count("gateway_rate_limited_total", &[("tenant", "acme"), ("limit", "trial")]);
    assert!(limited.abs() < f64::EPSILON, "{limited} were not limited");
}

#[tokio::test]
async fn the_built_in_limit_holds_without_any_configured() {
    let upstream = Mitto::start();
    let builder = Gateway::builder().default_limits().mitto("mitto", &upstream);
    let gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    let acme = gateway.acme();
    acme.accepted(&body(&swiss(1))).await;
    let pause_s = limited(&acme.send(&body(&swiss(1))).await, "recipient_rate_limited", "per_recipient");
    assert!((20..=31).contains(&pause_s), "{pause_s}");
}

#[tokio::test]
async fn limits_survive_a_restart_and_a_kill() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream, &[("hourly", "per = [\"tenant\", \"recipient\"]\nallow = [\"2/h\"]")]).await;
    let acme = gateway.acme();
    acme.accepted(&body(&swiss(1))).await;
    acme.accepted(&body(&swiss(2))).await;

    gateway.kill9();
    gateway.restart().await;
    acme.accepted(&body(&swiss(1))).await;
    limited(&acme.send(&body(&swiss(1))).await, "recipient_rate_limited", "hourly");

    gateway.term();
    assert!(gateway.ended(e2e::PATIENCE).await.success());
    gateway.restart().await;
    limited(&acme.send(&body(&swiss(1))).await, "recipient_rate_limited", "hourly");
    acme.accepted(&body(&swiss(2))).await;
    limited(&acme.send(&body(&swiss(2))).await, "recipient_rate_limited", "hourly");
}

#[tokio::test]
async fn a_kill_amid_a_burst_gives_nobody_a_second_go() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream, &[("hourly", "per = [\"tenant\", \"recipient\"]\nallow = [\"1/h\"]")]).await;
    let mut sends = JoinSet::new();
    for n in 0..64 {
        let acme = gateway.acme();
        sends.spawn(async move { acme.try_send(&body(&swiss(n % 8))).await.map(|answer| (n % 8, answer.status)) });
    }
    let first = sends.join_next().await.expect("64 sends").expect("no panic");
    gateway.kill9();
    let mut accepted: Vec<u32> = Vec::new();
    let mut note = |outcome: Result<(u32, u16), reqwest::Error>| {
        accepted.extend(outcome.ok().filter(|(_, status)| *status == 202).map(|(n, _)| n));
    };
    note(first);
    while let Some(outcome) = sends.join_next().await {
        note(outcome.expect("no panic"));
    }
    gateway.restart().await;
    for n in &accepted {
        limited(&gateway.acme().send(&body(&swiss(*n))).await, "recipient_rate_limited", "hourly");
    }
    for n in 0..8 {
        let mine = accepted.iter().filter(|other| **other == n).count();
        assert!(mine <= 1, "{n} was accepted {mine} times");
    }
}

#[tokio::test]
async fn a_blocked_message_stands_in_the_history_without_its_text() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream, &[RECIPIENT]).await;
    let acme = gateway.acme();
    acme.accepted(&body(&swiss(1))).await;
    limited(&acme.send(&body(&swiss(1))).await, "recipient_rate_limited", "per_recipient");
    let page = e2e::eventually("it is in the history", e2e::PATIENCE, async || {
        let page = acme.list(&[("status", "blocked")]).await.expect(200).json();
        page["messages"].as_array().is_some_and(|messages| messages.len() == 1).then_some(page)
    });
    let page = page.await.to_string();
    assert!(!page.contains("482913"), "{page}");
}
