//! Natural batching: whatever waits when a place is free goes together. Nobody waits for others to come.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sms_core::MessageId;
use sms_core::store::StoreError;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::Shared;
use super::error::away;
use crate::tables::{Failure, Scope};

/// What is done in batches.
pub(super) trait Operation: Send + 'static {
    type Item: Clone + Send + Sync + 'static;
    type Answer: Send + 'static;

    /// Does all of it in one commit; answers in order.
    fn run(
        shared: &Arc<Shared>,
        items: Vec<Self::Item>,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Failure>> + Send;

    /// The attempt that an answer hands out.
    fn opens(item: &Self::Item, answer: &Self::Answer) -> Option<(MessageId, u16)>;
}

/// Where an operation's callers wait for their batch.
#[derive(Debug)]
pub(super) struct Batcher<O: Operation> {
    queue: mpsc::Sender<Call<O>>,
}

#[derive(Debug)]
struct Call<O: Operation> {
    items: Vec<O::Item>,
    answer: oneshot::Sender<Result<Handed<Vec<O::Answer>>, StoreError>>,
}

/// An answer on its way. If nobody takes it, the attempts that it hands out are released: nothing of them was sent.
#[derive(Debug)]
pub(super) struct Handed<R> {
    value: Option<R>,
    attempts: Vec<(MessageId, u16)>,
    shared: Arc<Shared>,
}

impl<R> Handed<R> {
    pub(super) fn new(shared: &Arc<Shared>, value: R, attempts: Vec<(MessageId, u16)>) -> Self {
        Self { value: Some(value), attempts, shared: Arc::clone(shared) }
    }

    pub(super) fn take(mut self) -> Result<R, StoreError> {
        self.attempts.clear();
        self.value.take().ok_or_else(|| away("no answer").error)
    }
}

impl<R> Drop for Handed<R> {
    fn drop(&mut self) {
        if !self.attempts.is_empty() {
            self.shared.mend.release(std::mem::take(&mut self.attempts));
        }
    }
}

impl<O: Operation> Batcher<O> {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let (queue, calls) = mpsc::channel(WAITING_MAX);
        tokio::spawn(collect::<O>(Arc::clone(shared), calls));
        Self { queue }
    }

    /// Does `items` with whatever else waits.
    pub(super) async fn call(&self, items: Vec<O::Item>) -> Result<Vec<O::Answer>, StoreError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Call { items, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Closed(_) => away("the store is closed").error,
            mpsc::error::TrySendError::Full(_) => away("too many operations wait already").error,
        })?;
        answered.await.map_err(|_| away("the store is closed").error)??.take()
    }
}

/// A batch starts when the one before it has ended: more of them at once would be smaller ones, which cost this node and
/// the server more for each message. One that takes long, for a lock or a slow disk, does not hold the next one up.
async fn collect<O: Operation>(shared: Arc<Shared>, mut calls: mpsc::Receiver<Call<O>>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Some(first) = calls.recv().await else { return };
        tokio::task::yield_now().await; // whoever is about to ask comes along
        let (mut batch, mut count) = (vec![first], 0);
        while count < BATCH_MAX {
            let Ok(next) = calls.try_recv() else { break };
            count += next.items.len();
            batch.push(next);
        }
        let shared = Arc::clone(&shared);
        let running = tokio::spawn(async move {
            run(&shared, batch).await;
            drop(place);
        });
        drop(tokio::time::timeout(PATIENCE, running).await);
    }
}

/// Where a row of one call is refused, the others do not suffer for it.
async fn run<O: Operation>(shared: &Arc<Shared>, batch: Vec<Call<O>>) {
    let all = O::run(shared, batch.iter().flat_map(|call| call.items.iter().cloned()).collect()).await;
    match all {
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for call in batch {
                let own: Vec<_> = answers.by_ref().take(call.items.len()).collect();
                call.tell(shared, Ok(own));
            }
        }
        Err(failure) if failure.scope == Scope::Operation && batch.len() > 1 => {
            for call in batch {
                let own = O::run(shared, call.items.clone()).await;
                call.tell(shared, own);
            }
        }
        Err(failure) => batch.into_iter().for_each(|call| call.tell(shared, Err(failure.clone()))),
    }
}

impl<O: Operation> Call<O> {
    fn tell(self, shared: &Arc<Shared>, answers: Result<Vec<O::Answer>, Failure>) {
        let Self { items, answer } = self;
        let handed = answers.map_err(|failure| failure.error).map(|answers| {
            let attempts = items.iter().zip(&answers).filter_map(|(item, answer)| O::opens(item, answer)).collect();
            Handed::new(shared, answers, attempts)
        });
        drop(answer.send(handed)); // a caller that went away: the attempts are released
    }
}

/// Batches of one operation at the same time, where they take long.
const AT_ONCE: usize = 3;

/// How long a batch has the server to itself.
const PATIENCE: Duration = Duration::from_millis(10);

const BATCH_MAX: usize = 256;

/// Calls of one operation that may wait.
const WAITING_MAX: usize = 16_384;
