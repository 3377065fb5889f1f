//! Which tenants have messages waiting in a lane, as far as this process can tell: it sees them begin to wait and being
//! taken, not what ends in the store. A state machine without messages.

use std::collections::{BTreeMap, BTreeSet};

use sms_core::TenantId;

/// A tenant is forgotten once everybody who waits had a turn and it took none: the store gives turns in a round, so it
/// has nothing left.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Messages taken so far.
    taken: u64,
    /// When each tenant was heard of last, by that count.
    heard: BTreeMap<TenantId, u64>,
    /// The same, longest ago first.
    oldest: BTreeSet<(u64, TenantId)>,
}

impl Turns {
    /// A message of this tenant began to wait.
    pub(super) fn waits(&mut self, tenant: &TenantId) {
        match self.heard.get_mut(tenant) {
            Some(heard) if *heard == self.taken => return,
            Some(heard) => drop(self.oldest.remove(&(std::mem::replace(heard, self.taken), tenant.clone()))),
            None => drop(self.heard.insert(tenant.clone(), self.taken)),
        }
        self.oldest.insert((self.taken, tenant.clone()));
    }

    /// A waiting message of this tenant was taken; there may be more.
    pub(super) fn took(&mut self, tenant: &TenantId) {
        self.taken += 1;
        self.waits(tenant);
        let round = self.heard.len() as u64;
        while self.oldest.first().is_some_and(|(heard, _)| self.taken - heard > round) {
            if let Some((_, tenant)) = self.oldest.pop_first() {
                self.heard.remove(&tenant);
            }
        }
    }

    /// Nothing waits that could go.
    pub(super) fn clear(&mut self) {
        self.heard.clear();
        self.oldest.clear();
    }

    /// This tenant has messages waiting.
    pub(super) fn has(&self, tenant: &TenantId) -> bool {
        self.heard.contains_key(tenant)
    }

    /// Somebody else has.
    pub(super) fn others(&self, tenant: &TenantId) -> bool {
        self.heard.len() > usize::from(self.has(tenant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: u32) -> TenantId {
        TenantId::new(format!("t{n}"))
    }

    #[test]
    fn who_took_no_turn_in_a_whole_round_has_nothing_left() {
        let mut turns = Turns::default();
        (0..3).for_each(|n| turns.waits(&tenant(n)));
        for _ in 0..3 {
            turns.took(&tenant(0));
            assert!(turns.has(&tenant(1)), "it may still be its turn");
        }
        turns.took(&tenant(0));
        assert!(turns.has(&tenant(0)) && !turns.has(&tenant(1)) && !turns.others(&tenant(0)));
    }

    #[test]
    fn who_takes_turns_is_not_forgotten() {
        let mut turns = Turns::default();
        (0..50).for_each(|n| turns.waits(&tenant(n)));
        (0..500).for_each(|n| turns.took(&tenant(n % 50)));
        assert!((0..50).all(|n| turns.has(&tenant(n))));
        assert_eq!(turns.heard.len(), turns.oldest.len());
    }
}
