//! Chance that a seed repeats. A draw depends on the seed and on what it is about, never on how many draws came before
//! it elsewhere, so that one decision can change without changing every later one. Must never ask the system.

use std::ops::Range;

/// A small generator of pseudo-random numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Luck(u64);

impl Luck {
    /// The stream of draws about one thing.
    pub(crate) fn about(seed: u64, topic: &str, which: u64) -> Self {
        let topic = topic.bytes().fold(FNV_START, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        Self(mix(mix(seed.wrapping_add(GOLDEN) ^ topic).wrapping_add(which)))
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number of the range, which must not be empty.
    pub(crate) fn between(&mut self, range: Range<u64>) -> u64 {
        range.start + self.draw() % (range.end - range.start)
    }

    /// True so many times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }

    /// One of these; there must be one.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = self.draw() % choices.len().max(1) as u64;
        choices[usize::try_from(at).unwrap_or(0)]
    }

    /// One of these, as often as its weight says; there must be one.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let total: u64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut at = self.draw() % total.max(1);
        for (weight, choice) in choices {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *choice,
            }
        }
        choices[0].1
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_about_one_thing_repeat_and_differ_from_those_about_another() {
        let draws = |topic, which| (0..4).scan(Luck::about(7, topic, which), |luck, _| Some(luck.draw())).collect();
        let first: Vec<u64> = draws("answer", 1);
        assert_eq!(first, draws("answer", 1));
        assert_ne!(first, draws("answer", 2));
        assert_ne!(first, draws("receipt", 1));
    }

    #[test]
    fn weights_are_kept() {
        let mut luck = Luck::about(1, "weights", 0);
        let often = (0..1_000).filter(|_| luck.weighted(&[(90, true), (10, false)])).count();
        assert!((850..950).contains(&often), "{often}");
    }
}
