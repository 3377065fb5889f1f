//! `/metrics` against hostile callers: nothing that they send becomes a series, and what there can be at most is written
//! down.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

mod attack;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{Gateway, Luck, Metrics, Mitto, Tenant, french, knob, swiss};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use attack::{Attacker, KINDS, MARK};

/// Contract §9, with how many series of each there are before the first message in [`gateway`], buckets and the like not
/// counted.
const NAMES: [(&str, usize); 18] = [
    ("gateway_build_info", 1),
    ("gateway_config_last_reload_successful", 1),
    ("gateway_messages_accepted_total", TENANTS),
    ("gateway_messages_blocked_total", TENANTS * 6),
    ("gateway_messages_final_total", PROVIDERS * 6),
    ("gateway_messages_in_flight", 2),
    ("gateway_oldest_queued_age_seconds", 1),
    ("gateway_provider_attempts_total", PROVIDERS * (1 + 3 * 7)),
    ("gateway_provider_circuit_state", PROVIDERS * 3),
    ("gateway_provider_failovers_total", PROVIDERS * (PROVIDERS - 1)),
    ("gateway_provider_request_duration_seconds_count", PROVIDERS),
    ("gateway_rate_limited_total", TENANTS),
    ("gateway_receipts_total", PROVIDERS * 5),
    ("gateway_receipts_unmatched_total", PROVIDERS),
    ("gateway_segments_total", PROVIDERS * 2),
    ("gateway_send_duration_seconds_count", 3),
    ("gateway_send_requests_total", TENANTS * 3),
    ("gateway_store_operation_duration_seconds_count", 3),
];

const TENANTS: usize = 2;
const PROVIDERS: usize = 2;
const LIMITS: usize = 1;

/// Countries with a label value of their own, and `other`.
const COUNTRIES_MAX: usize = 64 + 1;

/// Paths of both listeners as the code writes them, and what none of them matches.
const PATHS_MAX: usize = 31;

/// The formula of `deploy/metrics.md`: series there can be at most with so many tenants, providers, limits, countries
/// seen and paths.
fn series_max(tenants: usize, providers: usize, limits: usize, countries: usize, paths: usize) -> usize {
    201 + 5 * paths
        + tenants * (4 + 2 * limits + 10 * countries)
        + providers * (56 + providers + countries)
        + (providers + 1) * (16 + 6 * countries)
}

/// The same as people read it.
const FORMULA: &str = "201 + 5R + T(4 + 2L + 10C) + P(56 + P + C) + (P + 1)(16 + 6C)";

async fn gateway(upstream: &Mitto, limit: &str) -> Gateway {
    let builder = Gateway::builder().tenant(Tenant::new("acme")).tenant(Tenant::new("globex"));
    let builder = builder.mock("fake").mitto("mitto", upstream).route("default", "use = [\"fake\", \"mitto\"]");
    builder.limit("per_recipient", &format!("per = [\"tenant\", \"recipient\"]\nallow = [\"{limit}\"]")).start().await
}

fn series(metrics: &Metrics) -> BTreeSet<String> {
    metrics.series().map(str::to_owned).collect()
}

/// The value of a label, where the series has it.
fn label<'s>(series: &'s str, name: &str) -> Option<&'s str> {
    let (_, labels) = series.split_once('{')?;
    let (before, rest) = labels.split_once(&format!("{name}=\""))?;
    let is_whole = before.is_empty() || before.ends_with(',');
    rest.split('"').next().filter(|_| is_whole)
}

fn values<'s>(series: &'s BTreeSet<String>, name: &str) -> BTreeSet<&'s str> {
    series.iter().filter_map(|series| label(series, name)).collect()
}

#[tokio::test]
async fn every_name_of_the_contract_and_every_closed_set_is_there_before_the_first_message() {
    let upstream = Mitto::start();
    let metrics = gateway(&upstream, "3/10m").await.metrics().await;
    for (name, wanted) in NAMES {
        let family = name.strip_suffix("_count").unwrap_or(name);
        assert!(metrics.text().contains(&format!("# TYPE {family} ")), "{family} is missing");
        assert!(metrics.text().contains(&format!("# HELP {family} ")), "{family} is not explained");
        let found: Vec<&str> = metrics.series().filter(|series| series.split('{').next() == Some(name)).collect();
        assert_eq!(found.len(), wanted, "{found:#?}");
        assert!(!family.ends_with("_total") || metrics.sum(family, &[]) == Some(0.0), "{family} begins at zero");
    }
}

