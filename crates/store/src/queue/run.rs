//! Ids in order with their expiry, in twenty bytes a message: sorted chunks, no tree node for each. Messages come nearly
//! in order and leave mostly at the ends; what comes or goes in the middle moves one chunk. Knows no lane.

use std::collections::VecDeque;
use std::time::Duration;

use sms_core::{MessageId, UnixMs};

/// Messages in order of their ids.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// None is empty.
    chunks: VecDeque<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    /// In order.
    items: Vec<Item>,
    /// None of them expires before.
    soonest: UnixMs,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    id: MessageId,
    /// Since the creation that the id tells. Saturates after seven weeks: no message lives for a day.
    life_ms: u32,
}

impl Run {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// `id` must not be in it.
    pub(super) fn insert(&mut self, id: MessageId, expires: UnixMs) {
        let item = Item::new(id, expires);
        let at = if self.chunks.back().is_none_or(|last| last.last() < Some(id)) {
            self.chunks.len().saturating_sub(1)
        } else {
            self.place(id)
        };
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.reserve_exact(1); // there may be many with one message
            return self.chunks.push_back(Chunk::new(vec![item]));
        };
        let within = chunk.items.partition_point(|other| other.id < id);
        if chunk.items.len() < CHUNK_MAX {
            return chunk.insert(within, item);
        }
        let last = at + 1 == self.chunks.len();
        if last && within == CHUNK_MAX {
            return self.chunks.push_back(Chunk::new(vec![item]));
        }
        let (at, within) = self.make_room(at, within);
        if let Some(chunk) = self.chunks.get_mut(at) {
            chunk.insert(within, item);
        }
    }

    /// Says whether it was in it.
    pub(super) fn remove(&mut self, id: MessageId) -> bool {
        let at = self.place(id);
        let Some(chunk) = self.chunks.get_mut(at) else { return false };
        let Ok(within) = chunk.items.binary_search_by_key(&id, |item| item.id) else { return false };
        chunk.items.remove(within);
        self.tidy(at);
        true
    }

    pub(super) fn pop_first(&mut self) -> Option<(MessageId, UnixMs)> {
        let chunk = self.chunks.front_mut()?;
        let item = chunk.items.remove(0);
        self.tidy(0);
        Some(item.pair())
    }

    pub(super) fn pop_last(&mut self) -> Option<(MessageId, UnixMs)> {
        let item = self.chunks.back_mut()?.items.pop()?;
        self.tidy(self.chunks.len() - 1);
        Some(item.pair())
    }

    /// Upwards, from behind `id` on.
    pub(super) fn after(&self, id: Option<MessageId>) -> impl Iterator<Item = (MessageId, UnixMs)> + '_ {
        let from = self.chunks.partition_point(|chunk| chunk.last() <= id);
        let items = self.chunks.range(from..).flat_map(|chunk| &chunk.items);
        items.skip_while(move |item| Some(item.id) <= id).map(Item::pair)
    }

    /// Downwards, from before `id` on; from the end without one.
    pub(super) fn before(&self, id: Option<MessageId>) -> impl Iterator<Item = (MessageId, UnixMs)> + '_ {
        let is_after = move |other: MessageId| id.is_some_and(|id| other >= id);
        let until = self.chunks.partition_point(|chunk| chunk.first().is_some_and(|first| !is_after(first)));
        let items = self.chunks.range(..until).rev().flat_map(|chunk| chunk.items.iter().rev());
        items.skip_while(move |item| is_after(item.id)).map(Item::pair)
    }

    /// Adds ids of those whose time is over until `found` has `max`.
    pub(super) fn expired(&mut self, now: UnixMs, max: usize, found: &mut Vec<MessageId>) {
        for chunk in &mut self.chunks {
            if found.len() >= max {
                return;
            }
            if chunk.soonest <= now {
                let late = chunk.items.iter().filter(|item| item.expires() <= now).map(|item| item.id);
                found.extend(late.take(max - found.len()));
                chunk.soonest = soonest(&chunk.items); // some may have left since
            }
        }
    }

    /// None expires before; the first one may have left.
    pub(super) fn soonest(&self) -> Option<UnixMs> {
        self.chunks.iter().map(|chunk| chunk.soonest).min()
    }

    /// The chunk in which an id is, or in front of whose items it belongs.
    fn place(&self, id: MessageId) -> usize {
        self.chunks.partition_point(|chunk| chunk.last() < Some(id))
    }

    /// A full chunk gives its last item to the next one, or where that is full as well its second half to a new one. Says
    /// where the place is now.
    fn make_room(&mut self, at: usize, within: usize) -> (usize, usize) {
        let has_room = self.chunks.get(at + 1).is_some_and(|next| next.items.len() < CHUNK_MAX);
        let Some(chunk) = self.chunks.get_mut(at) else { return (at, within) };
        if has_room {
            let last = chunk.items.pop();
            if let (Some(last), Some(next)) = (last, self.chunks.get_mut(at + 1)) {
                next.insert(0, last);
            }
            return (at, within);
        }
        let half = Chunk::new(chunk.items.split_off(CHUNK_MAX / 2));
        chunk.items.shrink_to_fit();
        self.chunks.insert(at + 1, half);
        within.checked_sub(CHUNK_MAX / 2).map_or((at, within), |within| (at + 1, within))
    }

    /// Gives back what a chunk no longer needs after something left it.
    fn tidy(&mut self, at: usize) {
        let len = |at: usize| self.chunks.get(at).map_or(CHUNK_MAX, |chunk| chunk.items.len());
        let own = len(at);
        if own == 0 {
            self.chunks.remove(at);
            return;
        }
        if own > CHUNK_MAX / 4 {
            return;
        }
        let joins = |left: usize| len(left) + len(left + 1) <= CHUNK_MAX / 2;
        let left = Some(at).filter(|at| joins(*at)).or_else(|| at.checked_sub(1).filter(|left| joins(*left)));
        if let Some(left) = left
            && let Some(right) = self.chunks.remove(left + 1)
            && let Some(chunk) = self.chunks.get_mut(left)
        {
            chunk.items.extend(right.items);
            chunk.soonest = chunk.soonest.min(right.soonest);
        } else if let Some(chunk) = self.chunks.get_mut(at).filter(|chunk| own * 4 <= chunk.items.capacity()) {
            chunk.items.shrink_to(own * 2);
        }
    }

    /// What it takes in memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let items: usize = self.chunks.iter().map(|chunk| chunk.items.capacity() * size_of::<Item>()).sum();
        items + self.chunks.capacity() * size_of::<Chunk>()
    }
}

