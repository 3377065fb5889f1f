//! Callers that wait for a provider's verdict (`Prefer: wait`, hooks). Bounded; in memory only: who
//! waits across a restart is told "pending" by its own time-out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sms_core::{Kind, MessageId, ProviderName, Status};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Most callers that may wait at a time; further ones are answered "pending" at once.
const WAITING_MAX: usize = 16_384;

/// What became of a message, as far as a waiting caller is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// `sent` or a final status.
    pub status: Status,
    /// The last provider that took it, else the last tried.
    pub provider: Option<ProviderName>,
    /// What went wrong with the last attempt.
    pub kind: Option<Kind>,
}

#[derive(Debug)]
struct Caller {
    /// When its message was last looked at.
    looked: Instant,
    tell: oneshot::Sender<Decision>,
}

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: Mutex<HashMap<MessageId, Caller>>,
}

impl Waiters {
    /// `None` when too many wait already.
    pub(crate) fn register(&self, id: MessageId) -> Option<oneshot::Receiver<Decision>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            waiting.retain(|_, caller| !caller.tell.is_closed());
        }
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        let (tell, receiver) = oneshot::channel();
        waiting.insert(id, Caller { looked: Instant::now(), tell });
        Some(receiver)
    }

    pub(crate) fn decide(&self, id: MessageId, decision: impl FnOnce() -> Decision) {
        let caller = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(caller) = caller {
            drop(caller.tell.send(decision())); // it may have gone
        }
    }

    /// Up to `max` messages that nobody has looked at for so long; from now on they have been.
    pub(crate) fn not_looked_at_for(&self, long: Duration, max: usize) -> Vec<MessageId> {
        let now = Instant::now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let due = waiting.iter_mut().filter(|(_, caller)| now.saturating_duration_since(caller.looked) >= long);
        due.take(max).map(|(id, caller)| (*id, caller.looked = now).0).collect()
    }

    /// Forgets the caller when the answer is dropped.
    pub(crate) fn while_waiting(&self, id: MessageId) -> Waiting<'_> {
        Waiting { waiters: self, id }
    }

    /// The caller stopped waiting.
    pub(crate) fn forget(&self, id: MessageId) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// A caller waits as long as this lives.
#[derive(Debug)]
pub(crate) struct Waiting<'w> {
    waiters: &'w Waiters,
    id: MessageId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiters.forget(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sms_core::UnixMs;

    fn decision() -> Decision {
        Decision { status: Status::Sent, provider: None, kind: None }
    }

    #[tokio::test]
    async fn a_waiting_caller_is_told_once() {
        let (waiters, id) = (Waiters::default(), MessageId::new(UnixMs::new(1), [1; 10]));
        let receiver = waiters.register(id).unwrap();
        waiters.decide(id, decision);
        waiters.decide(id, decision);
        assert_eq!(receiver.await, Ok(decision()));
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_looked_at_now_and_then_a_few_at_a_time() {
        let waiters = Waiters::default();
        let ids = [1, 2, 3].map(|n| MessageId::new(UnixMs::new(n), [1; 10]));
        let _receivers = ids.map(|id| waiters.register(id).unwrap());
        let look = |max| waiters.not_looked_at_for(Duration::from_secs(1), max).len();
        assert_eq!(look(9), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((look(2), look(2), look(2)), (2, 1, 0));
    }

    #[test]
    fn a_caller_that_goes_away_is_forgotten() {
        let (waiters, id) = (Waiters::default(), MessageId::new(UnixMs::new(1), [1; 10]));
        let _receiver = waiters.register(id).unwrap();
        drop(waiters.while_waiting(id));
        assert!(waiters.waiting.lock().unwrap().is_empty());
    }

    #[test]
    fn callers_that_left_make_room() {
        let waiters = Waiters::default();
        for n in 0..WAITING_MAX {
            let id = MessageId::new(UnixMs::new(i64::try_from(n).unwrap()), [0; 10]);
            drop(waiters.register(id).unwrap());
        }
        assert!(waiters.register(MessageId::new(UnixMs::new(-1), [1; 10])).is_some());
    }
}
