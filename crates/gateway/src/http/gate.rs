//! How many connections may be open. Further ones wait in the kernel's queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts connections of one listener; its bound can change while it is used.
#[derive(Debug)]
pub(crate) struct Gate {
    open: AtomicUsize,
    max: AtomicUsize,
    freed: Notify,
}

impl Gate {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), max: AtomicUsize::new(max), freed: Notify::new() })
    }

    /// Takes effect for connections to come.
    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
        self.freed.notify_one();
    }

    /// So full that idle connections should make room.
    pub(crate) fn is_crowded(&self) -> bool {
        self.open.load(Ordering::Relaxed) * 4 >= self.max.load(Ordering::Relaxed) * 3
    }

    /// A place if there is one right now. Only the listener calls this.
    pub(crate) fn try_enter(self: &Arc<Self>) -> Option<Entered> {
        let free = self.open.load(Ordering::Acquire) < self.max.load(Ordering::Relaxed);
        free.then(|| {
            self.open.fetch_add(1, Ordering::AcqRel);
            Entered(Arc::clone(self))
        })
    }

    /// Waits for a place. Only the listener's one accept loop calls this.
    pub(crate) async fn enter(self: &Arc<Self>) -> Entered {
        loop {
            if let Some(entered) = self.try_enter() {
                return entered;
            }
            self.freed.notified().await; // a place freed before this line left a permit behind
        }
    }
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Entered(Arc<Gate>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn the_next_connection_waits_for_a_place() {
        let gate = Gate::new(2);
        let (first, _second) = (gate.enter().await, gate.enter().await);
        assert!(gate.is_crowded());
        assert!(timeout(Duration::from_secs(1), gate.enter()).await.is_err());
        drop(first);
        assert!(timeout(Duration::from_secs(1), gate.enter()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_higher_bound_lets_waiting_ones_in() {
        let gate = Gate::new(0);
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await }
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!waiting.is_finished());
        gate.set_max(1);
        assert!(waiting.await.is_ok());
    }
}
