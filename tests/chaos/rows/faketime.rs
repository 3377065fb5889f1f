//! A wall clock that can be stepped under the real binary: Debian's libfaketime, with the monotonic clock left alone.

use std::path::{Path, PathBuf};

use e2e::Builder;
use tempfile::TempDir;

/// Where Debian puts it.
const LIBRARIES: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// How far off the gateway's wall clock is.
pub(crate) struct WallClock {
    file: PathBuf,
    library: &'static str,
    _dir: TempDir,
}

impl WallClock {
    /// `None` where libfaketime is not installed.
    pub(crate) fn new() -> Option<Self> {
        let library = LIBRARIES.into_iter().find(|path| Path::new(path).exists())?;
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Self { file: dir.path().join("offset"), library, _dir: dir };
        clock.step_to(0);
        Some(clock)
    }

    /// Gateways started from now on have this clock.
    pub(crate) fn on(&self, builder: Builder) -> Builder {
        let file = self.file.to_str().expect("a path in UTF-8");
        builder
            .env("LD_PRELOAD", self.library)
            .env("FAKETIME_TIMESTAMP_FILE", file)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
            .env("FAKETIME_NO_CACHE", "1")
    }

    /// The wall clock is so many seconds ahead from now on.
    pub(crate) fn step_to(&self, seconds: i64) {
        // Renamed, so that nobody reads half of it.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}s\n")).expect("a file in the test's directory");
        std::fs::rename(&new, &self.file).expect("a file in the test's directory");
    }
}

/// Why a row without it is left out.
pub(crate) const MISSING: &str = "libfaketime is not installed (apt-get install faketime)";
