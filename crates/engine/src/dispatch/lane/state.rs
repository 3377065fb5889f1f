//! What a lane knows, behind its lock: nothing in here waits.

use std::collections::BTreeMap;
use std::time::Duration;

use sms_core::{Country, ProviderName, TenantId, UnixMs};
use tokio::time::Instant;

use super::turns::Turns;
use crate::dispatch::breaker::{Breaker, Circuit, Health};
use crate::dispatch::budget::Budget;
use crate::dispatch::chances::{Chances, Hopeful};
use crate::dispatch::pace::{Burst, Pace};
use crate::dispatch::pair::{Gate, Pair};
use crate::measure::Measured;
use crate::status::{CountryStatus, ProviderStatus};

/// Countries that are told apart: more than the numbering plan has. A bound all the same.
const PAIRS_MAX: usize = 256;

/// With this many slots, a country that others share the provider with leaves an eighth of them free.
const SHARED_FROM: usize = 8;

/// A country is in use while its last attempt is younger.
const IN_USE: Duration = Duration::from_mins(10);

#[derive(Debug)]
pub(super) struct State {
    pub(super) concurrency: usize,
    pub(super) pace: Pace,
    pub(super) budget: Budget,
    /// Messages that wait for a repetition without a place in the budget.
    pub(super) chances: Chances,
    pub(super) disabled: Disabled,
    /// Tenants with messages that wait.
    pub(super) turns: Turns,
    /// For the account, and for faults that are not of one country only.
    whole: Breaker,
    /// Country of the faults in a row, until a second one joins.
    faulty: Option<Country>,
    pairs: BTreeMap<Country, Pair>,
}

/// Whether an operator keeps it from attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disabled {
    No,
    Until(Instant),
    UntilEnabled,
}

impl State {
    pub(super) fn new(concurrency: usize, interval: Option<Duration>) -> Self {
        Self {
            concurrency,
            pace: Pace::new(interval),
            budget: Budget::new(),
            chances: Chances::default(),
            disabled: Disabled::No,
            turns: Turns::default(),
            whole: Breaker::default(),
            faulty: None,
            pairs: BTreeMap::new(),
        }
    }

    pub(super) fn gate(&self, country: Country, now: Instant) -> Gate {
        if self.is_disabled(now) || self.whole.is_open(now) {
            return Gate::Shut;
        }
        let gate = self.pairs.get(&self.key(country)).map_or(Gate::Go, |pair| pair.gate(self.cap(), now));
        if gate == Gate::Go && self.pace.is_paused(now) { Gate::Avoid } else { gate }
    }

    /// Nothing may go there, whatever the country.
    pub(super) fn is_shut(&self, now: Instant) -> bool {
        self.is_disabled(now) || self.whole.is_open(now)
    }

    pub(super) fn try_begin(&mut self, tenant: &TenantId, country: Country, now: Instant) -> bool {
        let burst = match (self.turns.has(tenant), self.turns.others(tenant)) {
            (true, true) => return false, // its turn comes
            (true, false) => Burst::Common,
            (false, _) => Burst::Whole,
        };
        let cap = self.cap();
        if self.gate(country, now) == Gate::Shut
            || self.pair(country, now).room(cap, now) == 0
            || self.pace.try_take(burst, now).is_err()
        {
            return false;
        }
        self.whole.admits(now);
        self.pair(country, now).began(now);
        true
    }

    /// A place in the pace; `false` when nothing may go there.
    pub(super) fn try_take(&mut self, now: Instant) -> Result<bool, Instant> {
        if self.is_shut(now) {
            return Ok(false);
        }
        self.pace.try_take(Burst::Common, now)?;
        Ok(self.whole.admits(now))
    }

    pub(super) fn assigned(&mut self, country: Country, now: Instant) {
        self.pair(country, now).began(now);
    }

    pub(super) fn dropped(&mut self, country: Option<Country>, now: Instant) {
        self.whole.unprobe(now);
        if let Some(country) = country {
            self.pair(country, now).dropped(now);
        }
    }

    pub(super) fn ended(&mut self, country: Country, health: Health, took: Duration, now: Instant) {
        let cap = self.cap();
        self.pair(country, now).ended(health, took, cap, now);
        match health {
            Health::AccountRefused | Health::Neutral => self.whole.record(health, now),
            Health::Healthy => {
                self.faulty = None;
                self.whole.record(health, now);
            }
            // Faults of one country only are that country's.
            Health::Faulty => {
                let alone = self.faulty.is_none_or(|faulty| faulty == country);
                self.faulty.get_or_insert(country);
                if !alone || self.whole.circuit(now) != Circuit::Closed {
                    self.whole.record(health, now);
                } else {
                    self.whole.note_fault();
                }
            }
        }
    }

