//! A store that cannot write, or must not be opened.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use e2e::{Gateway, Mitto, PATIENCE, binary, eventually, free_address, swiss};
use serde_json::{Value, json};

fn body(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913" })
}

async fn gateway(upstream: &Mitto) -> Gateway {
    Gateway::builder().mitto("mitto", upstream).route("default", "use = [\"mitto\"]").start().await
}

/// Starts a second process with the gateway's configuration, which must end by itself.
fn refused(gateway: &Gateway, store_key: &str) -> (i32, String) {
    let (listen, ops) = (free_address().to_string(), free_address().to_string());
    let output: Output = Command::new("timeout")
        .args(["20", binary().to_str().unwrap(), "serve", "--config", gateway.config_path().to_str().unwrap()])
        .envs([("GATEWAY__SERVER__LISTEN", listen), ("GATEWAY__SERVER__OPS", ops)])
        .envs([
            ("E2E_CALLBACK_SECRET", "callback-secret-of-the-tests"),
            ("E2E_MITTO_KEY", "mitto-key-of-the-tests"),
            ("E2E_OPS_TOKEN", "ops-token-of-the-tests"),
            ("GATEWAY_STORE_KEY", store_key),
        ])
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const STORE_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

#[tokio::test]
async fn a_second_process_on_the_same_file_is_refused() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let (code, told) = refused(&gateway, STORE_KEY);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("gateway.db"), "names the file: {told}");
    gateway.acme().accepted(&body(1)).await;
}

#[tokio::test]
async fn another_store_key_is_refused_before_anything_is_written() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    gateway.term();
    gateway.ended(PATIENCE).await;
    let (code, told) = refused(&gateway, "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=");
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("key"), "{told}");
    gateway.restart().await;
}

#[tokio::test]
async fn a_damaged_file_is_refused_by_name() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    gateway.term();
    gateway.ended(PATIENCE).await;
    let mut file = OpenOptions::new().read(true).write(true).open(gateway.database()).unwrap();
    let mut head = [0; 4];
    file.read_exact(&mut head).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&head.map(|byte| !byte)).unwrap();
    drop(file);
    let (code, told) = refused(&gateway, STORE_KEY);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("gateway.db"), "{told}");
}

/// A small file system of its own; unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where mounting is not permitted, which `tests/run` does not accept.
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(&at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at)),
            other => {
                assert!(!e2e::strict(), "mount: {other:?}");
                eprintln!("SKIPPED: no tmpfs can be mounted here, the full disk was not tested: {other:?}");
                None
            }
        }
    }

    fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        let block = [7; 4096];
        while file.write_all(&block).is_ok() {}
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output()); // the test's directory goes in any case
    }
}

/// Sends until the store has no place left; the ids that were accepted until then.
async fn until_full(gateway: &Gateway) -> Vec<String> {
    let mut accepted = Vec::new();
    for n in 0..2_000 {
        let answer = gateway.acme().send(&body(n)).await;
        if answer.status != 202 {
            answer.problem(503, "store_unavailable");
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|pause| pause >= 1));
            return accepted;
        }
        accepted.push(answer.message_id());
    }
    panic!("2,000 messages fit on a full disk");
}

#[tokio::test]
async fn a_full_disk_answers_503_and_recovers() {
    let place = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(place.path().join("small")) else { return };
    let upstream = Mitto::start();
    let url = format!("sqlite:{}", Path::new(&disk.0).join("gateway.db").display());
    let builder = Gateway::builder().env("GATEWAY__STORE__URL", &url).mitto("mitto", &upstream);
    let gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    let mut accepted = vec![gateway.acme().accepted(&body(5_000)).await];
    let filler = disk.fill();
    accepted.extend(until_full(&gateway).await);
    for n in 6_000..6_020 {
        gateway.acme().send(&body(n)).await.problem(503, "store_unavailable");
    }
    fs::remove_file(filler).unwrap();
    let again = async || {
        let answer = gateway.acme().send(&body(7_000)).await;
        (answer.status == 202).then(|| answer.message_id())
    };
    accepted.push(eventually("space is used again", Duration::from_secs(5), again).await);
    for id in &accepted {
        gateway.acme().wait_any_status(id, &["sent", "delivered"], PATIENCE).await;
    }
    assert!(upstream.sends().len() >= accepted.len(), "every accepted message arrived");
}
