//! What only a store on a disk can get wrong: restarts, kills, other processes, keys, damage, full disks, clear text.
#![expect(clippy::unwrap_used, reason = "a failed set-up fails the test")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sms_conformance::store::{
    ACME, BACKUP, CANARY, MITTO, ManualClock, Stand, again, charge, idempotency, later, number, sent,
};
use sms_core::store::{
    Admit, Leased, NoticeOutcome, Outcome, Receipted, Replay, Settled, StoreError, Then, Verdict, What,
};
use sms_core::{DeliveryState, MessageId, ProviderName, Status, TenantId};
use sms_store::{OpenError, SqliteStore, StoreKey};
use tempfile::TempDir;

/// A file that can be opened again and again.
struct Disk {
    folder: TempDir,
    key: StoreKey,
    clock: Arc<ManualClock>,
}

impl Disk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), key: StoreKey::generate().unwrap(), clock: ManualClock::start() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("gateway.db")
    }

    fn try_open(&self) -> Result<SqliteStore, OpenError> {
        SqliteStore::open(self.path(), &self.key, self.clock.clone())
    }

    /// The messages of `stand` as they are found here.
    fn found(&self, stand: &Stand) -> Stand {
        stand.reopened(Arc::new(self.try_open().unwrap()))
    }

    fn open(&self) -> Stand {
        Stand::new(Arc::new(self.try_open().unwrap()), self.clock.clone())
    }

    /// Closes politely and opens again.
    async fn reopen(&self, stand: Stand) -> Stand {
        stand.store.close().await;
        self.found(&stand)
    }

    /// What a `kill -9` leaves: the files as they are, while the store is in use.
    fn killed(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["gateway.db", "gateway.db-sums", "gateway.db-wal"] {
            std::fs::copy(self.folder.path().join(name), folder.path().join(name)).unwrap();
        }
        Self { folder, key: self.key.clone(), clock: self.clock.clone() }
    }

    /// Everything on the disk.
    fn bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    /// What an operator does who accepts the database as it is.
    fn do_without_sums(&self) {
        std::fs::rename(self.path().with_extension("db-sums"), self.path().with_extension("db-sums.old")).unwrap();
    }

    fn sqlite(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn accepted_means_durable() {
    let disk = Disk::new();
    let stand = disk.open();
    let mut ids = Vec::new();
    for n in 0..20 {
        let key = idempotency(&n.to_string(), 1);
        let id = stand.accept(Admit { idempotency: Some(key.clone()), ..stand.admit() }).await;
        ids.push(id);
        let killed = disk.killed();
        let after = killed.found(&stand);
        for id in &ids {
            assert_eq!(after.status(*id).await, Status::Queued, "message {id} was answered before kill {n}");
        }
        let replay = after.store.replay(&TenantId::new(ACME), &key, after.now()).await.unwrap();
        assert!(matches!(replay, Some(Replay::Replayed { id: replayed, .. }) if replayed == id));
        assert_eq!(after.claim(MITTO, 99).await.len(), ids.len());
    }
}

#[tokio::test]
async fn one_intent_per_wire_request() {
    let disk = Disk::new();
    let stand = disk.open();
    let begun = stand.begin().await;
    let waiting = stand.accept(stand.admit()).await;
    stand.claim(MITTO, 9).await;
    let failing_over = stand.begin().await;
    stand.settle(failing_over, 1, Outcome::Unknown, again(BACKUP)).await;
    let settled = stand.send("u1").await;

    let killed = disk.killed();
    let after = killed.found(&stand);
    assert!(after.claim(MITTO, 9).await.is_empty(), "an open attempt is not due: it may be on its way");
    let mut orphans = after.store.orphans().await.unwrap();
    orphans.sort_by_key(|leased| leased.id);
    let found: Vec<_> =
        orphans.iter().map(|leased| (leased.id, leased.attempt, leased.lane.as_str(), leased.copies())).collect();
    let mut expected = [(begun, 1, MITTO, 0), (waiting, 1, MITTO, 0), (failing_over, 2, BACKUP, 1)];
    expected.sort_by_key(|orphan| orphan.0);
    assert_eq!(found, expected);
    assert!(orphans.iter().all(|leased| leased.body.expose() == CANARY && leased.to == number(0)));
    assert_eq!(after.status(settled).await, Status::Sent);

    after.settle(begun, 1, Outcome::Unknown, later(BACKUP, after.now())).await;
    let orphans = after.store.orphans().await.unwrap();
    assert_eq!(orphans.iter().filter(|leased| leased.id == begun).count(), 0, "a settled orphan is none");
    assert_eq!(after.claim(BACKUP, 9).await[0].copies(), 1);
}

#[tokio::test]
async fn an_orphan_that_a_receipt_ended_is_left_alone() {
    let disk = Disk::new();
    let stand = disk.open();
    let id = stand.begin().await;
    stand.receipt(Some(id), "", DeliveryState::Delivered).await;
    let stand = disk.reopen(stand).await;
    assert!(stand.store.orphans().await.unwrap().is_empty());
    assert_eq!(stand.status(id).await, Status::Delivered);
    assert_eq!(stand.try_settle((id, 1), MITTO, Outcome::Accepted, sent("u")).await, Settled::Fenced);
}

#[tokio::test]
async fn lanes_survive_a_restart_in_order() {
    let disk = Disk::new();
    let stand = disk.open();
    let mut ids = Vec::new();
    for due in [30, 10, 20] {
        let id = stand.begin().await;
        stand.settle(id, 1, Outcome::NotSent, later(MITTO, stand.now().plus(Duration::from_secs(due)))).await;
        ids.push(id);
    }
    let stand = disk.reopen(stand).await;
    assert_eq!(stand.store.counts(stand.now()).await.unwrap().sending, 3);
    assert!(stand.claim(MITTO, 9).await.is_empty());
    stand.pass(30);
    let claimed: Vec<MessageId> = stand.claim(MITTO, 9).await.iter().map(|leased: &Leased| leased.id).collect();
    assert_eq!(claimed, [ids[2], ids[1], ids[0]], "all are due: codes go newest first");
    let stand = disk.reopen(stand).await;
    stand.pass(400);
    assert!(stand.store.sweep(stand.now(), 9).await.unwrap().is_empty(), "all are open");
}

#[tokio::test]
async fn limits_are_right_after_a_kill() {
    let disk = Disk::new();
    let stand = disk.open();
    let admit = |stand: &Stand| {
        let charges = vec![charge("narrow", "a", 3, 30), charge("wide", "b", 1_001, 3600)];
        Admit { charges, ..stand.admit() }
    };
    stand.accept(admit(&stand)).await;
    stand.pass(10);
    stand.accept(admit(&stand)).await;
    stand.accept(admit(&stand)).await;
    let killed = disk.killed();
    let stand = killed.found(&stand);
    let Verdict::Limited { limit, retry_after } = stand.decide(admit(&stand)).await else {
        panic!("three are charged")
    };
    assert_eq!((limit.as_str(), retry_after), ("narrow", Duration::from_millis(20_001)));
    stand.clock.advance(retry_after);
    stand.accept(admit(&stand)).await;
    assert!(matches!(stand.decide(admit(&stand)).await, Verdict::Limited { .. }));
}

#[tokio::test]
async fn coarse_limits_are_right_after_a_restart() {
    let disk = Disk::new();
    let stand = disk.open();
    let admit = |stand: &Stand| Admit { charges: vec![charge("wide", "b", 1_001, 3600)], ..stand.admit() };
    for _ in 0..10 {
        let batch = (0..100).map(|_| admit(&stand)).collect();
        let verdicts = stand.store.admit(batch).await.unwrap();
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Leased { .. })));
    }
    let stand = disk.reopen(stand).await;
    stand.accept(admit(&stand)).await;
    assert!(matches!(stand.decide(admit(&stand)).await, Verdict::Limited { .. }), "1,001 are charged");
}

