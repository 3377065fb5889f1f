//! The running gateway: opens the store, starts the engine, binds the listeners, and ends all of it politely.
//! Prints nothing and exits nothing; that is the command line's.

mod drain;
mod reload;
mod signals;

pub use reload::Reloader;
pub(crate) use reload::{Control, Refused};

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sms_core::{Clock, Deps, SystemClock};
use sms_engine::{Engine, Entropy, Parts, ReceiptQueue, SystemEntropy};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Loaded, Mode};
use crate::http::{Bounds, Envelope, IN_FLIGHT_MAX, Listener};
use crate::logs::LogHandle;
use crate::ops::{self, Ops};
use crate::providers::{Inbox, Providers};
use crate::surface::{self, Front};
use crate::telemetry::{self, Metrics};
use crate::webhooks::Webhooks;
use crate::wiring::{self, Opened, Unwired, Wired, open_store};

/// What a server is started with.
pub struct Settings {
    /// The checked configuration.
    pub loaded: Loaded,
    /// How it will be used.
    pub mode: Mode,
    /// Reads the configuration again; without it, reloads are refused.
    pub reloader: Option<Reloader>,
    /// Where the level of the log can be changed.
    pub log: Option<LogHandle>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("mode", &self.mode).field("hash", &self.loaded.hash).finish_non_exhaustive()
    }
}

