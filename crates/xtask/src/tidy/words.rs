//! What must not stand in any file: notes to oneself, the machine somebody worked on; and what may stand at the top.

use super::Fault;
use super::tree::{Tree, extension};

/// Unfinished business belongs into an issue.
pub(crate) fn no_notes_are_left(tree: &Tree) -> Vec<Fault> {
    const NOTES: &[&str] = &[
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    find(
        tree,
        |line| NOTES.iter().copied().find(|note| has_word(line, note)),
        "is a note to oneself: do it, or file an issue",
    )
}

/// The repository builds anywhere, from the registries everybody has.
pub(crate) fn no_machine_is_named(tree: &Tree) -> Vec<Fault> {
    const HOMES: &[&str] =
        &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];
    let mut faults =
        find(tree, |line| HOMES.iter().copied().find(|home| has_root_path(line, home)), "is a path of one machine");
    for (path, text) in tree.iter() {
        let name = path.rsplit('/').next().unwrap_or_default();
        let foreign = |line: &&str| match name {
            "Cargo.lock" => line.starts_with("source = ") && !line.contains(CRATES_IO),
            "package-lock.json" => line.contains("\"resolved\"") && !line.contains("https://registry.npmjs.org/"),
            ".npmrc" => line.starts_with("registry"),
            "config.toml" if path.starts_with(".cargo/") => line.contains("replace-with") || line.contains("registry"),
            _ => false,
        };
        faults.extend(
            text.lines()
                .filter(foreign)
                .map(|line| Fault::new(path, format!("`{line}` names a registry of one machine"))),
        );
    }
    faults
}

/// What a newcomer sees first. Hidden files are tools' own.
pub(crate) fn top_level_is_as_agreed(tree: &Tree) -> Vec<Fault> {
    const TOP: &[&str] =
        &["CHANGELOG.md", "Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "config", "crates", "deploy", "tests"];
    let mut top: Vec<&str> = tree.iter().filter_map(|(path, _)| path.split('/').next()).collect();
    top.dedup();
    let strays = top.iter().filter(|entry| !entry.starts_with('.') && !TOP.contains(entry));
    let missing = TOP.iter().filter(|entry| !top.contains(entry));
    strays
        .map(|entry| Fault::new(*entry, "stands at the top level, where nobody agreed to it"))
        .chain(missing.map(|entry| Fault::new(*entry, "is missing at the top level")))
        .collect()
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Lines of text files in which `search` finds something. Lock files and data are nobody's words.
fn find<'a>(tree: &Tree, search: impl Fn(&str) -> Option<&'a str>, what: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| !matches!(extension(path), "lock" | "svg")) {
        for (at, line) in text.lines().enumerate() {
            if let Some(found) = search(line) {
                faults.push(Fault::new(format!("{path}:{}", at + 1), format!("`{found}` {what}")));
            }
        }
    }
    faults
}

/// `word` with no letter, digit or underscore beside it.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|tail| tail.chars().next());
        !before.is_some_and(joins) && (word.ends_with('(') || !after.is_some_and(joins))
    })
}

/// `path` with nothing before it that would make it a part of another path.
fn has_root_path(line: &str, path: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')');
    line.match_indices(path).any(|(at, _)| !line.get(..at).is_some_and(|head| head.ends_with(joins)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_found_as_words_only() {
        let note = concat!("// TO", "DO later\nlet mastodo", "n = 1;\n");
        let tree = Tree::from([("a.rs", note), ("b.lock", note), ("c.md", concat!("sk_FIX", "ME_x\nMTO", "DOS"))]);
        let faults = no_notes_are_left(&tree);
        assert_eq!(faults.iter().map(|fault| &*fault.place).collect::<Vec<_>>(), ["a.rs:1"]);
    }

    #[test]
    fn paths_and_registries_of_one_machine_are_found() {
        let tree = Tree::from([
            ("a.sh", concat!("cd /ho", "me/me\nls $DIR/ro", "ot/etc\n")),
            ("Cargo.lock", "source = \"registry+https://mirror.example/index\"\n"),
            ("tests/x/package-lock.json", "\"resolved\": \"http://mirror.example/axios.tgz\",\n"),
            ("tests/x/.npmrc", "registry=http://mirror.example\n"),
            (".cargo/config.toml", "replace-with = \"mirror\"\n"),
        ]);
        assert_eq!(no_machine_is_named(&tree).len(), 5);
        let own = format!("source = \"{CRATES_IO}\"\n");
        assert_eq!(
            no_machine_is_named(&Tree::from([("Cargo.lock", own.as_str()), ("tests/x/.npmrc", "fund=false\n")])),
            []
        );
    }

    #[test]
    fn the_top_level_is_closed() {
        let tree = Tree::from([
            (".gitignore", ""),
            ("CHANGELOG.md", ""),
            ("Cargo.lock", ""),
            ("Cargo.toml", ""),
            ("LICENSE", ""),
            ("config/a", ""),
            ("crates/a", ""),
            ("deploy/a", ""),
            ("notes.txt", ""),
            ("tests/a", ""),
        ]);
        let faults = top_level_is_as_agreed(&tree);
        assert_eq!(faults.iter().map(|fault| &*fault.place).collect::<Vec<_>>(), ["notes.txt", "README.md"]);
    }
}
