//! What a seed stands for: when requests come, how providers behave, what breaks when. Decided before anything runs,
//! from the seed alone. Must never look at what the gateway does.

use std::ops::Range;

use crate::luck::Luck;
use crate::plan::{PROVIDERS, SHAPES};

/// Requests come until then.
pub(crate) const TRAFFIC_MS: u64 = 40_000;

/// From then on nothing breaks any more.
pub(crate) const CALM_MS: u64 = TRAFFIC_MS + 15_000;

/// How long the system needs to bring everything to an end once nothing breaks: an attempt's time-out, a pause of the
/// store's users, a sweep, and some of each's slack.
pub(crate) const SETTLING_MS: u64 = 10_000;

/// The machine's wall clock is set by so much at a time.
const STEP_MS: i64 = 3_600_000;

/// How a provider behaves for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Down,
    Fair,
    Mute,
    Rough,
    Sick,
    Suspended,
    Throttling,
}

/// Which operations of the store fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    All,
    Admits,
    Claims,
    Receipts,
    Settles,
}

/// Something from outside that the gateway must bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The caller of a request wants it canceled.
    Cancel(u32),
    /// Whoever watches looks whether everything moves on.
    Check,
    /// The caller of a request says what became of the code.
    Feedback(u32),
    /// A provider calls with a receipt that somebody forged.
    Forged,
    /// The process is killed and started again after a while.
    Kill { down_ms: u64 },
    /// A provider hands over a receipt.
    Letter(u64),
    /// Another tenant asks for a request's message.
    Pry(u32),
    /// Another plan is loaded.
    Reconfigure(usize),
    /// A request is made again under its key, perhaps with another content.
    Repeat { number: u32, changed: bool },
    /// A provider that never had a request's message sends a receipt for it.
    Spoof(u32),
    /// The process is suspended.
    Stall { ms: u64 },
    /// The wall clock of the machine is set.
    Step { by_ms: i64 },
    /// The process is told to stop, and started again after a while.
    Stop { drain_ms: u64, down_ms: u64 },
    /// A request is made.
    Submit(u32),
}

/// Everything that was decided beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// What happens when.
    pub(crate) events: Vec<(u64, Event)>,
    moods: Vec<Vec<(Range<u64>, Mood)>>,
    outages: Vec<(Range<u64>, Broken)>,
    slow: Vec<Range<u64>>,
}

impl Scenario {
    pub(crate) fn of(seed: u64, messages: u32) -> Self {
        let mut scenario = Self { events: Vec::new(), moods: Vec::new(), outages: Vec::new(), slow: Vec::new() };
        for number in 0..messages {
            scenario.request(seed, number);
        }
        for at in 0..PROVIDERS.len() {
            scenario.moods.push(moods(seed, at as u64));
        }
        scenario.store(seed);
        scenario.process(seed);
        scenario
    }

    /// Messages that wait for providers to come back, and a polite stop meanwhile, over a store that is slow all the time.
    #[cfg(test)]
    pub(crate) fn stop_while_all_waits(seed: u64) -> Self {
        let stop = Event::Stop { drain_ms: 30_000, down_ms: 0 };
        let mut events: Vec<_> = (0..12).map(|number| (u64::from(number), Event::Submit(number))).collect();
        events.push((Luck::about(seed, "stop", 0).between(300..12_000), stop));
        let moods = vec![vec![(0..4_000, Mood::Down)]; PROVIDERS.len()];
        #[expect(clippy::single_range_in_vec_init, reason = "one spell that lasts")]
        Self { events, moods, outages: Vec::new(), slow: vec![0..CALM_MS] }
    }

    /// How a provider behaves at a moment.
    pub(crate) fn mood(&self, provider: &str, ms: u64) -> Mood {
        let at = PROVIDERS.iter().position(|name| *name == provider).unwrap_or(0);
        let spells = self.moods.get(at).into_iter().flatten();
        spells.filter(|(when, _)| when.contains(&ms)).map(|(_, mood)| *mood).next().unwrap_or(Mood::Fair)
    }

    /// What of the store is broken at a moment.
    pub(crate) fn broken(&self, ms: u64) -> impl Iterator<Item = Broken> {
        self.outages.iter().filter(move |(when, _)| when.contains(&ms)).map(|(_, what)| *what)
    }

    /// Whether the store is slow at a moment.
    pub(crate) fn is_slow(&self, ms: u64) -> bool {
        self.slow.iter().any(|when| when.contains(&ms))
    }

    /// Whether the store works as it should all the time from then on for so long.
    pub(crate) fn store_is_well(&self, when: &Range<u64>) -> bool {
        let clash = |other: &Range<u64>| other.start < when.end && when.start < other.end;
        !self.slow.iter().any(clash) && !self.outages.iter().any(|(other, _)| clash(other))
    }

