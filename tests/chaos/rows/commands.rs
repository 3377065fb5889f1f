//! Rows whose trials are another command of this repository; its last line is the result.

use std::path::Path;

use tokio::task::spawn_blocking;

use crate::table::{Outcome, note};

/// Plays a failing disk; see `tests/chaos/shim/README.md`.
pub(crate) async fn shim(kind: &'static str, trials: u64) -> Outcome {
    let count = trials.to_string();
    command("tests/chaos/shim/run.sh", vec![kind.to_owned(), count], format!("{trials} runs")).await
}

/// What no binary can be asked a million times: the simulation, whose every seed is another course of events.
pub(crate) async fn simulation(seeds: u32) -> Outcome {
    let words = ["run", "--release", "--quiet", "--locked", "--package", "sim", "--", "--seeds"];
    let words = words.into_iter().map(str::to_owned).chain([seeds.to_string()]).collect();
    command("cargo", words, format!("{} simulated messages in {seeds} seeds", 150 * seeds)).await
}

/// The permutations of receipts and other happenings, as a property test of the stores.
pub(crate) async fn permutations() -> Outcome {
    let words = ["test", "--quiet", "--locked", "--package", "sms-store", "--test", "receipts", "a_hundred_thousand"];
    command("cargo", words.map(str::to_owned).to_vec(), "2 × 10^5 orders".to_owned()).await
}

/// Runs the program to its end; it judges itself by its status.
pub(crate) async fn command(program: &'static str, words: Vec<String>, trials: String) -> Outcome {
    if program.contains('/') && !Path::new(program).exists() {
        return Outcome::left_out(format!("there is no {program} yet"));
    }
    let run = spawn_blocking(move || std::process::Command::new(program).args(&words).output());
    let output = match run.await.expect("no panic in a child") {
        Ok(output) => output,
        Err(error) => return Outcome::left_out(format!("{program}: {error}")),
    };
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let last = |text: &[u8]| {
        String::from_utf8_lossy(text).lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
    };
    let line = last(&output.stdout).or_else(|| last(&output.stderr)).unwrap_or_default();
    if !output.status.success() {
        note(&told);
    }
    Outcome::new(trials, line, output.status.success())
}
