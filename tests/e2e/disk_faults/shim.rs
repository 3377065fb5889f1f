//! The library between the gateway and its files (`tests/chaos/shim`), and what is played with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Builder, Gateway};
use tempfile::TempDir;

/// A built library with its journal.
pub(crate) struct Shim {
    folder: TempDir,
}

impl Shim {
    /// `None` where there is no C compiler, which `tests/run` does not accept.
    pub(crate) fn build() -> Option<Self> {
        let shim = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(shim.journal()).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("chaos/shim");
        let library = ["-shared", "-fPIC", "disk.c", "-o"].as_slice();
        for (args, target) in [(library, "libdisk.so"), (&["powercut.c", "-o"], "powercut")] {
            let mut cc = Command::new("cc");
            cc.args(["-O2", "-Wall", "-Wextra", "-Werror"]).args(args).arg(shim.folder.path().join(target));
            match cc.current_dir(&source).output() {
                Err(error) => {
                    assert!(!e2e::strict(), "cc: {error}");
                    eprintln!("SKIPPED: no C compiler here, nothing of a failing disk was tested: {error}");
                    return None;
                }
                Ok(built) => assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr)),
            }
        }
        Some(shim)
    }

    /// The gateway's store goes through the library.
    pub(crate) fn under(&self, builder: Builder) -> Builder {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        let builder = builder.env("LD_PRELOAD", &path(self.folder.path().join("libdisk.so")));
        let builder = builder.env("DISK_FILES", "gateway.db").env("DISK_FAIL", &path(self.trigger()));
        builder.env("DISK_JOURNAL", &path(self.journal()))
    }

    /// A statically linked binary would go past it.
    pub(crate) fn is_loaded(&self, gateway: &Gateway) {
        let maps = fs::read_to_string(format!("/proc/{}/maps", gateway.pid())).unwrap();
        assert!(maps.contains("libdisk.so"), "the gateway does not load the library: is it linked statically?");
        assert!(fs::read_dir(self.journal()).unwrap().count() >= 3, "database, log and sums are watched");
    }

    /// The next fsync of a file with `name` in its path fails.
    pub(crate) fn fail_next_fsync(&self, name: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, name).unwrap();
        fs::rename(new, self.trigger()).unwrap();
    }

    /// Takes back what the dead gateway never synced: how many writes that were, and how many of them are gone.
    pub(crate) fn cut_the_power(&self, how: &str, seed: u64) -> (u64, u64) {
        let mut cut = Command::new(self.folder.path().join("powercut"));
        let output = cut.arg(self.journal()).args([how, &seed.to_string()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).unwrap();
        let figures = told.lines().filter_map(|line| {
            let (undurable, dropped) = line.rsplit_once(": ")?.1.split_once(" undurable, ")?;
            Some((undurable.parse::<u64>().ok()?, dropped.strip_suffix(" dropped")?.parse::<u64>().ok()?))
        });
        figures.fold((0, 0), |(all, gone), (undurable, dropped)| (all + undurable, gone + dropped))
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn trigger(&self) -> PathBuf {
        self.folder.path().join("fail")
    }
}
