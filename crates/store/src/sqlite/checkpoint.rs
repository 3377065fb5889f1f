//! Carries the write-ahead log over into the database, mostly on a thread of its own: a checkpoint syncs many pages, and
//! accepts must not wait for that. Must never hide a failed fsync, as `SQLite`'s own checkpoints would, nor change a page
//! whose sum is not durable.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::sums::Sums;
use crate::tables::Failure;

/// The thread that copies pages while the writer goes on.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// `None` when it has ended.
    ask: Option<SyncSender<()>>,
    finished: Arc<Mutex<Option<Result<(), Failure>>>>,
    sums: Arc<Mutex<Sums>>,
    thread: Option<JoinHandle<()>>,
    asked: bool,
    /// The writer's turn came while the thread held the sums.
    owed: bool,
}

/// What the writer should do about the log now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Copy what is left itself: nearly everything is done, or the log has grown too long to go on.
    Finish,
    /// Go on.
    Leave,
}

impl Checkpointer {
    /// `connection` and `snapshot` are the thread's own.
    pub(super) fn start(connection: Connection, snapshot: Connection, sums: Sums) -> std::io::Result<Self> {
        let (ask, asked) = sync_channel(1);
        let (finished, sums) = (Arc::default(), Arc::new(Mutex::new(sums)));
        let thread = Thread { connection, snapshot, sums: Arc::clone(&sums), finished: Arc::clone(&finished) };
        let thread =
            std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || thread.run(&asked))?;
        Ok(Self { ask: Some(ask), finished, sums, thread: Some(thread), asked: false, owed: false })
    }

    /// Called by the writer with the length of the log, in pages.
    ///
    /// While the writer writes, the thread's checkpoint never reaches the end of the log, and only a log that was carried
    /// over whole is begun anew: so the writer itself copies the few pages that came meanwhile.
    ///
    /// # Errors
    /// The thread's checkpoint failed: what is on the disk is not known.
    pub(super) fn duty(&mut self, frames: i64) -> Result<Duty, Failure> {
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(result) = finished {
            self.asked = false;
            return result.map(|()| Duty::Finish);
        }
        if frames >= FRAMES_MAX || self.owed {
            return Ok(Duty::Finish);
        }
        if frames >= FRAMES && !self.asked {
            self.asked = self.ask.as_ref().is_some_and(|ask| ask.try_send(()).is_ok());
        }
        Ok(Duty::Leave)
    }

    /// The writer's own checkpoint; put off while the thread is at one.
    pub(super) fn finish(&mut self, writer: &Connection) -> Result<(), Failure> {
        let sums = match self.sums.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(sums)) => Some(sums.into_inner()),
            Ok(sums) => Some(sums),
        };
        self.owed = sums.is_none();
        sums.map_or(Ok(()), |mut sums| carry_over(writer, &mut sums))
    }

    /// Ends the thread and carries everything over. Says whether the log holds nothing more: a reader may keep it.
    pub(super) fn close(&mut self, writer: &Connection) -> Result<bool, Failure> {
        self.end();
        carry_over(writer, &mut lock(&self.sums))?;
        let mut left = writer.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
        Ok(left.query_row([], |row| Ok(row.get::<_, i64>(1)? <= row.get(2)?))?)
    }

    fn end(&mut self) {
        drop(self.ask.take());
        drop(self.thread.take().map(JoinHandle::join)); // it owns nothing that a panic could spoil
    }
}

/// Ends the thread and with it its connections, before the file may be given to somebody else.
impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Copies as many pages as it can without waiting for anybody, their sums first.
fn carry_over(connection: &Connection, sums: &mut Sums) -> Result<(), Failure> {
    let frames = u32::try_from(frames(connection)?).unwrap_or_default();
    if frames > 0 && sums.cover(frames)? {
        connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))?;
    }
    Ok(())
}

/// The length of the log, in pages.
pub(super) fn frames(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], |row| row.get(1))
}

struct Thread {
    connection: Connection,
    snapshot: Connection,
    sums: Arc<Mutex<Sums>>,
    finished: Arc<Mutex<Option<Result<(), Failure>>>>,
}

