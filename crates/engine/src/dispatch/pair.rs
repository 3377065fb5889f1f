//! One provider in one country: breaker, limit, receipts, speed. A state machine without messages; time comes in.

use std::time::Duration;

use tokio::time::Instant;

use super::adapt::{Adapt, Went};
use super::breaker::{Breaker, Circuit, Health};
use super::quality::Quality;
use crate::measure::Measured;

/// May a message go there?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gate {
    /// Only where nothing better is left: slow, paused, or of late nothing arrived.
    Avoid,
    /// Yes.
    Go,
    /// No.
    Shut,
}

#[derive(Debug)]
pub(super) struct Pair {
    /// Opened by results of attempts: no attempt is made.
    faults: Breaker,
    /// Opened by answers that take too long: others are preferred.
    slow: Breaker,
    /// Opened by receipts: others are preferred.
    quality: Quality,
    adapt: Adapt,
    running: usize,
    used: Instant,
}

impl Pair {
    pub(super) fn new(cap: usize, now: Instant) -> Self {
        Self {
            faults: Breaker::default(),
            slow: Breaker::default(),
            quality: Quality::default(),
            adapt: Adapt::new(cap, now),
            running: 0,
            used: now,
        }
    }

    pub(super) fn gate(&self, cap: usize, now: Instant) -> Gate {
        if self.faults.is_open(now) {
            Gate::Shut
        } else if self.slow.is_open(now)
            || self.quality.is_open(now)
            || self.adapt.stalls(self.running, now)
            || (self.adapt.limit(cap) < cap && self.is_full(cap))
        {
            Gate::Avoid
        } else {
            Gate::Go
        }
    }

    /// Places left for attempts.
    pub(super) fn room(&self, cap: usize, now: Instant) -> usize {
        match self.faults.circuit(now) {
            Circuit::Closed => self.adapt.limit(cap).saturating_sub(self.running),
            Circuit::HalfOpen if !self.faults.is_open(now) => 1, // the probe
            Circuit::HalfOpen | Circuit::Open => 0,
        }
    }

    /// An attempt begins; whoever calls has looked at [`Self::room`].
    pub(super) fn began(&mut self, now: Instant) {
        // Whether they admit was asked before; here they note the probe.
        self.faults.admits(now);
        self.slow.admits(now);
        self.quality.began(now);
        self.adapt.began(self.running, now);
        self.running += 1;
        self.used = now;
    }

    /// An attempt ended without having been made.
    pub(super) fn dropped(&mut self, now: Instant) {
        self.running = self.running.saturating_sub(1);
        self.faults.unprobe(now);
        self.slow.unprobe(now);
    }

    /// An attempt ended. Its place is free again.
    pub(super) fn ended(&mut self, health: Health, took: Duration, cap: usize, now: Instant) {
        let went = match health {
            Health::AccountRefused | Health::Healthy => Went::Well,
            Health::Faulty | Health::Neutral => Went::Badly,
        };
        let mut slow = self.adapt.ended(went, took, (self.running, cap), now);
        if slow && self.slow.circuit(now) == Circuit::HalfOpen && self.adapt.is_usual(took) {
            self.adapt.recovered(took); // the probe's word counts more than what was
            slow = false;
        }
        self.running = self.running.saturating_sub(1);
        // The account is the provider's business, not the country's.
        if health == Health::AccountRefused {
            self.faults.unprobe(now);
        } else {
            self.faults.record(health, now);
        }
        match (slow, went) {
            (true, _) => {
                self.slow.open(now);
                self.slow.record(Health::Faulty, now);
            }
            (false, Went::Well) => self.slow.record(Health::Healthy, now),
            (false, Went::Badly) => self.slow.unprobe(now),
        }
    }

    /// Notices what does not come back; called now and then.
    pub(super) fn watch(&mut self, cap: usize, now: Instant) {
        if self.adapt.stalls(self.running, now) {
            self.adapt.stalled(cap);
            self.slow.open(now);
        }
    }

    pub(super) fn receipt(&mut self, delivered: bool, age: Duration, now: Instant) -> bool {
        self.quality.receipt(delivered, age, now)
    }

    /// Of attempts' results.
    pub(super) fn circuit(&self, now: Instant) -> Circuit {
        self.faults.circuit(now)
    }

