//! What everything in a simulation shares: the machine's clock, what is still to happen, receipts under way, and the
//! witness. Must never decide anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sms_core::{ProviderName, Receipt};
use tokio::sync::Notify;

use crate::clock::MachineClock;
use crate::plant::Plant;
use crate::scenario::{Event, Scenario};
use crate::witness::Witness;

/// The world outside of the gateway.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) clock: Arc<MachineClock>,
    pub(crate) scenario: Scenario,
    pub(crate) plant: Option<Plant>,
    /// Something was added to what is to happen.
    pub(crate) added: Notify,
    agenda: Mutex<Agenda>,
    witness: Mutex<Witness>,
}

/// What is to happen, in order.
#[derive(Debug, Default)]
struct Agenda {
    events: BTreeMap<(u64, u64), Event>,
    letters: BTreeMap<u64, Letter>,
    next: u64,
    /// When something last was not as it should be.
    disturbed_ms: u64,
}

/// A receipt on its way from a provider.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) provider: ProviderName,
    pub(crate) receipt: Receipt,
    /// By HTTP, so that the provider learns whether it was taken; else on its session.
    pub(crate) by_callback: bool,
}

impl World {
    pub(crate) fn new(seed: u64, scenario: Scenario, plant: Option<Plant>, keeps_trace: bool) -> Self {
        let clock = Arc::new(MachineClock::default());
        let witness = Witness::new(Arc::clone(&clock), keeps_trace);
        let world = Self {
            seed,
            clock,
            scenario,
            plant,
            added: Notify::new(),
            agenda: Mutex::default(),
            witness: Mutex::new(witness),
        };
        for (at, event) in world.scenario.events.clone() {
            world.at(at, event);
        }
        world
    }

    /// The witness; nothing else may be asked of the world meanwhile.
    pub(crate) fn witness(&self) -> MutexGuard<'_, Witness> {
        self.witness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is to happen.
    pub(crate) fn at(&self, ms: u64, event: Event) {
        let mut agenda = self.agenda();
        agenda.next += 1;
        let next = agenda.next;
        agenda.events.insert((ms, next), event);
        drop(agenda);
        self.added.notify_one();
    }

    /// When the next thing happens.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.agenda().events.first_key_value().map(|((ms, _), _)| *ms)
    }

    /// The next thing that happens.
    pub(crate) fn next(&self) -> Option<Event> {
        self.agenda().events.pop_first().map(|(_, event)| event)
    }

    /// A provider sends a receipt.
    pub(crate) fn post(&self, ms: u64, letter: Letter) {
        let mut agenda = self.agenda();
        agenda.next += 1;
        let number = agenda.next;
        agenda.letters.insert(number, letter);
        drop(agenda);
        self.at(ms, Event::Letter(number));
    }

    pub(crate) fn letter(&self, number: u64) -> Option<Letter> {
        self.agenda().letters.get(&number).cloned()
    }

    /// Nobody will send it again.
    pub(crate) fn letter_is_done(&self, number: u64) {
        self.agenda().letters.remove(&number);
    }

    /// Receipts that are under way and not on the agenda: their providers will send them again.
    pub(crate) fn resend(&self, ms: u64) {
        let agenda = self.agenda();
        let planned: Vec<u64> = agenda.events.values().filter_map(letter_of).collect();
        let lost: Vec<u64> = agenda.letters.keys().copied().filter(|number| !planned.contains(number)).collect();
        drop(agenda);
        for number in lost {
            self.at(ms, Event::Letter(number));
        }
    }

    /// No process runs for a while. Callers wait for it; receipts arrive and find nobody.
    pub(crate) fn pass(&self, ms: u64) {
        self.clock.pass(ms);
        let mut agenda = self.agenda();
        let events = std::mem::take(&mut agenda.events);
        let later = events.into_iter().map(|((at, nth), event)| {
            let wait = if letter_of(&event).is_some() { 0 } else { ms };
            ((at + wait, nth), event)
        });
        agenda.events = later.collect();
    }

    /// Something is not as it should be.
    pub(crate) fn disturb(&self) {
        let ms = self.clock.ms();
        self.agenda().disturbed_ms = ms;
    }

    /// For how long everything has been as it should be.
    pub(crate) fn calm_ms(&self) -> u64 {
        let now = self.clock.ms();
        now.saturating_sub(self.agenda().disturbed_ms)
    }

    /// Forgets what was planned for the process: it happens no more.
    pub(crate) fn spare_the_process(&self) {
        self.agenda().events.retain(|_, event| match event {
            Event::Kill { .. }
            | Event::Stall { .. }
            | Event::Step { .. }
            | Event::Stop { .. }
            | Event::Reconfigure(_) => false,
            Event::Cancel(_)
            | Event::Check
            | Event::Feedback(_)
            | Event::Forged
            | Event::Letter(_)
            | Event::Pry(_)
            | Event::Repeat { .. }
            | Event::Spoof(_)
            | Event::Submit(_) => true,
        });
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn letter_of(event: &Event) -> Option<u64> {
    if let Event::Letter(number) = event { Some(*number) } else { None }
}
