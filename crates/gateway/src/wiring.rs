//! From a configuration to what runs: takes every table apart, field by field, so that a new key that nobody wired does
//! not compile. Does no I/O but reading the configuration; opens no store and no socket.

mod faults;
mod limits;
mod routes;
mod store;
mod templates;
mod tenants;

pub use faults::Unwired;
pub use store::Keeping;
pub(crate) use store::{Opened, open as open_store};

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sms_core::{Deps, ProviderName, Receipt, ReceiptSink, SmsProvider, SystemClock, TenantId};
use sms_engine::plan::{self, Plan};

use crate::config::schema::{self, Config};
use crate::config::{self, Hooks, Loaded, Mode, Report, Sources};
use crate::providers::{KINDS, Providers};
use crate::surface::Live;

/// Reads and checks a configuration with everything this build knows about providers and templates.
///
/// # Errors
/// All faults at once.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, Report> {
    let deps = idle_deps();
    let providers = Providers::new();
    // Without TLS no instance can be tried out; the start of a server says why.
    let faults = |name: &str, provider: &schema::Provider| match &providers {
        Ok(providers) => providers.build(name, provider, &deps).err().unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let hooks = Hooks { kinds: &KINDS, provider: &faults, templates: &templates::findings };
    config::load(sources, &hooks)
}

/// The plan of a configuration, for questions that send nothing (`routes explain`).
///
/// # Errors
/// What cannot be wired; [`load`] has told of it before, with places.
pub fn plan(loaded: &Loaded) -> Result<Plan, Unwired> {
    Ok(wire(loaded.config.clone(), Mode::Serve, &Providers::new().map_err(Unwired::new)?, &idle_deps())?.plan)
}

/// The configured providers, for asking them whether they would serve us (`check`); they must not be sent with.
///
/// # Errors
/// As for [`plan()`].
pub fn providers(loaded: &Loaded) -> Result<Vec<Arc<dyn SmsProvider>>, Unwired> {
    let plan = plan(loaded)?;
    Ok(plan.providers.values().map(|provider| Arc::clone(&provider.instance)).collect())
}

/// Where a configuration keeps messages, for commands that work on the store itself.
pub fn keeping(loaded: &Loaded) -> Keeping {
    Keeping::of(loaded.config.store.clone())
}

/// A configuration, wired.
#[derive(Debug)]
pub(crate) struct Wired {
    pub(crate) plan: Plan,
    pub(crate) live: Live,
    pub(crate) network: Network,
    pub(crate) keeping: Keeping,
}

/// Listeners and their bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) listen: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) connections_max: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) drain: Duration,
}

/// Wires a configuration; `deps` are what providers are built with.
pub(crate) fn wire(config: Config, mode: Mode, providers: &Providers, deps: &Deps) -> Result<Wired, Unwired> {
    let Config { countries, guard, limits, log: _, providers: instances, routes, server, store, templates, tenants } =
        config;
    // Checked by the configuration; no stage of this version acts on it.
    let schema::Guard { mode: _ } = guard;
    let schema::Server {
        body_max,
        drain,
        header_timeout,
        listen,
        max_connections,
        max_waiting,
        ops,
        ops_token,
        public_url: _,
    } = server;
    let keys = tenants::keys(&tenants);
    let (tenants, passwordless) = tenants::wire(tenants)?;
    let plan = Plan {
        tenants,
        keys,
        providers: instances_of(&instances, providers, deps)?,
        rules: routes.into_iter().map(routes::rule).collect(),
        limits: limits.into_iter().map(limits::limit).collect(),
        countries: limits::countries(countries),
        templates: templates::compile(&templates)?,
        unsettled_max: usize::try_from(max_waiting).unwrap_or(usize::MAX),
        test_numbers_unlimited: mode == Mode::Dev,
    };
    let body_bytes_max = usize::try_from(body_max.as_bytes()).unwrap_or(usize::MAX);
    let network = Network {
        listen,
        ops,
        connections_max: usize::try_from(max_connections).unwrap_or(usize::MAX),
        header_timeout: header_timeout.as_duration(),
        drain: drain.as_duration(),
    };
    Ok(Wired { plan, live: Live { body_bytes_max, ops_token, passwordless }, network, keeping: Keeping::of(store) })
}

/// What providers are told about the way back to us.
pub(crate) fn callback_base(config: &Config) -> Option<String> {
    config.server.public_url.as_ref().map(|url| url.as_str().to_owned())
}

fn instances_of(
    instances: &BTreeMap<String, schema::Provider>,
    providers: &Providers,
    deps: &Deps,
) -> Result<BTreeMap<ProviderName, Arc<plan::Provider>>, Unwired> {
    let mut wired = BTreeMap::new();
    for (name, provider) in instances {
        let instance = providers.build(name, provider, deps).map_err(Unwired::from_faults)?;
        // The kind chose the factory above.
        let schema::Common { concurrency, kind: _, tenants, throughput, timeout } = &provider.common;
        let provider = plan::Provider {
            instance,
            timeout: timeout.as_duration(),
            interval: throughput.map(sms_core::options::Rate::interval),
            concurrency: usize::try_from(*concurrency).unwrap_or(usize::MAX),
            tenants: tenants.as_ref().map(|names| names.iter().map(|name| TenantId::new(name.as_str())).collect()),
        };
        wired.insert(ProviderName::new(name.as_str()), Arc::new(provider));
    }
    Ok(wired)
}

/// For instances that are built only to see whether they can be.
fn idle_deps() -> Deps {
    Deps { receipts: Arc::new(Nowhere), callback_base: None, clock: Arc::new(SystemClock::start()) }
}

/// Nothing is sent, so no receipt comes.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl ReceiptSink for Nowhere {
    async fn push(&self, _provider: &ProviderName, _receipts: Vec<Receipt>) {}
}

/// Keys and whose they are.
type Keys = HashMap<[u8; 32], TenantId>;

#[cfg(test)]
mod tests;
