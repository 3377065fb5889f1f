//! What must be put right later: attempts that were opened for somebody who went away, acceptances of which nobody knows
//! whether they were committed, and charges for what did not happen. Done by one task, as soon as the database answers;
//! while half of the places for it are taken, nothing new begins.

use std::sync::Arc;
use std::time::Duration;

use sms_core::{MessageId, UnixMs};
use tokio::sync::mpsc;

use super::error::away;
use super::{Shared, flush, lanes, limits, load};
use crate::keeper::Keeper;
use crate::key::Hash16;
use crate::state::Wait;
use crate::tables::{Failure, NewAdmit, Scope};

/// Where it is told.
#[derive(Debug)]
pub(super) struct Mend(mpsc::Sender<Wrong>);

/// Something to put right.
#[derive(Clone, Debug)]
pub(super) enum Wrong {
    /// It may have been accepted. If so nobody was told, so nobody works on it; if not, it was charged.
    Doubt { id: MessageId, begins: bool, charged: Vec<(Hash16, UnixMs)> },
    /// It did not happen.
    Refund(Vec<(Hash16, UnixMs)>),
    /// Nothing of it was sent.
    Release(Vec<(MessageId, u16)>),
}

impl Mend {
    pub(super) fn new() -> (Self, mpsc::Receiver<Wrong>) {
        let (tell, told) = mpsc::channel(WRONG_MAX);
        (Self(tell), told)
    }

    /// Fails while so much is to be put right that nothing new may begin, so that there is always a place for what did.
    pub(super) fn room(&self) -> Result<(), Failure> {
        let has_room = self.0.capacity() > WRONG_MAX / 2;
        if has_room { Ok(()) } else { Err(away("too much is to be put right first")) }
    }

    pub(super) fn release(&self, attempts: Vec<(MessageId, u16)>) {
        if !attempts.is_empty() {
            self.tell(Wrong::Release(attempts));
        }
    }

    pub(super) fn refund(&self, charged: Vec<(Hash16, UnixMs)>) {
        if !charged.is_empty() {
            self.tell(Wrong::Refund(charged));
        }
    }

    pub(super) fn doubt(&self, new: &NewAdmit, charged: Vec<(Hash16, UnixMs)>) {
        self.tell(Wrong::Doubt { id: new.state.id, begins: new.begin, charged });
    }

    fn tell(&self, wrong: Wrong) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.0.try_send(wrong) {
            tracing::error!("no place for what is to be put right: a message waits until this node ends");
        } // closed: the next node's `adopt` finds attempts, and limits err on the refusing side
    }
}

/// Puts right what is told until the store is closed.
pub(super) async fn run(shared: Arc<Shared>, mut told: mpsc::Receiver<Wrong>) {
    while let Some(first) = told.recv().await {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX {
            let Ok(next) = told.try_recv() else { break };
            batch.push(next);
        }
        let is_doubtful = batch.iter().any(|wrong| matches!(wrong, Wrong::Doubt { .. }));
        if is_doubtful {
            tokio::time::sleep(DOUBT_PAUSE).await; // a commit without an answer may still be on its way
        }
        put_right(&shared, &batch).await;
    }
}

/// Tries until it is done. What cannot be done, for a row that nobody can read, must not hold up the rest.
async fn put_right(shared: &Arc<Shared>, batch: &[Wrong]) {
    while let Err(failure) = mend(shared, batch).await {
        match (failure.scope, batch) {
            (Scope::Operation, [_]) => return tracing::error!("a message cannot be put right: {}", failure.error),
            (Scope::Operation, _) => {
                for one in batch {
                    Box::pin(put_right(shared, std::slice::from_ref(one))).await;
                }
                return;
            }
            _ if shared.pool.is_closed() => return,
            _ => tracing::warn!("what others left behind waits to be put right: {}", failure.error),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn mend(shared: &Arc<Shared>, batch: &[Wrong]) -> Result<(), Failure> {
    let (mut attempts, mut refunds) = (Vec::new(), Vec::new());
    for wrong in batch {
        match wrong {
            Wrong::Doubt { id, begins: true, .. } => attempts.push((*id, 1)),
            Wrong::Doubt { .. } => {}
            Wrong::Refund(charged) => refunds.extend(charged.iter().copied()),
            Wrong::Release(all) => attempts.extend(all.iter().copied()),
        }
    }
    let doubted = batch.iter().filter_map(|wrong| match wrong {
        Wrong::Doubt { id, charged, .. } => Some((*id, charged)),
        Wrong::Refund(_) | Wrong::Release(_) => None,
    });
    let doubted: Vec<_> = doubted.collect();
    let mut conn = shared.pool.lend().await?;
    let ids = attempts.iter().map(|(id, _)| *id).chain(doubted.iter().map(|(id, _)| *id));
    let work = load::messages(&mut conn, ids).await?;
    let never = doubted.iter().filter(|(id, _)| !work.messages.contains_key(id));
    refunds.extend(never.flat_map(|(_, charged)| charged.iter().copied()));
    let (now, me) = (shared.clock.now(), shared.node.id());
    let foreign = work.foreign(me);
    attempts.retain(|(id, _)| !foreign.contains(id));
    let mut keeper = Keeper::brief(work, Arc::clone(&shared.keys));
    keeper.release(&attempts, now)?;
    flush::commit(shared, &mut conn, &keeper.tables, me).await?;
    let states = keeper.tables.messages.values().map(|loaded| &loaded.stored.state);
    states.filter(|state| state.wait != Wait::Idle).for_each(|state| lanes::waits(shared, state));
    if !refunds.is_empty() {
        limits::refund(&mut conn, &refunds).await?;
    }
    conn.done();
    Ok(())
}

const BATCH_MAX: usize = 256;

/// Half of it is for what had begun when the other half was full: batches, claims and answers on their way.
const WRONG_MAX: usize = 16_384;
const DOUBT_PAUSE: Duration = Duration::from_millis(2_500);
const RETRY_PAUSE: Duration = Duration::from_millis(250);
