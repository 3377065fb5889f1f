//! Who may depend on whom. Cargo is asked, not the manifests, so that what a dependency drags in counts too.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Fault;
use super::tree::{Tree, before_tests, is_test_file};
use crate::cargo;

/// Crates that are no provider, and what each may use of this workspace when it is built for real. Tests may use more.
const ARROWS: &[(&str, &[&str])] = &[
    ("sms-conformance", &["sms-core"]),
    ("sms-core", &[]),
    ("sms-engine", &["sms-core"]),
    ("sms-rest", &["sms-core"]),
    ("sms-store", &["sms-core"]),
    ("relay", &[]),
    ("sim", &["sms-core", "sms-engine", "sms-store"]),
    ("xtask", &[]),
];
/// What every other crate may use: it is a provider.
const PROVIDER: &[&str] = &["sms-core", "sms-rest"];
/// What the composition root must not use: suites for tests.
const TESTS_ONLY: &[&str] = &["e2e", "sim", "sms-conformance", "xtask"];
/// The composition root, and the package that tests the whole.
const ROOTS: &[&str] = &["e2e", "sms-gateway"];
/// The only file of the product that names providers.
const PROVIDERS_FILE: &str = "crates/gateway/src/providers.rs";

/// Whatever way they come in. `None`: the whole workspace, tests too.
const BANS: &[(Option<&str>, &[&str])] = &[
    (
        Some("sms-core"),
        &[
            "axum",
            "figment",
            "hyper",
            "hyper-util",
            "metrics",
            "reqwest",
            "rusqlite",
            "tokio-postgres",
            "tower",
            "tower-http",
        ],
    ),
    (Some("sms-engine"), &["axum", "figment", "hyper", "hyper-util", "reqwest", "rusqlite", "tokio-postgres"]),
    // One crypto provider in the process: aws-lc-rs.
    (None, &["ring"]),
];

/// A package of this workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Member {
    name: String,
    dependencies: Vec<Dependency>,
}

/// What a manifest declares.
#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or nothing.
    kind: Option<String>,
    /// Only dependencies of this workspace have one.
    path: Option<String>,
}

/// The packages of the workspace at `root`.
///
/// # Errors
/// When cargo cannot be asked.
pub(crate) fn members(root: &Path) -> Result<Vec<Member>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Member>,
    }
    let text = cargo::ask(root, &["metadata", "--no-deps", "--format-version", "1"])?;
    Ok(serde_json::from_str::<Metadata>(&text).context("cargo metadata")?.packages)
}

/// The arrows between the crates of this workspace.
pub(crate) fn arrows(members: &[Member]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for member in members {
        for dependency in member.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let (from, to) = (member.name.as_str(), dependency.name.as_str());
            let allowed = match dependency.kind.as_deref() {
                // Tests see anything but what stands above them.
                Some("dev") => ROOTS.contains(&from) || !ROOTS.contains(&to),
                Some(_) | None => may_use(from, to),
            };
            if !allowed {
                faults.push(Fault::new(from, format!("must not depend on {to}")));
            }
        }
    }
    faults
}

fn may_use(from: &str, to: &str) -> bool {
    match ARROWS.iter().find(|(name, _)| *name == from) {
        Some((_, allowed)) => allowed.contains(&to),
        None if from == "sms-gateway" => !TESTS_ONLY.contains(&to),
        None if ROOTS.contains(&from) => true,
        None => PROVIDER.contains(&to),
    }
}

/// Who can list everything a package is built from.
pub(crate) trait Builds {
    /// Names of all packages that `package` is built from; for `None` those of the workspace and its tests.
    ///
    /// # Errors
    /// When it cannot be found out.
    fn built_from(&self, package: Option<&str>) -> Result<BTreeSet<String>>;
}

/// Cargo itself.
#[derive(Debug)]
pub(crate) struct Cargo<'a> {
    pub(crate) root: &'a Path,
}

impl Builds for Cargo<'_> {
    fn built_from(&self, package: Option<&str>) -> Result<BTreeSet<String>> {
        let which = match package {
            Some(package) => vec!["--package", package, "--edges", "normal"],
            None => vec!["--workspace"],
        };
        let words = [&["tree", "--prefix", "none", "--format", "{p}"], which.as_slice()].concat();
        let text = cargo::ask(self.root, &words)?;
        Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
    }
}

/// What must not come in by any way.
///
/// # Errors
/// When cargo cannot be asked.
pub(crate) fn bans(builds: &impl Builds) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for (package, banned) in BANS {
        let built_from = builds.built_from(*package)?;
        let package = package.unwrap_or("Cargo.lock");
        let found = banned.iter().filter(|name| built_from.contains(**name));
        faults
            .extend(found.map(|name| Fault::new(package, format!("is built from {name}; see `cargo tree -i {name}`"))));
    }
    Ok(faults)
}

