//! `gateway version`: what was built, from what, with what.

use serde_json::json;

use super::failure::Failure;
use super::output::Output;

pub(crate) fn run(output: Output) -> Result<(), Failure> {
    // As in `gateway_build_info`.
    let (version, rustc) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_RUST_VERSION"));
    let commit = option_env!("GATEWAY_COMMIT").unwrap_or("unknown");
    output.result(
        || format!("gateway {version} ({commit}, rustc {rustc})"),
        || json!({ "version": version, "commit": commit, "rustc": rustc }),
    )
}
