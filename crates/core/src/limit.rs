//! Exact sliding-window limits as a pure data structure. Knows no store, no key and no clock.
//!
//! `N/W` means: never more than N acceptances in *any* span of length W. A token bucket (GCRA) would
//! let nearly 2N through, so this keeps the acceptance times themselves; for N above
//! [`EXACT_MAX`] it keeps sub-windows and errs on the refusing side.

mod packed;

use std::collections::VecDeque;
use std::time::Duration;

use crate::UnixMs;

/// Largest N whose single acceptances are remembered.
pub const EXACT_MAX: u32 = 1_000;

/// Sub-windows per window above [`EXACT_MAX`]: refuses at most 1/128 of the window too long.
const SUB_WINDOWS: i64 = 128;

/// At most `max` acceptances in any span of `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// How many.
    pub max: u32,
    /// In how long; at least a millisecond.
    pub period: Duration,
}

/// The acceptances charged to one key, as far back as its windows reach. There may be millions of them: small.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Single acceptances: serves every window with `max <= EXACT_MAX`.
    exact: Times,
    /// One per coarse window, in the order of the windows.
    coarse: Box<[VecDeque<Bucket>]>,
}

/// Moments, oldest first. Most keys have one, which takes no memory of its own.
#[derive(Clone, Debug, Default)]
enum Times {
    Many(Vec<i64>),
    #[default]
    None,
    One(i64),
}

/// Acceptances of one sub-window, all treated as if made at `last`.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    first: i64,
    last: i64,
    count: u32,
}

impl Ledger {
    /// Reads one acceptance back after a restart; call in the order in which they were made, before anything else.
    pub fn restore(&mut self, at: UnixMs) {
        // A clock that stepped back between two runs must not shorten what was charged before.
        let newest = self.exact.as_slice().last().copied();
        self.exact.push(at.get().max(newest.unwrap_or(i64::MIN)));
    }

    /// How long the key must wait under `windows`; `None` when one more acceptance is allowed at `now`.
    pub fn refusal(&mut self, now: UnixMs, windows: &[Window]) -> Option<Duration> {
        self.fit(windows);
        let now = now.get();
        let mut coarse = self.coarse.iter();
        let mut wait = None;
        for window in windows {
            let free_at = if window.max <= EXACT_MAX {
                exact_free_at(self.exact.as_slice(), now, *window)
            } else {
                coarse.next().and_then(|buckets| coarse_free_at(buckets, now, *window))
            };
            wait = wait.max(free_at);
        }
        wait.map(|at| Duration::from_millis(u64::try_from(at - now).unwrap_or(1).max(1)))
    }

    /// Counts one acceptance at `now`. Call only after [`Ledger::refusal`] said `None`.
    pub fn charge(&mut self, now: UnixMs, windows: &[Window]) {
        self.fit(windows);
        let mut now = now.get();
        for (buckets, window) in self.coarse.iter_mut().zip(coarse_windows(windows)) {
            charge_bucket(buckets, now, window);
        }
        if let Some(longest) = longest_exact(windows) {
            // A clock that stepped back between two runs must not shorten what was charged before.
            now = now.max(self.exact.as_slice().last().copied().unwrap_or(now));
            self.exact.forget_before(now.saturating_sub(longest));
            self.exact.push(now);
        }
    }

    /// Takes the newest acceptance back: the commit that held it failed.
    pub fn refund(&mut self) {
        self.exact.pop();
        for buckets in &mut self.coarse {
            if let Some(bucket) = buckets.back_mut() {
                bucket.count = bucket.count.saturating_sub(1);
            }
            if buckets.back().is_some_and(|bucket| bucket.count == 0) {
                buckets.pop_back();
            }
        }
    }

    /// Takes back one acceptance that was counted at `at`, whatever was counted since: what it was for did not happen.
    pub fn take_back(&mut self, at: UnixMs) {
        // Where a clock stepped back it stands later; the earlier one goes, so that the others count no shorter.
        let (at, times) = (at.get(), self.exact.as_slice());
        let place = times.partition_point(|time| *time < at);
        let kept: Vec<i64> = times.iter().enumerate().filter(|(n, _)| *n != place).map(|(_, time)| *time).collect();
        self.exact = Times::Many(kept);
        for buckets in &mut self.coarse {
            if let Some(bucket) = buckets.iter_mut().find(|bucket| bucket.last >= at) {
                bucket.count = bucket.count.saturating_sub(1);
            }
            buckets.retain(|bucket| bucket.count > 0);
        }
    }

