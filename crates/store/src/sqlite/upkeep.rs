//! Keeps the writer's files in order: makes commits last, carries the log over, closes. Knows no message.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sms_core::TenantId;

use super::checkpoint::{Checkpointer, Duty};
use super::mark::{End, Mark};
use super::sums::{salts_of, unsure};
use super::syncer::Log;
use super::tables::SqliteTables;
use super::writer::Upkeep;
use crate::tables::Failure;

/// What goes with the connection.
#[derive(Debug)]
pub(super) struct Companions {
    pub(super) checkpointer: Checkpointer,
    pub(super) mark: Arc<Mutex<Mark>>,
    /// The write-ahead log.
    pub(super) log: File,
    /// Keeps other processes out.
    pub(super) _lock: File,
}

impl Upkeep for SqliteTables {
    fn take_syncing_over(&self) -> io::Result<impl Log + use<>> {
        self.connection.pragma_update(None, "synchronous", "NORMAL").map_err(io::Error::other)?;
        Ok(DurableLog { log: self.companions.log.try_clone()?, mark: Arc::clone(&self.companions.mark) })
    }

    fn end(&self) -> io::Result<End> {
        let frames = u32::try_from(self.frames).map_err(io::Error::other)?;
        if frames == 0 {
            return Ok(End::default()); // an empty log has no head either
        }
        Ok(End { salts: salts_of(&self.companions.log)?, frames })
    }

    fn notice_tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.notices.counts.tenants()
    }

    /// Carries a long log over into the database.
    fn upkeep(&mut self) -> Result<(), Failure> {
        self.commits = self.commits.wrapping_add(1);
        if !self.commits.is_multiple_of(LOOK_EVERY) {
            return Ok(());
        }
        lock(&self.companions.mark).verdict()?;
        match self.companions.checkpointer.duty(self.frames)? {
            Duty::Finish => self.companions.checkpointer.finish(&self.connection),
            Duty::Leave => Ok(()),
        }
    }

    /// Carries everything over, so that the database's file stands alone.
    fn close(&mut self) -> Result<(), Failure> {
        if self.companions.checkpointer.close(&self.connection)? {
            lock(&self.companions.mark).clear()?;
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Ok(())
    }
}

/// Syncs the log in place of `SQLite`, whose `synchronous` is then NORMAL: it still syncs around checkpoints
/// (<https://www.sqlite.org/pragma.html#pragma_synchronous>).
struct DurableLog {
    log: File,
    mark: Arc<Mutex<Mark>>,
}

impl Log for DurableLog {
    fn sync(&mut self, end: io::Result<End>) -> Result<(), Failure> {
        self.log.sync_data().map_err(|error| unsure(&error))?;
        lock(&self.mark).committed(end);
        Ok(())
    }
}

fn lock(mark: &Mutex<Mark>) -> MutexGuard<'_, Mark> {
    mark.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Commits after which the log's length is asked for.
const LOOK_EVERY: u32 = 8;