#[tokio::test]
async fn parked_receipts_survive_a_restart() {
    let disk = Disk::new();
    let stand = disk.open();
    let id = stand.begin().await;
    let odd = DeliveryState::Unrecognised("ODD".to_owned());
    assert_eq!(stand.receipt(None, "u1", odd).await, Receipted::Parked);
    assert_eq!(stand.receipt(None, "u1", DeliveryState::Delivered).await, Receipted::Parked);
    let stand = disk.reopen(stand).await;
    let (change, _) = stand.settle(id, 1, Outcome::Accepted, sent("u1")).await;
    assert_eq!(change.to, Status::Delivered);
    let receipts =
        stand.record(id).await.history.into_iter().filter(|entry| matches!(entry.what, What::Receipt { .. }));
    assert_eq!(receipts.count(), 2);
    let stand = disk.reopen(stand).await;
    let other = stand.begin().await;
    assert_eq!(stand.settle(other, 1, Outcome::Accepted, sent("u1")).await.0.to, Status::Sent, "matched once");
}

#[tokio::test]
async fn notices_survive_a_restart() {
    let disk = Disk::new();
    let stand = disk.open();
    let mut admit = Admit { begin: true, ..stand.admit() };
    admit.message.details.notify = true;
    let id = stand.accept(admit).await;
    stand.settle(id, 1, Outcome::Accepted, sent("u1")).await;
    let stand = disk.reopen(stand).await;
    let notices = stand.notices(9).await;
    assert_eq!((notices.len(), notices[0].record.id, notices[0].status), (1, id, Status::Sent));
    stand.store.settle_notices(vec![(notices[0].id, NoticeOutcome::Done)]).await.unwrap();
    let stand = disk.reopen(stand).await;
    assert!(stand.notices(9).await.is_empty());
}