    /// After a restart or a change of the windows: builds the sub-windows from the single acceptances.
    fn fit(&mut self, windows: &[Window]) {
        if self.coarse.len() == coarse_windows(windows).count() {
            return;
        }
        self.coarse = coarse_windows(windows)
            .map(|window| {
                let mut buckets = VecDeque::new();
                self.exact.as_slice().iter().for_each(|at| charge_bucket(&mut buckets, *at, window));
                buckets
            })
            .collect();
        if longest_exact(windows).is_none() {
            self.exact = Times::None;
        }
    }
}

impl Times {
    fn as_slice(&self) -> &[i64] {
        match self {
            Self::Many(times) => times,
            Self::None => &[],
            Self::One(time) => std::slice::from_ref(time),
        }
    }

    fn push(&mut self, time: i64) {
        match self {
            Self::Many(times) => times.push(time),
            Self::None => *self = Self::One(time),
            Self::One(first) => *self = Self::Many(vec![*first, time]),
        }
    }

    fn pop(&mut self) {
        match self {
            Self::Many(times) => drop(times.pop()),
            Self::None | Self::One(_) => *self = Self::None,
        }
    }

    fn forget_before(&mut self, start: i64) {
        let gone = self.as_slice().partition_point(|time| *time < start);
        match self {
            Self::Many(times) => drop(times.drain(..gone)),
            Self::One(_) if gone > 0 => *self = Self::None,
            Self::None | Self::One(_) => {}
        }
    }
}

/// When the oldest acceptance that stands in the way leaves the window; `None` if none does.
fn exact_free_at(exact: &[i64], now: i64, window: Window) -> Option<i64> {
    let period = millis(window.period);
    // Times are whole milliseconds rounded down, so one of exactly `period` ago may still be inside.
    let inside = exact.len() - exact.partition_point(|at| now - at > period);
    let max = window.max as usize;
    if inside < max {
        return None;
    }
    // With max = 0 nothing ever frees: ask again after a period.
    let blocker = exact.len().checked_sub(max).and_then(|index| exact.get(index)).copied().unwrap_or(now);
    Some(blocker + period + 1)
}

fn coarse_free_at(buckets: &VecDeque<Bucket>, now: i64, window: Window) -> Option<i64> {
    let period = millis(window.period);
    let inside: u64 = buckets.iter().filter(|b| now - b.last <= period).map(|b| u64::from(b.count)).sum();
    if inside < u64::from(window.max) {
        return None;
    }
    let mut excess = inside + 1 - u64::from(window.max);
    for bucket in buckets.iter().filter(|b| now - b.last <= period) {
        excess = excess.saturating_sub(u64::from(bucket.count));
        if excess == 0 {
            return Some(bucket.last + period + 1);
        }
    }
    Some(now + period + 1)
}

fn charge_bucket(buckets: &mut VecDeque<Bucket>, now: i64, window: Window) {
    let period = millis(window.period);
    while buckets.front().is_some_and(|bucket| now - bucket.last > period) {
        buckets.pop_front();
    }
    let width = (period / SUB_WINDOWS).max(1);
    match buckets.back_mut() {
        Some(bucket) if now < bucket.first + width => {
            bucket.last = bucket.last.max(now);
            bucket.count += 1;
        }
        _ => buckets.push_back(Bucket { first: now, last: now, count: 1 }),
    }
}

fn coarse_windows(windows: &[Window]) -> impl Iterator<Item = Window> + '_ {
    windows.iter().copied().filter(|window| window.max > EXACT_MAX)
}

fn longest_exact(windows: &[Window]) -> Option<i64> {
    windows.iter().filter(|window| window.max <= EXACT_MAX).map(|window| millis(window.period)).max()
}