/// A provider can be added or taken away in one place.
pub(crate) fn only_one_file_names_providers(tree: &Tree) -> Vec<Fault> {
    let providers: Vec<String> = tree.iter().filter_map(|(path, text)| provider_of(path, text)).collect();
    let mut faults = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| !is_test_file(path) && *path != PROVIDERS_FILE) {
        for (line, code) in before_tests(text).filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let named = providers.iter().find(|name| code.contains(&format!("sms_{name}")));
            if let Some(name) = named.filter(|name| !path.starts_with(&format!("crates/{name}/"))) {
                faults.push(Fault::new(
                    format!("{path}:{line}"),
                    format!("names the provider {name}; only {PROVIDERS_FILE} may"),
                ));
            }
        }
    }
    faults
}

/// The folder of a provider's crate, told by its manifest.
fn provider_of(path: &str, text: &str) -> Option<String> {
    let folder = path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
    let package = format!("sms-{folder}");
    let known = ARROWS.iter().map(|(name, _)| *name).chain(ROOTS.iter().copied()).any(|name| name == package);
    (!known && text.contains(&format!("name = \"{package}\""))).then(|| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, uses: &[(&str, Option<&str>)]) -> Member {
        let dependencies = uses.iter().map(|(name, kind)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
            path: Some(String::new()),
        });
        Member { name: name.to_owned(), dependencies: dependencies.collect() }
    }

    /// Every package is built from these.
    struct Planted(&'static [&'static str]);

    impl Builds for Planted {
        fn built_from(&self, _: Option<&str>) -> Result<BTreeSet<String>> {
            Ok(self.0.iter().map(|name| (*name).to_owned()).collect())
        }
    }

    #[test]
    fn dependency_direction() {
        let root = crate::root();
        assert_eq!(arrows(&members(&root).unwrap()), []);
        assert_eq!(bans(&Cargo { root: &root }).unwrap(), []);
    }

    #[test]
    fn cargo_names_what_a_package_is_built_from() {
        let built_from = Cargo { root: &crate::root() }.built_from(Some("sms-engine")).unwrap();
        assert!(built_from.contains("sms-core") && built_from.contains("metrics"), "{built_from:?}");
        assert!(!built_from.contains("sms-conformance"), "tests are not what it is built from");
    }

    #[test]
    fn arrows_against_the_stream_are_found() {
        let wrong = [
            member("sms-core", &[("sms-rest", None)]),
            member("sms-engine", &[("sms-store", None), ("sms-mitto", None)]),
            member("sms-mitto", &[("sms-engine", None), ("sms-conformance", None), ("sms-gateway", Some("dev"))]),
            member("sms-gateway", &[("sms-conformance", None)]),
            member("xtask", &[("sms-core", Some("build"))]),
        ];
        assert_eq!(arrows(&wrong).len(), 8);
    }

    #[test]
    fn arrows_with_the_stream_are_fine() {
        let right = [
            member("sms-engine", &[("sms-core", None), ("sms-mock", Some("dev"))]),
            member("sms-vonage", &[("sms-core", None), ("sms-rest", None), ("sms-conformance", Some("dev"))]),
            member("sms-gateway", &[("sms-engine", None), ("sms-vonage", None), ("sms-store", None)]),
            member("e2e", &[("sms-conformance", Some("dev")), ("sms-gateway", Some("dev"))]),
        ];
        assert_eq!(arrows(&right), []);
    }

    #[test]
    fn what_comes_in_by_a_side_door_is_found() {
        assert_eq!(
            bans(&Planted(&["serde", "tower"])).unwrap(),
            [Fault::new("sms-core", "is built from tower; see `cargo tree -i tower`",)]
        );
        assert_eq!(bans(&Planted(&["ring"])).unwrap().len(), 1);
    }

    #[test]
    fn a_provider_named_elsewhere_is_found() {
        let manifest = ("crates/mitto/Cargo.toml", "name = \"sms-mitto\"");
        let code = "use sms_mitto::Factory;\n";
        let tree = Tree::from([
            manifest,
            ("crates/engine/Cargo.toml", "name = \"sms-engine\""),
            ("crates/engine/src/dispatch.rs", code),
            (
                "crates/engine/src/lib.rs",
                "//! sms_mitto is not named\nuse sms_engine::x;\n#[cfg(test)]\nuse sms_mitto::Y;\n",
            ),
            (PROVIDERS_FILE, code),
            ("crates/mitto/src/lib.rs", "//! `sms_mitto`\nuse sms_mitto::x;\n"),
            ("tests/e2e/main.rs", code),
        ]);
        let faults = only_one_file_names_providers(&tree);
        assert_eq!(faults.iter().map(|fault| &*fault.place).collect::<Vec<_>>(), ["crates/engine/src/dispatch.rs:1"]);
    }
}
