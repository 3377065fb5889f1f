//! Simulates a range of seeds and prints what came of them; fails when a promise was broken.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use sim::{Plant, Setup, campaign, run};

/// Simulates the gateway: each seed is another course of events.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Requests a seed.
    #[arg(long, default_value_t = Setup::default().messages)]
    messages: u32,
    /// Threads; default: one a processor.
    #[arg(long)]
    jobs: Option<usize>,
    /// Plants a bug, to see whether it is found.
    #[arg(long, value_enum)]
    plant: Option<Plant>,
    /// Simulates every seed two times, to see whether it repeats.
    #[arg(long)]
    twice: bool,
    /// Prints everything that happens; for single seeds.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let setup = Setup { messages: args.messages, plant: args.plant, keeps_trace: args.trace, twice: args.twice };
    let seeds = args.from..args.from.saturating_add(args.seeds);
    let mut out = std::io::stdout().lock();
    let mut broken = false;
    let written = if args.trace {
        seeds.map(|seed| run(seed, setup)).try_for_each(|report| {
            broken |= !report.violations.is_empty();
            report.trace.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            report.violations.iter().try_for_each(|violation| writeln!(out, "{violation}"))?;
            writeln!(out, "seed {} hash {:016x}\n{}", report.seed, report.hash, report.stats)
        })
    } else {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let summary = campaign(&seeds, args.jobs.unwrap_or(processors), setup);
        broken = !summary.failed.is_empty();
        writeln!(out, "{summary}")
    };
    if broken || written.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