    fn request(&mut self, seed: u64, number: u32) {
        let mut luck = Luck::about(seed, "request", u64::from(number));
        // Some come in a rush: lanes must fill, limits must be met.
        let at = if luck.chance(40) {
            let rush = Luck::about(seed, "rush", luck.between(0..4)).between(0..TRAFFIC_MS - 500);
            rush + luck.between(0..300)
        } else {
            luck.between(0..TRAFFIC_MS)
        };
        self.events.push((at, Event::Submit(number)));
        if luck.chance(20) {
            let changed = luck.chance(25);
            self.events.push((at + luck.pick(&[0, 1, 50, 4_000, 15_000]), Event::Repeat { number, changed }));
        }
        let follow = [
            (10, Event::Cancel(number)),
            (5, Event::Feedback(number)),
            (5, Event::Pry(number)),
            (5, Event::Spoof(number)),
        ];
        for (percent, event) in follow {
            if luck.chance(percent) {
                self.events.push((at + luck.pick(&[0, 5, 100, 2_000, 9_000]), event));
            }
        }
    }

    fn store(&mut self, seed: u64) {
        let mut luck = Luck::about(seed, "store", 0);
        for _ in 0..luck.pick(&[0, 0, 1, 2, 3]) {
            let from = luck.between(0..CALM_MS - 12_000);
            let broken = [Broken::All, Broken::All, Broken::Admits, Broken::Settles, Broken::Claims, Broken::Receipts];
            self.outages.push((from..from + luck.pick(&[40, 300, 2_000, 9_000]), luck.pick(&broken)));
        }
        for _ in 0..luck.pick(&[0, 0, 1, 2]) {
            let from = luck.between(0..CALM_MS - 12_000);
            self.slow.push(from..from + luck.between(500..10_000));
        }
    }

    fn process(&mut self, seed: u64) {
        let mut luck = Luck::about(seed, "process", 0);
        let mut add = |often: &[u64], make: fn(&mut Luck) -> Event| {
            for _ in 0..luck.pick(often) {
                let at = luck.between(200..CALM_MS - 1_000);
                self.events.push((at, make(&mut luck)));
            }
        };
        add(&[0, 1, 1, 2, 3], |luck| Event::Kill { down_ms: luck.pick(&[0, 20, 700, 6_000, 40_000, 600_000]) });
        add(&[0, 0, 1], |luck| Event::Stop {
            drain_ms: luck.pick(&[0, 1_000, 30_000]),
            down_ms: luck.pick(&[0, 300, 20_000]),
        });
        add(&[0, 0, 1, 2], |luck| Event::Stall { ms: luck.pick(&[50, 900, 4_000, 20_000]) });
        add(&[0, 0, 1, 2], |luck| Event::Step { by_ms: luck.pick(&[STEP_MS, -STEP_MS]) });
        add(&[0, 1, 2, 5], |luck| {
            let shapes: Vec<usize> = (0..SHAPES).collect();
            Event::Reconfigure(luck.pick(&shapes))
        });
        add(&[0, 0, 1, 3], |_| Event::Forged);
    }
}

/// One provider's spells of behaviour until it calms down.
fn moods(seed: u64, provider: u64) -> Vec<(Range<u64>, Mood)> {
    let mut luck = Luck::about(seed, "moods", provider);
    let (mut spells, mut from) = (Vec::new(), 0);
    // Every provider of some seeds is well throughout, so that other faults are met alone.
    let bad = luck.pick(&[0, 30, 60, 90]);
    while from < CALM_MS {
        let until = from + luck.between(1_000..12_000);
        let mood = if luck.chance(bad) {
            let moods = [
                Mood::Down,
                Mood::Mute,
                Mood::Rough,
                Mood::Rough,
                Mood::Rough,
                Mood::Sick,
                Mood::Suspended,
                Mood::Throttling,
            ];
            luck.pick(&moods)
        } else {
            Mood::Fair
        };
        spells.push((from..until.min(CALM_MS), mood));
        from = until;
    }
    spells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_stands_for_the_same() {
        let (one, same, other) = (Scenario::of(3, 50), Scenario::of(3, 50), Scenario::of(4, 50));
        assert_eq!(one.events, same.events);
        assert_ne!(one.events, other.events);
    }

    #[test]
    fn nothing_breaks_once_it_is_calm() {
        for seed in 0..200 {
            let scenario = Scenario::of(seed, 5);
            assert!(scenario.store_is_well(&(CALM_MS..u64::MAX)), "seed {seed}");
            assert!(PROVIDERS.iter().all(|name| scenario.mood(name, CALM_MS) == Mood::Fair), "seed {seed}");
        }
    }
}
