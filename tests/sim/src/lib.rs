//! A whole gateway in a box: the real engine over the memory store, providers that follow a script, time that stands
//! still until nothing is left to do. One seed decides everything that happens, so whatever goes wrong goes wrong
//! again. The promises of architecture.md §5 are checked at every commit, wire request and answer (`witness`).
//!
//! ```
//! let report = sim::run(7, sim::Setup { messages: 20, ..sim::Setup::default() });
//! assert!(report.violations.is_empty(), "{:?}", report.violations);
//! ```

mod campaign;
mod clock;
mod letters;
mod life;
mod luck;
mod panics;
mod plan;
mod plant;
mod scenario;
mod stats;
mod store;
mod upstream;
mod webhook;
mod witness;
mod world;

pub use campaign::{Summary, campaign, replay};
pub use plant::Plant;
pub use stats::Stats;

use std::fmt;
use std::sync::Arc;

use sms_core::SmsProvider;
use sms_store::MemoryStore;

use life::{Ended, Machine, live};
use plan::{PROVIDERS, STRANGER};
use scenario::{Event, Scenario};
use upstream::Upstream;
use world::World;

/// More lives than any scenario has.
const LIVES_MAX: u32 = 40;

/// What to simulate besides the seed.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Requests a seed.
    pub messages: u32,
    /// A bug to plant.
    pub plant: Option<Plant>,
    /// Keep a line for everything that happens.
    pub keeps_trace: bool,
    /// Simulate every seed of a campaign two times, and compare.
    pub twice: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { messages: 150, plant: None, keeps_trace: false, twice: false }
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: &'static str,
    /// By what.
    pub what: String,
    /// When, in simulated time.
    pub at_ms: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s: {}: {}", self.at_ms / 1_000, self.at_ms % 1_000, self.invariant, self.what)
    }
}

/// What a seed led to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What was seen, in numbers.
    pub stats: Stats,
    /// Promises that were broken; none, if all is well.
    pub violations: Vec<Violation>,
    /// A digest of everything that happened: the same for every run of the seed.
    pub hash: u64,
    /// Everything that happened, where it was asked for.
    pub trace: Vec<String>,
}

/// Simulates one seed.
pub fn run(seed: u64, setup: Setup) -> Report {
    panics::watch();
    let scenario = Scenario::of(seed, setup.messages);
    let world = Arc::new(World::new(seed, scenario, setup.plant, setup.keeps_trace));
    world.at(1_000, Event::Check);
    lives(&world);
    let mut witness = world.witness();
    for panic in panics::seen() {
        witness.blame("nothing_panics", panic);
    }
    witness.stats.count("seeds");
    let violations = std::mem::take(&mut witness.violations);
    let (stats, hash, trace) = (std::mem::take(&mut witness.stats), witness.hash(), witness.trace());
    Report { seed, stats, violations, hash, trace }
}

/// One life of the process after another, over the same store.
fn lives(world: &Arc<World>) {
    let Ok(store) = MemoryStore::new(Arc::clone(&world.clock) as Arc<dyn sms_core::Clock>).map(Arc::new) else {
        return world.witness().hangs("the system has no randomness for a store's key");
    };
    let upstream = |name: &str| Arc::new(Upstream::new(name, Arc::clone(world))) as Arc<dyn SmsProvider>;
    let providers = PROVIDERS.iter().copied().chain([STRANGER]).map(upstream).collect();
    let machine = Machine { world: Arc::clone(world), store: Arc::clone(&store), providers };
    let mut shape = 0;
    for _ in 0..LIVES_MAX {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let Ok(runtime) = runtime else { return world.witness().hangs("no runtime can be built") };
        let ended = runtime.block_on(live(&machine, &mut shape));
        // The kill: every task ends where it stands.
        drop(runtime);
        match ended {
            Ended::Down { ms } => world.pass(ms),
            Ended::Over => return,
        }
        store.crash();
    }
    world.witness().hangs("it never ends");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Once the worker of a lane was not waited for: a stop between the commit of its claim and the store's answer left
    /// attempts open that nobody had made.
    #[test]
    fn a_polite_stop_leaves_nothing_open() {
        for seed in 0..40 {
            let world = Arc::new(World::new(seed, Scenario::stop_while_all_waits(seed), None, false));
            world.at(1_000, Event::Check);
            lives(&world);
            let witness = world.witness();
            assert_eq!(witness.violations, [], "seed {seed}");
            assert_eq!(witness.stats.of("orphans"), 0, "seed {seed}");
            assert_eq!(witness.stats.of("process.stops"), 1, "seed {seed}");
        }
    }
}
