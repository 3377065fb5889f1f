//! The guarantees of one node, held by three on one `PostgreSQL` behind a load balancer that repeats only what was refused:
//! kill -9, rolling restarts, idempotency, limits. (Receipts on any node are `receipts`.)

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::{Balancer, Builder, Gateway, Luck, Mitto, Postgres, swiss};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::audit::{Audit, quiet, wire};
use crate::figures::per_second;
use crate::load::{Load, Pace};
use crate::plan::Scale;
use crate::rows::{keys, kill};
use crate::table::{Outcome, note};

/// Nodes of every row.
pub(crate) const NODES: usize = 3;

/// Why a row was left out.
pub(crate) const MISSING: &str = "no PostgreSQL here (apt-get install postgresql-15)";

/// Longest time until everything is settled: dead nodes are missed after six seconds.
const SETTLES_WITHIN: Duration = Duration::from_mins(2);

/// Kills of one set of nodes; the upstream remembers only so many messages.
const KILLS_A_RUN: u64 = 20;

/// A database with nodes on it.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Gateway>,
    pub(crate) balancer: Balancer,
    _postgres: Postgres,
}

impl Cluster {
    /// `None` where there is no `PostgreSQL`.
    pub(crate) async fn start(builder: Builder) -> Option<Self> {
        let postgres = Postgres::start().await?;
        let (builder, mut nodes) = (builder.postgres(&postgres.url()), Vec::new());
        for _ in 0..NODES {
            nodes.push(builder.clone().start().await);
        }
        let balancer = Balancer::over(&nodes).await;
        Some(Self { nodes, balancer, _postgres: postgres })
    }

    fn any(&mut self, luck: &mut Luck) -> &mut Gateway {
        let at = usize::try_from(luck.of_range(0..NODES as u64)).expect("small");
        self.nodes.get_mut(at).expect("below the number of nodes")
    }

    fn first(&self) -> &Gateway {
        self.nodes.first().expect("some nodes")
    }
}

/// 1p: nodes die at random and come back.
pub(crate) async fn kill_9(scale: Scale) -> Outcome {
    let (mut luck, mut audit, kills) = (Luck::thrown(), Audit::default(), scale.of(100, 5));
    let (mut left, mut loaded) = (kills, Duration::ZERO);
    while left > 0 {
        let upstream = kill::upstream();
        let Some(mut cluster) = Cluster::start(kill::builder(&upstream)).await else {
            return Outcome::left_out(MISSING);
        };
        let (load, began) = (Load::start(cluster.balancer.acme(), Pace::mixed(2_000)), Instant::now());
        for _ in 0..left.min(KILLS_A_RUN) {
            sleep(luck.pause(100..1_000)).await;
            let node = cluster.any(&mut luck);
            node.kill9();
            node.restart().await;
        }
        left = left.saturating_sub(KILLS_A_RUN);
        let sent = load.stop().await;
        loaded += began.elapsed();
        quiet(cluster.first(), SETTLES_WITHIN).await;
        audit.merge(Audit::of(&cluster.first().acme(), &sent, &wire(&[&upstream])).await);
        note(&format!("  {} accepted so far, {} lost", audit.accepted, audit.lost.len()));
    }
    let Audit {
        accepted, lost, doubled, doubled_without_reason, interrupted, copies_max: [otp, transactional], ..
    } = &audit;
    for lost in lost.iter().take(10) {
        note(&format!("  LOST {lost}"));
    }
    let met = lost.is_empty() && *doubled_without_reason == 0 && *otp <= 2 && *transactional <= 1;
    let result = format!(
        "{accepted} accepted ({:.0}/s), {} lost; {interrupted} in flight at a kill, {doubled} of them doubled; \
         copies at most: otp {otp}, transactional {transactional}",
        per_second(*accepted, loaded),
        lost.len()
    );
    Outcome::new(format!("{kills} kills of one of {NODES} nodes"), result, met && doubled <= interrupted)
}

/// 2p: one node after the other is restarted, and callers see nothing of it.
pub(crate) async fn rolling(scale: Scale) -> Outcome {
    const RATE: u32 = 500;
    let (rounds, upstream) = (scale.of(5, 1), kill::upstream());
    let Some(mut cluster) = Cluster::start(kill::builder(&upstream)).await else { return Outcome::left_out(MISSING) };
    let (load, began) = (Load::start(cluster.balancer.acme(), Pace::mixed(RATE)), Instant::now());
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        for node in &mut cluster.nodes {
            sleep(Duration::from_millis(500)).await;
            let stop = kill::stop(node).await;
            slowest = slowest.max(stop.took);
            node.restart().await;
        }
    }
    let sent = load.stop().await;
    let loaded = began.elapsed();
    quiet(cluster.first(), SETTLES_WITHIN).await;
    let audit = Audit::of(&cluster.first().acme(), &sent, &wire(&[&upstream])).await;
    let mut others = BTreeMap::<u16, usize>::new();
    for one in sent.iter().filter(|one| !one.accepted()) {
        *others.entry(one.status.unwrap_or_default()).or_default() += 1;
    }
    let result = format!(
        "{} accepted ({:.0}/s), {} lost, {} doubled; not accepted, by status (0: no answer): {others:?}; slowest exit {slowest:.1?}",
        audit.accepted,
        per_second(audit.accepted, loaded),
        audit.lost.len(),
        audit.doubled
    );
    let met = audit.lost.is_empty() && audit.doubled == 0 && others.is_empty();
    Outcome::new(format!("{rounds} times {NODES} restarts under {RATE} msg/s"), result, met)
}

