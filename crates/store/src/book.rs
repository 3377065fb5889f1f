//! The limits of everyone, in memory: a ledger per keyed hash, right after a restart because every charge is also a
//! row. There may be millions of keys, most of them charged once: those take 32 bytes. Knows no clear key and no back end.

use std::collections::HashMap;
use std::collections::hash_map;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::Duration;

use sms_core::{EXACT_MAX, Ledger, UnixMs, Window};

use crate::key::Hash16;

/// Ledgers by key; charges can be taken back until they are committed.
#[derive(Debug)]
pub(crate) struct Book {
    /// By key; many small ones, so that none takes long to grow or to be looked through.
    shards: Vec<Shard>,
    /// Keys charged since the last commit, in order.
    charged: Vec<Hash16>,
    /// The shard that is looked through next for keys that are spent.
    next: usize,
    /// When the last one was.
    looked: UnixMs,
}

type Shard = HashMap<Key, Entry, BuildHasherDefault<Prefix>>;

/// A keyed hash needs no further hashing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(Hash16);

/// The first bytes of a key.
#[derive(Debug, Default)]
struct Prefix(u64);

/// The acceptances charged to one key, and until when one of them can refuse.
#[derive(Debug)]
enum Entry {
    Many(Box<(Ledger, UnixMs)>),
    /// Only one, under windows of which each remembers single acceptances.
    One {
        reach_s: u32,
        at: UnixMs,
    },
}

impl Default for Book {
    fn default() -> Self {
        Self::of(SHARDS)
    }
}

impl Book {
    /// An empty book for a few keys, of a store that keeps its limits elsewhere.
    pub(crate) fn small() -> Self {
        Self::of(1)
    }

    fn of(shards: usize) -> Self {
        let shards = (0..shards).map(|_| Shard::default()).collect();
        Self { shards, charged: Vec::new(), next: 0, looked: UnixMs::new(0) }
    }

    /// Takes in a key's ledger as it was given out by [`Self::give`].
    pub(crate) fn put(&mut self, key: Hash16, ledger: Ledger, until: UnixMs) {
        self.shard(&key).insert(Key(key), Entry::Many(Box::new((ledger, until))));
    }

    /// Gives a key's ledger out, with the time after which it can refuse nothing.
    pub(crate) fn give(&mut self, key: &Hash16) -> Option<(Ledger, UnixMs)> {
        match self.shard(key).remove(&Key(*key))? {
            Entry::Many(many) => Some(*many),
            one @ Entry::One { at, .. } => Some((ledger(at), one.until())),
        }
    }

    /// Keys charged since the last commit, in order and once for each charge.
    pub(crate) fn charged(&self) -> &[Hash16] {
        &self.charged
    }

    /// How long the key must wait; `None` when one more acceptance is allowed.
    pub(crate) fn refusal(&mut self, key: &Hash16, now: UnixMs, windows: &[Window]) -> Option<Duration> {
        match self.shard(key).get_mut(&Key(*key)) {
            Some(Entry::Many(many)) => many.0.refusal(now, windows),
            Some(Entry::One { at, .. }) => ledger(*at).refusal(now, windows),
            None => Ledger::default().refusal(now, windows),
        }
    }