impl Chunk {
    fn new(items: Vec<Item>) -> Self {
        let soonest = soonest(&items);
        Self { items, soonest }
    }

    fn first(&self) -> Option<MessageId> {
        self.items.first().map(|item| item.id)
    }

    fn last(&self) -> Option<MessageId> {
        self.items.last().map(|item| item.id)
    }

    fn insert(&mut self, within: usize, item: Item) {
        self.soonest = self.soonest.min(item.expires());
        self.items.insert(within, item);
    }
}

impl Item {
    fn new(id: MessageId, expires: UnixMs) -> Self {
        let life = expires.since(id.created()).as_millis();
        Self { id, life_ms: u32::try_from(life).unwrap_or(u32::MAX) }
    }

    fn expires(&self) -> UnixMs {
        self.id.created().plus(Duration::from_millis(u64::from(self.life_ms)))
    }

    fn pair(&self) -> (MessageId, UnixMs) {
        (self.id, self.expires())
    }
}

fn soonest(items: &[Item]) -> UnixMs {
    items.iter().map(Item::expires).min().unwrap_or(UnixMs::new(i64::MAX))
}

/// Items of one chunk: what an insertion in the middle moves.
const CHUNK_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use proptest::prelude::*;

    use super::*;

    fn id(n: u32) -> MessageId {
        let mut entropy = [0; 10];
        entropy[6..].copy_from_slice(&n.to_be_bytes());
        MessageId::new(UnixMs::new(1_764_000_000_000 + i64::from(n / 4)), entropy)
    }

    fn at(n: u32) -> UnixMs {
        UnixMs::new(1_764_000_000_000 + i64::from(n))
    }

    #[derive(Clone, Debug)]
    enum Op {
        Expire(u32, usize),
        First,
        Insert(u32, u32),
        Last,
        Remove(u32),
        /// Many in a row, upwards: full chunks.
        Stream(u32, u32),
        Walk(u32),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            6 => (0_u32..3_000, 0_u32..5_000).prop_map(|(n, life)| Op::Insert(n, life)),
            4 => (0_u32..3_000).prop_map(Op::Remove),
            2 => Just(Op::First),
            2 => Just(Op::Last),
            1 => (0_u32..3_000, 0_u32..400).prop_map(|(n, len)| Op::Stream(n, len)),
            1 => (0_u32..6_000, 0_usize..50).prop_map(|(n, max)| Op::Expire(n, max)),
            1 => (0_u32..3_000).prop_map(Op::Walk),
        ];
        proptest::collection::vec(op, 1..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn it_is_a_sorted_map(ops in ops()) {
            let (mut run, mut model) = (Run::default(), BTreeMap::<MessageId, UnixMs>::new());
            for op in ops {
                match op {
                    Op::Insert(n, life) => {
                        let expires = id(n).created().plus(Duration::from_millis(u64::from(life)));
                        if model.insert(id(n), expires).is_some() {
                            prop_assert!(run.remove(id(n)));
                        }
                        run.insert(id(n), expires);
                    }
                    Op::Stream(from, len) => {
                        for n in from..from + len {
                            if model.insert(id(n), at(9_000)).is_none() {
                                run.insert(id(n), at(9_000));
                            } else {
                                model.remove(&id(n));
                                prop_assert!(run.remove(id(n)));
                            }
                        }
                    }
                    Op::Remove(n) => prop_assert_eq!(run.remove(id(n)), model.remove(&id(n)).is_some()),
                    Op::First => prop_assert_eq!(run.pop_first(), model.pop_first()),
                    Op::Last => prop_assert_eq!(run.pop_last(), model.pop_last()),
                    Op::Expire(n, max) => {
                        let mut found = Vec::new();
                        run.expired(at(n), max, &mut found);
                        let late = model.iter().filter(|(_, expires)| **expires <= at(n)).map(|(id, _)| *id);
                        prop_assert_eq!(found, late.take(max).collect::<Vec<_>>());
                    }
                    Op::Walk(n) => {
                        let pair = |(id, expires): (&MessageId, &UnixMs)| (*id, *expires);
                        let up = model.range((Bound::Excluded(id(n)), Bound::Unbounded)).map(pair);
                        prop_assert!(run.after(Some(id(n))).eq(up));
                        prop_assert!(run.before(Some(id(n))).eq(model.range(..id(n)).rev().map(pair)));
                    }
                }
                prop_assert_eq!(run.is_empty(), model.is_empty());
                prop_assert!(run.soonest() <= model.values().min().copied() || model.is_empty());
                prop_assert!(run.chunks.iter().all(|chunk| (1..=CHUNK_MAX).contains(&chunk.items.len())));
            }
            prop_assert!(run.after(None).eq(model.iter().map(|(id, expires)| (*id, *expires))));
            prop_assert!(run.before(None).eq(model.iter().rev().map(|(id, expires)| (*id, *expires))));
        }
    }

    #[test]
    fn messages_that_come_nearly_in_order_take_little_more_than_their_own_bytes() {
        let mut run = Run::default();
        // Within each hundred in another order, as they come from many connections.
        for n in 0..100_000 {
            run.insert(id(n / 100 * 100 + n * 37 % 100), at(n + 300_000));
        }
        assert!(run.bytes() < 100_000 * 28, "{} bytes", run.bytes());
    }

    #[test]
    fn what_is_left_after_most_went_takes_little() {
        let mut run = Run::default();
        (0..100_000).for_each(|n| run.insert(id(n), at(n + 300_000)));
        (0..100_000).filter(|n| n % 50 > 0).for_each(|n| assert!(run.remove(id(n))));
        assert_eq!(run.after(None).count(), 2_000);
        assert!(run.bytes() < 2_000 * 100 + 60_000, "{} bytes", run.bytes());
    }

    #[test]
    fn a_life_of_no_time_or_of_all_time_is_kept_as_near_as_can_be() {
        let mut run = Run::default();
        run.insert(id(0), UnixMs::new(5));
        run.insert(id(1), UnixMs::new(i64::MAX));
        let expires: Vec<_> = run.after(None).map(|(_, expires)| expires).collect();
        assert_eq!(expires[0], at(0), "over from the beginning");
        assert!(expires[1] > at(0).plus(Duration::from_hours(24 * 40)));
    }
}
