//! The one writer: a thread that merges whatever waits into one commit, which is answered once it is durable. Decides
//! nothing about messages; knows what a failed commit means.
//!
//! A transaction is filled while the disk still works on the commit before, and committed after that one is durable.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use sms_core::store::StoreError;
use sms_core::{Clock, MessageId, ProviderName, TenantId, UnixMs};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::mark::End;
use super::syncer::{Log, Syncer, Waiting};
use crate::keeper::Keeper;
use crate::tables::{Failure, Scope, Tables};

/// Hands work to the writer's thread.
#[derive(Debug)]
pub(super) struct Writer<T: Tables> {
    queue: SyncSender<Message<T>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What everybody may know without asking the writer.
#[derive(Debug, Default)]
pub(super) struct Shared {
    glance: Mutex<Glance>,
    /// Attempts whose caller went away before it learned of them.
    abandoned: Mutex<Vec<(MessageId, u16)>>,
}

/// Where things stand after the last commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Glance {
    /// The lanes with the earliest due time of each.
    pub(super) lanes: Vec<(ProviderName, UnixMs)>,
    /// When the next waiting message expires.
    pub(super) expiry: Option<UnixMs>,
    pub(super) queued: u64,
    pub(super) sending: u64,
    /// When the oldest message without an attempt was accepted.
    pub(super) oldest_queued: Option<UnixMs>,
    /// The tenants that are still to be told of something.
    pub(super) notice_tenants: Vec<TenantId>,
}

/// Rows that can also say what a glance needs and keep their file in order.
pub(super) trait Upkeep: Tables + Send + 'static {
    /// From now on a commit is visible but not durable until what this returns has synced it.
    fn take_syncing_over(&self) -> std::io::Result<impl Log + use<Self>>;

    /// Where the last commit ends, asked right after it: the log may begin anew with the next transaction.
    fn end(&self) -> std::io::Result<End>;

    fn notice_tenants(&self) -> impl Iterator<Item = &TenantId>;

    /// Runs between commits, after the answers. A failure is as grave as that of a commit.
    fn upkeep(&mut self) -> Result<(), Failure>;

    /// Runs last, unless writing has stopped: leaves the file in order.
    fn close(&mut self) -> Result<(), Failure>;
}

/// A result with the attempts that it opens: they belong to whoever reads it, or to nobody.
pub(super) struct Opened<R> {
    pub(super) value: R,
    pub(super) attempts: Vec<(MessageId, u16)>,
}

impl<R> Opened<R> {
    pub(super) fn none(value: R) -> Self {
        Self { value, attempts: Vec::new() }
    }
}

impl<T: Upkeep> Writer<T> {
    /// Starts the thread; `keeper` is dropped when it ends.
    pub(super) fn start(keeper: Keeper<T>, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let (queue, work) = sync_channel(QUEUE_MAX);
        let shared = Arc::new(Shared::default());
        shared.look(&keeper);
        let seen = Arc::clone(&shared);
        let syncer = Syncer::start(keeper.tables.take_syncing_over()?)?;
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || Loop { keeper, syncer, clock, shared: seen, broken: None }.run(&work))?;
        Ok(Self { queue, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Runs `work`, which counts as `weight` entries, in the next commit, and waits until that is durable.
    ///
    /// `work` may run twice: its first transaction may fail because of somebody else's work.
    pub(super) async fn write<R: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnMut(&mut Keeper<T>) -> Result<Opened<R>, Failure> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (answer, answered) = oneshot::channel();
        let origin = Origin { shared: Arc::clone(&self.shared), queue: self.queue.clone() };
        let task = Task { work, done: None, answer, origin };
        self.queue.try_send(Message::Work { weight, work: Box::new(task) }).map_err(|refused| match refused {
            TrySendError::Disconnected(_) => closed(),
            TrySendError::Full(_) => StoreError::Unavailable(format!("{QUEUE_MAX} operations wait already")),
        })?;
        answered.await.map_err(|_| closed())?.map(Parcel::take)
    }

    pub(super) fn glance(&self) -> MutexGuard<'_, Glance> {
        lock(&self.shared.glance)
    }

    /// Finishes what waits; later work fails.
    pub(super) async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.clone();
        // The queue may be full; only closing may wait for it.
        let sent = tokio::task::spawn_blocking(move || queue.send(Message::Close(answer))).await;
        if matches!(sent, Ok(Ok(()))) && answered.await.is_ok() {
            drop(lock(&self.thread).take().map(JoinHandle::join)); // it has just ended; a panic was reported
        }
    }
}

