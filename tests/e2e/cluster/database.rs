//! The database dies, is taken over by its standby, or is away for a while.

use std::time::Duration;

use e2e::{DATABASE_PASSWORD, Gateway, Mitto, PATIENCE, Postgres, eventually};
use tokio::time::{Instant, sleep};

use super::nodes::{Balancer, Judged, Load, Manners, body, judge, node, start};

#[tokio::test]
async fn a_standby_takes_over_without_loss() {
    let Some(mut primary) = Postgres::start().await else { return };
    let standby = primary.standby().await;
    let upstream = Mitto::start();
    let nodes = start(2, &node(&upstream, &Postgres::url_of(&[&primary, &standby]))).await;
    let load = Load::start(&Balancer::over(&nodes), 60, Manners::Insist);
    sleep(Duration::from_secs(2)).await;
    primary.kill9();
    let killed = Instant::now();
    sleep(Duration::from_secs(1)).await;
    standby.promote();
    let promoted = Instant::now();
    sleep(Duration::from_secs(5)).await;
    let sent = load.stop().await;
    let resumed = sent.iter().filter(|one| one.id.is_some() && one.at > killed).map(|one| one.at).min();
    let resumed = resumed.expect("accepts resume").saturating_duration_since(promoted);
    assert!(resumed <= Duration::from_secs(5), "accepts resume {resumed:?} after the promotion");

    let Judged { accepted, twice, unknown } =
        judge(nodes.first().expect("two"), &upstream, &sent, Duration::from_secs(20)).await;
    eprintln!("{accepted} accepted, 0 lost, {twice} twice, {unknown} unknown; accepts again after {resumed:.1?}");
}

/// Processor seconds of a process so far.
fn cpu_s(gateway: &Gateway) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", gateway.pid())).expect("a process of ours");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

#[tokio::test]
async fn while_the_database_is_away_answers_are_503_and_all_is_well_when_it_is_back() {
    let Some(mut postgres) = Postgres::start().await else { return };
    let upstream = Mitto::start();
    upstream.answer_after(Duration::from_millis(1_500));
    let gateway = node(&upstream, &postgres.url()).start().await;
    let acme = gateway.acme();
    let in_flight = acme.accepted(&body(1)).await;
    assert!(upstream.wait_for_sends(1, PATIENCE).await);
    postgres.kill9();
    let away = Instant::now();
    acme.send(&body(2)).await.problem(503, "store_unavailable");
    assert!(away.elapsed() < Duration::from_millis(2_500), "the first after {:?}", away.elapsed());
    sleep(Duration::from_millis(300)).await;
    let began = cpu_s(&gateway);
    for _ in 0..10 {
        let asked = Instant::now();
        let refused = acme.send(&body(2)).await;
        refused.problem(503, "store_unavailable");
        assert!(!refused.header("retry-after").is_empty());
        assert!(asked.elapsed() < Duration::from_millis(500), "at once: {:?}", asked.elapsed());
        sleep(Duration::from_millis(300)).await;
    }
    let spent = cpu_s(&gateway) - began;
    assert!(spent < 0.9, "{spent} s of processor in 3 s without a database");
    assert_eq!(gateway.readyz().await, Some(503));

    postgres.restart().await;
    let back = Instant::now();
    eventually("accepts again", PATIENCE, async || (acme.send(&body(3)).await.status == 202).then_some(())).await;
    let took = back.elapsed();
    acme.wait_status(&in_flight, "sent").await;
    eprintln!("accepts again {took:.1?} after the database was back; {spent:.2} s of processor in 3 s without");
    assert!(took <= Duration::from_secs(2), "{took:?}");
    assert_eq!(upstream.sends_to(&e2e::swiss(1)).len(), 1, "what was in flight was sent once");
    assert!(!gateway.logs().contains(DATABASE_PASSWORD), "the password is in the log");
}
