//! How long a file may be. Functions are clippy's business (`too_many_lines`).

use super::Fault;
use super::tree::{Tree, before_tests, is_test_file};

/// Lines of a Rust file before its tests.
const LINES_MAX: usize = 400;

/// Nobody keeps more in mind.
pub(crate) fn files_are_short(tree: &Tree) -> Vec<Fault> {
    let counted = tree.rust().filter(|(path, _)| !is_test_file(path));
    let counted = counted.map(|(path, text)| (path, before_tests(text).count()));
    counted
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| {
            Fault::new(path, format!("{lines} lines before the tests; split it, {LINES_MAX} is the most"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_told_and_its_tests_do_not_count() {
        let long = "x\n".repeat(401);
        let short = format!("{}#[cfg(test)]\n{}", "x\n".repeat(400), "y\n".repeat(900));
        let tree = Tree::from([("a.rs", &*long), ("b.rs", &short), ("c.md", &long), ("tests/e2e/d.rs", &long)]);
        let faults = files_are_short(&tree);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults.first().unwrap().place, "a.rs");
    }
}
