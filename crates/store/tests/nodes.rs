//! Several nodes on one database: limits and keys hold across them, what a dead one left open goes on elsewhere, and one
//! that was taken for dead overwrites nothing. Without a server nothing is tested, loudly; see `server`.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a failed set-up fails the test")]

mod server;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sms_conformance::store::{MITTO, ManualClock, Stand, charge, idempotency, later, number, sent};
use sms_core::store::{Admit, Leased, NoticeOutcome, Outcome, PurgePolicy, Settled, StoreError, Verdict};
use sms_core::{MessageId, Status, Store};
use sms_store::postgres::{PgError, PgOptions, copy, migrate};
use sms_store::{PgStore, SqliteStore, StoreKey};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Nodes on one new database, under one clock.
struct Cluster {
    url: String,
    key: StoreKey,
    first: Stand,
}

impl Cluster {
    async fn new() -> Option<Self> {
        let (url, key, clock) = (server::database()?, StoreKey::generate().unwrap(), ManualClock::start());
        let first = Stand::new(open(&url, &key, &clock, "a").await, clock);
        Some(Self { url, key, first })
    }

    async fn node(&self, name: &str) -> Stand {
        self.first.reopened(open(&self.url, &self.key, &self.first.clock, name).await)
    }

    /// Runs a statement as an operator would.
    async fn sql(&self, sql: &str) -> Vec<String> {
        let (client, connection) = tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        let rows = client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

async fn open(url: &str, key: &StoreKey, clock: &Arc<ManualClock>, name: &str) -> Arc<PgStore> {
    let options = PgOptions { node: name.to_owned(), migrate: true };
    Arc::new(PgStore::open(url, key, clock.clone(), options).await.unwrap())
}

/// Asks until something comes, and says how long that took.
async fn until<R>(max: Duration, mut ask: impl AsyncFnMut() -> Option<R>) -> (R, Duration) {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return (found, began.elapsed());
        }
        assert!(began.elapsed() < max, "nothing within {max:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn adopted(stand: &Stand) -> Option<Vec<Leased>> {
    Some(stand.store.adopt(stand.now()).await.unwrap()).filter(|adopted| !adopted.is_empty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limits_are_exact_over_three_nodes() {
    let Some(cluster) = Cluster::new().await else { return };
    let nodes = [cluster.first.clone(), cluster.node("b").await, cluster.node("c").await];
    for round in 0..6 {
        let allowed = [1, 5, 1_003][round % 3];
        let tasks: Vec<_> = (0..64_u16)
            .map(|n| {
                let stand = nodes[usize::from(n) % nodes.len()].clone();
                let mut admit = stand.admit();
                admit.charges = vec![charge("l", &format!("{round}"), allowed, 30), charge("wide", "all", 40, 60)];
                admit.message.to = number(n);
                tokio::spawn(async move { stand.decide(admit).await })
            })
            .collect();
        let mut accepted = 0;
        for task in tasks {
            accepted += u32::from(matches!(task.await.unwrap(), Verdict::Leased { .. }));
        }
        assert_eq!(accepted, allowed.min(40), "round {round}");
        cluster.first.pass(61);
    }
}

#[tokio::test]
async fn what_one_node_leaves_to_tell_another_one_tells() {
    let Some(cluster) = Cluster::new().await else { return };
    let other = cluster.node("b").await;
    assert!(other.store.notice_tenants().await.unwrap().is_empty());
    let mut admit = cluster.first.admit();
    (admit.message.details.notify, admit.begin) = (true, true);
    let id = cluster.first.accept(admit).await;
    cluster.first.settle(id, 1, Outcome::Accepted, sent("u1")).await;
    assert_eq!(cluster.first.store.notice_tenants().await.unwrap().len(), 1, "at once where it happened");
    let known = async || {
        let tenants = other.store.notice_tenants().await.unwrap();
        (!tenants.is_empty()).then_some(())
    };
    until(Duration::from_secs(3), known).await;
    let notices = other.notices(5).await;
    assert_eq!(notices.iter().map(|notice| notice.record.id).collect::<Vec<_>>(), [id]);
    assert!(cluster.first.notices(5).await.is_empty(), "one node tells it");
    let done = notices.iter().map(|notice| (notice.id, NoticeOutcome::Done)).collect();
    other.store.settle_notices(done).await.unwrap();
    assert!(other.store.notice_tenants().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twins_of_a_key_on_several_nodes_are_one_message() {
    let Some(cluster) = Cluster::new().await else { return };
    let nodes = [cluster.first.clone(), cluster.node("b").await, cluster.node("c").await];
    for round in 0..5 {
        let tasks: Vec<_> = (0..24_usize)
            .map(|n| {
                let stand = nodes[n % nodes.len()].clone();
                let key = Some(idempotency(&format!("key {round}"), 1));
                let charges = vec![charge("l", &format!("{round}"), 2, 30)];
                let answer = format!("answer {n}").into_bytes().into();
                let admit = Admit { idempotency: key, charges, answer, ..stand.admit() };
                tokio::spawn(async move { stand.decide(admit).await })
            })
            .collect();
        let (mut leased, mut answers) = (0, HashSet::new());
        for task in tasks {
            match task.await.unwrap() {
                Verdict::Leased { .. } => leased += 1,
                Verdict::Replayed { id, answer } => drop(answers.insert((id, answer))),
                // Until a twin's acceptance is known its charge may stand in the way for a moment.
                Verdict::Limited { .. } => {}
                Verdict::KeyReuse => panic!("all are the same request"),
            }
        }
        assert_eq!((leased, answers.len()), (1, 1), "round {round}");
        // What the others were charged comes back.
        until(Duration::from_secs(3), async || {
            let charges = vec![charge("l", &format!("{round}"), 2, 30)];
            let admit = Admit { charges, ..cluster.first.admit() };
            matches!(cluster.first.decide(admit).await, Verdict::Leased { .. }).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_dead_nodes_messages_go_on_elsewhere() {
    let Some(cluster) = Cluster::new().await else { return };
    let (url, key, clock) = (cluster.url.clone(), cluster.key.clone(), cluster.first.clock.clone());
    let (tell, told) = std::sync::mpsc::channel();
    let first = cluster.first.clone();
    // A node of its own runtime, which stops without a word.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let ids = runtime.block_on(async {
            let stand = first.reopened(open(&url, &key, &clock, "dies").await);
            tokio::time::sleep(Duration::from_secs(3)).await; // the others know it
            (stand.begin().await, stand.accept(stand.admit()).await)
        });
        runtime.shutdown_background();
        tell.send(ids).unwrap();
    });
    until(Duration::from_secs(6), async || (cluster.first.store.nodes() == 2).then_some(())).await;
    let (open, waiting) = until(Duration::from_secs(9), async || told.try_recv().ok()).await.0;
    let died = Instant::now();
    until(Duration::from_secs(2), async || cluster.first.claim(MITTO, 9).await.into_iter().find(|l| l.id == waiting))
        .await;
    let (adopted, _) = until(Duration::from_secs(9), async || adopted(&cluster.first).await).await;
    assert!(died.elapsed() < Duration::from_secs(8), "{:?}", died.elapsed());
    assert_eq!((adopted.len(), adopted[0].id, adopted[0].attempt), (1, open, 1));
    cluster.first.settle(open, 1, Outcome::Unknown, later(MITTO, cluster.first.now())).await;
    assert_eq!(cluster.first.status(open).await, Status::Sending);
    until(Duration::from_secs(4), async || (cluster.first.store.nodes() == 1).then_some(())).await;
}

#[tokio::test]
async fn a_node_that_was_taken_for_dead_overwrites_nothing() {
    let Some(cluster) = Cluster::new().await else { return };
    let (paused, other) = (cluster.node("paused").await, cluster.first.clone());
    let (taken, also) = (paused.begin().await, paused.begin().await);
    cluster.sql("UPDATE node SET gone = true WHERE name = 'paused' RETURNING name").await;
    let adopted = adopted(&other).await.unwrap();
    assert_eq!(adopted.iter().map(|leased| leased.id).collect::<HashSet<_>>(), HashSet::from([taken, also]));
    other.settle(also, 1, Outcome::NotSent, later(MITTO, other.now())).await;
    for id in [taken, also] {
        assert_eq!(paused.try_settle((id, 1), MITTO, Outcome::Accepted, sent("u")).await, Settled::Fenced);
    }
    assert_eq!(other.claim(MITTO, 9).await.len(), 1);
    assert_eq!(paused.try_settle((also, 2), MITTO, Outcome::Accepted, sent("u")).await, Settled::Fenced);
    other.settle(taken, 1, Outcome::Accepted, sent("u1")).await;
    other.settle(also, 2, Outcome::Accepted, sent("u2")).await;
    // It begins a new life.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let id = paused.begin().await;
    paused.settle(id, 1, Outcome::Accepted, sent("u3")).await;
    assert_eq!(other.status(id).await, Status::Sent);
}

#[tokio::test]
async fn a_node_that_leaves_hands_over_at_once() {
    let Some(cluster) = Cluster::new().await else { return };
    let leaving = cluster.node("leaves").await;
    let id = leaving.begin().await;
    leaving.store.close().await;
    assert!(leaving.store.ping().await.is_err());
    let adopted = cluster.first.store.adopt(cluster.first.now()).await.unwrap();
    assert_eq!(adopted.iter().map(|leased| leased.id).collect::<Vec<_>>(), [id]);
    assert!(cluster.first.store.adopt(cluster.first.now()).await.unwrap().is_empty(), "once");
}

#[tokio::test]
async fn what_a_node_put_off_is_due_once_it_is_gone() {
    let Some(cluster) = Cluster::new().await else { return };
    let (leaving, other) = (cluster.node("leaves").await, cluster.first.clone());
    let id = leaving.begin().await;
    let expires = leaving.store.get(None, id).await.unwrap().unwrap().expires;
    leaving.settle(id, 1, Outcome::NotSent, later(MITTO, expires)).await;
    assert!(other.store.adopt(other.now()).await.unwrap().is_empty() && other.claim(MITTO, 9).await.is_empty());
    leaving.store.close().await;
    assert!(other.store.adopt(other.now()).await.unwrap().is_empty(), "no attempt of it is open");
    assert_eq!(other.claim(MITTO, 9).await.into_iter().map(|leased| leased.id).collect::<Vec<_>>(), [id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_opened_for_somebody_who_went_away_is_released() {
    let Some(cluster) = Cluster::new().await else { return };
    let stand = cluster.first.clone();
    let mut ids: Vec<MessageId> = Vec::new();
    for n in 0..20 {
        let admit = Admit { begin: true, ..stand.admit() };
        ids.push(admit.message.id);
        let asked = tokio::time::timeout(Duration::from_micros(200 * n), stand.store.admit(vec![admit])).await;
        if asked.is_ok() {
            ids.pop();
        }
    }
    let mut found = HashSet::new();
    let all = until(Duration::from_secs(3), async || {
        found.extend(stand.claim(MITTO, 99).await.into_iter().map(|leased| leased.id));
        let mut gone = ids.clone();
        gone.retain(|id| !found.contains(id));
        for id in gone {
            if stand.store.get(None, id).await.unwrap().is_some() {
                return None;
            }
        }
        Some(())
    });
    all.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_that_are_over_are_dropped_whole() {
    let Some(cluster) = Cluster::new().await else { return };
    let (stand, day) = (cluster.first.clone(), Duration::from_hours(24));
    let days = "SELECT relname::text FROM pg_class WHERE relname LIKE 'message\\_d%' AND relkind = 'r' ORDER BY 1";
    let (old, first) = (stand.send("u1").await, cluster.sql(days).await);
    assert_eq!(first.len(), 4, "yesterday to the day after tomorrow");
    let waits = stand.accept(stand.admit()).await;
    stand.clock.advance(5 * day);
    let policy = PurgePolicy { keep_messages: 2 * day, keep_numbers: day };
    let purged = stand.store.purge(policy, stand.now(), 100).await.unwrap();
    assert_eq!(purged.messages, 1, "the other one still waits");
    assert!(
        stand.store.get(None, old).await.unwrap().is_none() && stand.store.get(None, waits).await.unwrap().is_some()
    );
    assert_eq!(stand.store.sweep(stand.now(), 9).await.unwrap().len(), 1);
    let recent = stand.send("u2").await;
    assert_eq!(stand.store.purge(policy, stand.now(), 100).await.unwrap().messages, 1);
    let now = cluster.sql(days).await;
    assert!(now.len() == 4 && first.iter().all(|gone| !now.contains(gone)), "{first:?} {now:?}");
    assert_eq!(stand.status(recent).await, Status::Sent);
}

/// Passes bytes on to the server until it is cut.
async fn proxy(url: &str) -> (String, Arc<AtomicBool>) {
    let target = url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxied = url.replace(&target, &listener.local_addr().unwrap().to_string());
    let cut = Arc::new(AtomicBool::new(false));
    let is_cut = Arc::clone(&cut);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (target, is_cut) = (target.clone(), Arc::clone(&is_cut));
            tokio::spawn(async move {
                let mut server = TcpStream::connect(target).await.unwrap();
                let cut = async {
                    while !is_cut.load(Ordering::SeqCst) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                tokio::select! {
                    () = cut => {}
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                }
            });
        }
    });
    (proxied, cut)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_said_at_once_and_found_again() {
    let Some(url) = server::database() else { return };
    let (url, cut) = proxy(&url).await;
    let (key, clock) = (StoreKey::generate().unwrap(), ManualClock::start());
    let stand = Stand::new(open(&url, &key, &clock, "a").await, clock);
    let id = stand.begin().await;
    cut.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(50)).await;
    for n in 0..20 {
        let asked = Instant::now();
        let refused = stand.store.admit(vec![stand.admit()]).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        let longest = if n < 2 { 2_500 } else { 100 };
        assert!(asked.elapsed() < Duration::from_millis(longest), "{n}: {:?}", asked.elapsed());
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    cut.store(false, Ordering::SeqCst);
    let back = async || {
        let admitted = stand.store.admit(vec![stand.admit()]).await;
        admitted.ok().map(drop)
    };
    let ((), took) = until(Duration::from_secs(5), back).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    stand.settle(id, 1, Outcome::Accepted, sent("u")).await;
    assert_eq!(stand.status(id).await, Status::Sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_are_told_and_taken_once() {
    let Some(url) = server::database() else { return };
    let before = migrate::status(&url).await.unwrap();
    assert_eq!((before.found, before.is_usable()), (0, false));
    let (key, clock) = (StoreKey::generate().unwrap(), ManualClock::start());
    let options = |migrate| PgOptions { node: "a".to_owned(), migrate };
    let refused = PgStore::open(&url, &key, clock.clone(), options(false)).await;
    assert!(matches!(refused, Err(PgError::Older { found: 0, .. })));
    let (one, two) = tokio::join!(migrate::up(&url), migrate::up(&url));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    let after = migrate::status(&url).await.unwrap();
    assert!(after.is_usable() && after.found == after.known);
    PgStore::open(&url, &key, clock.clone(), options(false)).await.unwrap().close().await;
    let other = PgStore::open(&url, &StoreKey::generate().unwrap(), clock.clone(), options(false)).await;
    assert!(matches!(other, Err(PgError::WrongKey)));
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let newer = async |by: i32| {
        client.execute("INSERT INTO schema_version VALUES ($1, now())", &[&(after.known + by)]).await.unwrap();
        PgStore::open(&url, &key, clock.clone(), options(true)).await
    };
    assert!(newer(1).await.is_ok(), "one version newer is tolerated");
    assert!(matches!(newer(2).await, Err(PgError::Newer { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_copied_whole_or_not_at_all() {
    let Some(url) = server::database() else { return };
    let count: usize =
        std::env::vars().find(|(name, _)| name == "STORE_COPY").map_or(2_000, |(_, n)| n.parse().unwrap());
    let (folder, key, clock) = (tempfile::tempdir().unwrap(), StoreKey::generate().unwrap(), ManualClock::start());
    let path = folder.path().join("gateway.db");
    let file = Stand::new(Arc::new(SqliteStore::open(&path, &key, clock.clone()).unwrap()), clock.clone());
    let (limited, keyed) = (charge("l", "a", 1, 3_600), idempotency("key", 1));
    let first = Admit { charges: vec![limited.clone()], idempotency: Some(keyed.clone()), ..file.admit() };
    let first = file.accept(first).await;
    let settled = file.send("u1").await;
    let begun = file.begin().await;
    for _ in (3..count).step_by(100) {
        file.store.admit((0..100).map(|_| file.admit()).collect()).await.unwrap();
    }
    let record = file.record(settled).await;
    let waiting = file.store.counts(file.now()).await.unwrap();
    file.store.close().await;
    drop(file);
    let wrong = copy(&path, &url, &StoreKey::generate().unwrap(), record.updated).await;
    assert!(matches!(wrong, Err(PgError::Copy(_))), "{wrong:?}");
    let began = Instant::now();
    let copied = copy(&path, &url, &key, record.updated).await.unwrap();
    eprintln!("{copied:?} in {:?}", began.elapsed());
    assert!(copied.messages >= 3 && copied.answers == 1 && copied.limits == 1 && copied.compared > 0);
    assert!(matches!(copy(&path, &url, &key, record.updated).await, Err(PgError::Copy(_))), "it holds messages");
    let stand = Stand::new(open(&url, &key, &clock, "copied").await, clock);
    assert_eq!(stand.record(settled).await, record);
    assert_eq!(stand.store.counts(stand.now()).await.unwrap().queued, waiting.queued);
    let again = Admit { idempotency: Some(keyed), ..stand.admit() };
    assert!(matches!(stand.decide(again).await, Verdict::Replayed { id, .. } if id == first));
    let over = Admit { charges: vec![limited], ..stand.admit() };
    assert!(matches!(stand.decide(over).await, Verdict::Limited { .. }));
    let orphans = stand.store.orphans().await.unwrap();
    assert_eq!(orphans.iter().map(|leased| leased.id).collect::<Vec<_>>(), [begun]);
    stand.receipt(None, "u1", sms_core::DeliveryState::Delivered).await;
    assert_eq!(stand.status(settled).await, Status::Delivered);
    assert!(!stand.claim(MITTO, 5).await.is_empty());
}
