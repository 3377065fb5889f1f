//! The program under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The program: `$GATEWAY_BIN`, else what lies in the same target directory as the running test; built when it is
/// not there yet. (A test of another package gets no `CARGO_BIN_EXE_gateway`.)
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(find)
}

/// Runs the program to its end, in an empty environment besides `env`.
pub fn cli(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command.args(args).env_clear().envs(env.iter().copied());
    command.output().expect("the program runs")
}

#[expect(clippy::disallowed_methods, reason = "no configuration of the product: which program the tests run")]
fn find() -> PathBuf {
    if let Some(given) = std::env::var_os("GATEWAY_BIN") {
        return PathBuf::from(given);
    }
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let found = profile.join("gateway");
    if !found.exists() {
        build(profile);
    }
    assert!(found.exists(), "no {}", found.display());
    found
}

#[expect(clippy::disallowed_methods, reason = "no configuration of the product: the cargo that runs the tests")]
fn build(profile: &Path) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "-p", "sms-gateway", "--bin", "gateway"]);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let target = profile.parent().expect("target/PROFILE");
    let done = cargo.arg("--target-dir").arg(target).status().expect("cargo runs");
    assert!(done.success(), "the program does not build");
}