fn millis(period: Duration) -> i64 {
    i64::try_from(period.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(max: u32, ms: u64) -> Window {
        Window { max, period: Duration::from_millis(ms) }
    }

    fn accept(ledger: &mut Ledger, now: i64, windows: &[Window]) -> bool {
        let allowed = ledger.refusal(UnixMs::new(now), windows).is_none();
        if allowed {
            ledger.charge(UnixMs::new(now), windows);
        }
        allowed
    }

    /// Largest number of `times` (sorted) in any closed span of `period`.
    fn densest(times: &[i64], period: i64) -> usize {
        (0..times.len()).map(|i| times[i..].iter().take_while(|t| **t - times[i] <= period).count()).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn never_more_than_n_in_any_window(
            steps in proptest::collection::vec(0_i64..400, 1..300),
            limits in proptest::collection::vec((1_u32..8, 1_u64..3_000), 1..4),
        ) {
            let windows: Vec<Window> = limits.iter().map(|(n, ms)| window(*n, *ms)).collect();
            let (mut ledger, mut now, mut taken) = (Ledger::default(), 0, Vec::new());
            for step in steps {
                now += step;
                if accept(&mut ledger, now, &windows) {
                    taken.push(now);
                }
            }
            for w in &windows {
                prop_assert!(densest(&taken, millis(w.period)) <= w.max as usize);
            }
        }

        #[test]
        fn coarse_windows_never_exceed_n(steps in proptest::collection::vec(0_i64..5, 2_000..3_000)) {
            let windows = [window(1_001, 3_000)];
            let (mut ledger, mut now, mut taken) = (Ledger::default(), 0, Vec::new());
            for step in steps {
                now += step;
                if accept(&mut ledger, now, &windows) {
                    taken.push(now);
                }
            }
            prop_assert!(densest(&taken, 3_000) <= 1_001);
        }

        #[test]
        fn waiting_as_told_is_enough(steps in proptest::collection::vec(0_i64..50, 1..60)) {
            let windows = [window(2, 100), window(5, 900)];
            let (mut ledger, mut now) = (Ledger::default(), 0);
            for step in steps {
                now += step;
                if let Some(wait) = ledger.refusal(UnixMs::new(now), &windows) {
                    now += i64::try_from(wait.as_millis()).unwrap();
                    prop_assert!(ledger.refusal(UnixMs::new(now), &windows).is_none());
                }
                ledger.charge(UnixMs::new(now), &windows);
            }
        }
    }

    #[test]
    fn one_in_thirty_seconds_frees_after_thirty_seconds() {
        let (mut ledger, windows) = (Ledger::default(), [window(1, 30_000)]);
        assert!(accept(&mut ledger, 0, &windows));
        assert_eq!(ledger.refusal(UnixMs::new(10_000), &windows), Some(Duration::from_millis(20_001)));
        assert!(!accept(&mut ledger, 30_000, &windows));
        assert!(accept(&mut ledger, 30_001, &windows));
    }

    #[test]
    fn refund_restores_the_state_before_the_charge() {
        let (mut ledger, windows) = (Ledger::default(), [window(1, 1_000), window(2_000, 1_000)]);
        ledger.charge(UnixMs::new(5), &windows);
        ledger.refund();
        assert!(ledger.refusal(UnixMs::new(5), &windows).is_none());
        assert!(ledger.exact.as_slice().is_empty() && ledger.coarse.iter().all(VecDeque::is_empty));
    }

    #[test]
    fn a_ledger_is_small() {
        assert!(size_of::<Ledger>() <= 40, "{} bytes, and there may be millions", size_of::<Ledger>());
    }

    #[test]
    fn a_restored_ledger_refuses_as_before() {
        let windows = [window(1_001, 10_000), window(2, 1_000)];
        let mut ledger = Ledger::default();
        (0..1_001).for_each(|n| ledger.restore(UnixMs::new(n * 5)));
        assert!(ledger.refusal(UnixMs::new(6_100), &windows).is_some(), "1,001 acceptances lie in the last 10 s");
        assert!(ledger.refusal(UnixMs::new(15_100), &windows).is_none());
    }

    #[test]
    fn a_clock_that_stepped_back_between_runs_frees_nothing_early() {
        let (mut ledger, windows) = (Ledger::default(), [window(2, 1_000)]);
        ledger.restore(UnixMs::new(10_000));
        ledger.restore(UnixMs::new(2_000));
        assert!(ledger.refusal(UnixMs::new(10_500), &windows).is_some());
        assert!(ledger.refusal(UnixMs::new(11_001), &windows).is_none());
    }

    #[test]
    fn a_clock_that_stepped_back_frees_nothing_early() {
        let (mut ledger, windows) = (Ledger::default(), [window(1, 1_000)]);
        ledger.charge(UnixMs::new(10_000), &windows);
        assert!(ledger.refusal(UnixMs::new(2_000), &windows).is_some());
    }

    #[test]
    fn memory_stays_within_the_longest_window() {
        let (mut ledger, windows) = (Ledger::default(), [window(10, 100)]);
        for now in 0..10_000 {
            accept(&mut ledger, now, &windows);
        }
        assert!(ledger.exact.as_slice().len() <= 10);
    }
}