#[tokio::test]
async fn a_second_process_is_refused_at_once_and_served_after_closing() {
    let disk = Disk::new();
    let stand = disk.open();
    let error = disk.try_open().unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("gateway.db.lock"), "{error}");
    stand.begin().await;
    stand.store.close().await;
    drop(disk.try_open().unwrap());
    drop(disk.try_open().unwrap()); // dropping without closing releases it too
}

#[tokio::test]
async fn another_key_is_refused() {
    let mut disk = Disk::new();
    let stand = disk.open();
    let id = stand.begin().await;
    stand.store.close().await;
    let key = std::mem::replace(&mut disk.key, StoreKey::generate().unwrap());
    let error = disk.try_open().unwrap_err();
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error}");
    disk.key = key;
    assert_eq!(disk.open().status(id).await, Status::Sending, "the refusal changed nothing");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let disk = Disk::new();
    disk.open().store.close().await;
    disk.sqlite().pragma_update(None, "user_version", 4711).unwrap();
    disk.do_without_sums();
    let error = disk.try_open().unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 4711, .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_refused_and_kept() {
    let disk = Disk::new();
    std::fs::write(disk.path(), b"a letter to my bank, 4096 bytes long".repeat(200)).unwrap();
    let error = disk.try_open().unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("gateway.db") && error.to_string().contains(".recover"), "{error}");
    assert!(std::fs::read(disk.path()).unwrap().starts_with(b"a letter"));
    let disk = Disk::new();
    disk.sqlite().execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1);").unwrap();
    assert!(matches!(disk.try_open().unwrap_err(), OpenError::Damaged { .. }));
    let kept: i64 = disk.sqlite().query_row("SELECT a FROM theirs", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let disk = Disk::new();
    std::fs::write(disk.folder.path().join("file"), b"").unwrap();
    let path = disk.folder.path().join("file/gateway.db");
    let error = SqliteStore::open(&path, &disk.key, disk.clock.clone()).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }) && error.to_string().contains("file"), "{error}");
}

