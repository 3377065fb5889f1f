//! Reloads: all or nothing. A configuration with faults changes nothing, and the last good one runs on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sms_core::Deps;
use sms_engine::Engine;
use tokio::sync::Mutex;

use crate::config::{Config, Loaded, Mode, Report};
use crate::http::Bounds;
use crate::logs::LogHandle;
use crate::providers::Providers;
use crate::surface::Live;
use crate::telemetry;
use crate::wiring::{self, Unwired, Wired};

/// Reads the configuration from its sources again.
pub type Reloader = Box<dyn Fn() -> Result<Loaded, Report> + Send + Sync>;

/// What a reload changes.
pub(super) struct Parts {
    pub(super) bounds: Arc<Bounds>,
    pub(super) config: Config,
    pub(super) deps: Deps,
    pub(super) drain: Duration,
    pub(super) engine: Arc<Engine>,
    pub(super) live: Arc<ArcSwap<Live>>,
    pub(super) log: Option<LogHandle>,
    pub(super) mode: Mode,
    pub(super) providers: Providers,
    pub(super) reloader: Option<Reloader>,
}

/// Reloads, one at a time.
pub(crate) struct Control {
    bounds: Arc<Bounds>,
    deps: Deps,
    drain: ArcSwap<Duration>,
    engine: Arc<Engine>,
    live: Arc<ArcSwap<Live>>,
    log: Option<LogHandle>,
    mode: Mode,
    providers: Providers,
    reloader: Option<Arc<Reloader>>,
    /// The running configuration.
    running: Mutex<Config>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// A new configuration runs.
#[derive(Debug)]
pub(crate) struct Reloaded {
    /// Of the new configuration.
    pub(crate) hash: String,
    /// Keys that changed and take effect with a restart only.
    pub(crate) restart: Vec<&'static str>,
    pub(crate) warnings: Report,
}

/// Why nothing was changed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The configuration has faults.
    Faults(Report),
    /// This server was started without a way to read its configuration again.
    NoSource,
    /// Good by the check, and yet not usable.
    Unwired(Unwired),
}

impl Control {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { bounds, config, deps, drain, engine, live, log, mode, providers, reloader } = parts;
        Self {
            bounds,
            deps,
            drain: ArcSwap::from_pointee(drain),
            engine,
            live,
            log,
            mode,
            providers,
            reloader: reloader.map(Arc::new),
            running: Mutex::new(config),
        }
    }

    /// How long a stop may take.
    pub(super) fn drain(&self) -> Duration {
        **self.drain.load()
    }

    /// Reads the configuration again and swaps it in, or leaves everything as it is.
    pub(crate) async fn reload(&self) -> Result<Reloaded, Refused> {
        let mut running = self.running.lock().await;
        let outcome = self.try_reload(&mut running).await;
        match &outcome {
            Ok(reloaded) => {
                telemetry::reloaded(self.deps.clock.now());
                tracing::info!(config.hash = reloaded.hash, "configuration reloaded");
                for key in &reloaded.restart {
                    tracing::warn!(config.key = key, "`{key}` changed: it takes effect with a restart only");
                }
            }
            Err(refused) => {
                telemetry::reload_failed();
                tracing::error!("reload refused, the previous configuration runs on: {refused}");
            }
        }
        outcome
    }

    async fn try_reload(&self, running: &mut Config) -> Result<Reloaded, Refused> {
        let reloader = self.reloader.clone().ok_or(Refused::NoSource)?;
        let read = tokio::task::spawn_blocking(move || reloader()).await;
        let loaded =
            read.map_err(|error| Refused::Unwired(Unwired::new(error.to_string())))?.map_err(Refused::Faults)?;
        let Loaded { config, hash, warnings, .. } = loaded;
        let deps = Deps { callback_base: wiring::callback_base(&config), ..self.deps.clone() };
        let wired = wiring::wire(config.clone(), self.mode, &self.providers, &deps).map_err(Refused::Unwired)?;
        let Wired { plan, live, network, keeping: _ } = wired; // the store stays as it is

        // From here on nothing can fail.
        self.engine.reconfigure(plan);
        self.live.store(Arc::new(live));
        self.bounds.gate.set_max(network.connections_max);
        self.bounds.set_header_timeout(network.header_timeout);
        self.drain.store(Arc::new(network.drain));
        if let Some(log) = &self.log {
            log.set_level(&config.log.level);
        }
        let restart = restart_needed(running, &config);
        *running = config;
        Ok(Reloaded { hash, restart, warnings })
    }
}

/// What only a restart changes.
fn restart_needed(old: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("log.format", old.log.format != new.log.format),
        ("server.listen", old.server.listen != new.server.listen),
        ("server.ops", old.server.ops != new.server.ops),
        ("store", old.store != new.store),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
    .collect()
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults(report) => {
                let told = report.errors.iter().map(|finding| {
                    let place =
                        finding.place.as_ref().map(|place| format!("{}:{}:{}: ", place.file, place.line, place.column));
                    format!(
                        "{}[{}] {} ({})",
                        place.unwrap_or_default(),
                        finding.code.code,
                        finding.message,
                        finding.help
                    )
                });
                f.write_str(&told.collect::<Vec<_>>().join("; "))
            }
            Self::NoSource => f.write_str("there is no file to read the configuration from"),
            Self::Unwired(unwired) => unwired.fmt(f),
        }
    }
}
