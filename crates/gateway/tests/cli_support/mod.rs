//! The real binary, run as people run it: in a directory of its own and with nothing of this machine's environment.
#![expect(clippy::unwrap_used, reason = "a test that cannot run its program has nothing to go on with")]
#![allow(dead_code, reason = "each test program uses its own part")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// `gateway WORDS…` in `dir`.
pub(crate) fn gateway(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    let path = std::env::vars_os().filter(|(name, _)| name == "PATH");
    command.args(words).current_dir(dir).env_clear().envs(path).stdin(Stdio::null());
    command
}

/// What a finished command left.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Runs to the end.
pub(crate) fn run(dir: &Path, words: &[&str]) -> Ran {
    gateway(dir, words).output().unwrap().into()
}

/// A running `gateway dev` on free ports.
pub(crate) struct Dev {
    child: Child,
    /// What it printed until it was ready.
    pub(crate) lines: Vec<String>,
    pub(crate) dir: TempDir,
}

impl Dev {
    pub(crate) fn start() -> Self {
        Self::start_in(TempDir::new().unwrap())
    }

    pub(crate) fn start_in(dir: TempDir) -> Self {
        let mut command = gateway(dir.path(), &["dev", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"]);
        // From here on its end is looked after.
        let mut dev = Self { child: command.stdout(Stdio::piped()).spawn().unwrap(), lines: Vec::new(), dir };
        for line in BufReader::new(dev.child.stdout.take().unwrap()).lines() {
            dev.lines.push(line.unwrap());
            if dev.curls().len() == 2 {
                return dev;
            }
        }
        panic!("gateway dev ended before it was ready: {:?}", dev.lines);
    }

    /// `gateway WORDS…` where it runs, so that `.gateway/dev.env` is found.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        run(self.dir.path(), words)
    }

    /// The two lines to try it with.
    pub(crate) fn curls(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line.trim()).filter(|line| line.starts_with("curl ")).collect()
    }

    pub(crate) fn env(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.dir.path().join(".gateway/dev.env")).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap();
        value.to_owned()
    }

    /// Ends it as a service manager would; says how it ended, and gives the directory back.
    pub(crate) fn stop(mut self) -> (Option<i32>, TempDir) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        (code, std::mem::replace(&mut self.dir, TempDir::new().unwrap()))
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        drop(self.child.kill()); // it may have ended already
        drop(self.child.wait());
    }
}

/// Whether a program that the test cannot do without is missing: then the test says so and passes, but not where
/// everything must be tested (`tests/run`).
pub(crate) fn is_missing(program: &str) -> bool {
    let missing = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err();
    let strict = std::env::vars_os().any(|(name, _)| name == "GATEWAY_TESTS_STRICT");
    assert!(!(missing && strict), "{program} is missing");
    if missing {
        eprintln!("SKIPPED: {program} is missing");
    }
    missing
}
