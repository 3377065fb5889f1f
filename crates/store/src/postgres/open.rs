//! What this node remembers of the attempts that it opened, so that their outcome needs no row read in: whether it still
//! holds is checked where it is written. May forget, never lies: a bound keeps the newest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sms_core::MessageId;

use super::work::Loaded;
use crate::state::{State, Wait};
use crate::tables::Stored;

/// Open attempts by message.
#[derive(Debug, Default)]
pub(super) struct Open(Mutex<Generations>);

/// A message as its row was left.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) state: State,
    pub(super) log: Vec<u8>,
}

impl Left {
    /// As if it had been read; without what only a new attempt needs.
    pub(super) fn loaded(self, owner: i64) -> Loaded {
        let Self { state, log } = self;
        Loaded { stored: Stored { state, to: None, details: Vec::new(), log }, body: None, owner }
    }
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<MessageId, Left>,
    old: HashMap<MessageId, Left>,
}

impl Open {
    /// Remembers a message, where its attempt is open.
    pub(super) fn put(&self, state: &State, log: &[u8]) {
        if state.wait != Wait::Open {
            return;
        }
        let left = Left { state: State { log_len: log.len(), ..state.clone() }, log: log.to_vec() };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.young.len() >= GENERATION {
            all.old = std::mem::take(&mut all.young); // whose outcome never came
        }
        all.young.insert(state.id, left);
    }

    /// The message whose attempt `attempt` is open; asked once.
    pub(super) fn take(&self, id: MessageId, attempt: u16) -> Option<Left> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.young.remove(&id).or_else(|| all.old.remove(&id));
        found.filter(|left| left.state.attempt == attempt)
    }
}

/// Messages in one generation; two are kept.
const GENERATION: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use sms_core::{Country, ProviderName, Status, TenantId, UnixMs};

    fn state(number: u8, wait: Wait) -> State {
        let (at, id) = (UnixMs::new(1), MessageId::from_bytes([number; 16]));
        State {
            row: 0,
            id,
            tenant: TenantId::new("a"),
            country: Country::parse("DE").unwrap(),
            created: at,
            expires: at,
            notify: false,
            status: Status::Sending,
            updated: at,
            provider: None,
            upstream_id: None,
            lane: ProviderName::new("mock"),
            wait,
            attempt: 1,
            copies: 0,
            log_len: 0,
        }
    }

    #[test]
    fn only_the_open_attempt_is_known_and_only_once() {
        let open = Open::default();
        let (a, b, c) = (state(1, Wait::Open), state(2, Wait::Open), state(3, Wait::Idle));
        open.put(&a, b"log");
        open.put(&b, b"");
        open.put(&c, b"");
        assert_eq!(open.take(a.id, 1).map(|left| left.state.log_len), Some(3));
        assert!(open.take(a.id, 1).is_none());
        assert!(open.take(b.id, 2).is_none(), "another attempt");
        assert!(open.take(c.id, 1).is_none(), "nothing is open");
    }

    #[test]
    fn attempts_without_an_outcome_are_forgotten() {
        let open = Open::default();
        let id = |number: usize| MessageId::from_bytes((number as u128).to_be_bytes());
        for number in 0..GENERATION * 4 {
            open.put(&State { id: id(number), ..state(0, Wait::Open) }, b"");
        }
        assert!(open.take(id(0), 1).is_none());
        assert!(open.take(id(GENERATION * 4 - 1), 1).is_some());
        let all = open.0.lock().unwrap();
        assert!(all.young.len() + all.old.len() <= GENERATION * 2);
    }
}