#[tokio::test]
async fn ten_thousand_hostile_requests_add_no_series() {
    const ATTACKERS: u32 = 16;
    let requests = u32::try_from(knob("E2E_REQUESTS", 10_000)).unwrap();
    let upstream = Mitto::start();
    let gateway = gateway(&upstream, "3/10m").await;
    // What is legitimately new: each kind of request once, and two countries, accepted and refused.
    let first = Attacker::new(&gateway);
    for n in 0..2 * KINDS {
        first.attack(n).await;
    }
    for to in [swiss(900), french(900)] {
        for _ in 0..4 {
            gateway.acme().send(&json!({ "to": to, "text": "Your code is 482913" })).await;
        }
    }
    gateway.metrics().await; // itself a request that counts
    let before = series(&gateway.metrics().await);

    let began = Instant::now();
    let mut attackers = JoinSet::new();
    for nth in 0..ATTACKERS {
        let attacker = Attacker::new(&gateway);
        attackers.spawn(async move {
            for n in (nth..requests).step_by(ATTACKERS as usize) {
                attacker.attack(n).await;
            }
        });
    }
    attackers.join_all().await;
    eprintln!("{requests} hostile requests in {:.1?}", began.elapsed());

    let metrics = gateway.metrics().await;
    let after = series(&metrics);
    assert!(!metrics.text().to_lowercase().contains(MARK), "a caller's word became a label");
    assert_eq!(values(&after, "tenant"), BTreeSet::from(["acme", "globex"]));
    assert_eq!(values(&after, "country"), BTreeSet::from(["CH", "FR", "other"]));
    assert_eq!(values(&after, "route"), values(&before, "route"), "paths that callers made up");
    assert_eq!(values(&after, "provider"), BTreeSet::from(["fake", "mitto"]));
    let added: Vec<&String> = after.difference(&before).collect();
    let is_country = |series: &str| label(series, "country").is_some_and(|country| country != "other");
    let is_answer = |series: &str| series.starts_with("gateway_http_requests_total{");
    let odd: Vec<_> = added.iter().filter(|series| !is_country(series) && !is_answer(series)).collect();
    assert!(odd.is_empty(), "new series: {odd:#?}");
    bounded(&after);
    assert!(metrics.count("gateway_http_requests_total", &[]) >= f64::from(requests));
    assert_eq!(metrics.sum("gateway_panics_total", &[]), Some(0.0));
    exposition_is_clean(metrics.text());
}

#[tokio::test]
async fn countries_beyond_sixty_four_count_as_other() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream, "1000/s").await;
    let (mut luck, acme) = (Luck::of(7), gateway.acme());
    let mut accepted: u32 = 0;
    let codes = (1..=999_u64).filter(|code| is_calling_code(*code));
    for code in codes {
        for _ in 0..16 {
            let subscriber = luck.of_range(2..10) * 10_u64.pow(7) + luck.of_range(0..10_000_000);
            let to = format!("+{code}{subscriber}{}", "5".repeat(usize::try_from(luck.of_range(0..3)).unwrap()));
            let answer = acme.send(&json!({ "to": to, "text": "Your code is 482913" })).await;
            assert!(answer.status == 202 || answer.status == 422, "{to}: {}", answer.text());
            if answer.status == 202 {
                accepted += 1;
                break;
            }
        }
    }
    let metrics = gateway.wait_metric("gateway_messages_final_total", &[], f64::from(accepted)).await;
    let after = series(&metrics);
    let countries = values(&after, "country");
    eprintln!("{accepted} numbers accepted, {} values of `country`, {} series", countries.len(), after.len());
    assert_eq!(countries.len(), COUNTRIES_MAX, "{countries:?}");
    assert!(metrics.count("gateway_messages_accepted_total", &[("country", "other")]) > 0.0);
    assert!((metrics.count("gateway_messages_accepted_total", &[]) - f64::from(accepted)).abs() < 0.5);
    bounded(&after);
    exposition_is_clean(metrics.text());

    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let began = Instant::now();
        gateway.metrics().await;
        quickest = quickest.min(began.elapsed());
    }
    eprintln!("a scrape of {} bytes takes {quickest:.1?}", metrics.text().len());
    assert!(quickest <= Duration::from_millis(50), "{quickest:?}");
}

/// Zones 3, 4, 5 and 8 as they are dealt out; the rest costs a few refusals.
fn is_calling_code(code: u64) -> bool {
    let single =
        [1, 7, 20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58];
    let double = [60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98];
    let triple = [211..=299, 350..=389, 420..=423, 500..=509, 590..=599, 670..=692, 850..=886, 960..=998];
    single.contains(&code) || double.contains(&code) || triple.iter().any(|range| range.contains(&code))
}

/// As many as `deploy/metrics.md` says, and that says what this file computes.
fn bounded(series: &BTreeSet<String>) {
    let (countries, paths) = (values(series, "country").len(), values(series, "route").len());
    assert!(countries <= COUNTRIES_MAX && paths <= PATHS_MAX, "{countries} countries, {paths} paths");
    let most = series_max(TENANTS, PROVIDERS, LIMITS, countries, paths);
    eprintln!("{} series of at most {most}", series.len());
    assert!(series.len() <= most, "{} series, {most} are documented", series.len());
}

#[test]
fn the_formula_is_the_documented_one() {
    let documented = include_str!("../../deploy/metrics.md");
    assert!(documented.lines().any(|line| line == FORMULA), "deploy/metrics.md says something else than {FORMULA}");
    // T = 3, P = 4, L = 2, C = 5, R = 7
    assert_eq!(series_max(3, 4, 2, 5, 7), 201 + 35 + 3 * (4 + 4 + 50) + 4 * 65 + 5 * 46);
}

fn exposition_is_clean(text: &str) {
    assert!(
        !text.lines().any(|line| line.starts_with("# TYPE ") && line.ends_with(" summary")),
        "summaries cannot be added"
    );
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let histograms: Vec<&str> = types.filter_map(|line| line.strip_suffix(" histogram")).collect();
    assert!(histograms.len() >= 3, "{histograms:?}");
    for name in histograms {
        let buckets = text.lines().filter(|line| line.starts_with(&format!("{name}_bucket{{")));
        assert!(buckets.count() > 5, "{name} has no buckets");
    }
    promtool_accepts(text);
}

/// Mandatory in `tests/run`; elsewhere it says loudly that it did not run.
fn promtool_accepts(text: &str) {
    let mut command = Command::new("promtool");
    let command =
        command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = match command.spawn() {
        Ok(promtool) => promtool,
        Err(error) => {
            assert!(!e2e::strict(), "promtool: {error}");
            eprintln!("SKIPPED: promtool is not installed (apt prometheus), /metrics was not linted: {error}");
            return;
        }
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && told.is_empty(), "{}", String::from_utf8_lossy(&told));
}
