//! Makes commits last on a thread of its own, so that the next transaction is written while the disk works on the one
//! before. One commit at a time: a power cut can tear no more than the last. Decides nothing.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sms_core::store::StoreError;

use super::mark::End;
use crate::tables::{Failure, Scope};

/// The disk behind the commits.
pub(super) trait Log: Send + 'static {
    /// What was committed last, up to `end`, survives a power cut once this returns.
    ///
    /// # Errors
    /// What is on the disk is not known any more; a repeat would prove nothing.
    fn sync(&mut self, end: io::Result<End>) -> Result<(), Failure>;
}

/// Whoever waits for a commit.
pub(super) trait Waiting: Send {
    /// After the commit is durable, or after that failed.
    fn answer(self: Box<Self>, error: Option<StoreError>);
}

/// Hands commits to the thread.
pub(super) struct Syncer {
    /// `None` only while it is being dropped.
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Result<(), Failure>>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

struct Job {
    end: io::Result<End>,
    waiting: Vec<Box<dyn Waiting>>,
}

impl Syncer {
    pub(super) fn start(log: impl Log) -> io::Result<Self> {
        let ((jobs, work), (tell, done)) = (sync_channel(1), sync_channel(1));
        let thread = std::thread::Builder::new().name("store-sync".to_owned()).spawn(move || run(log, &work, &tell))?;
        Ok(Self { jobs: Some(jobs), done, busy: false, thread: Some(thread) })
    }

    /// Makes a commit last and answers whoever waits for it. The commit before must have been waited for.
    pub(super) fn hand_over(&mut self, end: io::Result<End>, waiting: Vec<Box<dyn Waiting>>) {
        if let Some(jobs) = &self.jobs {
            drop(jobs.send(Job { end, waiting })); // where the thread has ended, waiting for it says so
        }
        self.busy = true;
    }

    /// Waits until the commit before is durable.
    ///
    /// # Errors
    /// It is not, and nobody knows what the disk has.
    pub(super) fn wait(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.busy) {
            return Ok(());
        }
        self.done.recv().unwrap_or_else(|_| Err(Failure { error: gone(), scope: Scope::Broken }))
    }
}

/// Ends the thread, and with it its hold on the files.
impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        drop(self.thread.take().map(JoinHandle::join)); // it owns nothing that a panic could spoil
    }
}

impl fmt::Debug for Syncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncer").field("busy", &self.busy).finish_non_exhaustive()
    }
}

/// The writer hears first, so that the next commit is on its way while the answers go out.
fn run(mut log: impl Log, jobs: &Receiver<Job>, tell: &SyncSender<Result<(), Failure>>) {
    while let Ok(Job { end, waiting }) = jobs.recv() {
        let synced = log.sync(end);
        let error = synced.as_ref().err().map(|failure| failure.error.clone());
        if tell.send(synced).is_err() {
            return; // the writer is gone, and with it whoever waits: dropped answers say so
        }
        for waiting in waiting {
            waiting.answer(error.clone());
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the thread that syncs has ended".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Syncs when it is told to, with the result it is told.
    struct Told(mpsc::Receiver<Result<(), Failure>>);

    impl Log for Told {
        fn sync(&mut self, _: io::Result<End>) -> Result<(), Failure> {
            self.0.recv().unwrap()
        }
    }

    struct Caller(mpsc::Sender<bool>);

    impl Waiting for Caller {
        fn answer(self: Box<Self>, error: Option<StoreError>) {
            self.0.send(error.is_none()).unwrap();
        }
    }

    #[test]
    fn nobody_is_answered_before_the_disk_has_it() {
        let ((disk, told), (answer, answered)) = (mpsc::channel(), mpsc::channel());
        let mut syncer = Syncer::start(Told(told)).unwrap();
        syncer.hand_over(Ok(End::default()), vec![Box::new(Caller(answer.clone())), Box::new(Caller(answer))]);
        assert!(answered.try_recv().is_err(), "the disk still works on it");
        disk.send(Ok(())).unwrap();
        assert!(syncer.wait().is_ok());
        assert_eq!(answered.iter().collect::<Vec<_>>(), [true, true]);
        assert!(syncer.wait().is_ok(), "nothing is left to wait for");
    }

    struct Panics;

    impl Waiting for Panics {
        fn answer(self: Box<Self>, _: Option<StoreError>) {
            panic!("a caller that cannot be answered");
        }
    }

    #[test]
    fn without_its_thread_nothing_counts_as_durable() {
        let ((disk, told), (answer, answered)) = (mpsc::channel(), mpsc::channel());
        let mut syncer = Syncer::start(Told(told)).unwrap();
        syncer.hand_over(Ok(End::default()), vec![Box::new(Panics)]);
        disk.send(Ok(())).unwrap();
        assert!(syncer.wait().is_ok());
        while !syncer.thread.as_ref().unwrap().is_finished() {
            std::thread::yield_now();
        }
        syncer.hand_over(Ok(End::default()), vec![Box::new(Caller(answer))]);
        assert_eq!(syncer.wait().unwrap_err().scope, Scope::Broken);
        assert_eq!(answered.iter().count(), 0, "nobody is told that it is durable");
    }

    #[test]
    fn a_failed_sync_fails_its_callers_and_the_next_commit() {
        let ((disk, told), (answer, answered)) = (mpsc::channel(), mpsc::channel());
        let mut syncer = Syncer::start(Told(told)).unwrap();
        syncer.hand_over(Ok(End::default()), vec![Box::new(Caller(answer))]);
        disk.send(Err(Failure { error: gone(), scope: Scope::Broken })).unwrap();
        assert_eq!(syncer.wait().unwrap_err().scope, Scope::Broken);
        assert_eq!(answered.iter().collect::<Vec<_>>(), [false]);
    }
}
