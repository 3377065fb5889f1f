//! Guarantee 4: the disk fills up under load and has space again.

use std::fs;
use std::time::Duration;

use e2e::{Gateway, Luck, Mitto, SmallDisk, eventually};
use tokio::time::{Instant, sleep};

use crate::audit::{Audit, quiet, wire};
use crate::load::{Load, Pace, otp, send};
use crate::plan::Scale;
use crate::table::{Outcome, note};

/// How long the disk stays full once it was noticed.
const FULL_FOR: Duration = Duration::from_secs(2);

/// Numbers of the messages that ask whether there is space again.
const ASKING: u32 = 5_000_000;

#[derive(Default)]
struct Seen {
    audit: Audit,
    refused: usize,
    /// 202 after the first 503, while the disk was full.
    accepted_when_full: usize,
    /// Neither 202 nor a 503 that says when to come again.
    strange: usize,
    slowest_recovery: Duration,
}

pub(crate) async fn full(scale: Scale) -> Outcome {
    let (mut seen, mut luck, times) = (Seen::default(), Luck::thrown(), scale.of(10, 1));
    for _ in 0..times {
        let Some(disk) = SmallDisk::mount("16m") else {
            return Outcome::left_out("no tmpfs can be mounted here (needs root)");
        };
        fill_once(&disk, &mut luck, &mut seen).await;
    }
    let Seen { audit, refused, accepted_when_full, strange, slowest_recovery } = &seen;
    let result = format!(
        "{} accepted, {} lost, {} doubled; full disk: {refused} answers 503, {accepted_when_full} 202, {strange} other; \
         accepting again after {slowest_recovery:.1?} at most",
        audit.accepted,
        audit.lost.len(),
        audit.doubled
    );
    let met = audit.lost.is_empty() && *accepted_when_full == 0 && *strange == 0 && *refused > 0;
    Outcome::new(format!("{times} full disks"), result, met && *slowest_recovery <= Duration::from_secs(5))
}

async fn fill_once(disk: &SmallDisk, luck: &mut Luck, seen: &mut Seen) {
    let upstream = Mitto::start();
    upstream.answer_after(Duration::from_millis(200));
    let url = format!("sqlite:{}", disk.path().join("gateway.db").display());
    let builder = Gateway::builder().env("GATEWAY__STORE__URL", &url).log("error").mitto("mitto", &upstream);
    let gateway = builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await;
    let acme = gateway.acme();
    let load = Load::start(acme.clone(), Pace::mixed(300));
    sleep(luck.pause(300..900)).await;
    let filler = disk.fill();
    let refused = async || {
        let sent = send(&acme, ASKING, &otp(ASKING)).await;
        (sent.status == Some(503)).then(Instant::now)
    };
    let full = eventually("the disk is full", Duration::from_secs(30), refused).await;
    sleep(FULL_FOR).await;
    let freed = Instant::now();
    fs::remove_file(filler).expect("the file that fills the disk");
    let accepted = async || {
        let sent = send(&acme, ASKING + 1, &otp(ASKING + 1)).await;
        sent.accepted().then_some(())
    };
    eventually("space is used again", Duration::from_secs(20), accepted).await;
    seen.slowest_recovery = seen.slowest_recovery.max(freed.elapsed());
    sleep(Duration::from_millis(300)).await;

    let sent = load.stop().await;
    for one in &sent {
        match one.status {
            Some(202) if one.began > full && one.began + one.took < freed => seen.accepted_when_full += 1,
            Some(202) => {}
            Some(503) if one.retry_after => seen.refused += 1,
            _ => seen.strange += 1,
        }
    }
    quiet(&gateway, Duration::from_mins(1)).await;
    let audit = Audit::of(&acme, &sent, &wire(&[&upstream])).await;
    note(&format!("  {} accepted, lost {:?}", audit.accepted, audit.lost));
    seen.audit.merge(audit);
}
