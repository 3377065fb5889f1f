//! Flipped bits and cut tails, anywhere in the files of a store with traffic: it starts with everything intact, names what
//! it cannot trust, or refuses with the file and a repair. Never anything silent.
//!
//! `STORE_DAMAGES=1000 cargo test -p sms-store --test damage -- --nocapture` tries more places; `STORE_SEED` the same again.
#![expect(clippy::unwrap_used, reason = "a failed set-up fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sms_conformance::store::{
    ACME, BACKUP, MITTO, ManualClock, Stand, again, charge, idempotency, later, number, sent,
};
use sms_core::store::{Admit, Filter, Outcome, StoreError, Then};
use sms_core::{DeliveryState, MessageId, Status, TenantId};
use sms_store::{SqliteStore, StoreKey};
use tempfile::TempDir;

const FILES: [&str; 3] = ["gateway.db", "gateway.db-sums", "gateway.db-wal"];

/// What a killed process left, and everything that it had answered.
struct Killed {
    folder: TempDir,
    key: StoreKey,
    clock: Arc<ManualClock>,
    ids: Vec<MessageId>,
    keys: usize,
    files: BTreeMap<&'static str, Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// All is there as it was.
    Intact,
    /// It does not start, and says which file and what to do.
    Refused,
    /// Damaged messages are named, the others are as they were.
    Reported,
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Cut { file: &'static str, len: usize },
    Flip { file: &'static str, at: usize, bit: u8 },
}

#[tokio::test]
async fn one_flipped_bit_or_cut_tail_is_never_silent() {
    let mut luck = Luck::thrown();
    let killed = Killed::after_traffic().await;
    let expected = everything(&killed.open(killed.folder.path()).unwrap(), &killed).await.unwrap();
    killed.put_back();
    let mut verdicts: BTreeMap<(&str, &str, Verdict), u32> = BTreeMap::new();
    for round in 0..knob("STORE_DAMAGES", 100) {
        let damage = luck.damage(&killed.files, round);
        let verdict = judge(&killed, damage, &expected).await;
        let (how, file) = match damage {
            Damage::Cut { file, .. } => ("cut", file),
            Damage::Flip { file, .. } => ("flip", file),
        };
        *verdicts.entry((file, how, verdict)).or_default() += 1;
        killed.put_back();
    }
    let of =
        |wanted| verdicts.iter().filter(|((.., verdict), _)| *verdict == wanted).map(|(_, times)| times).sum::<u32>();
    eprintln!("{verdicts:#?}");
    let (intact, refused, reported) = (of(Verdict::Intact), of(Verdict::Refused), of(Verdict::Reported));
    eprintln!("{refused} refused by name, {reported} reported by id, {intact} harmless and all intact, 0 silent");
    // The undamaged files are what all is compared with.
    assert_eq!(everything(&killed.open(killed.folder.path()).unwrap(), &killed).await.unwrap(), expected);
}

/// The ends of the files are where a fault is most easily taken for a crash.
#[tokio::test]
async fn a_lost_end_of_any_file_is_never_silent() {
    let killed = Killed::after_traffic().await;
    let expected = everything(&killed.open(killed.folder.path()).unwrap(), &killed).await.unwrap();
    killed.put_back();
    for file in FILES {
        let len = killed.files.get(file).unwrap().len();
        let frame = 4096 + 24;
        for cut in [1, 4096, frame, 2 * frame, len - 32, len - 31, len] {
            let Some(left) = len.checked_sub(cut) else { continue };
            let verdict = judge(&killed, Damage::Cut { file, len: left }, &expected).await;
            // What was cut off the others may be a page that the log still holds.
            let intact = verdict == Verdict::Intact && file != "gateway.db-wal";
            assert!(verdict == Verdict::Refused || intact, "{file} cut to {left} of {len}: {verdict:?}");
            killed.put_back();
        }
        fs::remove_file(killed.folder.path().join(file)).unwrap();
        let opened = killed.open(killed.folder.path());
        // A database without sums may be a copy: it is checked row by row.
        assert_eq!(opened.is_ok(), file == "gateway.db-sums", "without {file}");
        if let Ok(stand) = opened {
            assert_eq!(everything(&stand, &killed).await.unwrap(), expected);
            stand.store.close().await;
        }
        killed.put_back();
    }
    for bit in 0..8 {
        let log = killed.files.get("gateway.db-wal").unwrap();
        for from_end in [1, 2_000, 4_095, 4_110] {
            let damage = Damage::Flip { file: "gateway.db-wal", at: log.len() - from_end, bit };
            assert_eq!(judge(&killed, damage, &expected).await, Verdict::Refused, "{damage:?}");
            killed.put_back();
        }
    }
}

/// Another program may read the files of a killed store: it then carries the log over and removes it.
#[tokio::test]
async fn a_log_that_another_program_carried_over_is_no_loss() {
    let killed = Killed::after_traffic().await;
    let expected = everything(&killed.open(killed.folder.path()).unwrap(), &killed).await.unwrap();
    killed.put_back();
    let path = killed.folder.path().join("gateway.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.query_row("SELECT count(*) FROM message", [], |_| Ok(())).unwrap();
    connection.close().unwrap();
    assert!(!killed.folder.path().join("gateway.db-wal").exists(), "it is gone");
    let stand = killed.open(killed.folder.path()).unwrap();
    assert_eq!(everything(&stand, &killed).await.unwrap(), expected);
    stand.store.close().await;
    killed.open(killed.folder.path()).unwrap();
}

async fn judge(killed: &Killed, damage: Damage, expected: &[String]) -> Verdict {
    killed.inflict(damage);
    let stand = match killed.open(killed.folder.path()) {
        Err(refusal) => {
            assert!(refusal.contains("gateway.db"), "{damage:?}: {refusal}");
            let repair = ["mv ", "restore", "key it was created with"];
            assert!(repair.iter().any(|word| refusal.contains(word)), "{damage:?}: {refusal}");
            return Verdict::Refused;
        }
        Ok(stand) => stand,
    };
    let found = everything(&stand, killed).await;
    stand.store.close().await;
    let found = found.unwrap_or_else(|error| panic!("{damage:?}: {error}"));
    let mut verdict = Verdict::Intact;
    for (found, expected) in found.iter().zip(expected) {
        if found != expected {
            assert!(found.starts_with("damaged: "), "SILENT, {damage:?}:\n{found}\n{expected}");
            verdict = Verdict::Reported;
        }
    }
    assert_eq!(found.len(), expected.len(), "SILENT, {damage:?}");
    verdict
}

/// Everything that can be asked of the store, and what it would do next.
async fn everything(stand: &Stand, killed: &Killed) -> Result<Vec<String>, StoreError> {
    let (store, now) = (&stand.store, stand.now());
    let mut all = Vec::new();
    for id in &killed.ids {
        all.push(match store.get(None, *id).await {
            Err(StoreError::Damaged(detail)) if detail.contains(&id.to_string()) => format!("damaged: {detail}"),
            found => format!("{:?}", found?),
        });
    }
    let filter = Filter { limit: 10_000, ..Filter::default() };
    all.push(format!("listed: {}", store.search(filter.clone()).await?.records.len()));
    let filter = Filter { to: Some(number(3)), ..filter };
    all.push(format!("to one number: {}", store.search(filter).await?.records.len()));
    all.push(format!("{:?}", store.counts(now).await?));
    for n in 0..killed.keys {
        let replay = store.replay(&TenantId::new(ACME), &idempotency(&n.to_string(), 1), now).await?;
        all.push(format!("{replay:?}"));
    }
    for n in 0..20 {
        let charges = vec![charge("limit", &n.to_string(), 1, 600)];
        let verdict = store.admit(vec![Admit { charges, ..stand.admit() }]).await?;
        all.push(format!("{verdict:?}"));
    }
    all.push(format!("{:?}", stand.notices(100).await.len()));
    let mut orphans: Vec<_> = store.orphans().await?.into_iter().map(|leased| (leased.id, leased.attempt)).collect();
    orphans.sort_unstable();
    all.push(format!("{orphans:?}"));
    for lane in [MITTO, BACKUP] {
        let claimed = stand.claim(lane, 1_000).await;
        all.push(format!("{:?}", claimed.iter().map(|leased| (leased.id, leased.body.expose())).collect::<Vec<_>>()));
    }
    Ok(all)
}

impl Killed {
    /// Part of it was carried over into the database, part is in the log only.
    async fn after_traffic() -> Self {
        let (folder, key, clock) = (tempfile::tempdir().unwrap(), StoreKey::generate().unwrap(), ManualClock::start());
        let mut killed = Self { folder, key, clock, ids: Vec::new(), keys: 0, files: BTreeMap::new() };
        let running = tempfile::tempdir().unwrap();
        let stand = killed.open(running.path()).unwrap();
        killed.traffic(&stand).await;
        stand.store.close().await;
        let stand = stand.reopened(killed.open(running.path()).unwrap().store);
        killed.traffic(&stand).await;
        for file in FILES {
            killed.files.insert(file, fs::read(running.path().join(file)).unwrap());
        }
        killed.put_back();
        killed
    }

    async fn traffic(&mut self, stand: &Stand) {
        for n in 0..120_u16 {
            let mut admit = Admit { begin: n % 6 != 0, ..stand.admit() };
            admit.message.to = number(n % 40);
            admit.message.details.notify = n % 5 == 0;
            if n % 3 == 0 {
                admit.idempotency = Some(idempotency(&self.keys.to_string(), 1));
                self.keys += 1;
            }
            if n < 10 {
                admit.charges = vec![charge("limit", &(self.ids.len() / 12).to_string(), 50, 600)];
            }
            let id = stand.accept(admit).await;
            self.ids.push(id);
            let upstream_id = format!("up-{}", self.ids.len());
            match n % 6 {
                1 => drop(stand.settle(id, 1, Outcome::Accepted, sent(&upstream_id)).await),
                2 => {
                    stand.settle(id, 1, Outcome::Accepted, sent(&upstream_id)).await;
                    stand.receipt(None, &upstream_id, DeliveryState::Delivered).await;
                }
                3 => drop(stand.settle(id, 1, Outcome::Refused, Then::End(Status::Rejected)).await),
                4 => {
                    let due = stand.now().plus(Duration::from_secs(1));
                    stand.settle(id, 1, Outcome::NotSent, later(BACKUP, due)).await;
                }
                5 if n % 4 == 1 => drop(stand.settle(id, 1, Outcome::Unknown, again(BACKUP)).await),
                _ => {}
            }
        }
        stand.receipt(None, "nobody's", DeliveryState::Delivered).await;
        stand.pass(1);
    }

    fn open(&self, folder: &Path) -> Result<Stand, String> {
        let store = SqliteStore::open(folder.join("gateway.db"), &self.key, self.clock.clone());
        store.map(|store| Stand::new(Arc::new(store), self.clock.clone())).map_err(|error| error.to_string())
    }

    /// The files as the kill left them.
    fn put_back(&self) {
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (file, bytes) in &self.files {
            fs::write(self.folder.path().join(file), bytes).unwrap();
        }
        fs::write(self.folder.path().join("gateway.db-shm"), b"").unwrap();
    }

    fn inflict(&self, damage: Damage) {
        let path = |file: &str| -> PathBuf { self.folder.path().join(file) };
        match damage {
            Damage::Cut { file, len } => {
                fs::OpenOptions::new().write(true).open(path(file)).unwrap().set_len(len as u64).unwrap();
            }
            Damage::Flip { file, at, bit } => {
                let mut bytes = fs::read(path(file)).unwrap();
                bytes[at] ^= 1 << bit;
                fs::write(path(file), bytes).unwrap();
            }
        }
    }
}

/// xorshift64*.
struct Luck(u64);

impl Luck {
    fn thrown() -> Self {
        let seed = knob("STORE_SEED", RandomState::new().hash_one(0));
        eprintln!("STORE_SEED={seed}");
        Self(seed.max(1))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16).unwrap() % end
    }

    /// Any byte, more often of the database than of the log; every fifth time a cut.
    fn damage(&mut self, files: &BTreeMap<&'static str, Vec<u8>>, round: u64) -> Damage {
        let file = ["gateway.db", "gateway.db", "gateway.db", "gateway.db-wal", "gateway.db-wal", "gateway.db-sums"];
        let file = file[self.below(file.len())];
        let (at, bit) = (self.below(files[file].len()), u8::try_from(self.below(8)).unwrap());
        if round.is_multiple_of(5) { Damage::Cut { file, len: at } } else { Damage::Flip { file, at, bit } }
    }
}

#[expect(clippy::disallowed_methods, reason = "no configuration of the product: how long a test runs")]
fn knob(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}
