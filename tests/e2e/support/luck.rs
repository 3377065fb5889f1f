//! Chance that can be had again: every test that throws dice prints its seed first.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::time::Duration;

/// A small generator of pseudo-random numbers (xorshift64*).
#[derive(Clone, Debug)]
pub struct Luck(u64);

impl Luck {
    /// Begins at `$E2E_SEED`, else anywhere; prints where.
    pub fn thrown() -> Self {
        let seed = knob("E2E_SEED", RandomState::new().hash_one(0));
        eprintln!("E2E_SEED={seed}");
        Self::of(seed)
    }

    /// Begins at `seed`.
    pub fn of(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A number of the range, which must not be empty.
    pub fn of_range(&mut self, range: Range<u64>) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        range.start + self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % (range.end - range.start)
    }

    /// A pause of so many milliseconds.
    pub fn pause(&mut self, ms: Range<u64>) -> Duration {
        Duration::from_millis(self.of_range(ms))
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = self.of_range(0..u64::try_from(choices.len()).expect("a short list"));
        choices.get(usize::try_from(at).expect("a short list")).expect("below the length")
    }
}

/// A whole number from the environment, for longer runs than the usual ones.
#[expect(clippy::disallowed_methods, reason = "no configuration of the product: how long tests run")]
pub fn knob(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a whole number"))
}

/// Whether a test must fail where a program or a permission is missing (`tests/run`), instead of skipping loudly.
pub fn strict() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not of the gateway")]
    std::env::var_os("GATEWAY_TESTS_STRICT").is_some()
}
