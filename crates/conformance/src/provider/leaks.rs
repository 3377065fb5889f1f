//! Watches everything that a provider shows: errors, `Debug`, and every log line of this thread at trace
//! level, the `log` crate's included.

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use sms_core::SendError;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::samples::CODE;
use crate::upstream::Behaviour;

pub(super) struct Leaks {
    canaries: Vec<(&'static str, String)>,
    found: Option<String>,
    log: Log,
    _watching: DefaultGuard,
}

impl Leaks {
    pub(super) fn watch(credential: Option<String>) -> Self {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone())
            .finish();
        let number = super::recipient().expose_digits();
        let mut canaries =
            vec![("the recipient", number), ("the code", CODE.to_owned()), ("the text", "Your code".to_owned())];
        canaries.extend(credential.map(|credential| ("the credential", credential)));
        Self { canaries, found: None, log, _watching: subscriber.set_default() }
    }

    pub(super) fn see(&mut self, behaviour: Behaviour, shown: &str) {
        for (name, canary) in &self.canaries {
            if shown.contains(canary.as_str()) && self.found.is_none() {
                self.found = Some(format!("{behaviour:?}: {name} is shown"));
            }
        }
    }

    pub(super) fn see_error(&mut self, behaviour: Behaviour, error: &SendError) {
        let mut shown = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(cause) = source {
            shown = format!("{shown} {cause} {cause:?}");
            source = cause.source();
        }
        self.see(behaviour, &shown);
    }

    /// The first leak, in what was shown or in what was logged.
    pub(super) fn found(&self) -> Option<String> {
        let logged = self.log.text();
        let in_log = |(name, canary): &(&str, String)| {
            let line = logged.lines().find(|line| line.contains(canary.as_str()))?;
            let target = line.split_whitespace().nth(2).unwrap_or_default();
            Some(format!("{name} is logged by {target}"))
        };
        self.found.clone().or_else(|| self.canaries.iter().find_map(in_log))
    }
}

/// A writer that keeps what is written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
