//! What an operator sees and does: gauges, how providers are doing, keeping one from new attempts.

use std::sync::Arc;
use std::time::Duration;

use sms_core::ProviderName;

use super::Engine;
use crate::dispatch::Lane;
use crate::status::ProviderStatus;

impl Engine {
    /// Brings gauges up to date; called before a scrape.
    pub async fn refresh_gauges(&self) {
        match self.core.store.counts(self.core.clock.now()).await {
            Ok(counts) => self.core.telemetry.counts(&counts),
            Err(error) => tracing::warn!(error.kind = "store", "messages could not be counted: {error}"),
        }
        self.core.telemetry.nodes(self.core.store.nodes());
        for lane in self.core.running.load().lanes.values() {
            self.core.telemetry.lane(&lane.status());
        }
    }

    /// How every provider is doing, in alphabetical order.
    pub fn providers(&self) -> Vec<ProviderStatus> {
        let running = self.core.running.load();
        let configured = |name: &ProviderName| running.plan.providers.contains_key(name);
        let status = |lane: &Arc<Lane>| ProviderStatus { configured: configured(&lane.name), ..lane.status() };
        running.lanes.values().map(status).collect()
    }

    /// Makes no further attempts with a provider, for this long or until [`Engine::enable`]; what is on its way goes on.
    /// Held in memory: a restart enables it. `false` when there is no such provider.
    pub fn disable(&self, provider: &ProviderName, period: Option<Duration>) -> bool {
        let running = self.core.running.load();
        let Some((lane, _)) = running.provider(provider) else { return false };
        lane.disable(period);
        tracing::warn!(provider.name = %provider, "provider `{provider}` was disabled by an operator");
        true
    }

    /// Ends [`Engine::disable`]. `false` when there is no such provider.
    pub fn enable(&self, provider: &ProviderName) -> bool {
        let running = self.core.running.load();
        let Some((lane, _)) = running.provider(provider) else { return false };
        lane.enable();
        tracing::info!(provider.name = %provider, "provider `{provider}` was enabled by an operator");
        true
    }
}
