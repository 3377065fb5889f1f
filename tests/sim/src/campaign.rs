//! Many seeds on all processors, and what came of them in a table.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Plant, Report, Setup, Stats, Violation, run};

/// Failing seeds that are told in full.
const FAILED_MAX: usize = 10;

/// What many seeds led to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// What was seen in all of them.
    pub stats: Stats,
    /// The failing ones, smallest first.
    pub failed: Vec<Report>,
    setup: Setup,
}

/// Simulates every seed of the range on `jobs` threads.
pub fn campaign(seeds: &Range<u64>, jobs: usize, setup: Setup) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary { setup, ..Summary::default() });
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    let report = if setup.twice { run_twice(seed, setup) } else { run(seed, setup) };
                    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    summary.stats.add(&report.stats);
                    if !report.violations.is_empty() {
                        summary.failed.push(report);
                    }
                }
            });
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.failed.sort_by_key(|report| report.seed);
    summary
}

/// Simulates a seed two times; another course of events is a violation of its own.
fn run_twice(seed: u64, setup: Setup) -> Report {
    let (mut report, again) = (run(seed, setup), run(seed, setup));
    if report.hash != again.hash {
        let what = format!("{:016x} and {:016x}", report.hash, again.hash);
        report.violations.push(Violation { invariant: "a_seed_repeats", what, at_ms: 0 });
    }
    report
}

/// The command that repeats a seed and shows all that happens.
pub fn replay(seed: u64, setup: Setup) -> String {
    let plant = setup.plant.map_or_else(String::new, |plant| format!(" --plant {}", name(plant)));
    format!("cargo run -q -p sim -- --from {seed} --seeds 1 --messages {}{plant} --trace", setup.messages)
}

fn name(plant: Plant) -> String {
    use clap::ValueEnum as _;
    plant.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The table, then each failing seed with the command that repeats it.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.stats)?;
        let violations: usize = self.failed.iter().map(|report| report.violations.len()).sum();
        write!(f, "violations    {violations} in {} seeds", self.failed.len())?;
        for report in self.failed.iter().take(FAILED_MAX) {
            write!(f, "\n\nseed {}: {}", report.seed, replay(report.seed, self.setup))?;
            for violation in &report.violations {
                write!(f, "\n  {violation}")?;
            }
        }
        Ok(())
    }
}
