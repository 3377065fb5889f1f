//! A store that cannot write, must not be opened, or was damaged: never a 2xx for what is not kept, never a silent loss.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

mod start;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use e2e::{Behaviour, Gateway, Luck, Mitto, PATIENCE, SmallDisk, eventually, knob, swiss};
use serde_json::{Value, json};

use start::{Refused, STORE_KEY, refused, refused_with};

fn body(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913", "reference": format!("order-{n}") })
}

async fn gateway(upstream: &Mitto) -> Gateway {
    Gateway::builder()
        .mitto("mitto", upstream)
        .route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"")
        .start()
        .await
}

#[tokio::test]
async fn a_second_process_on_the_same_file_is_refused() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    refused(&gateway).says(&["gateway.db", "in use by another process"]);
    let id = gateway.acme().accepted(&body(1)).await;
    gateway.acme().wait_status(&id, "sent").await;
    gateway.kill9();
    gateway.restart().await; // the dead hold no lock
}

#[tokio::test]
async fn another_store_key_is_refused_before_anything_is_written() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    let id = gateway.acme().accepted(&body(1)).await;
    gateway.term();
    gateway.ended(PATIENCE).await;
    let before = fs::read(gateway.database()).unwrap();
    for other in ["ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=", "c2hvcnQ=", "no base64 at all"] {
        let told = refused_with(&gateway, Some(other)).says(&["key"]);
        assert!(!told.contains(other) && !told.contains(STORE_KEY), "{told}");
    }
    assert!(fs::read(gateway.database()).unwrap() == before, "nothing was written");
    refused_with(&gateway, None).says(&["gateway.db", "its key is nowhere", "GATEWAY_STORE_KEY"]);
    assert!(!gateway.dir().join("gateway.db.key").exists(), "no new key is made for an old database");
    gateway.restart().await;
    gateway.acme().wait_status(&id, "sent").await;
}

#[tokio::test]
async fn a_key_is_made_beside_the_database_for_its_owner_only_and_said_aloud() {
    let upstream = Mitto::start();
    let builder = Gateway::builder().without_env("GATEWAY_STORE_KEY").mitto("mitto", &upstream);
    let mut gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    let path = gateway.dir().join("gateway.db.key");
    let key = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let warned = |line: &Value| line["level"] == "WARN" && line.to_string().contains("gateway.db.key");
    assert_eq!(gateway.log_lines().iter().filter(|line| warned(line)).count(), 1);
    assert!(!gateway.logs().contains(key.trim()));
    let id = gateway.acme().accepted(&body(1)).await;
    gateway.kill9();
    gateway.restart().await;
    assert_eq!(fs::read_to_string(&path).unwrap(), key, "made once");
    assert_eq!(gateway.log_lines().iter().filter(|line| warned(line)).count(), 1, "and said once");
    gateway.acme().message(&id).await;
    for entry in fs::read_dir(gateway.dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("gateway.db") {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o077, 0, "{} is the owner's", path.display());
        }
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_by_name() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    for n in 0..20 {
        gateway.acme().accepted(&body(n)).await;
    }
    gateway.term();
    gateway.ended(PATIENCE).await;
    let good = fs::read(gateway.database()).unwrap();
    let flipped =
        [good.iter().take(4).map(|byte| !byte).collect(), good.iter().skip(4).copied().collect::<Vec<u8>>()].concat();
    let cases = [
        ("another head", flipped),
        ("cut in the midst", good.iter().copied().take(good.len() / 2).collect()),
        ("cut by a byte", good.iter().copied().take(good.len() - 1).collect()),
        ("cut to its head", good.iter().copied().take(100).collect()),
        ("a text", b"not a database at all, but long enough to be looked at. ".repeat(200)),
        ("zeroes", vec![0; good.len()]),
    ];
    for (what, content) in cases {
        fs::write(gateway.database(), &content).unwrap();
        eprintln!("{what}");
        refused(&gateway).says(&["gateway.db", "damaged or not a gateway database", "restore a backup"]);
        assert!(fs::read(gateway.database()).unwrap() == content, "{what}: it is left as it is");
    }
    fs::write(gateway.database(), &good).unwrap();
    gateway.restart().await;
}

#[tokio::test]
async fn a_database_that_is_gone_is_not_forgotten_silently() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    let warnings = |gateway: &Gateway| gateway.logs().matches("a new database begins").count();
    assert_eq!(warnings(&gateway), 0, "the first start is none of those");
    for (nth, remove) in [(1, true), (2, false)] {
        gateway.term();
        gateway.ended(PATIENCE).await;
        let gone = if remove { fs::remove_file(gateway.database()) } else { fs::write(gateway.database(), b"") };
        gone.unwrap();
        gateway.restart().await;
        assert_eq!(warnings(&gateway), nth);
    }
}

