//! Chores of this repository: `cargo xtask tidy` holds the code to the rules that no compiler checks, `cargo xtask
//! numbering` compiles the numbering plans. Depends on no crate of the product, so that it builds in seconds and can judge a
//! tree that does not compile.

mod cargo;
mod numbering;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["numbering"] => numbering::write(&root()).map(|written| (written, true)),
        ["tidy"] => tidy::run(&root()).map(|outcome| told(&outcome)),
        ["tidy", "--fix"] => tidy::fix(&root()).map(|outcome| told(&outcome)),
        _ => {
            say("usage: cargo xtask tidy [--fix] | numbering");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok((lines, fine)) => {
            say(&lines);
            if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            say(&format!("{} could not run: {error:#}", words.join(" ")));
            ExitCode::FAILURE
        }
    }
}

/// What tidy found, a line each, and whether that is nothing.
fn told(outcome: &tidy::Outcome) -> (String, bool) {
    let fine = outcome.faults.is_empty();
    let sum = format!("{} checks passed, {} failed", outcome.passed, outcome.failed);
    let lines = outcome.faults.iter().map(ToString::to_string).chain([sum]);
    (lines.collect::<Vec<_>>().join("\n"), fine)
}

/// The workspace this binary was built from.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_owned).unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "this program's output is its result")]
fn say(line: &str) {
    println!("{line}");
}
