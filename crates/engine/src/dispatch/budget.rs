//! How many attempts with one provider may be repetitions: less than a fifth of what is offered to it, so that an outage
//! is not answered with a storm. Knows no message; what exceeds the budget is put off, never dropped.

use std::time::Duration;

use tokio::time::Instant;

/// Repetitions per message offered for the first time. A provider shall see 1.2 times what is offered at most, and the burst
/// comes on top.
const SHARE: f64 = 0.18;

/// Repetitions a second that are always allowed: a lone message must not wait for others to be sent.
const FLOOR_PER_SECOND: f64 = 1.0;

/// Repetitions that may come at once.
const BURST: f64 = 10.0;

/// Repetitions are booked no longer ahead: what will be offered then is a guess, and once nothing is offered any more, what
/// was booked would be a storm of its own.
const AHEAD_MAX: Duration = Duration::from_secs(2);

/// Over how long the rate of offered messages is averaged.
const WINDOW: Duration = Duration::from_secs(10);

/// The budget of one provider.
#[derive(Debug)]
pub(super) struct Budget {
    /// Repetitions left; negative while some are booked ahead.
    left: f64,
    /// Messages offered per second, averaged as if nothing had been offered before it began.
    rate: f64,
    began: Instant,
    at: Instant,
}

impl Budget {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { left: BURST, rate: 0.0, began: now, at: now }
    }

    /// A message is offered to the provider for the first time.
    pub(super) fn offered(&mut self, now: Instant) {
        self.advance(now);
        self.rate += 1.0 / WINDOW.as_secs_f64();
        self.left = (self.left + SHARE).min(BURST);
    }

    /// Books a repetition; says how long it must be put off. `None`, and nothing is booked: not for less than `within`, or
    /// too long to know by now.
    pub(super) fn book(&mut self, now: Instant, within: Duration) -> Option<Duration> {
        self.advance(now);
        let left = self.left - 1.0;
        if left >= 0.0 {
            self.left = left;
            return Some(Duration::ZERO);
        }
        let age = now.saturating_duration_since(self.began).max(Duration::from_secs(1));
        let rate = self.rate / (1.0 - (-age.as_secs_f64() / WINDOW.as_secs_f64()).exp());
        let refill = FLOOR_PER_SECOND.max(SHARE * rate);
        let put_off = Duration::from_secs_f64((-left / refill).min(PUT_OFF_MAX.as_secs_f64()));
        if put_off >= within.min(AHEAD_MAX) {
            return None;
        }
        self.left = left;
        Some(put_off)
    }

    /// Takes a repetition that may be made at once, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.advance(now);
        let is_free = self.left >= 1.0;
        if is_free {
            self.left -= 1.0;
        }
        is_free
    }

    /// A booked repetition will not be made.
    pub(super) fn cancel(&mut self) {
        self.left = (self.left + 1.0).min(BURST);
    }

    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.rate *= (-passed / WINDOW.as_secs_f64()).exp();
        let missing = (FLOOR_PER_SECOND - SHARE * self.rate).max(0.0);
        self.left = (self.left + passed * missing).min(BURST);
    }
}

/// No message lives longer.
const PUT_OFF_MAX: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lone_message_is_repeated_without_delay() {
        let mut budget = Budget::new();
        budget.offered(Instant::now());
        for _ in 0..4 {
            assert_eq!(budget.book(Instant::now(), PUT_OFF_MAX), Some(Duration::ZERO));
        }
    }

    /// 100 messages a second, every one of which wants two repetitions.
    #[tokio::test(start_paused = true)]
    async fn repetitions_stay_below_a_fifth_of_what_is_offered() {
        let (mut budget, began) = (Budget::new(), Instant::now());
        let mut due = Vec::new();
        for _ in 0..3_000 {
            tokio::time::advance(Duration::from_millis(10)).await;
            budget.offered(Instant::now());
            for _ in 0..2 {
                due.extend(budget.book(Instant::now(), PUT_OFF_MAX).map(|put_off| Instant::now() + put_off));
            }
        }
        let end = Instant::now();
        let made = due.iter().filter(|at| **at <= end).count();
        // 18 % of 3,000 and the burst.
        assert!((400..=570).contains(&made), "{made} in {:?}", began.elapsed());
    }

    /// 100 messages a second for four seconds, all refused, and then nothing any more: what was earned is used up and no
    /// more than that.
    #[tokio::test(start_paused = true)]
    async fn repetitions_do_not_go_on_for_long_once_nothing_is_offered_any_more() {
        let (mut budget, mut made, mut hoping) = (Budget::new(), 0, 0);
        for _ in 0..400 {
            tokio::time::advance(Duration::from_millis(10)).await;
            budget.offered(Instant::now());
            match budget.book(Instant::now(), Duration::from_secs(30)) {
                Some(_) => made += 1,
                None => hoping += 1,
            }
        }
        for _ in 0..300 {
            tokio::time::advance(Duration::from_millis(100)).await;
            while hoping > 0 && budget.take(Instant::now()) {
                (hoping, made) = (hoping - 1, made + 1);
            }
        }
        // 18 % of 400, the burst, the floor of one a second, and what was booked ahead.
        assert!((80..=125).contains(&made), "{made} repetitions");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_booked_ahead_is_available_again_when_it_is_not_made() {
        let mut budget = Budget::new();
        for _ in 0..10 {
            budget.book(Instant::now(), PUT_OFF_MAX);
        }
        let put_off = budget.book(Instant::now(), PUT_OFF_MAX);
        assert!(put_off.unwrap() > Duration::ZERO);
        budget.cancel();
        assert_eq!(budget.book(Instant::now(), PUT_OFF_MAX), put_off);
    }

    #[tokio::test(start_paused = true)]
    async fn what_would_come_too_late_is_not_booked_and_takes_a_place_that_becomes_free() {
        let (mut budget, now) = (Budget::new(), Instant::now());
        while budget.take(now) {}
        let put_off = budget.book(now, Duration::from_secs(2)).unwrap();
        for _ in 0..100 {
            assert_eq!(budget.book(now, put_off), None);
        }
        assert!(!budget.take(now));
        (0..12).for_each(|_| budget.offered(now));
        assert!(budget.take(now), "nothing but one was booked");
        assert!(!budget.take(now));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_provider_earns_its_burst_back() {
        let mut budget = Budget::new();
        for _ in 0..40 {
            budget.book(Instant::now(), PUT_OFF_MAX);
        }
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(budget.book(Instant::now(), PUT_OFF_MAX), Some(Duration::ZERO));
    }
}
