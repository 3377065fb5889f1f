//! `/metrics` against hostile callers: nothing that they send becomes a series.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use e2e::{Caller, Gateway, Metrics, Mitto, Tenant, french, swiss};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Part of everything a hostile caller makes up.
const MARK: &str = "zqx";

/// Contract §9.
const NAMES: [&str; 18] = [
    "gateway_build_info",
    "gateway_config_last_reload_successful",
    "gateway_messages_accepted_total",
    "gateway_messages_blocked_total",
    "gateway_messages_final_total",
    "gateway_messages_in_flight",
    "gateway_oldest_queued_age_seconds",
    "gateway_provider_attempts_total",
    "gateway_provider_circuit_state",
    "gateway_provider_failovers_total",
    "gateway_provider_request_duration_seconds",
    "gateway_rate_limited_total",
    "gateway_receipts_total",
    "gateway_receipts_unmatched_total",
    "gateway_segments_total",
    "gateway_send_duration_seconds",
    "gateway_send_requests_total",
    "gateway_store_operation_duration_seconds",
];

/// The formula of `deploy/metrics.md`.
fn series_max(tenants: usize, providers: usize, limits: usize, countries: usize, paths: usize) -> usize {
    160 + 5 * paths
        + tenants * (3 + 2 * limits + 10 * countries)
        + providers * (50 + providers)
        + (providers + 1) * (16 + 6 * countries)
}

async fn gateway(upstream: &Mitto) -> Gateway {
    let builder = Gateway::builder().tenant(Tenant::new("acme")).tenant(Tenant::new("globex"));
    let builder = builder.mitto("mitto", upstream).mock("backup").route("default", "use = [\"mitto\", \"backup\"]");
    builder.limit("per_recipient", "per = [\"tenant\", \"recipient\"]\nallow = [\"3/10m\"]").start().await
}

fn names_of(series: &BTreeSet<String>, label: &str) -> BTreeSet<String> {
    let value = |line: &String| {
        let (_, rest) = line.split_once(&format!("{label}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    series.iter().filter_map(value).collect()
}

/// Each series without its value.
fn series(metrics: &Metrics) -> BTreeSet<String> {
    metrics.series().filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
}

/// One request that somebody with bad intentions makes.
async fn attack(acme: &Caller, stranger: &Caller, n: u32) {
    let word = format!("{MARK}{n}");
    let body = json!({
        "to": if n.is_multiple_of(2) { swiss(n % 40) } else { french(n % 40) }, "text": "Your code is 482913",
        "client_id": word, "language": format!("x-{word}"), "action": word, "reference": word,
        "metadata": { (word.clone()): word }, "end_user": { "id": word, "user_agent": word, "country": word },
    });
    match n % 8 {
        0 => drop(stranger.send(&body).await),
        1 => drop(acme.get(&format!("/{word}/{n}")).await),
        2 => drop(acme.get(&format!("/v1/messages/{word}")).await),
        3 => drop(acme.post_with(&format!("/hooks/{word}/k/{word}"), &[], &body).await),
        4 => drop(acme.post_with(&format!("/receipts/{word}/{word}"), &[], &body).await),
        5 => drop(acme.send(&json!({ "to": word, "template": word, "sender": word, (word.clone()): 1 })).await),
        6 => drop(acme.list(&[("provider", &word), ("client_id", &word), ("status", &word)]).await),
        _ => drop(
            acme.send_with(&[("idempotency-key", &word), ("user-agent", &word), ("x-request-id", &word)], &body).await,
        ),
    }
}

#[tokio::test]
async fn every_name_of_the_contract_is_there_before_the_first_message() {
    let upstream = Mitto::start();
    let metrics = gateway(&upstream).await.metrics().await;
    for name in NAMES {
        assert!(metrics.text().contains(&format!("# TYPE {name} ")), "{name} is missing");
        assert!(metrics.text().contains(&format!("# HELP {name} ")), "{name} is not explained");
    }
}

#[tokio::test]
async fn ten_thousand_hostile_requests_add_no_series() {
    let upstream = Mitto::start();
    let gateway = Arc::new(gateway(&upstream).await);
    // What is legitimately new: two countries, and each route of the API once.
    for n in 0..8 {
        attack(&gateway.acme(), &gateway.caller("sk_live_stranger_0123456789abcdef"), n).await;
    }
    for to in [swiss(900), french(900)] {
        gateway.acme().accepted(&json!({ "to": to, "text": "Your code is 482913" })).await;
    }
    let before = series(&gateway.metrics().await);
    let mut callers = JoinSet::new();
    for caller in 0..20 {
        let gateway = Arc::clone(&gateway);
        callers.spawn(async move {
            let stranger = gateway.caller(&format!("sk_live_{MARK}_{caller}_0123456789abcdef"));
            for n in 0..500 {
                attack(&gateway.acme(), &stranger, caller * 500 + n).await;
            }
        });
    }
    callers.join_all().await;

    let metrics = gateway.metrics().await;
    let after = series(&metrics);
    assert!(!metrics.text().contains(MARK), "a caller's word became a label");
    let counted = ["gateway_messages_final_total", "gateway_http_requests_total"];
    let new: Vec<_> =
        after.difference(&before).filter(|line| !counted.iter().any(|name| line.starts_with(name))).collect();
    assert_eq!(new, Vec::<&String>::new(), "new series");
    let (countries, paths) = (names_of(&after, "country"), names_of(&after, "route"));
    assert!(countries.iter().all(|country| ["CH", "FR", "other"].contains(&country.as_str())), "{countries:?}");
    let most = series_max(2, 2, 1, countries.len(), paths.len());
    assert!(after.len() <= most, "{} series, {most} are documented", after.len());
}

#[tokio::test]
async fn the_exposition_is_clean_and_quick() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    gateway.acme().accepted(&json!({ "to": swiss(1), "text": "Your code is 482913" })).await;
    let metrics = gateway.metrics().await;
    assert!(!metrics.text().contains(" summary"), "summaries cannot be aggregated");
    let types = metrics.text().lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for name in types.filter_map(|line| line.strip_suffix(" histogram")) {
        assert!(metrics.text().contains(&format!("{name}_bucket{{")), "{name} has no buckets");
    }
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let began = Instant::now();
        gateway.metrics().await;
        quickest = quickest.min(began.elapsed());
    }
    assert!(quickest <= Duration::from_millis(50), "{quickest:?}");
    promtool_accepts(metrics.text());
}

/// Mandatory in `tests/run`; elsewhere it says loudly that it did not run.
fn promtool_accepts(text: &str) {
    let spawned =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut promtool = match spawned {
        Ok(promtool) => promtool,
        Err(error) => {
            assert!(!e2e::strict(), "promtool: {error}");
            eprintln!("SKIPPED: promtool is not installed (apt prometheus), /metrics was not linted: {error}");
            return;
        }
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
