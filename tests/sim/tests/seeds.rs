//! Seeds that must be clean, bugs that must be found, and runs that must repeat.

use sim::{Plant, Setup, campaign, replay, run};

/// Fewer messages than the command line's default: an unoptimised build takes ten times as long.
const MESSAGES: u32 = 60;

fn setup() -> Setup {
    let messages = u32::try_from(knob("SIM_MESSAGES", u64::from(MESSAGES))).unwrap_or(MESSAGES);
    Setup { messages, ..Setup::default() }
}

/// A whole number from the environment, for longer runs than the usual ones.
#[expect(clippy::disallowed_methods, reason = "no configuration of the product: how long tests run")]
fn knob(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn every_promise_is_kept_in_a_thousand_seeds() {
    let (from, seeds) = (knob("SIM_FROM", 0), knob("SIM_SEEDS", 1_000));
    let summary = campaign(&(from..from + seeds), processors(), setup());
    eprintln!("{summary}");
    assert!(summary.failed.is_empty(), "{} seeds fail, see above", summary.failed.len());
    let stats = &summary.stats;
    assert_eq!(stats.of("seeds"), seeds);
    // A simulation in which nothing happens breaks no promise either.
    let must_happen = [
        "answers.accepted",
        "answers.idempotency_key_reuse",
        "answers.recipient_rate_limited",
        "answers.replayed",
        "answers.store_unavailable",
        "answers.tenant_rate_limited",
        "attempts.accepted",
        "attempts.not_sent",
        "attempts.refused",
        "attempts.unknown",
        "cancels.canceled",
        "ended.delivered",
        "ended.expired",
        "ended.failed",
        "ended.rejected",
        "ended.sent",
        "ended.undelivered",
        "ended.unknown",
        "orphans",
        "process.clock_steps",
        "process.kills",
        "process.reconfigurations",
        "process.stalls",
        "process.stops",
        "receipts.parked",
        "reroutes",
        "store.failures",
        "webhooks",
        "wire_answers.cut",
    ];
    for what in must_happen {
        assert!(seeds < 100 || stats.of(what) > 0, "{what} never happened");
    }
}

#[test]
fn every_planted_bug_is_found() {
    const SEEDS: u64 = 60;
    for plant in Plant::ALL {
        let setup = Setup { plant: Some(plant), ..setup() };
        let found = (0..SEEDS).find(|seed| {
            let report = run(*seed, setup);
            report.violations.iter().any(|violation| plant.breaks().contains(&violation.invariant))
        });
        let seed = found.unwrap_or_else(|| panic!("{plant:?} is not found in {SEEDS} seeds"));
        eprintln!("{plant:?} is found: {}", replay(seed, setup));
    }
}

#[test]
fn a_seed_repeats_to_the_last_line() {
    let setup = Setup { keeps_trace: true, ..setup() };
    for seed in 0..knob("SIM_REPEATS", 40) {
        let (one, other) = (run(seed, setup), run(seed, setup));
        let differs = one.trace.iter().zip(&other.trace).position(|(one, other)| one != other);
        if let Some(at) = differs {
            panic!("seed {seed} line {at}: {:?} and {:?}", one.trace[at], other.trace[at]);
        }
        assert_eq!(one.hash, other.hash, "seed {seed}");
        assert!(!one.trace.is_empty());
    }
    assert_ne!(run(1, setup).hash, run(2, setup).hash);
}
