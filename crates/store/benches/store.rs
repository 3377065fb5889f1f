//! What one message costs the store: acceptance with its first attempt, outcome, receipt, each durable.
//!
//! `cargo bench -p sms-store [-- FOLDER]` prints messages a second, CPU seconds per 1,000 messages, the bytes of the
//! files, and the waits of a paced run. `-- postgres://user@host/database` measures the other store in databases of its own
//! on that server, which must run on this machine and alone: the second CPU figure is that of every `postgres` here.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures and prints")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sms_core::store::{
    Admit, Attempted, Charge, Charging, Details, Idempotency, LaneWant, NewMessage, Outcome, Receipted,
    ReceivedReceipt, RouteTrace, Settle, Settled, Then, Verdict,
};
use sms_core::{
    Body, Channel, Class, Clock, Country, DeliveryState, Encoding, LimitId, MessageId, Msisdn, ProviderName, Receipt,
    Sender, Store, SystemClock, TenantId, Window,
};
use sms_store::postgres::PgOptions;
use sms_store::{PgStore, SqliteStore, StoreKey};
use tokio::time::Instant;

const MESSAGES: u64 = 60_000;
const CONCURRENT: u64 = 64;
const BACKLOG: usize = 102_400;
const BATCH: usize = 256;

fn main() {
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        full_speed("no key, receipt", folder.as_deref(), Load { keyed: false, receipts: true }).await;
        full_speed("no key, no receipt", folder.as_deref(), Load { keyed: false, receipts: false }).await;
        full_speed("key, receipt", folder.as_deref(), Load { keyed: true, receipts: true }).await;
        backlog(folder.as_deref()).await;
        paced(folder.as_deref(), 1_000).await;
    });
}

#[derive(Clone, Copy)]
struct Load {
    keyed: bool,
    receipts: bool,
}

async fn full_speed(name: &str, folder: Option<&str>, load: Load) {
    let bench = Bench::new(folder).await;
    let (started, cpu, server) = (Instant::now(), cpu_seconds(), server_seconds());
    let next = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..CONCURRENT)
        .map(|_| {
            let (bench, next) = (bench.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= MESSAGES {
                        return;
                    }
                    bench.message(n, load).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let (took, cpu, server) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu, server_seconds() - server);
    let count = f64::from(u32::try_from(MESSAGES).unwrap());
    let bytes = bench.close().await / MESSAGES;
    println!(
        "{name}: {:.0} msg/s, {:.4} + {:.4} CPU s/1000, {bytes} B/message",
        count / took,
        cpu / count * 1000.0,
        server / count * 1000.0
    );
}

/// Messages that wait and are claimed once all are there.
async fn backlog(folder: Option<&str>) {
    let bench = Bench::new(folder).await;
    let (cpu, started) = (cpu_seconds(), Instant::now());
    for first in (0..BACKLOG).step_by(BATCH) {
        let admit = |n: usize| Admit { begin: false, ..bench.admit(n as u64, false) };
        let verdicts = bench.store.admit((first..first + BATCH).map(admit).collect()).await.unwrap();
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Leased { .. })));
    }
    let (admitted, cpu_admitted) = (started.elapsed(), cpu_seconds() - cpu);
    let (cpu, started, mut claimed) = (cpu_seconds(), Instant::now(), 0);
    while claimed < BACKLOG {
        let want = LaneWant::new(ProviderName::new("mitto"), 64);
        claimed += bench.store.claim(&[want], bench.clock.now()).await.unwrap().len();
    }
    let (took, cpu_claimed) = (started.elapsed(), cpu_seconds() - cpu);
    let per = |secs: f64| secs * 1e6 / f64::from(u32::try_from(BACKLOG).unwrap());
    println!(
        "backlog of {BACKLOG}: admitted in {:.1} us each ({:.1} CPU), claimed in {:.1} us each ({:.1} CPU)",
        per(admitted.as_secs_f64()),
        per(cpu_admitted),
        per(took.as_secs_f64()),
        per(cpu_claimed)
    );
    bench.close().await;
}

async fn paced(folder: Option<&str>, per_second: u64) {
    let bench = Bench::new(folder).await;
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / per_second));
    let mut tasks = Vec::new();
    let cpu = cpu_seconds();
    for n in 0..per_second * 10 {
        ticks.tick().await;
        let bench = bench.clone();
        tasks.push(tokio::spawn(async move { bench.message(n, Load { keyed: false, receipts: true }).await }));
    }
    let mut waits = Vec::new();
    for task in tasks {
        waits.push(task.await.unwrap());
    }
    let cpu = cpu_seconds() - cpu;
    waits.sort_unstable();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank"
        )]
        let rank = (waits.len() as f64 * share) as usize;
        waits.get(rank).copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    let cost = cpu / f64::from(u32::try_from(waits.len()).unwrap()) * 1000.0;
    let (half, most, all) = (at(0.5), at(0.99), at(0.999));
    println!("paced {per_second}/s: accept p50 {half:.2} p99 {most:.2} p99.9 {all:.2} ms, {cost:.4} CPU s/1000");
    bench.close().await;
}

#[derive(Clone)]
struct Bench {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    windows: Arc<[Window]>,
    folder: Arc<tempfile::TempDir>,
}

