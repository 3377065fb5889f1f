//! Callers that wait for a provider's verdict (`Prefer: wait`, hooks). Bounded; in memory only: who
//! waits across a restart is told "pending" by its own time-out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sms_core::{Kind, MessageId, ProviderName, Status};
use tokio::sync::oneshot;

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

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: Mutex<HashMap<MessageId, oneshot::Sender<Decision>>>,
}

impl Waiters {
    /// `None` when too many wait already.
    pub(crate) fn register(&self, id: MessageId) -> Option<oneshot::Receiver<Decision>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            waiting.retain(|_, sender| !sender.is_closed());
        }
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        waiting.insert(id, sender);
        Some(receiver)
    }

    pub(crate) fn decide(&self, id: MessageId, decision: impl FnOnce() -> Decision) {
        let sender = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(sender) = sender {
            drop(sender.send(decision())); // the caller may have gone
        }
    }

    /// The caller stopped waiting.
    pub(crate) fn forget(&self, id: MessageId) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
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
