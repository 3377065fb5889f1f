//! Why a command failed, and the exit code by which scripts tell the reasons apart.

use std::process::ExitCode;

/// A failed command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// For people; `None` when what was printed already says it.
    pub(crate) message: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: Some(message.into()) }
    }

    /// What was printed already says why.
    pub(crate) fn told(exit: Exit) -> Self {
        Self { exit, message: None }
    }
}

/// The exit codes; part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The configuration has faults.
    BadConfig = 78,
    /// Refused, or not done.
    Failed = 1,
    /// The key or token does not permit it.
    NotPermitted = 77,
    /// What was waited for did not come.
    TimedOut = 75,
    /// No gateway answers.
    Unreachable = 69,
    /// The words on the command line make no sense.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