/// Without [`Writer::close`]: waits until the thread has released the file.
impl<T: Tables> Drop for Writer<T> {
    fn drop(&mut self) {
        let (unread, _) = oneshot::channel();
        if let Some(thread) = lock(&self.thread).take()
            && self.queue.send(Message::Close(unread)).is_ok()
        {
            drop(thread.join()); // a panic was reported by the thread
        }
    }
}

/// The thread's own state.
struct Loop<T> {
    /// Ends before the files are released, which `keeper` holds.
    syncer: Syncer,
    keeper: Keeper<T>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// Why nothing can be written until the store is opened anew.
    broken: Option<StoreError>,
}

impl<T: Upkeep> Loop<T> {
    fn run(mut self, queue: &Receiver<Message<T>>) {
        let mut batch = Vec::with_capacity(64);
        while let Ok(first) = queue.recv() {
            // Whoever is about to write gets the processor first where processors are scarce, so that it joins this
            // commit; where they are not, this returns at once. No linger: nothing waits for a time to pass.
            std::thread::yield_now();
            let mut weight = 0;
            let mut next = Some(first);
            let mut closing = None;
            while let Some(message) = next {
                match message {
                    Message::Close(answer) => {
                        closing = Some(answer);
                        break;
                    }
                    Message::Wake => {}
                    Message::Work { weight: more, work } => {
                        weight += more;
                        batch.push(work);
                    }
                }
                next = if weight < BATCH_MAX { queue.try_recv().ok() } else { None };
            }
            self.release_abandoned();
            self.commit(std::mem::take(&mut batch));
            if let Some(answer) = closing {
                let synced = self.syncer.wait();
                if self.broken.is_none()
                    && let Err(failure) = synced.and_then(|()| self.keeper.tables.close())
                {
                    self.note(&failure);
                }
                drop(self); // releases the file before the answer
                answer.send(()).ok(); // nobody has to wait for it
                return;
            }
        }
    }

    /// One transaction for the whole batch; if an entry spoils it, one for each.
    fn commit(&mut self, mut batch: Vec<Box<dyn Work<T>>>) {
        if batch.is_empty() {
            return;
        }
        match self.attempt(&mut batch) {
            Err(failure) if failure.scope == Scope::Operation && batch.len() > 1 => {
                for work in batch {
                    let mut alone = vec![work];
                    let outcome = self.attempt(&mut alone);
                    self.conclude(outcome, alone);
                }
            }
            outcome => self.conclude(outcome, batch),
        }
        self.keeper.tidy(self.clock.now());
        if self.broken.is_none()
            && let Err(failure) = self.keeper.tables.upkeep()
        {
            self.note(&failure);
        }
    }

    /// Fills a transaction, waits for the disk, commits.
    fn attempt(&mut self, batch: &mut [Box<dyn Work<T>>]) -> Result<(), Failure> {
        if let Some(error) = &self.broken {
            return Err(Failure { error: error.clone(), scope: Scope::Broken });
        }
        let syncer = &mut self.syncer;
        let done = self.keeper.transact(|keeper| {
            batch.iter_mut().try_for_each(|work| work.run(keeper))?;
            syncer.wait()
        });
        if let Err(failure) = &done {
            self.note(failure);
        }
        done
    }

    /// Answers at once what failed, and the rest when it is durable.
    fn conclude(&mut self, outcome: Result<(), Failure>, batch: Vec<Box<dyn Work<T>>>) {
        self.shared.look(&self.keeper);
        match outcome {
            Ok(()) => {
                let waiting = batch.into_iter().map(Work::waiting).collect();
                self.syncer.hand_over(self.keeper.tables.end(), waiting);
            }
            Err(failure) => batch.into_iter().for_each(|work| work.waiting().answer(Some(failure.error.clone()))),
        }
    }

    fn note(&mut self, failure: &Failure) {
        match failure.scope {
            Scope::Batch => warn!(error = %failure.error, "a commit failed: its callers are told to try again"),
            Scope::Broken => {
                error!(error = %failure.error, "the store stops writing until it is opened anew");
                self.broken = Some(failure.error.clone());
            }
            Scope::Operation => warn!(error = %failure.error, "an operation on the store failed"),
        }
    }

