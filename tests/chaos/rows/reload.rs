//! Guarantee 22: the configuration is read again and again under load, a third of the files being bad.

use std::time::Duration;

use e2e::{Gateway, Mitto};
use serde_json::json;

use crate::audit::{Audit, quiet, wire};
use crate::load::{Load, Pace};
use crate::machine::rss_kib;
use crate::plan::Scale;
use crate::table::{Outcome, note};

/// Messages before: what the store keeps of one while it is young, and its page cache, have nothing to do with reloads.
const WARM_MESSAGES: u32 = 20_000;
const FIRST_WARM: u32 = 5_000_000;

/// Messages a second meanwhile.
const RATE: u32 = 100;

pub(crate) async fn reloads(scale: Scale) -> Outcome {
    let reloads = scale.of(10_000_usize, 450);
    let upstream = Mitto::start();
    let builder = Gateway::builder().log("off").mitto("mitto", &upstream).mitto("other", &upstream);
    let gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    let (operator, good) = (gateway.operator(), gateway.config());
    let other = good.replace("use = [\"mitto\"]", "use = [\"other\"]");
    let bad = [
        good.replace("[log]", "[log]\nlevle = \"info\""),
        good.replace("[log]", "[log\n"),
        good.replace("use = [\"mitto\"]", "use = [\"nobody\"]"),
    ];
    let first = Pace::otp(0).from(FIRST_WARM);
    Load::exactly(gateway.acme(), first, scale.of(WARM_MESSAGES, WARM_MESSAGES / 10)).await;
    quiet(&gateway, Duration::from_mins(1)).await;
    upstream.forget();
    let load = Load::start(gateway.acme(), Pace::otp(RATE));
    let (mut wrong, mut nameless, mut rss) = (0, 0, Vec::new());
    for nth in 0..reloads {
        let bad = bad.get(nth / 3 % bad.len()).filter(|_| nth % 3 == 2);
        gateway.configure(bad.unwrap_or(if nth % 3 == 0 { &other } else { &good }));
        let answer = operator.post_with("/admin/v1/reload", &[], &json!({})).await;
        wrong += u32::from(answer.status != if bad.is_some() { 422 } else { 200 });
        if let Some(bad) = bad
            && !names_its_place(&answer.text(), bad)
        {
            nameless += 1;
            if nameless == 1 {
                note(&format!("  without its place: {}", answer.text()));
            }
        }
        if nth % 10 == 0 {
            rss.push(rss_kib(gateway.pid()));
        }
        if nth % 1_000 == 0 {
            note(&format!("  RSS {} KiB after {nth}", rss_kib(gateway.pid())));
        }
    }
    let sent = load.stop().await;
    quiet(&gateway, Duration::from_secs(30)).await;
    let failed = sent.iter().filter(|sent| !sent.accepted()).count();
    let audit = Audit::of(&gateway.acme(), &sent, &wire(&[&upstream])).await;
    gateway.configure(&bad.concat());
    let checked = gateway.cli(&["check", "--config", "gateway.toml"]).status.code();
    let (before, after) = quarters(&rss);
    let kib = |kib: u64| f64::from(u32::try_from(kib).unwrap_or(u32::MAX));
    let growth = (kib(after) / kib(before).max(1.0) - 1.0) * 100.0;
    note(&format!("  RSS {before} KiB in the second quarter, {after} KiB in the last, medians"));
    let result = format!(
        "{failed} of {} requests failed, {} lost, {} doubled; {wrong} reloads answered wrongly, {nameless} bad files without their place; RSS {growth:+.1} % from the second quarter to the last; `check` exits {checked:?}",
        sent.len(),
        audit.lost.len(),
        audit.doubled
    );
    let met = failed == 0 && audit.lost.is_empty() && audit.doubled == 0 && wrong == 0 && nameless == 0 && growth < 5.0;
    Outcome::new(format!("{reloads} reloads, a third bad"), result, met && checked == Some(78))
}

/// Medians of the second quarter and of the last. The first is when the allocator finds its level, which sixty reloads a
/// second reach later, counted in reloads, than ten; what leaks goes on growing.
fn quarters(rss: &[u64]) -> (u64, u64) {
    let median = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part.get(part.len() / 2).copied().unwrap_or_default()
    };
    let quarter = rss.len() / 4;
    (median(&rss[quarter..2 * quarter]), median(&rss[3 * quarter..]))
}

/// Whether the refusal of a bad file says in which line it is bad.
fn names_its_place(told: &str, bad: &str) -> bool {
    let line = bad.lines().position(|line| line.contains("levle") || line == "[log" || line.contains("nobody"));
    line.is_some_and(|line| told.contains(&format!("gateway.toml:{}", line + 1)))
}
