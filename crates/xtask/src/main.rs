//! Chores of this repository: `cargo xtask tidy` holds the code to the rules that no compiler checks. Depends on no crate
//! of the product, so that it builds in seconds and can judge a tree that does not compile.

mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["tidy"] => tidy::run(&root()),
        ["tidy", "--fix"] => tidy::fix(&root()),
        _ => {
            say("usage: cargo xtask tidy [--fix]");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(lines) => {
            let failed = !lines.faults.is_empty();
            lines.faults.iter().for_each(|fault| say(&fault.to_string()));
            say(&format!("{} checks passed, {} failed", lines.passed, lines.failed));
            if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            say(&format!("tidy could not run: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The workspace this binary was built from.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_owned).unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "this program's output is its result")]
fn say(line: &str) {
    println!("{line}");
}
