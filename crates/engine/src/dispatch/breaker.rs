//! When to stop asking a provider that cannot serve. A pure state machine: time comes in, policy stays out.

use std::time::Duration;

use tokio::time::Instant;

/// Faults in a row that open the breaker.
const FAULTS_MAX: u32 = 5;

/// How long it stays open before one probe is let through; twice as long after each probe that failed.
const OPEN_FOR: Duration = Duration::from_secs(5);

/// Longest time between two probes: what recovers is used again soon.
const OPEN_FOR_MAX: Duration = Duration::from_secs(10);

/// How long it stays open after the provider refused our account: only an operator can mend that.
const OPEN_FOR_ACCOUNT: Duration = Duration::from_secs(30);

/// Longest time a probe may be out before another one is let through.
const PROBE_MAX: Duration = Duration::from_secs(30);

/// State of one breaker: of a provider, or of a provider in one country.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: State,
    faults: u32,
    /// Probes that failed since it opened.
    failed_probes: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    HalfOpen {
        since: Instant,
    },
    Open {
        until: Instant,
    },
}

/// What an attempt says about the provider's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It refused our account.
    AccountRefused,
    /// It failed on its side, or did not answer.
    Faulty,
    /// It served, or refused for a reason of the message.
    Healthy,
    /// Says nothing (throttled).
    Neutral,
}

/// The state's name; a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Circuit {
    Closed,
    HalfOpen,
    Open,
}

impl Circuit {
    pub(crate) const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

impl Breaker {
    /// May an attempt be made? In half-open state only one at a time.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::HalfOpen { since } if now.duration_since(since) < PROBE_MAX => false,
            State::Open { until } if now < until => false,
            State::HalfOpen { .. } | State::Open { .. } => {
                self.state = State::HalfOpen { since: now };
                true
            }
        }
    }

    /// Would an attempt be let through? Changes nothing.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => false,
            State::HalfOpen { since } => now.duration_since(since) < PROBE_MAX,
            State::Open { until } => now < until,
        }
    }

    /// A probe came back without having been made.
    pub(crate) fn unprobe(&mut self, now: Instant) {
        if matches!(self.state, State::HalfOpen { .. }) {
            self.state = State::Open { until: now };
        }
    }

    /// Opens it for a reason of the caller's own.
    pub(crate) fn open(&mut self, now: Instant) {
        if self.state == State::Closed {
            self.state = State::Open { until: now + OPEN_FOR };
        }
    }

    /// Counts a fault that is not to open it: the next one may.
    pub(crate) fn note_fault(&mut self) {
        self.faults = self.faults.saturating_add(1);
    }

    /// Takes an attempt's word.
    pub(crate) fn record(&mut self, health: Health, now: Instant) {
        match health {
            Health::AccountRefused => self.state = State::Open { until: now + OPEN_FOR_ACCOUNT },
            Health::Faulty => {
                self.faults = self.faults.saturating_add(1);
                if matches!(self.state, State::HalfOpen { .. }) {
                    self.failed_probes = self.failed_probes.saturating_add(1);
                    let longer = OPEN_FOR * 2_u32.saturating_pow(self.failed_probes.min(8));
                    self.state = State::Open { until: now + longer.min(OPEN_FOR_MAX) };
                } else if self.state == State::Closed && self.faults >= FAULTS_MAX {
                    self.state = State::Open { until: now + OPEN_FOR };
                }
            }
            Health::Healthy => *self = Self::default(),
            // A throttled probe still proves that somebody answers.
            Health::Neutral if matches!(self.state, State::HalfOpen { .. }) => *self = Self::default(),
            Health::Neutral => {}
        }
    }

    pub(crate) fn circuit(&self, now: Instant) -> Circuit {
        match self.state {
            State::Closed => Circuit::Closed,
            State::Open { until } if now < until => Circuit::Open,
            State::HalfOpen { .. } | State::Open { .. } => Circuit::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAULTS_MAX {
            assert!(breaker.admits(Instant::now()));
            breaker.record(Health::Faulty, Instant::now());
        }
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_faults_in_a_row_and_probes_once() {
        let mut breaker = opened();
        assert!(!breaker.admits(Instant::now()));
        tokio::time::advance(OPEN_FOR).await;
        assert!(!breaker.is_open(Instant::now()));
        assert!(breaker.admits(Instant::now()), "the probe");
        assert!(!breaker.admits(Instant::now()), "only one probe");
        breaker.record(Health::Healthy, Instant::now());
        assert!(breaker.admits(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_opens_it_again() {
        let mut breaker = opened();
        tokio::time::advance(OPEN_FOR).await;
        assert!(breaker.admits(Instant::now()));
        breaker.record(Health::Faulty, Instant::now());
        assert_eq!(breaker.circuit(Instant::now()), Circuit::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_was_never_made_leaves_room_for_another() {
        let mut breaker = opened();
        tokio::time::advance(OPEN_FOR).await;
        assert!(breaker.admits(Instant::now()));
        breaker.unprobe(Instant::now());
        assert!(breaker.admits(Instant::now()), "the next one");
    }

    #[tokio::test(start_paused = true)]
    async fn probes_come_ten_seconds_apart_at_most() {
        let mut breaker = opened();
        tokio::time::advance(OPEN_FOR).await;
        for _ in 0..20 {
            assert!(breaker.admits(Instant::now()));
            breaker.record(Health::Faulty, Instant::now());
            assert!(!breaker.admits(Instant::now()));
            tokio::time::advance(OPEN_FOR_MAX).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_refusal_opens_it_at_once() {
        let mut breaker = Breaker::default();
        breaker.record(Health::AccountRefused, Instant::now());
        assert!(!breaker.admits(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_in_between_starts_the_count_anew() {
        let mut breaker = Breaker::default();
        for _ in 0..3 * FAULTS_MAX {
            breaker.record(Health::Faulty, Instant::now());
            breaker.record(Health::Healthy, Instant::now());
        }
        assert!(breaker.admits(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_never_opens_it() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.record(Health::Neutral, Instant::now());
        }
        assert!(breaker.admits(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_probe_does_not_keep_it_half_open_for_ever() {
        let mut breaker = opened();
        tokio::time::advance(OPEN_FOR).await;
        assert!(breaker.admits(Instant::now()));
        tokio::time::advance(PROBE_MAX).await;
        assert!(breaker.admits(Instant::now()));
    }
}
