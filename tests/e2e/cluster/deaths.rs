//! A node dies, pauses, or is restarted under load.

use std::time::Duration;

use e2e::{Mitto, Postgres, Signal, knob};
use tokio::time::{Instant, sleep};

use super::nodes::{Balancer, Judged, Load, Manners, judge, node, start};

/// How long the upstream takes: long enough that a node which dies has attempts in flight.
const LATENCY: Duration = Duration::from_millis(400);

/// Messages of a dead node whose attempt was open are decided within this time, by guarantee.
const UNKNOWNS_WITHIN: Duration = Duration::from_secs(16);

fn upstream() -> Mitto {
    let upstream = Mitto::start();
    upstream.answer_after(LATENCY);
    upstream
}

#[tokio::test]
async fn the_others_go_on_with_the_work_of_a_killed_node() {
    let Some(postgres) = Postgres::start().await else { return };
    let upstream = upstream();
    let mut nodes = start(3, &node(&upstream, &postgres.url())).await;
    let load =
        Load::start(&Balancer::over(&nodes), u32::try_from(knob("E2E_RATE", 120)).expect("a rate"), Manners::Insist);
    sleep(Duration::from_secs(2)).await;
    nodes.first_mut().expect("three").kill9();
    let killed = Instant::now();
    sleep(Duration::from_secs(2)).await;
    let sent = load.stop().await;
    assert!(sent.iter().any(|one| one.at > killed), "the others accept");

    let left = UNKNOWNS_WITHIN.saturating_sub(killed.elapsed());
    let Judged { accepted, twice, unknown } = judge(nodes.get(1).expect("three"), &upstream, &sent, left).await;
    let last = upstream.sends().iter().map(|send| send.at).max().expect("sends");
    let took = last.saturating_duration_since(killed);
    eprintln!("{accepted} accepted, 0 lost, {twice} twice, {unknown} unknown; last copy {took:.1?} after the kill");
    assert!((1..=96).contains(&(twice + unknown)), "what was in flight, and no more");
}

#[tokio::test]
async fn what_waits_at_a_node_that_dies_goes_on_within_eight_seconds() {
    let Some(postgres) = Postgres::start().await else { return };
    let upstream = upstream();
    let mut nodes = start(2, &node(&upstream, &postgres.url())).await;
    let (dying, other) = nodes.split_at_mut(1);
    let (dying, other) = (dying.first_mut().expect("two"), other.first().expect("two"));
    // It holds messages that wait for a provider which takes nothing.
    upstream.behave(e2e::Behaviour::RefuseConnect);
    let mut ids = Vec::new();
    for n in 1..=20 {
        ids.push(dying.acme().accepted(&super::nodes::body(n * 4 + 1)).await);
    }
    dying.kill9();
    let killed = Instant::now();
    upstream.behave(e2e::Behaviour::Accept);
    for id in &ids {
        other.acme().wait_any_status(id, &["sent"], Duration::from_secs(8)).await;
    }
    eprintln!("all {} sent by the other node {:.1?} after the kill", ids.len(), killed.elapsed());
}

#[tokio::test]
async fn a_node_that_was_paused_settles_nothing_twice() {
    let Some(postgres) = Postgres::start().await else { return };
    let upstream = upstream();
    let nodes = start(3, &node(&upstream, &postgres.url())).await;
    let [paused, others @ ..] = nodes.as_slice() else { panic!("three") };
    let load = Load::start(&Balancer::over(&nodes), 60, Manners::Insist);
    sleep(Duration::from_secs(1)).await;
    paused.signal(Signal::Stop);
    let on_the_others = Load::from(&Balancer::over(others), 1_000_000, 60, Manners::Insist);
    sleep(Duration::from_secs(15)).await;
    paused.signal(Signal::Cont);
    let mut sent = on_the_others.stop().await;
    sent.extend(load.stop().await); // those whose request hung ask again with the same key
    let Judged { accepted, twice, unknown } =
        judge(others.first().expect("two"), &upstream, &sent, UNKNOWNS_WITHIN).await;
    eprintln!("{accepted} accepted, 0 lost, {twice} twice, {unknown} unknown, no attempt ended twice");
    assert!(twice + unknown > 0, "it had attempts in flight, which the others took over");
    assert!(paused.readyz().await == Some(200), "it serves again: {}", paused.logs());
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing_and_doubles_nothing() {
    let Some(postgres) = Postgres::start().await else { return };
    let upstream = upstream();
    let mut nodes = start(3, &node(&upstream, &postgres.url())).await;
    let rate = u32::try_from(knob("E2E_RATE", 120)).expect("a rate");
    let load = Load::start(&Balancer::over(&nodes), rate, Manners::Once);
    sleep(Duration::from_secs(1)).await;
    for node in &mut nodes {
        node.term();
        assert_eq!(node.ended(Duration::from_secs(12)).await.code(), Some(0), "{}", node.logs());
        node.restart().await;
    }
    sleep(Duration::from_secs(1)).await;
    let sent = load.stop().await;
    let refused: Vec<_> = sent.iter().filter(|one| one.id.is_none()).map(|one| &one.statuses).collect();
    assert!(refused.is_empty(), "{} of {} were not accepted: {refused:?}", refused.len(), sent.len());
    let judged = judge(nodes.first().expect("three"), &upstream, &sent, Duration::from_secs(20)).await;
    eprintln!("{} accepted at {rate}/s over three restarts: {judged:?}", sent.len());
    assert_eq!((judged.accepted, judged.twice, judged.unknown), (sent.len(), 0, 0));
}