#[tokio::test]
async fn a_row_changed_on_the_disk_is_reported_and_hides_no_other() {
    let disk = Disk::new();
    let stand = disk.open();
    let (bad, good) = (stand.accept(stand.admit()).await, stand.accept(stand.admit()).await);
    stand.store.close().await;
    let sql = "UPDATE message SET to_sealed = zeroblob(24), details_sealed = zeroblob(40) WHERE id = ?1";
    disk.sqlite().execute(sql, [bad.as_bytes()]).unwrap();
    let error = disk.try_open().unwrap_err();
    assert!(matches!(error, OpenError::DamagedPages { count: 1, .. }), "{error}");
    assert!(error.to_string().contains("gateway.db-sums.old"), "{error}");
    disk.do_without_sums();
    let stand = disk.open();
    let error = stand.store.get(None, bad).await.unwrap_err();
    assert!(matches!(&error, StoreError::Damaged(detail) if detail.contains(&bad.to_string())), "{error}");
    let filter = sms_core::store::Filter { limit: 9, ..Default::default() };
    assert_eq!(stand.store.search(filter).await.unwrap().records.len(), 1);
    let claimed = stand.claim(MITTO, 9).await;
    assert_eq!(claimed.iter().map(|leased| leased.id).collect::<Vec<_>>(), [good], "it cannot be sent");
    let counts = stand.store.counts(stand.now()).await.unwrap();
    assert_eq!((counts.queued, counts.sending), (0, 1), "and waits no longer");
}

#[tokio::test]
async fn nothing_personal_leaks() {
    let disk = Disk::new();
    let stand = disk.open();
    let mut admit = Admit { begin: true, ..stand.admit() };
    let number = number(123).expose();
    admit.message.to = self::number(123);
    admit.message.details.reference = Some("Referenzkanarie".to_owned());
    admit.answer = format!("{{\"to\":\"{number}\"}}").into_bytes().into();
    admit.idempotency = Some(idempotency("Schluesselkanarie", 1));
    admit.charges = vec![charge("l", &format!("{number}|198.51.100.77"), 5, 30)];
    let id = stand.accept(admit).await;
    stand.settle(id, 1, Outcome::Unknown, later(MITTO, stand.now())).await;
    let canaries = [
        CANARY,
        "483920",
        number.trim_start_matches('+'),
        "7700900123",
        "Referenzkanarie",
        "Schluesselkanarie",
        "198.51.100.77",
    ];
    for canary in canaries {
        assert!(!contains(&disk.bytes(), canary.as_bytes()), "`{canary}` is in a file");
    }
    assert!(contains(&disk.bytes(), ACME.as_bytes()), "the files were looked at");
    stand.store.close().await;
    assert!(canaries.iter().all(|canary| !contains(&disk.bytes(), canary.as_bytes())));
    let shown = format!("{:?}", disk.try_open().unwrap());
    assert!(canaries.iter().all(|canary| !shown.contains(canary)), "{shown}");
}

#[tokio::test]
async fn a_text_is_erased_as_soon_as_no_attempt_can_follow() {
    let disk = Disk::new();
    let stand = disk.open();
    let sent = stand.send("u1").await;
    let canceled = stand.accept(stand.admit()).await;
    stand.store.cancel(&TenantId::new(ACME), canceled, stand.now()).await.unwrap();
    let received = stand.begin().await;
    stand.receipt(Some(received), "", DeliveryState::Delivered).await;
    let failed = stand.begin().await;
    stand.settle(failed, 1, Outcome::Refused, Then::End(Status::Failed)).await;
    let expired = stand.accept(stand.admit()).await;
    stand.pass(400);
    stand.store.sweep(stand.now(), 9).await.unwrap();
    let blocked = stand.admit().message;
    let blocked = sms_core::store::Blocked { message: blocked, code: "x".to_owned() };
    stand.store.block(vec![blocked]).await.unwrap();
    let (waiting, open) = (stand.accept(stand.admit()).await, stand.begin().await);

    let held = sealed(&disk, "body_sealed");
    let texts: Vec<MessageId> = held.iter().map(|(id, _)| *id).collect();
    assert_eq!(texts, [waiting, open], "not {:?}", [sent, canceled, received, failed, expired]);
    let body = sealed(&disk, "body_sealed").remove(0).1;
    let open_body = sealed(&disk, "body_sealed").remove(1).1;
    stand.settle(open, 1, Outcome::Accepted, Then::Sent { upstream_id: "u2".to_owned() }).await;
    stand.claim(MITTO, 9).await;
    stand.settle(waiting, 1, Outcome::Accepted, Then::Sent { upstream_id: "u3".to_owned() }).await;
    stand.store.close().await;
    for sealed in [body, open_body] {
        assert!(!contains(&disk.bytes(), &sealed), "even what is encrypted is gone");
    }
}