    /// The state to show, with its reason: open for whatever reason.
    pub(super) fn shown(&self, now: Instant) -> (Circuit, Option<&'static str>) {
        let half = |open| if open { Circuit::Open } else { Circuit::HalfOpen };
        match (self.faults.circuit(now), self.slow.circuit(now)) {
            (circuit @ (Circuit::Open | Circuit::HalfOpen), _) => (circuit, Some("faults")),
            (Circuit::Closed, _) if self.quality.is_suspect() => (half(self.quality.is_open(now)), Some("receipts")),
            (Circuit::Closed, circuit @ (Circuit::Open | Circuit::HalfOpen)) => (circuit, Some("slow")),
            (Circuit::Closed, Circuit::Closed) => (Circuit::Closed, None),
        }
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn limit(&self, cap: usize) -> usize {
        self.adapt.limit(cap)
    }

    pub(super) fn used(&self) -> Instant {
        self.used
    }

    pub(super) fn measured(&self, now: Instant) -> Measured {
        let (delivery_rate, receipts) = self.quality.measured(now);
        Measured { delivery_rate, receipts, latency: self.adapt.latency(), answers: self.adapt.samples() }
    }

    fn is_full(&self, cap: usize) -> bool {
        self.running >= self.adapt.limit(cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: usize = 16;

    fn pair() -> Pair {
        Pair::new(CAP, Instant::now())
    }

    async fn attempts(pair: &mut Pair, n: u32, health: Health, took: Duration) {
        for _ in 0..n {
            pair.began(Instant::now());
            tokio::time::advance(took).await;
            pair.ended(health, took, CAP, Instant::now());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn faults_shut_it_and_one_probe_opens_it_again() {
        let mut pair = pair();
        attempts(&mut pair, 5, Health::Faulty, Duration::ZERO).await;
        assert_eq!((pair.gate(CAP, Instant::now()), pair.room(CAP, Instant::now())), (Gate::Shut, 0));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(pair.room(CAP, Instant::now()), 1);
        pair.began(Instant::now());
        assert_eq!(pair.room(CAP, Instant::now()), 0);
        pair.ended(Health::Healthy, Duration::ZERO, CAP, Instant::now());
        assert_eq!(pair.gate(CAP, Instant::now()), Gate::Go);
    }

    #[tokio::test(start_paused = true)]
    async fn undelivered_messages_make_others_preferred_but_shut_nothing() {
        let mut pair = pair();
        let now = Instant::now();
        let opened = (0..20).any(|_| pair.receipt(false, Duration::ZERO, now));
        assert!(opened);
        assert_eq!(pair.gate(CAP, now), Gate::Avoid);
        assert!(pair.room(CAP, now) > 0);
        assert_eq!(pair.shown(now), (Circuit::Open, Some("receipts")));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_hang_are_noticed_before_they_end() {
        let mut pair = pair();
        attempts(&mut pair, 30, Health::Healthy, Duration::from_millis(50)).await;
        pair.began(Instant::now());
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(pair.gate(CAP, Instant::now()), Gate::Avoid);
        pair.watch(CAP, Instant::now());
        assert_eq!(pair.limit(CAP), CAP / 4);
        assert_eq!(pair.shown(Instant::now()).1, Some("slow"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_is_tried_with_one_message_and_used_again_when_it_is_fast() {
        let mut pair = pair();
        attempts(&mut pair, 30, Health::Healthy, Duration::from_millis(50)).await;
        attempts(&mut pair, 6, Health::Healthy, Duration::from_secs(4)).await;
        assert_eq!(pair.gate(CAP, Instant::now()), Gate::Avoid);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(pair.gate(CAP, Instant::now()), Gate::Go);
        pair.began(Instant::now());
        assert_eq!(pair.gate(CAP, Instant::now()), Gate::Avoid, "one at a time");
        pair.ended(Health::Healthy, Duration::from_millis(50), CAP, Instant::now());
        assert_eq!((pair.gate(CAP, Instant::now()), pair.shown(Instant::now()).1), (Gate::Go, None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_is_refused_says_nothing_of_the_country() {
        let mut pair = pair();
        attempts(&mut pair, 9, Health::AccountRefused, Duration::ZERO).await;
        assert_eq!(pair.circuit(Instant::now()), Circuit::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_attempted_leaves_no_trace() {
        let mut pair = pair();
        pair.began(Instant::now());
        pair.dropped(Instant::now());
        assert_eq!((pair.running(), pair.measured(Instant::now()).answers), (0, 0));
    }
}
