//! Messages whose repetition finds no place in the retry budget before their time is over. They wait all the same, and get
//! a place that becomes free meanwhile. Bounded: one that is forgotten waits until its time is over. Knows no store.

use std::collections::BTreeMap;

use sms_core::{MessageId, TenantId, UnixMs};

/// Of so many messages is remembered that they hope for a place.
const HOPEFUL_MAX: usize = 1_000;

/// A message that waits without a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hopeful {
    pub(crate) id: MessageId,
    pub(crate) tenant: TenantId,
    /// Number of its last attempt.
    pub(crate) attempt: u16,
    /// The next one must not begin before.
    pub(crate) due: UnixMs,
    /// It must begin before.
    pub(crate) until: UnixMs,
}

/// Those of one provider, in the order in which their time runs out.
#[derive(Debug, Default)]
pub(super) struct Chances(BTreeMap<(UnixMs, MessageId), Hopeful>);

impl Chances {
    pub(super) fn add(&mut self, hopeful: Hopeful) {
        if self.0.len() < HOPEFUL_MAX {
            self.0.insert((hopeful.until, hopeful.id), hopeful);
        }
    }

    /// Whose time runs out next and is not over.
    pub(super) fn next(&mut self, now: UnixMs) -> Option<Hopeful> {
        let in_order = std::iter::from_fn(|| self.0.pop_first());
        let mut in_time = in_order.skip_while(|((until, _), _)| *until <= now);
        in_time.next().map(|(_, hopeful)| hopeful)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hopeful(n: u8, until: i64) -> Hopeful {
        let id = MessageId::new(UnixMs::new(1), [n; 10]);
        Hopeful { id, tenant: TenantId::new("acme"), attempt: 2, due: UnixMs::new(0), until: UnixMs::new(until) }
    }

    #[test]
    fn whose_time_runs_out_first_is_next_and_whose_is_over_never() {
        let mut chances = Chances::default();
        for (n, until) in [(1, 30), (2, 10), (3, 20), (4, 40)] {
            chances.add(hopeful(n, until));
        }
        assert_eq!(chances.next(UnixMs::new(10)), Some(hopeful(3, 20)));
        assert_eq!(chances.next(UnixMs::new(39)), Some(hopeful(4, 40)));
        assert!(chances.next(UnixMs::new(0)).is_none() && chances.is_empty());
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let mut chances = Chances::default();
        (0..2_000).for_each(|until| chances.add(hopeful(1, until)));
        assert_eq!(std::iter::from_fn(|| chances.next(UnixMs::new(-1))).count(), HOPEFUL_MAX);
    }
}
