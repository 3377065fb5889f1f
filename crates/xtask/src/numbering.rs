//! Compiles the numbering plans of the phone number library into one table, so that the gateway need not run a dozen
//! regular expressions for each number: `cargo xtask numbering` writes it, `sms-core` reads it. Must never decide otherwise
//! than the library: tests of `sms-core` compare the two.

mod automaton;
mod graph;
mod judge;
mod library;
mod table;

use std::path::Path;

use anyhow::{Context as _, Result};

use graph::Graph;
use library::Library;
use table::Table;

/// Where `sms-core` reads it.
const TABLE: &str = "crates/core/src/msisdn/plan.bin";

/// Writes the table of the library that the workspace at `root` is locked to, and says what it holds.
///
/// # Errors
/// When the library is not where cargo says, is not what it was, or the table cannot be written.
pub(crate) fn write(root: &Path) -> Result<String> {
    let table = compile(root)?;
    let bytes = table.bytes();
    std::fs::write(root.join(TABLE), &bytes).context(TABLE)?;
    Ok(format!("{TABLE}: {table}, {} bytes", bytes.len()))
}

fn compile(root: &Path) -> Result<Table> {
    let library = Library::find(root)?;
    let mut graph = Graph::new();
    let mut table = Table::default();
    for code in library.calling_codes()? {
        let first = code.compile(&mut graph)?;
        table.add(code.code, first, code.regions.iter().map(|region| region.id.as_str()))?;
    }
    table.close(&graph)?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_that_of_the_locked_library() {
        let root = crate::root();
        let bytes = std::fs::read(root.join(TABLE)).unwrap();
        assert!(bytes == compile(&root).unwrap().bytes(), "run `cargo xtask numbering` and commit {TABLE}");
    }
}
