//! Asks cargo about this workspace. Must never let it change the lock file.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// What `cargo` with these words prints in the workspace at `root`.
///
/// # Errors
/// When cargo cannot be run or refuses, with what it told.
pub(crate) fn ask(root: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new("cargo").args(words).arg("--locked").current_dir(root).output().context("cargo")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo {}: {}", words.join(" "), told.trim());
    String::from_utf8(output.stdout).context("cargo's answer")
}
