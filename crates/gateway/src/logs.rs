//! The log: JSON lines on standard error, or text for people. Our own code never logs numbers, texts, codes or
//! credentials at any level; libraries do below `warn`, so they never get there, whatever level is asked for.

use std::fmt;
use std::str::FromStr as _;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Filter, Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;

use crate::config::schema::{Log, LogFormat};

/// Beginnings of targets that are ours.
const OURS: [&str; 2] = ["gateway", "sms_"];

/// Changes the level while the process runs.
#[derive(Clone)]
pub struct LogHandle(reload::Handle<Careful, Registry>);

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogHandle")
    }
}

impl LogHandle {
    /// Takes a new filter; one that cannot be read changes nothing.
    pub(crate) fn set_level(&self, level: &str) {
        if let Ok(careful) = Careful::parse(level) {
            drop(self.0.reload(careful)); // fails only when the subscriber is gone, and with it the log
        }
    }
}

/// Begins to log; call once, before anything else runs.
///
/// # Errors
/// The level cannot be read, or something else already logs.
pub fn init(log: &Log) -> Result<LogHandle, String> {
    let Log { format, level } = log;
    let (careful, handle) = reload::Layer::new(Careful::parse(level)?);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).with_filter(careful).boxed(),
        LogFormat::Text => layer.with_ansi(false).with_filter(careful).boxed(),
    };
    // Not through `try_init`: that would also collect what libraries say through `log`, where numbers are traced.
    tracing::subscriber::set_global_default(Registry::default().with(layer)).map_err(|error| error.to_string())?;
    quiet_panics();
    Ok(LogHandle(handle))
}

/// A panic's words may quote a message, so only its place is told.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic.place = place, "panic at {place}");
    }));
}

/// What the operator asked for, but never more than warnings of libraries.
#[derive(Clone, Debug)]
struct Careful(Targets);

impl Careful {
    fn parse(level: &str) -> Result<Self, String> {
        // A word alone would be read as the name of a target, and everything else fall silent.
        let bare = level.split(',').map(str::trim).filter(|part| !part.contains('='));
        if let Some(word) = bare.filter(|part| !part.is_empty()).find(|part| LevelFilter::from_str(part).is_err()) {
            return Err(format!("log.level: `{word}` is no level; write off, error, warn, info, debug or trace"));
        }
        Targets::from_str(level).map(Self).map_err(|error| format!("log.level: {error}"))
    }

    fn wants(&self, target: &str, level: Level) -> bool {
        let ours = OURS.iter().any(|beginning| target.starts_with(beginning));
        (ours || level <= Level::WARN) && self.0.would_enable(target, &level)
    }
}

impl<S: Subscriber> Filter<S> for Careful {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(metadata.target(), *metadata.level())
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        if self.wants(metadata.target(), *metadata.level()) {
            tracing::subscriber::Interest::always()
        } else {
            tracing::subscriber::Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_stay_at_warnings_whatever_is_asked_for() {
        for level in ["trace", "info,hyper=trace", "hyper=trace,reqwest=debug,sms_engine=trace"] {
            let careful = Careful::parse(level).unwrap();
            for target in ["hyper::proto", "h2", "reqwest::connect", "rustls", "rlibphonenumber"] {
                assert!(!careful.wants(target, Level::INFO), "{target} at {level}");
            }
        }
        assert!(Careful::parse("info").unwrap().wants("hyper", Level::WARN));
    }

    #[test]
    fn our_own_targets_follow_the_filter() {
        let careful = Careful::parse("info,sms_engine=debug").unwrap();
        assert!(careful.wants("sms_engine::dispatch", Level::DEBUG));
        assert!(careful.wants("sms_gateway::serve", Level::INFO));
        assert!(!careful.wants("sms_gateway::serve", Level::DEBUG));
        assert!(!Careful::parse("error").unwrap().wants("sms_gateway", Level::WARN));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Careful::parse("loud").is_err_and(|error| error.starts_with("log.level")));
    }
}