/// `SQLite` itself would drop everything behind the bit without a word.
#[tokio::test]
async fn one_flipped_bit_in_the_log_of_a_killed_process_is_never_silent() {
    const MESSAGES: u32 = 40;
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    let mut ids = Vec::new();
    for n in 0..MESSAGES {
        ids.push(gateway.acme().accepted(&body(n)).await);
    }
    for id in &ids {
        gateway.acme().wait_status(id, "sent").await;
    }
    gateway.kill9();
    let log = gateway.dir().join("gateway.db-wal");
    let (database, good) = (fs::read(gateway.database()).unwrap(), fs::read(&log).unwrap());
    let mut luck = Luck::thrown();
    for _ in 0..knob("E2E_FLIPS", 12) {
        let mut bad = good.clone();
        let at = luck.of_range(0..u64::try_from(good.len()).unwrap());
        *bad.get_mut(usize::try_from(at).unwrap()).unwrap() ^= 1 << luck.of_range(0..8);
        fs::write(gateway.database(), &database).unwrap();
        fs::write(&log, &bad).unwrap();
        let told = refused(&gateway).says(&["gateway.db-wal", "mv ", "gateway.db-sums.old"]);
        let midst = told.contains("is damaged at byte") && told.contains("truncate -s");
        assert!(midst || told.contains("it lacks commits that were durable"), "a flip at {at}: {told}");
    }
    for _ in 0..knob("E2E_FLIPS", 12) {
        let len = usize::try_from(luck.of_range(0..u64::try_from(good.len()).unwrap())).unwrap();
        fs::write(&log, good.get(..len).unwrap()).unwrap();
        // Without a log even the first page is missing: all of this database was in it.
        refused(&gateway).says(&["gateway.db", "mv "]);
    }
    // Without the database `SQLite` would throw its log away.
    fs::write(&log, &good).unwrap();
    for cut in [true, false] {
        let gone = if cut { fs::write(gateway.database(), b"") } else { fs::remove_file(gateway.database()) };
        gone.unwrap();
        refused(&gateway).says(&["gateway.db", "gone or empty", "gateway.db-wal"]);
        assert!(fs::read(&log).unwrap() == good, "the log is kept");
    }
    fs::write(gateway.database(), &database).unwrap();
    gateway.restart().await;
    for id in &ids {
        assert_eq!(gateway.acme().message(id).await["status"], "sent");
    }
    assert_eq!(upstream.sends().len(), ids.len(), "and nothing is sent again");
}

#[tokio::test]
async fn a_row_that_was_changed_is_reported_and_hides_no_other() {
    let upstream = Mitto::start();
    upstream.behave(Behaviour::RejectNumber);
    let mut gateway = gateway(&upstream).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(gateway.acme().accepted(&body(n)).await);
    }
    for id in &ids {
        gateway.acme().wait_status(id, "rejected").await;
    }
    gateway.term();
    gateway.ended(PATIENCE).await;
    // The sealed columns of one row, found by the id in front of them.
    let id = ids.get(7).unwrap();
    let mut content = fs::read(gateway.database()).unwrap();
    let hex = id.strip_prefix("msg_").unwrap().as_bytes();
    let needle: Vec<u8> =
        hex.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    let places = content.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle);
    let row = places.map(|(at, _)| at).find(|at| content.get(at + 16..at + 20) == Some(b"acme")).expect("the row");
    *content.get_mut(row + 140).unwrap() ^= 4;
    fs::write(gateway.database(), &content).unwrap();
    refused(&gateway).says(&["gateway.db", "are not as they were written", "gateway.db-sums.old"]);
    // What the refusal proposes.
    let sums = gateway.dir().join("gateway.db-sums");
    fs::rename(&sums, gateway.dir().join("gateway.db-sums.old")).unwrap();
    gateway.restart().await;
    for other in ids.iter().filter(|other| *other != id) {
        assert_eq!(gateway.acme().message(other).await["status"], "rejected");
    }
    let answer = gateway.acme().get(&format!("/v1/messages/{id}")).await;
    answer.problem(503, "store_unavailable");
    let reported = |line: &Value| line["level"] == "ERROR" && line["message.id"] == id.as_str();
    assert!(gateway.log_lines().iter().any(reported), "no word about {id}");
}

/// Sends until the store has no place left; the ids that were accepted until then.
async fn until_full(gateway: &Gateway) -> Vec<String> {
    let mut accepted = Vec::new();
    for n in 0..2_000 {
        let answer = gateway.acme().send(&body(n)).await;
        if answer.status != 202 {
            is_unavailable(&answer);
            return accepted;
        }
        accepted.push(answer.message_id());
    }
    panic!("2,000 messages fit on a full disk");
}