/// 9p: one key at fifty callers and three nodes, one of which dies.
pub(crate) async fn parallel(scale: Scale) -> Outcome {
    let (runs, mut luck, upstream) = (scale.of(100_u32, 5), Luck::thrown(), Mitto::start());
    let Some(mut cluster) = Cluster::start(keys::gateway(&upstream)).await else { return Outcome::left_out(MISSING) };
    let (mut accepted, mut two_answers, mut reuse_refused, mut strange) = (Vec::new(), 0, 0, Vec::new());
    let acme = cluster.balancer.acme();
    for n in 0..runs {
        let asked: JoinSet<keys::Told> = (0..keys::PARALLEL).map(|_| keys::ask(acme.clone(), n)).collect();
        sleep(luck.pause(0..15)).await;
        let node = cluster.any(&mut luck);
        node.kill9();
        node.restart().await;
        let told = asked.join_all().await;
        accepted.extend(told.iter().find_map(|told| told.accepted(n)));
        let bodies: BTreeSet<&Vec<u8>> = told.iter().flat_map(|told| &told.bodies).collect();
        two_answers += usize::from(bodies.len() != 1);
        strange.extend(told.iter().flat_map(|told| told.strange.clone()));
        let other = keys::post(&acme, n, &keys::body(n + 1_000_000)).await.expect("an answer");
        reuse_refused += u32::from(other.status == 422 && other.field("code") == "idempotency_key_reuse");
    }
    quiet(cluster.first(), SETTLES_WITHIN).await;
    let audit = Audit::of(&cluster.first().acme(), &accepted, &wire(&[&upstream])).await;
    let mut ids = BTreeMap::<String, BTreeSet<String>>::new();
    for send in upstream.sends() {
        ids.entry(send.to).or_default().insert(send.reference);
    }
    let doubles = ids.values().filter(|ids| ids.len() > 1).count();
    strange.iter().take(5).for_each(|strange| note(&format!("  {strange}")));
    let met = doubles == 0
        && two_answers == 0
        && reuse_refused == runs
        && strange.is_empty()
        && audit.accepted == runs as usize
        && audit.lost.is_empty()
        && audit.copies_max.iter().all(|copies| *copies <= 2);
    let result = format!(
        "{doubles} doubles, {two_answers} runs with two answers, {} other answers; other body refused {reuse_refused} of {runs}; \
         {} accepted, {} lost, copies on the wire <= {}",
        strange.len(),
        audit.accepted,
        audit.lost.len(),
        audit.copies_max.iter().max().copied().unwrap_or_default()
    );
    Outcome::new(format!("{runs} runs of {} parallel requests, a kill -9 in each", keys::PARALLEL), result, met)
}

/// 28p: a recipient's limit, at 64 callers over three nodes, in every third run over the death of one of them.
pub(crate) async fn limits(scale: Scale) -> Outcome {
    const SENDERS: usize = 64;
    const ALLOWED: usize = 5;
    let (runs, mut luck, upstream) = (scale.of(100_u32, 6), Luck::thrown(), Mitto::start());
    let limit = "per = [\"tenant\", \"recipient\"]\nallow = [\"5/10m\"]";
    let builder = keys::gateway(&upstream).limit("per_recipient", limit);
    let Some(mut cluster) = Cluster::start(builder).await else { return Outcome::left_out(MISSING) };
    let acme = cluster.balancer.acme();
    let (mut over, mut under, mut most, mut kills) = (0, 0, 0, 0);
    for n in 1..=runs {
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let acme = acme.clone();
            let body = json!({ "to": swiss(n), "text": "Your code is 482913" });
            senders.spawn(async move { acme.try_send(&body).await.ok().map(|answer| answer.status) });
        }
        let dies = n.is_multiple_of(3);
        if dies {
            sleep(luck.pause(0..15)).await;
            cluster.any(&mut luck).kill9();
            kills += 1;
        }
        let told = senders.join_all().await;
        if dies {
            for node in &mut cluster.nodes {
                if node.readyz().await.is_none() {
                    node.restart().await;
                }
            }
        }
        let accepted = told.iter().filter(|status| **status == Some(202)).count();
        // Where a node died, some were accepted whose callers were not told.
        over += usize::from(accepted > ALLOWED);
        under += usize::from(!dies && accepted < ALLOWED);
        most = most.max(accepted);
    }
    quiet(cluster.first(), SETTLES_WITHIN).await;
    let mut ids = BTreeMap::<String, BTreeSet<String>>::new();
    for send in upstream.sends() {
        ids.entry(send.to).or_default().insert(send.reference);
    }
    let sent_over = ids.values().filter(|ids| ids.len() > ALLOWED).count();
    let result = format!(
        "at most {most} of {ALLOWED} accepted; more in {over} runs, fewer in {under} of those without a kill; \
         {sent_over} numbers got more than {ALLOWED} messages; {kills} kills"
    );
    let met = over == 0 && under == 0 && sent_over == 0;
    Outcome::new(format!("{runs} runs of {SENDERS} parallel senders over {NODES} nodes"), result, met)
}
