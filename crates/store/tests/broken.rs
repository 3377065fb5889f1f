//! Connections that break at any moment: before a statement reaches the server, or after it was carried out and before
//! anybody heard of it, commits too. Nothing is lost, accepted twice, sent twice or left open, and no limit is exceeded.
//! Without a server nothing is tested, loudly; see `server`.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a failed set-up fails the test")]

mod server;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use sms_conformance::store::{MITTO, ManualClock, Stand, charge, idempotency, sent};
use sms_core::store::{Admit, Attempted, LaneWant, Outcome, Settle, Settled, StoreError, Then, Verdict, What};
use sms_core::{MessageId, ProviderName, Status};
use sms_store::postgres::PgOptions;
use sms_store::{PgStore, StoreKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A way to the server that breaks now and then.
struct Breaking {
    /// Chunks of bytes until the next one is a connection's last.
    left: AtomicI64,
    seed: AtomicU64,
    before: AtomicU64,
    after: AtomicU64,
}

impl Breaking {
    /// The same everywhere: who comes when is chance enough.
    fn dice(&self, below: u64) -> u64 {
        let mut state = self.seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) % below
    }

    fn rest(&self) {
        self.left.store(i64::MAX, Ordering::SeqCst);
    }

    /// Says whether this chunk is the last, and then whether the server gets it.
    fn breaks(&self) -> Option<bool> {
        if self.left.fetch_sub(1, Ordering::SeqCst) != 1 {
            return None;
        }
        self.left.store(i64::try_from(4 + self.dice(24)).unwrap(), Ordering::SeqCst);
        let reaches = self.dice(4) != 0;
        if reaches { &self.after } else { &self.before }.fetch_add(1, Ordering::SeqCst);
        Some(reaches)
    }
}

async fn way(url: &str) -> (String, Arc<Breaking>) {
    let target = url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = url.replace(&target, &listener.local_addr().unwrap().to_string());
    let (left, seed) = (AtomicI64::new(i64::MAX), AtomicU64::new(7));
    let breaking = Arc::new(Breaking { left, seed, before: AtomicU64::new(0), after: AtomicU64::new(0) });
    let breaks = Arc::clone(&breaking);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&target).await.unwrap();
            tokio::spawn(carry(client, server, Arc::clone(&breaks)));
        }
    });
    (way, breaking)
}

/// Carries bytes both ways until it breaks; then the server's answer is heard by nobody.
async fn carry(client: TcpStream, server: TcpStream, breaking: Arc<Breaking>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let mut buffer = vec![0; 256 * 1024];
    let back = tokio::spawn(async move { drop(tokio::io::copy(&mut from_server, &mut to_client).await) });
    while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
        let breaks = breaking.breaks();
        if breaks.is_some() {
            back.abort();
        }
        if breaks == Some(false) || to_server.write_all(&buffer[..count]).await.is_err() {
            break;
        }
        if breaks.is_some() {
            tokio::time::sleep(Duration::from_millis(30)).await; // it is carried out
            break;
        }
    }
    back.abort();
}