/// Why a server did not start; nothing of it runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{key} = \"{address}\" cannot be listened on: {source}")]
    Bind {
        /// The configuration's key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The configuration cannot be used after all.
    #[error(transparent)]
    Config(#[from] Unwired),
    /// Metrics or TLS could not be set up.
    #[error("{0}")]
    Setup(String),
    /// The store cannot be opened; says what to do.
    #[error("the store cannot be opened: {0}")]
    Store(String),
}

impl StartError {
    fn setup(error: impl std::fmt::Display) -> Self {
        Self::Setup(error.to_string())
    }

    fn store(error: impl std::fmt::Display) -> Self {
        Self::Store(error.to_string())
    }
}

/// A running gateway.
pub struct Server {
    engine: Arc<Engine>,
    inbox: Inbox,
    control: Arc<Control>,
    public_addr: SocketAddr,
    ops_addr: SocketAddr,
    stages: Stages,
}

/// What is stopped one after the other.
#[derive(Default)]
struct Stages {
    /// Not ready, accept nothing new on the public listener, finish what is in work.
    drain: CancellationToken,
    /// Stop the ops listener and everything else.
    end: CancellationToken,
    /// Connections of the public listener.
    callers: TaskTracker,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("public", &self.public_addr).field("ops", &self.ops_addr).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens everything; when it returns, requests are answered.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let Settings { loaded, mode, reloader, log } = settings;
        let providers = Providers::new().map_err(StartError::setup)?;
        let metrics = Metrics::install().map_err(StartError::Setup)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
        let (receipts, outlet) = ReceiptQueue::new();
        let deps = Deps { receipts, callback_base: wiring::callback_base(&loaded.config), clock: Arc::clone(&clock) };
        let Wired { plan, live, network, keeping } = wiring::wire(loaded.config.clone(), mode, &providers, &deps)?;
        let public = bind("server.listen", network.listen)?;
        let ops = bind("server.ops", network.ops)?;
        let webhooks = Arc::new(Webhooks::new().map_err(StartError::Setup)?);
        let purge = keeping.policy;
        let Opened { store, what, node } = open_store(keeping, Arc::clone(&clock)).await.map_err(StartError::Store)?;
        tracing::info!(store.kind = what, node.name = node, "messages are kept in {what}");
        let parts = Parts {
            plan,
            store,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            webhooks,
            receipts: outlet,
            purge,
        };
        let engine = Engine::start(parts).await.map_err(StartError::store)?;

        let stages = Stages::default();
        let live = Arc::new(ArcSwap::from_pointee(live));
        let bounds = Bounds::new(network.connections_max, network.header_timeout);
        let inbox = providers.inbox().clone();
        telemetry::reloaded(clock.now());
        let control = Arc::new(Control::new(reload::Parts {
            bounds: Arc::clone(&bounds),
            config: loaded.config,
            deps,
            drain: network.drain,
            engine: Arc::clone(&engine),
            live: Arc::clone(&live),
            log,
            mode,
            providers,
            reloader,
        }));
        let front = Arc::new(Front::new(Arc::clone(&engine), live, Arc::clone(&clock)));
        let desk = Ops::new(ops::Parts {
            control: Arc::clone(&control),
            draining: stages.drain.clone(),
            front: Arc::clone(&front),
            inbox: inbox.clone(),
            metrics: metrics.clone(),
            mode,
            store: what,
        });
        let (public_addr, ops_addr) = (address(&public)?, address(&ops)?);
        let envelope = |name| Envelope::new(name, Arc::clone(&clock), Arc::clone(&entropy), IN_FLIGHT_MAX);
        let public_router = surface::router(front).layer(envelope("public"));
        let ops_router = ops::router(Arc::new(desk)).layer(envelope("ops"));
        let ops_bounds = Bounds::new(OPS_CONNECTIONS_MAX, network.header_timeout);
        let public = Listener::new(public, public_router, bounds, stages.drain.clone(), stages.callers.clone());
        let ops = Listener::new(ops, ops_router, ops_bounds, stages.end.clone(), TaskTracker::new());
        stages.callers.spawn(public.run()); // whom it lets in last is a caller too
        tokio::spawn(ops.run());
        tokio::spawn(upkeep(metrics, stages.end.clone()));
        tracing::info!(
            listen = %public_addr, ops = %ops_addr, config.hash = loaded.hash,
            "ready: {public_addr} (public), {ops_addr} (ops)"
        );
        Ok(Self { engine, inbox, control, public_addr, ops_addr, stages })
    }

    /// Where the public listener listens.
    pub fn public_addr(&self) -> SocketAddr {
        self.public_addr
    }

    /// Where the ops listener listens.
    pub fn ops_addr(&self) -> SocketAddr {
        self.ops_addr
    }

    /// What the mock's handsets received.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// The engine behind the surfaces.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Serves until SIGTERM or SIGINT, reloading on SIGHUP; then drains within `server.drain`. A second SIGTERM or
    /// SIGINT ends the draining at once.
    ///
    /// # Errors
    /// The system does not let us listen for signals.
    pub async fn run(self) -> io::Result<()> {
        let mut signals = signals::Signals::listen()?;
        signals::tell(&[sd_notify::NotifyState::Ready]);
        while signals.next().await == signals::Wish::Reload {
            signals::tell_reloading();
            // What was wrong is in the log; whoever asked by signal reads it there.
            drop(self.control.reload().await);
            signals::tell(&[sd_notify::NotifyState::Ready]);
        }
        signals::tell(&[sd_notify::NotifyState::Stopping]);
        tokio::select! {
            () = self.shutdown() => {}
            () = signals.stop_again() => tracing::warn!("told to stop again: what is in flight is cut off"),
        }
        Ok(())
    }
}

/// The ops listener serves people and scrapers, and must be reachable when the public one is full.
const OPS_CONNECTIONS_MAX: usize = 256;

/// Connections that the kernel holds for us while we are busy.
const BACKLOG: u32 = 4_096;

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?; // a restart must not wait for old connections to be forgotten
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| StartError::Bind { key, address, source })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::Setup(error.to_string()))
}

async fn upkeep(metrics: Metrics, end: CancellationToken) {
    let mut tick = tokio::time::interval(telemetry::UPKEEP);
    loop {
        tokio::select! {
            _ = tick.tick() => metrics.upkeep(),
            () = end.cancelled() => return,
        }
    }
}
