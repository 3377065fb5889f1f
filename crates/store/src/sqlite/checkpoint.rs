//! Carries the write-ahead log over into the database, mostly on a thread of its own: a checkpoint syncs many pages, and
//! accepts must not wait for that. Must never hide a failed fsync, as `SQLite`'s own checkpoints would.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

/// The thread that copies pages while the writer goes on.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// `None` only while it is being dropped.
    ask: Option<SyncSender<()>>,
    finished: Arc<Mutex<Option<rusqlite::Result<()>>>>,
    thread: Option<JoinHandle<()>>,
    asked: bool,
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
    /// `connection` is the thread's own.
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (ask, asked) = sync_channel(1);
        let finished = Arc::default();
        let tell = Arc::clone(&finished);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || run(&connection, &asked, &tell))?;
        Ok(Self { ask: Some(ask), finished, thread: Some(thread), asked: false })
    }

    /// Called by the writer with the length of the log, in pages.
    ///
    /// While the writer writes, the thread's checkpoint never reaches the end of the log, and only a log that was carried
    /// over whole is begun anew: so the writer itself copies the few pages that came meanwhile.
    ///
    /// # Errors
    /// The thread's checkpoint failed: what is on the disk is not known.
    pub(super) fn duty(&mut self, frames: i64) -> rusqlite::Result<Duty> {
        if frames >= FRAMES_MAX {
            return Ok(Duty::Finish);
        }
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(result) = finished {
            self.asked = false;
            return result.map(|()| Duty::Finish);
        }
        if frames >= FRAMES && !self.asked {
            self.asked = self.ask.as_ref().is_some_and(|ask| ask.try_send(()).is_ok());
        }
        Ok(Duty::Leave)
    }
}

/// Ends the thread and with it its connection, before the file may be given to somebody else.
impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.ask.take());
        drop(self.thread.take().map(JoinHandle::join)); // it owns nothing that a panic could spoil
    }
}

/// Copies as many pages as it can without waiting for anybody.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))
}

/// The length of the log, in pages.
pub(super) fn frames(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], |row| row.get(1))
}

fn run(connection: &Connection, asked: &Receiver<()>, finished: &Mutex<Option<rusqlite::Result<()>>>) {
    while asked.recv().is_ok() {
        let result = checkpoint(connection);
        *finished.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }
}

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

    #[test]
    fn the_thread_copies_and_the_writer_finishes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let (writer, other) = (log(&path), log(&path));
        for n in 0..20 {
            writer.execute("INSERT INTO t VALUES (?1)", [n]).unwrap();
        }
        let before = frames(&writer).unwrap();
        assert!(before >= 20, "{before}");
        let mut checkpointer = Checkpointer::start(other).unwrap();
        assert_eq!(checkpointer.duty(FRAMES - 1).unwrap(), Duty::Leave);
        let mut duty = checkpointer.duty(FRAMES).unwrap();
        while duty == Duty::Leave {
            std::thread::yield_now();
            duty = checkpointer.duty(FRAMES).unwrap();
        }
        checkpoint(&writer).unwrap();
        writer.execute("INSERT INTO t VALUES (99)", []).unwrap();
        let after = frames(&writer).unwrap();
        assert!(after < before, "the log began anew: {after} of {before}");
    }

    #[test]
    fn a_log_that_is_far_too_long_is_carried_over_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpointer = Checkpointer::start(log(&folder.path().join("t.db"))).unwrap();
        assert_eq!(checkpointer.duty(FRAMES_MAX).unwrap(), Duty::Finish);
    }
}