/// Asks until there is an answer, as a caller does and as the engine does for outcomes.
async fn insist<R>(mut ask: impl AsyncFnMut() -> Result<R, StoreError>) -> R {
    for _ in 0..2_000 {
        match ask().await {
            Ok(answer) => return answer,
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no answer");
}

/// What happened, by what was answered.
#[derive(Default)]
struct Seen {
    /// By request: the messages that answered it.
    answered: HashMap<String, HashSet<MessageId>>,
    /// Messages in the order in which they were handed to a sender.
    sent: Vec<MessageId>,
}

/// Sends: the provider takes it, every third message at the second attempt.
async fn send(stand: &Stand, seen: &Mutex<Seen>, id: MessageId, attempt: u16) {
    seen.lock().unwrap().sent.push(id);
    let mut attempt = attempt;
    if id.as_bytes()[15].is_multiple_of(3) {
        let again = Then::Again { provider: ProviderName::new(MITTO) };
        let settled = settle(stand, (id, attempt), Outcome::NotSent, again).await;
        assert!(matches!(settled, Settled::Done { go: true, .. }), "{id}: its next attempt is open, by {settled:?}");
        attempt += 1;
    }
    settle(stand, (id, attempt), Outcome::Accepted, sent(&id.to_string())).await;
}

async fn settle(stand: &Stand, (id, attempt): (MessageId, u16), outcome: Outcome, then: Then) -> Settled {
    let (provider, at) = (ProviderName::new(MITTO), stand.now());
    let attempted = Attempted { attempt, provider, outcome, kind: None, code: None, started: at, took_ms: 1 };
    let settle = Settle { id, attempt, attempted, then, at };
    insist(async || stand.store.settle(vec![settle.clone()]).await).await.remove(0)
}

async fn request(stand: &Stand, seen: &Mutex<Seen>, name: String, recipient: String) {
    let verdict = insist(async || {
        let charges = vec![charge("l", &recipient, ALLOWED, 30)];
        let admit = Admit { idempotency: Some(idempotency(&name, 1)), charges, begin: true, ..stand.admit() };
        let id = admit.message.id;
        Ok((id, stand.store.admit(vec![admit]).await?.remove(0)))
    });
    match verdict.await {
        (id, Verdict::Leased { .. }) => {
            seen.lock().unwrap().answered.entry(name).or_default().insert(id);
            send(stand, seen, id, 1).await;
        }
        (_, Verdict::Replayed { id, .. }) => {
            seen.lock().unwrap().answered.entry(name).or_default().insert(id);
        }
        (_, Verdict::Limited { .. }) => {}
        (_, Verdict::KeyReuse) => panic!("the same request"),
    }
}

async fn drain(stand: &Stand, seen: &Mutex<Seen>) {
    let wants = [LaneWant::new(ProviderName::new(MITTO), 8)];
    loop {
        let claimed = insist(async || stand.store.claim(&wants, stand.now()).await).await;
        if claimed.is_empty() {
            return;
        }
        for leased in claimed {
            send(stand, seen, leased.id, leased.attempt).await;
        }
    }
}

async fn count(url: &str, sql: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_break_at_any_moment() {
    let Some(url) = server::database() else { return };
    let (way, breaking) = way(&url).await;
    let (key, clock) = (StoreKey::generate().unwrap(), ManualClock::start());
    let options = PgOptions { node: "a".to_owned(), migrate: true };
    let store = Arc::new(PgStore::open(&way, &key, clock.clone(), options).await.unwrap());
    let stand = Stand::new(store, clock);
    let seen = Mutex::new(Seen::default());
    breaking.left.store(5, Ordering::SeqCst);
    for round in 0..ROUNDS {
        let requests = (0..SENDERS).map(|n| {
            let (name, recipient) = (format!("{round}-{n}"), format!("{round}-{}", n % 2));
            request(&stand, &seen, name, recipient)
        });
        join_all(requests).await;
        drain(&stand, &seen).await;
    }
    breaking.rest();
    // What was in doubt is put right.
    for _ in 0..600 {
        drain(&stand, &seen).await;
        if count(&url, "SELECT count(*) FROM job").await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (before, after) = (breaking.before.load(Ordering::SeqCst), breaking.after.load(Ordering::SeqCst));
    assert!(before > 10 && after > 30, "it broke {before} + {after} times");
    assert_eq!(count(&url, "SELECT count(*) FROM job").await, 0, "left open");

    let seen = seen.into_inner().unwrap();
    let ids: HashSet<MessageId> = seen.answered.values().flatten().copied().collect();
    let once: HashSet<MessageId> = seen.sent.iter().copied().collect();
    assert!(seen.answered.values().all(|ids| ids.len() == 1), "a request is one message");
    assert_eq!(once.len(), seen.sent.len(), "sent twice");
    assert_eq!(once, ids, "what was accepted was sent");
    assert_eq!(count(&url, "SELECT count(*) FROM message").await, i64::try_from(ids.len()).unwrap());
    let accepted = |recipient: &str| {
        let of = |name: &&String| {
            let (round, n) = name.split_once('-').unwrap();
            format!("{round}-{}", n.parse::<u32>().unwrap() % 2) == recipient
        };
        seen.answered.keys().filter(of).count()
    };
    for recipient in (0..ROUNDS).flat_map(|round| [format!("{round}-0"), format!("{round}-1")]) {
        assert!(accepted(&recipient) <= ALLOWED as usize, "{recipient}: {}", accepted(&recipient));
    }
    eprintln!("{} messages over {before} + {after} broken connections", ids.len());
    for id in ids {
        let record = stand.record(id).await;
        let taken = |what: &&What| matches!(what, What::Outcome(attempted) if attempted.outcome == Outcome::Accepted);
        assert_eq!(record.status, Status::Sent, "{id}");
        assert_eq!(record.history.iter().map(|entry| &entry.what).filter(taken).count(), 1, "{id}");
    }
}

const ROUNDS: u32 = 60;
const SENDERS: u32 = 8;
const ALLOWED: u32 = 3;

/// Spoils every fourth message as it is written.
const SPOILS: &str = "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS \
    'BEGIN IF get_byte(uuid_send(NEW.id), 15) % 4 = 0 THEN NEW.status := ''nonsense''; END IF; RETURN NEW; END'; \
    CREATE TRIGGER spoil BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION spoil()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_nobody_can_read_holds_nothing_else_up() {
    let Some(url) = server::database() else { return };
    let (key, clock) = (StoreKey::generate().unwrap(), ManualClock::start());
    let stand = Stand::new(Arc::new(server::open(&url, &key, clock.clone())), clock);
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client.batch_execute(SPOILS).await.unwrap();
    let mut ids = Vec::new();
    // Their callers go away: all four are to be released. Four more wait.
    for begin in [true, true, true, true, false, false, false, false] {
        let admit = Admit { begin, ..stand.admit() };
        ids.push(admit.message.id);
        let max = if begin { Duration::from_micros(1) } else { Duration::from_secs(5) };
        let asked = tokio::time::timeout(max, stand.store.admit(vec![admit])).await;
        assert_eq!(asked.is_err(), begin);
    }
    let (spoilt, sound): (Vec<MessageId>, Vec<MessageId>) =
        ids.iter().partition(|id| id.as_bytes()[15].is_multiple_of(4));
    assert_eq!((spoilt.len(), sound.len()), (2, 6));
    let mut claimed = HashSet::new();
    for _ in 0..100 {
        claimed.extend(stand.claim(MITTO, 9).await.into_iter().map(|leased| leased.id));
        if claimed.len() == sound.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(claimed, sound.into_iter().collect());
    for id in spoilt {
        assert!(stand.store.get(None, id).await.is_err(), "{id} is damaged, not missing");
    }
    for _ in 0..4 {
        stand.accept(stand.admit()).await;
    }
    stand.pass(3_600);
    assert_eq!(stand.store.sweep(stand.now(), 99).await.unwrap().len(), 3);
}