    fn release_abandoned(&mut self) {
        let abandoned = std::mem::take(&mut *lock(&self.shared.abandoned));
        if abandoned.is_empty() || self.broken.is_some() {
            return;
        }
        let now = self.clock.now();
        let syncer = &mut self.syncer;
        let released = self.keeper.transact(|keeper| keeper.release(&abandoned, now).and_then(|()| syncer.wait()));
        match released {
            Ok(()) => self.syncer.hand_over(self.keeper.tables.end(), Vec::new()),
            Err(failure) => {
                self.note(&failure);
                lock(&self.shared.abandoned).extend(abandoned); // the next commit tries again
            }
        }
        self.shared.look(&self.keeper);
    }
}

impl Shared {
    fn look<T: Upkeep>(&self, keeper: &Keeper<T>) {
        let (queue, mut glance) = (&keeper.queue, lock(&self.glance));
        glance.lanes.clear();
        glance.lanes.extend(queue.lanes().map(|(lane, due)| (lane.clone(), due)));
        glance.expiry = queue.next_expiry();
        (glance.queued, glance.sending, glance.oldest_queued) = queue.gauges();
        glance.notice_tenants.clear();
        glance.notice_tenants.extend(keeper.tables.notice_tenants().cloned());
    }
}

/// What the queue holds.
enum Message<T> {
    Close(oneshot::Sender<()>),
    /// Attempts were abandoned.
    Wake,
    Work {
        weight: usize,
        work: Box<dyn Work<T>>,
    },
}

impl<T> fmt::Debug for Message<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Close(_) => "Close",
            Self::Wake => "Wake",
            Self::Work { .. } => "Work",
        })
    }
}

/// An operation on its way through the writer.
trait Work<T>: Send {
    /// Inside a transaction; may be repeated in another one.
    fn run(&mut self, keeper: &mut Keeper<T>) -> Result<(), Failure>;

    /// Who waits for it, once it ran.
    fn waiting(self: Box<Self>) -> Box<dyn Waiting>;
}

struct Task<W, R, T> {
    work: W,
    done: Option<Opened<R>>,
    answer: oneshot::Sender<Result<Parcel<R, T>, StoreError>>,
    origin: Origin<T>,
}

impl<T, R, W> Work<T> for Task<W, R, T>
where
    T: Upkeep,
    R: Send + 'static,
    W: FnMut(&mut Keeper<T>) -> Result<Opened<R>, Failure> + Send + 'static,
{
    fn run(&mut self, keeper: &mut Keeper<T>) -> Result<(), Failure> {
        self.done = Some((self.work)(keeper)?);
        Ok(())
    }

    fn waiting(self: Box<Self>) -> Box<dyn Waiting> {
        self
    }
}

impl<W, R, T> Waiting for Task<W, R, T>
where
    T: Upkeep,
    R: Send,
    W: Send,
{
    fn answer(self: Box<Self>, error: Option<StoreError>) {
        let Self { done, answer, origin, .. } = *self;
        let result = match (error, done) {
            (None, Some(opened)) => Ok(Parcel { opened: Some(opened), origin }),
            (error, _) => Err(error.unwrap_or_else(closed)),
        };
        drop(answer.send(result)); // whoever asked went away: the parcel's drop takes care
    }
}

/// Where attempts go whose caller went away.
struct Origin<T> {
    shared: Arc<Shared>,
    queue: SyncSender<Message<T>>,
}

/// An answer on its way. Dropped unread (the caller's future was dropped, say because a client hung up), it puts the
/// attempts it opens back into their lanes: nobody has sent anything.
struct Parcel<R, T> {
    opened: Option<Opened<R>>,
    origin: Origin<T>,
}

impl<R, T> Parcel<R, T> {
    #[expect(clippy::expect_used, reason = "only `take` and `drop` empty it, and each runs last")]
    fn take(mut self) -> R {
        self.opened.take().expect("unread").value
    }
}

impl<R, T> Drop for Parcel<R, T> {
    fn drop(&mut self) {
        if let Some(opened) = self.opened.take().filter(|opened| !opened.attempts.is_empty()) {
            lock(&self.origin.shared.abandoned).extend(opened.attempts);
            drop(self.origin.queue.try_send(Message::Wake)); // a full queue wakes it as well
        }
    }
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// Operations that may wait; more are refused at once.
const QUEUE_MAX: usize = 8_192;

/// Entries after which a commit takes no more.
const BATCH_MAX: usize = 512;
