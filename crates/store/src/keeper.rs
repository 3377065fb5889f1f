//! What every store of this crate does, whatever keeps its rows: decides acceptances, follows messages, matches
//! receipts. Synchronous and single-threaded; knows no channel, runtime or SQL.
//!
//! Each operation runs inside [`Keeper::transact`] or between `begin` and `commit`: limits, lanes and parked receipts in
//! memory are taken back when the transaction fails, so memory never runs ahead of the rows.

mod admit;
mod follow;
mod lanes;
mod tidy;

use std::sync::Arc;

use sms_core::MessageId;
use sms_core::store::Change;

use crate::book::Book;
use crate::key::Keys;
use crate::parked::Parked;
use crate::queue::{Job, Queue};
use crate::state::{State, Turn, Wait};
use crate::tables::{Failure, NewNotice, Tables};

/// The rows with what is kept in memory about them.
#[derive(Debug)]
pub(crate) struct Keeper<T> {
    pub(crate) tables: T,
    pub(crate) book: Book,
    pub(crate) queue: Queue,
    pub(crate) parked: Parked,
    /// Attempts that were open when the store was opened.
    pub(crate) orphans: Vec<(MessageId, u16)>,
    /// Messages that were put off until their end then.
    pub(crate) put_off: Vec<MessageId>,
    keys: Arc<Keys>,
}

impl<T: Tables> Keeper<T> {
    pub(crate) fn new(tables: T, keys: Arc<Keys>) -> Self {
        let (book, queue, parked) = (Book::default(), Queue::default(), Parked::default());
        Self { tables, book, queue, parked, orphans: Vec::new(), put_off: Vec::new(), keys }
    }

    /// For one batch of a store whose memory is elsewhere.
    pub(crate) fn brief(tables: T, keys: Arc<Keys>) -> Self {
        let (queue, parked) = (Queue::default(), Parked::default());
        Self { tables, book: Book::small(), queue, parked, orphans: Vec::new(), put_off: Vec::new(), keys }
    }

    /// Runs `work` in a transaction of its own.
    pub(crate) fn transact<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R, Failure>) -> Result<R, Failure> {
        self.tables.begin()?;
        let done = work(self).and_then(|done| self.commit().map(|()| done));
        if done.is_err() {
            self.rollback();
        }
        done
    }

    /// Makes everything since `tables.begin` last. On an error the caller must roll back.
    pub(crate) fn commit(&mut self) -> Result<(), Failure> {
        self.tables.commit()?;
        self.book.commit();
        self.queue.commit();
        self.parked.commit();
        Ok(())
    }

    /// Everything since `tables.begin` never happened.
    pub(crate) fn rollback(&mut self) {
        self.tables.rollback();
        self.book.rollback();
        self.queue.rollback();
        self.parked.rollback();
    }

    /// Writes what a turn did: row, history, lanes, gauges and the notice to the tenant.
    fn finish(&mut self, turn: &Turn) -> Result<Change, Failure> {
        let (before, after) = (&turn.before, &turn.state);
        self.tables.update(turn)?;
        if let Some(job) = job(before).filter(|_| before.wait != after.wait || before.lane != after.lane) {
            self.queue.remove(job);
        }
        if let Some(job) = job(after).filter(|_| before.wait != after.wait || before.lane != after.lane) {
            self.queue.add(job);
        }
        self.queue.follow(after.id, Some(before.status), after.status);
        if after.notify && before.status != after.status && after.status.is_told() {
            let (message, tenant, status, at) = (after.id, &after.tenant, after.status, after.updated);
            self.tables.add_notice(&NewNotice { message, tenant, status, at, due: at })?;
        }
        Ok(Change { from: before.status, ..unchanged(after) })
    }
}

/// The change that left a message as it is.
pub(crate) fn unchanged(state: &State) -> Change {
    Change {
        id: state.id,
        tenant: state.tenant.clone(),
        provider: state.provider.clone(),
        country: state.country,
        from: state.status,
        to: state.status,
        created: state.created,
    }
}

/// The place in the lanes of a message that waits.
pub(crate) fn job(state: &State) -> Option<Job> {
    match state.wait {
        Wait::Until(due) => Some(Job {
            id: state.id,
            tenant: state.tenant.clone(),
            country: state.country,
            lane: state.lane.clone(),
            due,
            expires: state.expires,
        }),
        Wait::Idle | Wait::Open => None,
    }
}
