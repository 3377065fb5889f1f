//! A small file system, which fills up quickly and can be made read-only even for root.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A tmpfs of its own; unmounted at the end.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
    _folder: TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not permitted, which `tests/run` does not accept.
    pub fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a directory of the test");
        let at = folder.path().join("small");
        fs::create_dir_all(&at).expect("a directory of the test");
        let size = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { at, _folder: folder }),
            other => {
                assert!(!crate::luck::strict(), "mount: {other:?}");
                eprintln!("SKIPPED: no tmpfs can be mounted here, nothing of a full disk was tested: {other:?}");
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Takes all the space there is; the file to remove later.
    pub fn fill(&self) -> PathBuf {
        let filler = self.at.join("filler");
        let mut file = fs::File::create(&filler).expect("a directory of the test");
        let block = [7; 4096];
        while file.write_all(&block).is_ok() {}
        filler
    }

    /// Allows no writing any more.
    pub fn make_read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.at).status();
        assert!(done.expect("mount runs").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.at).output()); // the test's directory goes in any case
    }
}
