//! The invariants of the product, listed in the documentation of `crates/core/src/lib.rs`, each have a test of that name.

use super::Fault;
use super::tree::Tree;

const LIST: &str = "crates/core/src/lib.rs";
const TITLE: &str = "**Invariants**";

/// A promise nobody tests is a wish.
pub(crate) fn each_has_its_test(tree: &Tree) -> Vec<Fault> {
    let names = tree.text(LIST).map(listed).unwrap_or_default();
    if names.is_empty() {
        return vec![Fault::new(LIST, format!("no {TITLE} are listed"))];
    }
    let untested = names.into_iter().filter(|name| !tree.rust().any(|(_, text)| is_tested(text, name)));
    untested.map(|name| Fault::new(LIST, format!("invariant `{name}` has no test of that name"))).collect()
}

/// The names in backticks from the title to the end of its paragraph.
fn listed(text: &str) -> Vec<&str> {
    let from = text.lines().skip_while(|line| !line.contains(TITLE));
    let paragraph = from.take_while(|line| line.trim_start_matches("//!").trim() != "" && line.starts_with("//!"));
    paragraph.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Whether `text` has the function with a test attribute above it, or stands in a `proptest!` (which wants one too).
fn is_tested(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let head = format!("fn {name}(");
    let found = lines.iter().position(|line| line.contains(&head)).unwrap_or_default();
    let attributes = lines.iter().take(found).rev().take_while(|line| line.trim().starts_with(['#', '/']));
    attributes.into_iter().any(|line| line.trim().starts_with("#[") && line.contains("test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOC: &str = "//! About.\n//!\n//! **Invariants** of all:\n//! `kept`,\n//! `broken`.\n//!\n//! `other`\n";

    #[test]
    fn an_invariant_without_its_test_is_told() {
        let code = "/// Fast.\n#[tokio::test(start_paused = true)]\nasync fn kept() {}\nfn broken() {}\n";
        let faults = each_has_its_test(&Tree::from([(LIST, DOC), ("crates/x/src/a.rs", code)]));
        assert_eq!(faults, [Fault::new(LIST, "invariant `broken` has no test of that name")]);
    }

    #[test]
    fn a_lost_list_is_told() {
        assert_eq!(each_has_its_test(&Tree::from([(LIST, "//! About.\n")])).len(), 1);
    }
}