    pub(super) fn receipt(&mut self, country: Country, delivered: bool, age: Duration, now: Instant) -> bool {
        self.pair(country, now).receipt(delivered, age, now)
    }

    pub(super) fn chances(&mut self, wall: UnixMs, now: Instant) -> Vec<Hopeful> {
        let mut given = Vec::new();
        while !self.chances.is_empty() && self.budget.take(now) {
            match self.chances.next(wall) {
                Some(hopeful) => given.push(hopeful),
                None => self.budget.cancel(),
            }
        }
        given
    }

    pub(super) fn room(&self, max: usize, now: Instant) -> Vec<(Country, usize)> {
        let room = |(country, pair): (&Country, &Pair)| (*country, pair.room(self.cap(), now));
        self.pairs.iter().map(room).filter(|(_, room)| *room < max).collect()
    }

    pub(super) fn stranded_countries(&self, now: Instant) -> Vec<Country> {
        let cap = self.cap();
        let stranded = |pair: &Pair| match pair.gate(cap, now) {
            Gate::Avoid => pair.room(cap, now) == 0,
            Gate::Go => false,
            Gate::Shut => true,
        };
        self.pairs.iter().filter(|(_, pair)| stranded(pair)).map(|(country, _)| *country).collect()
    }

    pub(super) fn circuit(&self, now: Instant) -> Circuit {
        let whole = self.whole.circuit(now);
        if whole != Circuit::Closed {
            return whole;
        }
        let in_use = |pair: &&Pair| pair.running() > 0 || now.saturating_duration_since(pair.used()) < IN_USE;
        let circuits = self.pairs.values().filter(in_use).map(|pair| pair.circuit(now));
        // Closed as long as one country is served.
        circuits
            .min_by_key(|circuit| match circuit {
                Circuit::Closed => 0,
                Circuit::HalfOpen => 1,
                Circuit::Open => 2,
            })
            .unwrap_or(Circuit::Closed)
    }

    pub(super) fn watch(&mut self, now: Instant) {
        let cap = self.cap();
        self.pairs.values_mut().for_each(|pair| pair.watch(cap, now));
        if !self.is_disabled(now) {
            self.disabled = Disabled::No;
        }
    }

    pub(super) fn measured(&self, country: Country, now: Instant) -> Measured {
        self.pairs.get(&country).map_or_else(Measured::default, |pair| pair.measured(now))
    }

    pub(super) fn status(&self, name: ProviderName, now: Instant) -> ProviderStatus {
        let cap = self.cap();
        let of_pair = |(country, pair): (&Country, &Pair)| {
            let (circuit, reason) = pair.shown(now);
            CountryStatus {
                country: *country,
                circuit: circuit.as_str(),
                reason,
                in_flight: pair.running(),
                limit: pair.limit(cap),
                measured: pair.measured(now),
            }
        };
        let countries: Vec<CountryStatus> = self.pairs.iter().map(of_pair).collect();
        let is_disabled = self.is_disabled(now);
        ProviderStatus {
            name,
            configured: true,
            disabled: is_disabled,
            disabled_for: match self.disabled {
                Disabled::Until(until) if is_disabled => Some(until.saturating_duration_since(now)),
                Disabled::No | Disabled::UntilEnabled | Disabled::Until(_) => None,
            },
            circuit: self.circuit(now).as_str(),
            paused: self.pace.is_paused(now),
            in_flight: countries.iter().map(|country| country.in_flight).sum(),
            limit: self.limit(),
            concurrency: self.concurrency,
            countries,
        }
    }

    /// What may run at a time, all countries together.
    fn limit(&self) -> usize {
        let limits = self.pairs.values().map(|pair| pair.limit(self.cap())).sum::<usize>();
        if self.pairs.is_empty() { self.concurrency } else { limits.min(self.concurrency) }
    }

    pub(super) fn is_disabled(&self, now: Instant) -> bool {
        match self.disabled {
            Disabled::No => false,
            Disabled::Until(until) => now < until,
            Disabled::UntilEnabled => true,
        }
    }

    /// What one country may take of the slots.
    fn cap(&self) -> usize {
        let shared = self.pairs.len() > 1 && self.concurrency >= SHARED_FROM;
        if shared { self.concurrency - self.concurrency / 8 } else { self.concurrency }
    }

    fn key(&self, country: Country) -> Country {
        let known = self.pairs.len() < PAIRS_MAX || self.pairs.contains_key(&country);
        if known { country } else { Country::UNKNOWN }
    }

    fn pair(&mut self, country: Country, now: Instant) -> &mut Pair {
        let (key, cap) = (self.key(country), self.concurrency);
        self.pairs.entry(key).or_insert_with(|| Pair::new(cap, now))
    }
}