#[track_caller]
fn is_unavailable(answer: &e2e::Answer) {
    let problem = answer.problem(503, "store_unavailable");
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|pause| pause >= 1), "{:?}", answer.headers);
    assert!(problem["retry_after_ms"].as_u64().is_some_and(|pause| pause >= 1), "{problem}");
}

/// Accepted messages are all sent, each once or, over a kill, twice.
async fn all_arrived(gateway: &Gateway, upstream: &Mitto, accepted: &[String], copies_max: usize) {
    for id in accepted {
        gateway.acme().wait_any_status(id, &["sent", "delivered"], PATIENCE).await;
    }
    let sends = upstream.sends();
    for id in accepted {
        let copies = sends.iter().filter(|send| send.reference == *id).count();
        assert!((1..=copies_max).contains(&copies), "{copies} copies of {id}");
    }
}

/// Messages whose outcome comes when there is no place left to write it down.
async fn before(gateway: &Gateway) -> Vec<String> {
    let mut accepted = Vec::new();
    for n in 5_000..5_030 {
        accepted.push(gateway.acme().accepted(&body(n)).await);
    }
    accepted
}

async fn on(disk: &SmallDisk, upstream: &Mitto) -> Gateway {
    let url = format!("sqlite:{}", disk.path().join("gateway.db").display());
    let builder = Gateway::builder().env("GATEWAY__STORE__URL", &url).mitto("mitto", upstream);
    builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await
}

#[tokio::test]
async fn a_full_disk_answers_503_and_recovers() {
    let Some(disk) = SmallDisk::mount("12m") else { return };
    let upstream = Mitto::start();
    upstream.answer_after(Duration::from_millis(500));
    let gateway = on(&disk, &upstream).await;
    let mut accepted = before(&gateway).await;
    let filler = disk.fill();
    accepted.extend(until_full(&gateway).await);
    for n in 6_000..6_050 {
        is_unavailable(&gateway.acme().send(&body(n)).await);
    }
    gateway.acme().message(accepted.first().unwrap()).await; // questions are answered meanwhile
    fs::remove_file(filler).unwrap();
    let again = async || {
        let answer = gateway.acme().send(&body(7_000)).await;
        (answer.status == 202).then(|| answer.message_id())
    };
    accepted.push(eventually("space is used again", Duration::from_secs(5), again).await);
    all_arrived(&gateway, &upstream, &accepted, 1).await;
    assert_eq!(upstream.sends().len(), accepted.len(), "exactly what was accepted");
    eprintln!("{} accepted, 0 lost, 50 of 50 refused on the full disk", accepted.len());
}

#[tokio::test]
async fn a_kill_on_a_full_disk_loses_nothing() {
    let Some(disk) = SmallDisk::mount("12m") else { return };
    let upstream = Mitto::start();
    upstream.answer_after(Duration::from_millis(500));
    let mut gateway = on(&disk, &upstream).await;
    let mut accepted = before(&gateway).await;
    let filler = disk.fill();
    accepted.extend(until_full(&gateway).await);
    gateway.kill9();
    // It may start and refuse messages, or say why not; nothing in between.
    gateway.spawn();
    let refused = match tokio::time::timeout(Duration::from_secs(3), gateway.ended(PATIENCE)).await {
        Ok(status) => {
            assert_eq!(status.code(), Some(1), "{}", gateway.logs());
            assert!(gateway.logs().contains("the store cannot be opened"), "{}", gateway.logs());
            true
        }
        Err(_) => false,
    };
    eprintln!("{} accepted; a start on the full disk {}", accepted.len(), if refused { "is refused" } else { "works" });
    fs::remove_file(filler).unwrap();
    gateway.restart().await;
    accepted.push(gateway.acme().accepted(&body(8_000)).await);
    all_arrived(&gateway, &upstream, &accepted, 2).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    gateway.term();
    gateway.ended(PATIENCE).await;
    let Some(disk) = SmallDisk::mount("1m") else { return };
    disk.make_read_only();
    let text = gateway.config();
    let elsewhere = |place: &Path| {
        let old = format!("sqlite:{}", gateway.database().display());
        gateway.configure(&text.replace(&old, &format!("sqlite:{}", place.display())));
    };
    elsewhere(&disk.path().join("gateway.db"));
    refused(&gateway).says(&[disk.path().to_str().unwrap(), "Read-only file system"]);
    elsewhere(&disk.path().join("deeper/gateway.db"));
    refused(&gateway).says(&["deeper", "Read-only file system"]);
    elsewhere(&gateway.config_path().join("gateway.db"));
    refused(&gateway).says(&["gateway.toml"]);
    elsewhere(gateway.dir());
    let Refused { code, told } = refused(&gateway);
    assert_eq!(code, Some(1), "a directory is no database: {told}");
}
