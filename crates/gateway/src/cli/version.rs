//! `gateway version`: what was built, from what, with what.

use serde_json::json;

use super::failure::Failure;
use super::output::Output;

pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let (version, commit, rustc) = (env!("CARGO_PKG_VERSION"), "unknown", "unknown");
    output.result(
        || format!("gateway {version} ({commit}, rustc {rustc})"),
        || json!({ "version": version, "commit": commit, "rustc": rustc }),
    )
}