impl Thread {
    fn run(&self, asked: &Receiver<()>) {
        let mut checks = true;
        loop {
            // Between two steps of the check that the start left to do, whoever waits for the sums comes first.
            let wait = if checks { STEP_EVERY } else { Duration::MAX };
            let told = match asked.recv_timeout(wait) {
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let more = lock(&self.sums).check_more();
                    checks = *more.as_ref().unwrap_or(&false);
                    more.err().map(Err)
                }
                Ok(()) => Some(self.checkpoint()),
            };
            if told.is_some() {
                *self.finished.lock().unwrap_or_else(PoisonError::into_inner) = told;
            }
        }
    }

    /// A reader keeps the log from beginning anew, and the checkpoint from going beyond it, until all is done.
    fn checkpoint(&self) -> Result<(), Failure> {
        self.snapshot.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
        let done = carry_over(&self.connection, &mut lock(&self.sums));
        self.snapshot.execute_batch("COMMIT")?;
        done
    }
}

fn lock(sums: &Mutex<Sums>) -> std::sync::MutexGuard<'_, Sums> {
    sums.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time between two steps of a check in the background, of 1 MiB each.
const STEP_EVERY: Duration = Duration::from_millis(2);

/// Pages in the log after which it is carried over: 16 MB.
const FRAMES: i64 = 4_000;

/// Pages after which the writer carries it over whatever the thread does: 128 MB.
const FRAMES_MAX: i64 = 32_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn log(path: &std::path::Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE IF NOT EXISTS t (x)")
            .unwrap();
        connection
    }

    fn sums(database: &std::path::Path) -> Sums {
        let keys = Arc::new(crate::key::Keys::derive(&crate::key::StoreKey::generate().unwrap()));
        let beside = |ending| database.with_extension(ending);
        Sums::create(&beside("db-sums"), &keys, database, &beside("db-wal")).unwrap()
    }

    #[test]
    fn the_thread_copies_and_the_writer_finishes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let writer = log(&path);
        for n in 0..20 {
            writer.execute("INSERT INTO t VALUES (?1)", [n]).unwrap();
        }
        let before = frames(&writer).unwrap();
        assert!(before >= 20, "{before}");
        let mut checkpointer = Checkpointer::start(log(&path), log(&path), sums(&path)).unwrap();
        assert_eq!(checkpointer.duty(FRAMES - 1).unwrap(), Duty::Leave);
        let mut duty = checkpointer.duty(FRAMES).unwrap();
        while duty == Duty::Leave {
            std::thread::yield_now();
            duty = checkpointer.duty(FRAMES).unwrap();
        }
        checkpointer.finish(&writer).unwrap();
        writer.execute("INSERT INTO t VALUES (99)", []).unwrap();
        let after = frames(&writer).unwrap();
        assert!(after < before, "the log began anew: {after} of {before}");
    }

    #[test]
    fn a_log_that_is_far_too_long_is_carried_over_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let mut checkpointer = Checkpointer::start(log(&path), log(&path), sums(&path)).unwrap();
        assert_eq!(checkpointer.duty(FRAMES_MAX).unwrap(), Duty::Finish);
    }

    /// Also while the writer begins the log anew under the thread's feet.
    #[test]
    fn every_page_that_was_carried_over_has_its_sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let writer = log(&path);
        writer.execute_batch("CREATE INDEX t_x ON t (x)").unwrap();
        let mut checkpointer = Checkpointer::start(log(&path), log(&path), sums(&path)).unwrap();
        let mut began_anew = 0;
        let mut frames_before = 0;
        for n in 0..3_000_u64 {
            let text = format!("{}-{}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15), "x".repeat(50));
            writer.execute("INSERT INTO t VALUES (?1)", [text]).unwrap();
            let now = frames(&writer).unwrap();
            began_anew += u32::from(now < frames_before);
            frames_before = now;
            // As if every log were long.
            if checkpointer.duty(if n % 7 == 0 { FRAMES } else { 0 }).unwrap() == Duty::Finish {
                checkpointer.finish(&writer).unwrap();
            }
        }
        assert!(began_anew > 10, "the log began anew {began_anew} times");
        let unread = super::super::wal::look(&path.with_extension("db-wal")).unwrap().pages;
        assert_eq!(lock(&checkpointer.sums).check(unread).unwrap(), None);
        assert!(checkpointer.close(&writer).unwrap(), "nothing is left in the log");
        assert_eq!(lock(&checkpointer.sums).check(std::collections::HashSet::new()).unwrap(), None);
    }
}