    /// Counts one acceptance until [`Self::commit`] or [`Self::rollback`].
    pub(crate) fn charge(&mut self, key: Hash16, now: UnixMs, windows: &[Window]) {
        let until = now.plus(reach(windows));
        match self.shard(&key).entry(Key(key)) {
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Entry::first(now, until, windows));
            }
            hash_map::Entry::Occupied(mut known) => known.get_mut().charge(now, until, windows),
        }
        self.charged.push(key);
    }

    /// What was charged stays.
    pub(crate) fn commit(&mut self) {
        self.charged.clear();
    }

    /// What was charged since the last commit never happened.
    pub(crate) fn rollback(&mut self) {
        while let Some(key) = self.charged.pop() {
            let shard = self.shard(&key);
            match shard.get_mut(&Key(key)) {
                Some(Entry::Many(many)) => many.0.refund(),
                Some(Entry::One { .. }) => drop(shard.remove(&Key(key))),
                None => {}
            }
        }
    }

    /// Reads a charge back after a restart; call in the order in which they were made.
    pub(crate) fn restore(&mut self, key: Hash16, at: UnixMs, until: UnixMs) {
        match self.shard(&key).entry(Key(key)) {
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Entry::one(at, until));
            }
            hash_map::Entry::Occupied(mut known) => known.get_mut().change(until, |ledger| ledger.restore(at)),
        }
    }

    /// Forgets keys that can refuse nothing any more: a small part of them now and then, all of them in a few minutes.
    pub(crate) fn sweep(&mut self, now: UnixMs) {
        // A clock that was set back must not stop it.
        if now.since(self.looked) < SWEEP_EVERY && now >= self.looked {
            return;
        }
        self.looked = now;
        let at = self.next;
        self.next = (at + 1) % self.shards.len();
        if let Some(shard) = self.shards.get_mut(at) {
            shard.retain(|_, entry| entry.until() >= now);
            if shard.len() * 4 < shard.capacity() {
                shard.shrink_to(shard.len() * 2);
            }
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn shard(&mut self, key: &Hash16) -> &mut Shard {
        // Other bytes than those by which a shard places its keys.
        let [.., high, low] = *key;
        let at = usize::from(u16::from_be_bytes([high, low])) % self.shards.len();
        &mut self.shards[at]
    }
}

impl Entry {
    fn one(at: UnixMs, until: UnixMs) -> Self {
        let reach = until.since(at).as_millis().div_ceil(1_000);
        Self::One { reach_s: u32::try_from(reach).unwrap_or(u32::MAX), at }
    }

    fn first(now: UnixMs, until: UnixMs, windows: &[Window]) -> Self {
        if windows.iter().all(|window| window.max <= EXACT_MAX) {
            return Self::one(now, until);
        }
        let mut ledger = Ledger::default();
        ledger.charge(now, windows);
        Self::Many(Box::new((ledger, until)))
    }

    fn charge(&mut self, now: UnixMs, until: UnixMs, windows: &[Window]) {
        if self.until() < now {
            *self = Self::first(now, until, windows); // what was before can refuse nothing any more
        } else {
            self.change(until, |ledger| ledger.charge(now, windows));
        }
    }

    fn change(&mut self, until: UnixMs, change: impl FnOnce(&mut Ledger)) {
        let until = until.max(self.until());
        match self {
            Self::Many(many) => {
                change(&mut many.0);
                many.1 = until;
            }
            Self::One { at, .. } => {
                let mut ledger = ledger(*at);
                change(&mut ledger);
                *self = Self::Many(Box::new((ledger, until)));
            }
        }
    }

    fn until(&self) -> UnixMs {
        match self {
            Self::Many(many) => many.1,
            Self::One { reach_s, at } => at.plus(Duration::from_secs(u64::from(*reach_s))),
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let prefix = self.0.first_chunk().copied().map_or(0, u64::from_le_bytes);
        state.write_u64(prefix);
    }
}

impl Hasher for Prefix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte); // no key comes this way
        }
    }

    fn write_u64(&mut self, prefix: u64) {
        self.0 = prefix;
    }
}

/// A single acceptance.
fn ledger(at: UnixMs) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.restore(at);
    ledger
}

/// How far back an acceptance can matter.
pub(crate) fn reach(windows: &[Window]) -> Duration {
    windows.iter().map(|window| window.period).max().unwrap_or_default()
}

/// How many parts: with ten million keys each has as many as a commit may take a moment for.
const SHARDS: usize = 1_024;

