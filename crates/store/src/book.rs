//! The limits of everyone, in memory: a ledger per keyed hash, right after a restart because every charge is also a
//! row. Knows no clear key and no back end.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sms_core::{Ledger, UnixMs, Window};

use crate::key::Hash16;

/// Ledgers by key; charges can be taken back until they are committed.
#[derive(Debug, Default)]
pub(crate) struct Book {
    ledgers: HashMap<Hash16, Entry>,
    /// When to look whether a key is spent, in minutes; each key stands here once.
    checks: BTreeMap<i64, Vec<Hash16>>,
    /// Keys charged since the last commit, in order.
    charged: Vec<Hash16>,
}

#[derive(Debug)]
struct Entry {
    ledger: Ledger,
    /// After this nothing in the ledger can refuse.
    until: UnixMs,
}

impl Book {
    /// How long the key must wait; `None` when one more acceptance is allowed.
    pub(crate) fn refusal(&mut self, key: &Hash16, now: UnixMs, windows: &[Window]) -> Option<Duration> {
        match self.ledgers.get_mut(key) {
            Some(entry) => entry.ledger.refusal(now, windows),
            None => Ledger::default().refusal(now, windows),
        }
    }

    /// Counts one acceptance until [`Self::commit`] or [`Self::rollback`].
    pub(crate) fn charge(&mut self, key: Hash16, now: UnixMs, windows: &[Window]) {
        let entry = self.entry(key, now.plus(reach(windows)));
        entry.ledger.charge(now, windows);
        self.charged.push(key);
    }

    /// What was charged stays.
    pub(crate) fn commit(&mut self) {
        self.charged.clear();
    }

    /// What was charged since the last commit never happened.
    pub(crate) fn rollback(&mut self) {
        while let Some(key) = self.charged.pop() {
            if let Some(entry) = self.ledgers.get_mut(&key) {
                entry.ledger.refund();
            }
        }
    }

    /// Reads a charge back after a restart; call in the order in which they were made.
    pub(crate) fn restore(&mut self, key: Hash16, at: UnixMs, until: UnixMs) {
        self.entry(key, until).ledger.restore(at);
    }

    /// Forgets keys that can refuse nothing any more; looks at about `budget` of them.
    pub(crate) fn sweep(&mut self, now: UnixMs, budget: usize) {
        let mut looked = 0;
        while looked < budget {
            let Some(check) = self.checks.first_entry().filter(|check| *check.key() < minute(now)) else { return };
            for key in check.remove() {
                looked += 1;
                let until = self.ledgers.get(&key).map(|entry| entry.until);
                match until {
                    Some(until) if until >= now => self.checks.entry(minute(until)).or_default().push(key),
                    Some(_) => drop(self.ledgers.remove(&key)),
                    None => {}
                }
            }
        }
    }

    fn entry(&mut self, key: Hash16, until: UnixMs) -> &mut Entry {
        let checks = &mut self.checks;
        let entry = self.ledgers.entry(key).or_insert_with(|| {
            checks.entry(minute(until)).or_default().push(key);
            Entry { ledger: Ledger::default(), until }
        });
        entry.until = entry.until.max(until);
        entry
    }
}

/// How far back an acceptance can matter.
pub(crate) fn reach(windows: &[Window]) -> Duration {
    windows.iter().map(|window| window.period).max().unwrap_or_default()
}

fn minute(at: UnixMs) -> i64 {
    at.get().div_euclid(60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Hash16 = [1; 16];

    fn windows(max: u32, secs: u64) -> [Window; 1] {
        [Window { max, period: Duration::from_secs(secs) }]
    }

    fn at(secs: i64) -> UnixMs {
        UnixMs::new(secs * 1000)
    }

    #[test]
    fn a_failed_commit_charges_nothing() {
        let mut book = Book::default();
        book.charge(KEY, at(0), &windows(2, 30));
        book.commit();
        book.charge(KEY, at(1), &windows(2, 30));
        assert!(book.refusal(&KEY, at(1), &windows(2, 30)).is_some());
        book.rollback();
        assert_eq!(book.refusal(&KEY, at(1), &windows(2, 30)), None);
        assert!(book.refusal(&KEY, at(1), &windows(1, 30)).is_some(), "the committed charge stays");
    }

    #[test]
    fn a_restored_book_refuses_as_before() {
        let mut book = Book::default();
        book.restore(KEY, at(0), at(30));
        assert!(book.refusal(&KEY, at(29), &windows(1, 30)).is_some());
        assert_eq!(book.refusal(&KEY, at(31), &windows(1, 30)), None);
    }

    #[test]
    fn spent_keys_are_forgotten_and_others_kept() {
        let mut book = Book::default();
        for n in 0..100 {
            book.charge([n; 16], at(0), &windows(1, 30));
        }
        book.charge(KEY, at(100), &windows(2, 30));
        book.commit();
        book.sweep(at(120), 1000);
        assert_eq!(book.ledgers.len(), 1, "only the key charged at 100 s can still refuse");
        book.sweep(at(300), 1000);
        assert_eq!((book.ledgers.len(), book.checks.len()), (0, 0));
    }

    #[test]
    fn an_unknown_key_under_a_limit_of_none_is_refused() {
        assert!(Book::default().refusal(&KEY, at(0), &windows(0, 30)).is_some());
    }
}
