//! Every rule of the house that a machine can check, one module each. A rule is a pure function from the files (or from
//! what cargo tells) to faults; each is tested with a planted violation. Changes nothing unless asked to `--fix`.

mod config_keys;
mod direction;
mod invariants;
mod lengths;
mod metrics;
mod tree;
mod words;

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};

use tree::Tree;

/// What was found.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) faults: Vec<Fault>,
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// File and perhaps line, such as `crates/core/src/id.rs:12`.
    pub(crate) place: String,
    /// What is wrong, and how to mend it.
    pub(crate) what: String,
}

impl Fault {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// A rule that needs nothing but the files.
type Check = fn(&Tree) -> Vec<Fault>;

const CHECKS: &[Check] = &[
    config_keys::every_key_is_in_the_reference,
    direction::only_one_file_names_providers,
    invariants::each_has_its_test,
    lengths::files_are_short,
    metrics::docs_list_the_table,
    metrics::operators_files_name_only_known_metrics,
    metrics::raw_macros_stay_in_telemetry,
    words::no_machine_is_named,
    words::no_notes_are_left,
    words::top_level_is_as_agreed,
];

/// Runs every check on the repository at `root`.
///
/// # Errors
/// When git or cargo cannot be asked, which says nothing about the rules.
pub(crate) fn run(root: &Path) -> Result<Outcome> {
    let tree = Tree::of_repository(root)?;
    let mut found: Vec<Vec<Fault>> = CHECKS.iter().map(|check| check(&tree)).collect();
    found.push(direction::arrows(&direction::members(root)?));
    found.push(direction::bans(&direction::Cargo { root })?);
    let failed = found.iter().filter(|faults| !faults.is_empty()).count();
    Ok(Outcome { passed: found.len() - failed, failed, faults: found.into_iter().flatten().collect() })
}

/// Writes what can be generated, then runs every check.
///
/// # Errors
/// As for [`run`], or when the file cannot be written.
pub(crate) fn fix(root: &Path) -> Result<Outcome> {
    let tree = Tree::of_repository(root)?;
    if let Some(text) = metrics::regenerated(&tree) {
        std::fs::write(root.join(metrics::DOCS), text).with_context(|| metrics::DOCS)?;
    }
    run(root)
}