/// All are looked through in ten minutes.
const SWEEP_EVERY: Duration = Duration::from_millis(600);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// As evenly spread as a keyed hash.
    fn key(n: u64) -> Hash16 {
        let mut key = [0; 16];
        for (part, half) in key.chunks_mut(8).zip(0..) {
            let mixed = (n * 2 + half + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            part.copy_from_slice(&(mixed ^ (mixed >> 32)).to_be_bytes());
        }
        key
    }

    fn keys(book: &Book) -> usize {
        book.shards.iter().map(HashMap::len).sum()
    }

    /// Looks through all keys once.
    fn sweep(book: &mut Book, from: UnixMs) -> UnixMs {
        (0..SHARDS).fold(from, |now, _| {
            book.sweep(now);
            now.plus(SWEEP_EVERY)
        })
    }

    #[test]
    fn spent_keys_are_forgotten_and_others_kept() {
        let mut book = Book::default();
        for n in 0..5_000 {
            book.charge(key(n), at(0), &windows(1, 30));
        }
        book.charge(KEY, at(0), &windows(2, 3_600));
        book.commit();
        let end = sweep(&mut book, at(20));
        assert!(keys(&book) > 1, "those that were looked at in time could still refuse");
        let end = sweep(&mut book, end);
        assert_eq!(keys(&book), 1, "only one can still refuse");
        assert!(book.refusal(&KEY, at(3_000), &windows(1, 3_600)).is_some());
        sweep(&mut book, end.plus(Duration::from_hours(1)));
        assert_eq!(keys(&book), 0);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_the_sweep() {
        let mut book = Book::default();
        sweep(&mut book, at(10_000));
        book.charge(KEY, at(0), &windows(1, 30));
        book.commit();
        sweep(&mut book, at(60));
        assert_eq!(keys(&book), 0);
    }

    #[test]
    fn keys_that_were_charged_once_are_small() {
        let mut book = Book::default();
        for n in 0..200_000 {
            book.charge(key(n), at(0), &windows(1, 30));
        }
        let slots: usize = book.shards.iter().map(|shard| shard.capacity() * 8 / 7).sum();
        let bytes = slots * (size_of::<(Key, Entry)>() + 1) / keys(&book);
        assert_eq!((size_of::<(Key, Entry)>(), keys(&book)), (32, 200_000));
        assert!(bytes < 70, "{bytes} bytes a key");
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Ask(u64),
        Charge(u64),
        Commit,
        Pass(u64),
        Rollback,
        Sweep,
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            3 => (0_u64..4).prop_map(Op::Ask),
            6 => (0_u64..4).prop_map(Op::Charge),
            3 => Just(Op::Commit),
            3 => (0_u64..40_000).prop_map(Op::Pass),
            1 => Just(Op::Rollback),
            1 => Just(Op::Sweep),
        ];
        proptest::collection::vec(op, 1..200)
    }

    proptest! {
        #[test]
        fn every_key_is_as_if_it_had_a_ledger_of_its_own(ops in ops(), coarse in any::<bool>()) {
            let mut limits = vec![Window { max: 1, period: Duration::from_secs(3) }, windows(3, 60)[0]];
            if coarse {
                limits.push(windows(EXACT_MAX + 1, 90)[0]);
            }
            let (mut book, mut model, mut before) = (Book::default(), HashMap::<u64, Ledger>::new(), HashMap::new());
            let mut now = at(1_000);
            for op in ops {
                match op {
                    Op::Ask(n) => {
                        let expected = model.entry(n).or_default().refusal(now, &limits);
                        prop_assert_eq!(book.refusal(&key(n), now, &limits), expected);
                    }
                    Op::Charge(n) if model.entry(n).or_default().refusal(now, &limits).is_none() => {
                        model.entry(n).or_default().charge(now, &limits);
                        book.charge(key(n), now, &limits);
                    }
                    Op::Charge(_) => {}
                    Op::Commit => {
                        before.clone_from(&model);
                        book.commit();
                    }
                    Op::Pass(ms) => now = now.plus(Duration::from_millis(ms)),
                    Op::Rollback => {
                        model.clone_from(&before);
                        book.rollback();
                    }
                    Op::Sweep => {
                        before.clone_from(&model);
                        book.commit();
                        now = sweep(&mut book, now);
                    }
                }
            }
            for n in 0..4 {
                prop_assert_eq!(book.refusal(&key(n), now, &limits), model.entry(n).or_default().refusal(now, &limits));
            }
        }
    }

    #[test]
    fn an_unknown_key_under_a_limit_of_none_is_refused() {
        assert!(Book::default().refusal(&KEY, at(0), &windows(0, 30)).is_some());
    }
}
