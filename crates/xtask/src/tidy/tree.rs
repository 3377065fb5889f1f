//! The repository's text files as they are now: tracked ones and new ones, not the ignored. Never follows links and never
//! reads what git would not commit.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Texts by path from the root, with `/`.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the working tree of the repository at `root`.
    ///
    /// # Errors
    /// When git cannot list the files.
    pub(crate) fn of_repository(root: &Path) -> Result<Self> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("git ls-files")?;
        ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim());
        let names = String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?;
        let mut files = BTreeMap::new();
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            // Deleted and not yet committed, or not a text: nothing to say about either.
            if let Ok(text) = std::fs::read_to_string(root.join(name)) {
                files.insert(name.to_owned(), text);
            }
        }
        Ok(Self { files })
    }

    /// Path and text of each file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files among them.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter(|(path, _)| extension(path) == "rs")
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Tree {
    fn from(files: [(&str, &str); N]) -> Self {
        Self { files: files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect() }
    }
}

/// What follows the last dot.
pub(crate) fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Whole files that are tests.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// A Rust text up to its tests.
pub(crate) fn before_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line)).take_while(|(_, line)| *line != "#[cfg(test)]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(dir: &Path, words: &[&str]) {
        assert!(Command::new("git").args(words).current_dir(dir).status().unwrap().success());
    }

    #[test]
    fn the_tree_holds_new_files_and_not_ignored_or_deleted_ones() {
        let dir = std::env::temp_dir().join(format!("xtask-tree-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        git(&dir, &["init", "-q"]);
        for (name, text) in [(".gitignore", "skipped\n"), ("skipped", "x"), ("new.rs", "fn a() {}"), ("gone", "x")] {
            std::fs::write(dir.join(name), text).unwrap();
        }
        std::fs::write(dir.join("picture"), [0xff, 0xfe]).unwrap();
        git(&dir, &["add", "gone"]);
        std::fs::remove_file(dir.join("gone")).unwrap();
        let tree = Tree::of_repository(&dir).unwrap();
        assert_eq!(tree.iter().map(|(path, _)| path).collect::<Vec<_>>(), [".gitignore", "new.rs"]);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn outside_a_repository_nothing_is_judged() {
        assert!(Tree::of_repository(Path::new("/nonexistent")).is_err());
    }
}
