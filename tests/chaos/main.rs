//! The chaos day: every fault that `guarantees.md` names, tried on the real binary, as one table of promise, trials, result
//! and mark. Measures and tells; a mark that is missed is a row that says so. Must never invent a figure: what cannot be
//! tried here is left out by name.
#![expect(clippy::expect_used, reason = "a trial whose surroundings fail ends there and its row says why")]

mod audit;
mod figures;
mod load;
mod machine;
mod plan;
mod rows;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::Instant;

use machine::Watch;
use plan::Plan;
use rows::Row;
use table::{Outcome, Table};

/// A row that was stopped (by a debugger, a busy host, a benchmark beside it) for so long is run again, but not for ever.
const STANDSTILL: Duration = Duration::from_secs(2);
const AGAIN_MAX: usize = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let plan = match Plan::of(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(told) => {
            table::note(&told);
            return ExitCode::from(2);
        }
    };
    let (mut table, watch) = (Table::default(), Watch::start());
    for row in rows::ALL.iter().filter(|row| plan.wants(row.number)) {
        table::note(&format!("--- {} {}", row.number, row.what));
        let mut began = Instant::now();
        watch.longest();
        let mut outcome = run(row, &plan).await;
        for _ in 0..AGAIN_MAX {
            let still = watch.longest();
            if still < STANDSTILL || outcome.undisturbed {
                break;
            }
            table::note(&format!("  stood still for {still:?}: again; it was {outcome:?}"));
            began = Instant::now();
            outcome = run(row, &plan).await;
        }
        table.add(row, &outcome, began.elapsed());
    }
    table.print(&machine::facts());
    if table.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A row that panics is a row that is not met; the others go on.
async fn run(row: &Row, plan: &Plan) -> Outcome {
    let local = LocalSet::new();
    local.run_until(local.spawn_local((row.run)(plan.scale))).await.unwrap_or_else(Outcome::broken)
}