/// A sealed column of every message that still has it, oldest message first.
fn sealed(disk: &Disk, column: &str) -> Vec<(MessageId, Vec<u8>)> {
    let connection = disk.sqlite();
    let sql = format!("SELECT id, {column} FROM message WHERE {column} IS NOT NULL ORDER BY row");
    let mut statement = connection.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| Ok((MessageId::from_bytes(row.get(0)?), row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_purged_number_leaves_only_its_hash() {
    let disk = Disk::new();
    let stand = disk.open();
    stand.send("u1").await;
    let number = sealed(&disk, "to_sealed").remove(0).1;
    stand.pass(100);
    let policy =
        sms_core::store::PurgePolicy { keep_messages: Duration::from_hours(1), keep_numbers: Duration::from_secs(9) };
    assert_eq!(stand.store.purge(policy, stand.now(), 9).await.unwrap().numbers, 1);
    assert_eq!(stand.store.purge(policy, stand.now(), 9).await.unwrap().numbers, 0);
    stand.store.close().await;
    assert!(!contains(&disk.bytes(), &number));
}

#[tokio::test]
async fn charges_are_purged_also_behind_long_lived_ones() {
    let disk = Disk::new();
    let stand = disk.open();
    for n in 0..50 {
        let secs = if n % 10 == 0 { 3600 } else { 30 };
        stand.accept(Admit { charges: vec![charge("l", &n.to_string(), 5, secs)], ..stand.admit() }).await;
    }
    stand.pass(60);
    let policy =
        sms_core::store::PurgePolicy { keep_messages: Duration::from_hours(1), keep_numbers: Duration::from_hours(1) };
    let mut gone = 0;
    for _ in 0..20 {
        gone += stand.store.purge(policy, stand.now(), 5).await.unwrap().others;
    }
    assert_eq!(gone, 45);
    stand.pass(3600);
    for _ in 0..20 {
        gone += stand.store.purge(policy, stand.now(), 5).await.unwrap().others;
    }
    assert_eq!(gone, 50);
}

#[tokio::test]
async fn a_full_disk_refuses_everything_and_recovers_with_the_space() {
    let disk = Disk::new();
    let store = Arc::new(disk.try_open().unwrap());
    let stand = Stand::new(store.clone(), disk.clock.clone());
    let begun = stand.begin().await;
    store.set_page_limit(1).await.unwrap(); // no smaller than what the file has
    let limited = |stand: &Stand| Admit { charges: vec![charge("l", "a", 2, 30)], ..stand.admit() };
    let mut accepted = Vec::new();
    let mut refused = 0;
    for _ in 0..200 {
        let admit = Admit { charges: vec![charge("free", &accepted.len().to_string(), 1, 30)], ..stand.admit() };
        let id = admit.message.id;
        match stand.store.admit(vec![admit]).await {
            Ok(verdicts) => {
                assert_eq!(verdicts, [Verdict::Leased { shadowed: Vec::new() }], "a failed commit charges nothing");
                accepted.push(id);
            }
            Err(StoreError::Unavailable(_)) => refused += 1,
            Err(StoreError::Damaged(detail)) => panic!("{detail}"),
        }
    }
    assert!(refused > 100, "{refused} of 200 were refused");
    for _ in 0..5 {
        assert!(stand.store.admit(vec![limited(&stand)]).await.is_err());
    }
    let counts = stand.store.counts(stand.now()).await.unwrap();
    assert_eq!((counts.queued, counts.sending), (accepted.len() as u64, 1), "memory does not run ahead of the rows");

    store.set_page_limit(1_000_000).await.unwrap();
    stand.accept(limited(&stand)).await;
    stand.accept(limited(&stand)).await;
    assert!(matches!(stand.decide(limited(&stand)).await, Verdict::Limited { .. }));
    stand.settle(begun, 1, Outcome::Accepted, sent("u1")).await;
    stand.store.ping().await.unwrap();
    let stand = disk.reopen(stand).await;
    for id in &accepted {
        assert_eq!(stand.status(*id).await, Status::Queued);
    }
    assert_eq!(stand.store.counts(stand.now()).await.unwrap().queued, accepted.len() as u64 + 2);
}

#[tokio::test]
async fn one_bad_operation_fails_alone() {
    let disk = Disk::new();
    let stand = disk.open();
    let admit = stand.admit();
    let id = stand.accept(admit.clone()).await;
    let mut tasks = Vec::new();
    for n in 0..40 {
        let (stand, admit) = (stand.clone(), if n % 4 == 0 { admit.clone() } else { stand.admit() });
        tasks.push(tokio::spawn(async move { (n, stand.store.admit(vec![admit]).await) }));
    }
    for task in tasks {
        let (n, verdict) = task.await.unwrap();
        assert_eq!(verdict.is_err(), n % 4 == 0, "operation {n}: the id of {id} is taken");
    }
    assert_eq!(stand.store.counts(stand.now()).await.unwrap().queued, 31);
}

#[tokio::test]
async fn attempts_whose_caller_went_away_wait_again() {
    let disk = Disk::new();
    let stand = disk.open();
    let mut ids = Vec::new();
    for _ in 0..20 {
        let admit = Admit { begin: true, ..stand.admit() };
        ids.push(admit.message.id);
        let store = stand.store.clone();
        let mut call = Box::pin(async move { store.admit(vec![admit]).await });
        // Polled once, so that the operation is on its way, then dropped: a client hung up.
        assert!(futures_poll_once(call.as_mut()).is_none());
        drop(call);
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let mut claimed = Vec::new();
    while claimed.len() < ids.len() && tokio::time::Instant::now() < deadline {
        stand.store.ping().await.unwrap();
        claimed.extend(stand.claim(MITTO, 99).await.into_iter().map(|leased| (leased.id, leased.attempt)));
    }
    claimed.sort_unstable();
    let expected: Vec<_> = ids.iter().map(|id| (*id, 2)).collect();
    assert_eq!(claimed, expected, "nobody had sent anything");
    let provider = stand.record(ids[0]).await.provider;
    assert_eq!(provider, Some(ProviderName::new(MITTO)));
}

fn futures_poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_million_keys_would_fit_two_hundred_megabytes() {
    let disk = Disk::new();
    let stand = disk.open();
    for batch in 0..40 {
        let admits = (0..50).map(|n| {
            let mut admit = stand.admit();
            let id = admit.message.id;
            let (now, end) = (admit.message.created, admit.message.expires);
            admit.idempotency = Some(idempotency(&format!("{batch} {n}"), 1));
            admit.answer = format!(
                "{{\"id\":\"{id}\",\"status\":\"queued\",\"to\":\"+447700900000\",\"encoding\":\"gsm7\",\"segments\":1,\
                 \"created_at\":\"{now}\",\"expires_at\":\"{end}\"}}"
            )
            .into_bytes()
            .into();
            admit
        });
        stand.store.admit(admits.collect()).await.unwrap();
        stand.pass(1);
    }
    stand.store.close().await;
    let sql = "SELECT sum(pgsize) FROM dbstat WHERE name IN ('answer', 'sqlite_autoindex_answer_1')";
    let bytes: i64 = disk.sqlite().query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(bytes <= 200 * 2_000, "{} bytes a key", bytes / 2_000);
}

#[cfg(unix)]
#[test]
fn files_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let disk = Disk::new();
    let store = disk.try_open().unwrap();
    let files: Vec<_> = std::fs::read_dir(disk.folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", file.display());
    }
    drop(store);
}
