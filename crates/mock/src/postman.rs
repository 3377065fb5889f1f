//! Brings receipts when they are due. One task, which exists only while something is under way and ends
//! with its owner; never more than a bounded number of receipts wait.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sms_core::{Clock, ProviderName, Receipt, ReceiptSink};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// Owns the task; dropping it ends the task.
pub(crate) struct Postman {
    route: Arc<Route>,
}

struct Route {
    clock: Arc<dyn Clock>,
    earlier: Notify,
    provider: ProviderName,
    sink: Arc<dyn ReceiptSink>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    due: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    task: Option<AbortHandle>,
}

/// Ordered by time, then by the order in which they were handed in.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    sequence: u64,
    receipts: Letter,
}

/// Receipts have no order of their own.
struct Letter(Vec<Receipt>);

impl Postman {
    pub(crate) fn new(provider: ProviderName, sink: Arc<dyn ReceiptSink>, clock: Arc<dyn Clock>) -> Self {
        let route = Route { clock, earlier: Notify::new(), provider, sink, state: Mutex::default() };
        Self { route: Arc::new(route) }
    }

    /// Delivers now, in the caller's task.
    pub(crate) async fn deliver(&self, receipts: Vec<Receipt>) {
        self.route.deliver(receipts).await;
    }

    /// Delivers at `at`; needs a runtime. Dropped when too many wait or after [`Postman::close`].
    pub(crate) fn post(&self, at: Instant, receipts: Vec<Receipt>) {
        let mut state = self.route.state();
        if state.closed || state.due.len() >= WAITING_MAX {
            return;
        }
        state.sequence += 1;
        let sequence = state.sequence;
        state.due.push(Reverse(Due { at, sequence, receipts: Letter(receipts) }));
        if state.task.is_none() {
            let route = Arc::clone(&self.route);
            state.task = Some(tokio::spawn(async move { route.walk().await }).abort_handle());
        } else {
            self.route.earlier.notify_one();
        }
    }

    /// Ends the task; what waits is lost, as with a network that goes away.
    pub(crate) fn close(&self) {
        let mut state = self.route.state();
        state.closed = true;
        state.due.clear();
        if let Some(task) = state.task.take() {
            task.abort();
        }
    }
}

impl Drop for Postman {
    fn drop(&mut self) {
        self.close();
    }
}

impl Route {
    /// Until nothing waits.
    async fn walk(&self) {
        loop {
            let Some(next) = self.next_at() else { return };
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.earlier.notified() => continue,
            }
            let receipts = self.due_by(Instant::now());
            if !receipts.is_empty() {
                self.deliver(receipts).await;
            }
        }
    }

    /// `None` says goodbye: the next post starts a new task.
    fn next_at(&self) -> Option<Instant> {
        let mut state = self.state();
        let next = state.due.peek().map(|Reverse(due)| due.at);
        if next.is_none() {
            state.task = None;
        }
        next
    }

    fn due_by(&self, now: Instant) -> Vec<Receipt> {
        let mut state = self.state();
        let mut receipts = Vec::new();
        while state.due.peek().is_some_and(|Reverse(due)| due.at <= now) && receipts.len() < BATCH_MAX {
            receipts.extend(state.due.pop().into_iter().flat_map(|Reverse(due)| due.receipts.0));
        }
        receipts
    }

    async fn deliver(&self, mut receipts: Vec<Receipt>) {
        let now = self.clock.now();
        for receipt in &mut receipts {
            receipt.at = Some(now);
        }
        self.sink.push(&self.provider, receipts).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Letter {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Letter {}

impl PartialOrd for Letter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Letter {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl fmt::Debug for Postman {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postman({} waiting)", self.route.state().due.len())
    }
}

const BATCH_MAX: usize = 256;
const WAITING_MAX: usize = 100_000;
