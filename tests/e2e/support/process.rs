//! A running program of ours: what it prints, its signals, its end.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::poll::eventually;

/// A signal by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Reload.
    Hup,
    /// Go on after [`Signal::Stop`].
    Cont,
    /// End at once, with all one's processes.
    Quit,
    /// Stand still.
    Stop,
    /// End politely.
    Term,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Cont => "CONT",
            Self::Hup => "HUP",
            Self::Quit => "QUIT",
            Self::Stop => "STOP",
            Self::Term => "TERM",
        }
    }
}

/// One process; killed when dropped. Its output is appended to files, so that it survives restarts.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command` with its output going to `stdout.log` and `stderr.log` of `dir`.
    pub fn start(mut command: Command, dir: &Path) -> Self {
        let (stdout, stderr) = (dir.join("stdout.log"), dir.join("stderr.log"));
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path).expect("a file in the test's directory");
            Stdio::from(file)
        };
        command.stdin(Stdio::null()).stdout(open(&stdout)).stderr(open(&stderr));
        let child = command.spawn().expect("the program starts");
        Self { child, stdout, stderr }
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything on standard output so far, that of earlier processes in the same directory included.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// The same of standard error.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let mut kill = Command::new("/bin/sh");
        let sent = kill.arg("-c").arg(format!("kill -{} {}", signal.name(), self.pid())).status();
        assert!(sent.expect("a shell").success(), "{signal:?} to {}", self.pid());
    }

    /// Ends it at once (SIGKILL) and waits for its end.
    pub fn kill9(&mut self) {
        self.child.kill().expect("a process of ours");
        self.child.wait().expect("a process of ours");
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a process of ours")
    }

    /// Waits for its end.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        eventually("the process ends", limit, async || self.ended()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill()); // it may have ended before
        drop(self.child.wait()); // likewise
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