impl Bench {
    async fn new(folder: Option<&str>) -> Self {
        let url = folder.filter(|place| place.starts_with("postgres"));
        let folder = folder.filter(|_| url.is_none());
        let folder = Arc::new(folder.map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let key = StoreKey::generate().unwrap();
        let store: Arc<dyn Store> = match url {
            Some(url) => Arc::new(database(url, &key, Arc::clone(&clock)).await),
            None => Arc::new(SqliteStore::open(folder.path().join("gateway.db"), &key, Arc::clone(&clock)).unwrap()),
        };
        let window = |max, secs| Window { max, period: Duration::from_secs(secs) };
        let windows = Arc::from([window(1, 30), window(5, 600), window(10, 3_600), window(20, 86_400)]);
        Self { store, clock, windows, folder }
    }

    /// One message's whole life; how long its acceptance took.
    async fn message(&self, n: u64, load: Load) -> Duration {
        let (admit, started) = (self.admit(n, load.keyed), Instant::now());
        let id = admit.message.id;
        let verdicts = self.store.admit(vec![admit]).await.unwrap();
        let waited = started.elapsed();
        assert!(matches!(verdicts.as_slice(), [Verdict::Leased { .. }]));
        let provider = ProviderName::new("mitto");
        let attempted = Attempted {
            attempt: 1,
            provider: provider.clone(),
            outcome: Outcome::Accepted,
            kind: None,
            code: None,
            started: self.clock.now(),
            took_ms: 12,
        };
        let upstream_id = format!("{:016x}-{n}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let then = Then::Sent { upstream_id: upstream_id.clone() };
        let settle = Settle { id, attempt: 1, at: self.clock.now(), attempted, then };
        let settled = self.store.settle(vec![settle]).await.unwrap();
        assert!(matches!(settled.as_slice(), [Settled::Done { .. }]));
        if load.receipts {
            let (state, message) = (DeliveryState::Delivered, n.is_multiple_of(2).then_some(id));
            let receipt =
                Receipt { message, upstream_id, state, provider_code: Some("0".to_owned()), at: None, part: None };
            let received = ReceivedReceipt { provider, receipt, at: self.clock.now() };
            let matched = self.store.receipts(vec![received]).await.unwrap();
            assert!(matches!(matched.as_slice(), [Receipted::Matched(_)]));
        }
        waited
    }

    fn admit(&self, n: u64, keyed: bool) -> Admit {
        let now = self.clock.now();
        let mut entropy = [0; 10];
        getrandom::fill(&mut entropy).unwrap();
        let id = MessageId::new(now, entropy);
        // Numbers spread like real ones: their hashes are random anyhow.
        let to = Msisdn::restore(&format!("+4917{n:08}"), Country::parse("DE").unwrap()).unwrap();
        let expires = now.plus(Duration::from_mins(5));
        let answer = format!(
            "{{\"id\":\"{id}\",\"status\":\"queued\",\"to\":\"+4917{n:08}\",\"encoding\":\"gsm7\",\"segments\":1,\
             \"created_at\":\"{now}\",\"expires_at\":\"{expires}\"}}"
        );
        let charge = Charge {
            limit: LimitId::new("per_recipient"),
            key: format!("acme|+4917{n:08}"),
            windows: Arc::clone(&self.windows),
            charging: Charging::Block,
        };
        Admit {
            message: NewMessage {
                id,
                tenant: TenantId::new(if n.is_multiple_of(3) { "acme" } else { "globex" }),
                created: now,
                expires,
                to,
                body: Body::new(format!("{:06} is your Acme verification code. Do not share it.", n % 1_000_000)),
                details: details(),
            },
            idempotency: keyed.then(|| Idempotency { key: format!("key {n}"), fingerprint: [7; 32] }),
            answer: answer.into_bytes().into(),
            charges: vec![charge],
            lane: ProviderName::new("mitto"),
            begin: true,
        }
    }

    /// Bytes of the files.
    async fn close(&self) -> u64 {
        self.store.close().await;
        folder_bytes(self.folder.path())
    }
}

/// A node alone on a new database.
async fn database(url: &str, key: &StoreKey, clock: Arc<dyn Clock>) -> PgStore {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let name = format!("bench_{}", MADE.fetch_add(1, Ordering::SeqCst));
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    let options = PgOptions { node: "bench".to_owned(), migrate: true };
    PgStore::open(&format!("{server}/{name}"), key, clock, options).await.unwrap()
}

fn details() -> Details {
    Details {
        class: Class::Otp,
        channel: Channel::Sms,
        sender: Sender::parse("Acme").unwrap(),
        encoding: Encoding::Gsm7,
        units: 56,
        segments: 1,
        client_id: Some("ios_app".to_owned()),
        language: Some("en".to_owned()),
        template: Some("otp".to_owned()),
        reference: None,
        metadata: None,
        callback_url: None,
        notify: false,
        route: RouteTrace {
            rule: "default".to_owned(),
            candidates: vec![ProviderName::new("mitto"), ProviderName::new("backup")],
            why: "no condition; `use` in order".to_owned(),
            copies_max: 2,
            unknown_wait: Duration::from_secs(8),
        },
    }
}

fn folder_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

/// User and system time of this process so far, in seconds: Linux counts it in hundredths.
fn cpu_seconds() -> f64 {
    ticks("self", 2) / 100.0
}

/// The same of every `postgres` process, and of those that ended.
fn server_seconds() -> f64 {
    let is_one =
        |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres");
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    all.filter(is_one).map(|pid| ticks(&pid, 4)).sum::<f64>() / 100.0
}

/// The first so many of: user and system time of a process, and of its children that ended.
fn ticks(pid: &str, fields: usize) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(fields).filter_map(|field| field.parse::<f64>().ok()).sum()
}
