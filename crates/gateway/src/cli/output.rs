//! The only module of the command line that prints: data on standard output, notes on standard error.

use std::io::{self, ErrorKind, Write as _};

use clap::ValueEnum;
use serde_json::Value;

use super::failure::{Exit, Failure};

/// Form of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Stable, for programs.
    Json,
    /// For people.
    Text,
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// The result, in the form that was asked for.
    ///
    /// # Errors
    /// When it cannot be written: a key that is lost must not look like success.
    pub(crate) fn result(self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) -> Result<(), Failure> {
        match self.format {
            Format::Json => data(&format!("{:#}", json())),
            Format::Text => data(&text()),
        }
    }
}

/// Data as it is; ends with a line end.
///
/// # Errors
/// As for [`Output::result`].
pub(crate) fn data(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot write the result: {error}"))),
    }
}

/// A remark for people.
pub(crate) fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{}", text.trim_end())); // nobody is left to tell
}

/// Why a command failed.
pub(crate) fn failure(failure: &Failure) {
    if let Some(message) = &failure.message {
        note(message);
    }
}
