//! The one place that prints: notes on standard error while it runs, the table on standard output.
#![expect(clippy::print_stdout, reason = "the output of this program")]

use std::time::Duration;

use tokio::task::JoinError;

use crate::rows::Row;

/// Whether the mark was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// Not tried here; the result says why.
    LeftOut,
    /// Missed.
    No,
    /// Met.
    Yes,
}

impl From<bool> for Met {
    fn from(met: bool) -> Self {
        if met { Self::Yes } else { Self::No }
    }
}

/// What came of a row.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) trials: String,
    pub(crate) result: String,
    pub(crate) met: Met,
    /// Nothing in it was measured while the machine stood still.
    pub(crate) undisturbed: bool,
}

impl Outcome {
    pub(crate) fn new(trials: impl Into<String>, result: impl Into<String>, met: bool) -> Self {
        Self { trials: trials.into(), result: result.into(), met: met.into(), undisturbed: false }
    }

    /// The row itself has repeated what met a standstill.
    pub(crate) fn undisturbed(mut self) -> Self {
        self.undisturbed = true;
        self
    }

    /// What could not be tried, and why.
    pub(crate) fn left_out(why: impl Into<String>) -> Self {
        Self { trials: "0".to_owned(), result: why.into(), met: Met::LeftOut, undisturbed: false }
    }

    /// The row's own code stopped: whatever it was, nothing is promised.
    pub(crate) fn broken(error: JoinError) -> Self {
        let told = match error.try_into_panic() {
            Ok(panic) => panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        let line: String = told.lines().next().unwrap_or_default().chars().take(TOLD_CHARS_MAX).collect();
        Self::new("stopped", format!("stopped: {line}"), false)
    }
}

/// Rows so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Vec<String>,
    missed: Vec<&'static str>,
    left_out: Vec<&'static str>,
}

impl Table {
    pub(crate) fn add(&mut self, row: &Row, outcome: &Outcome, took: Duration) {
        let Outcome { trials, result, met, undisturbed: _ } = outcome;
        let word = match met {
            Met::LeftOut => {
                self.left_out.push(row.number);
                "left out"
            }
            Met::No => {
                self.missed.push(row.number);
                "**no**"
            }
            Met::Yes => "yes",
        };
        let plain = |text: &str| text.replace('|', "/");
        let line = format!(
            "| {} | {} | {} | {} | {} | {word} |",
            row.number,
            row.what,
            plain(trials),
            plain(result),
            plain(row.mark)
        );
        note(&format!("{line} ({:.1} s)", took.as_secs_f64()));
        self.lines.push(line);
    }

    pub(crate) fn all_met(&self) -> bool {
        self.missed.is_empty()
    }

    pub(crate) fn print(&self, facts: &str) {
        println!("{facts}\n");
        println!("| # | what | trials | result | mark | met |\n|---|---|---|---|---|---|");
        for line in &self.lines {
            println!("{line}");
        }
        let (missed, left_out) = (self.missed.join(", "), self.left_out.join(", "));
        let met = self.lines.len() - self.missed.len() - self.left_out.len();
        println!("\n{met} met, {} missed ({missed}), {} left out ({left_out})", self.missed.len(), self.left_out.len());
    }
}

/// A line for whoever watches.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

const TOLD_CHARS_MAX: usize = 240;
