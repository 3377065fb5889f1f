//! What nodes that share a store owe each other: a dead one's attempts are taken over, each uses its share of a provider,
//! and what each remembers of all is read again. On a store of one process there is nothing to do.

use std::sync::Arc;
use std::time::Duration;

use sms_core::StoreError;
use sms_core::store::{Entry, What};
use tokio::time::Instant;

use crate::dispatch::resume;
use crate::notify;
use crate::plan::Provider;
use crate::shared::{Core, Running};
use crate::waiters::Decision;

/// How often dead nodes are looked after.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often what other nodes may have changed is read again.
const READ_EVERY: Duration = Duration::from_secs(5);

/// How long a caller waits before its message is looked at in the store, and how often then.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Messages looked at in one go.
const WAITING_MAX: usize = 64;

/// One node's share of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Attempts at a time; at least one, so more nodes than attempts are more attempts.
    pub(crate) concurrency: usize,
    /// Between two attempts.
    pub(crate) interval: Option<Duration>,
}

impl Share {
    /// What each of so many nodes may use.
    pub(crate) fn of(provider: &Provider, nodes: usize) -> Self {
        share(provider.concurrency, provider.interval, nodes)
    }
}

fn share(concurrency: usize, interval: Option<Duration>, nodes: usize) -> Share {
    let nodes = nodes.max(1);
    let times = u32::try_from(nodes).unwrap_or(u32::MAX);
    let interval = interval.map(|interval| interval.saturating_mul(times));
    Share { concurrency: (concurrency / nodes).max(1), interval }
}

/// Does a node's duties until the engine stops.
pub(crate) async fn run(core: Arc<Core>) {
    let (mut shared, mut read) = (false, Instant::now());
    loop {
        tokio::select! {
            biased; // chance would make a simulated seed go another way
            () = core.stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let nodes = core.store.nodes();
        divide(&core.running.load(), nodes);
        if let Err(error) = take_over(&core).await {
            tracing::error!(error.kind = "store", "what dead nodes left could not be looked for: {error}");
        }
        shared |= nodes > 1;
        if shared && let Err(error) = tell_waiting(&core).await {
            tracing::error!(error.kind = "store", "messages that callers wait for could not be looked at: {error}");
        }
        if shared && read.elapsed() >= READ_EVERY {
            read = Instant::now();
            if let Err(error) = read_again(&core).await {
                tracing::error!(error.kind = "store", "what other nodes changed could not be read: {error}");
            }
        }
    }
}

/// Each node gets its share of every provider; says nothing new where the number of nodes is the same.
fn divide(running: &Running, nodes: usize) {
    for (name, provider) in &running.plan.providers {
        if let Some(lane) = running.lanes.get(name) {
            lane.reconfigure(Share::of(provider, nodes));
        }
    }
}

async fn take_over(core: &Arc<Core>) -> Result<(), StoreError> {
    let adopted = resume(core, core.store.adopt(core.clock.now()).await?);
    if adopted > 0 {
        tracing::warn!(
            count = adopted,
            "{adopted} attempts were interrupted by the death of another node; their outcome is unknown"
        );
    }
    Ok(())
}

/// A message that waited may have gone out through another node, which does not know that a caller here waits for it.
async fn tell_waiting(core: &Core) -> Result<(), StoreError> {
    for id in core.waiters.not_looked_at_for(WAIT_MAX, WAITING_MAX) {
        if let Some(record) = core.store.get(None, id).await?
            && !record.status.may_attempt()
        {
            let outcome = |entry: &Entry| if let What::Outcome(last) = &entry.what { Some(last.kind) } else { None };
            let kind = record.history.iter().rev().find_map(outcome).flatten();
            core.waiters.decide(id, || Decision { status: record.status, provider: record.provider, kind });
        }
    }
    Ok(())
}

/// Messages are settled by other nodes than the one that accepted them, and endpoints disabled through any.
async fn read_again(core: &Core) -> Result<(), StoreError> {
    let left = core.store.counts(core.clock.now()).await?;
    core.load.count_again(left.queued + left.sending);
    core.endpoints.replace(core.store.endpoints().await?);
    notify::show_endpoints(core, &core.running.load().plan);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_share_a_provider_evenly() {
        let every_5ms = Some(Duration::from_millis(5));
        let share = |nodes| share(100, every_5ms, nodes);
        assert_eq!(share(1), Share { concurrency: 100, interval: every_5ms });
        assert_eq!(share(3), Share { concurrency: 33, interval: Some(Duration::from_millis(15)) });
        assert_eq!(share(1_000).concurrency, 1, "nobody is left without");
        assert_eq!(share(0), share(1));
    }
}
