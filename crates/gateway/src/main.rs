//! The program `gateway`: the command line over the library. What it does stands in [`cli`]; here is only what a process
//! needs before anything else.

mod cli;

use std::process::ExitCode;

use tokio::time::Instant;

/// Many small, short-lived allocations on two threads: measured in `tests/bench/README.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let began = Instant::now();
    // One crypto provider in the process. The second installation of a default fails, and there is none before this one.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    cli::run(began)
}
