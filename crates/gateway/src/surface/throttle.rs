//! Slows down whoever tries keys: ten failures a minute and address, then pauses that double up to a quarter of an hour.
//! Only failures are refused; a valid key is answered from any address at any time. Bounded in memory.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in [`WINDOW`] that are answered 401.
const FAILURES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_mins(1);

const PAUSE_FIRST: Duration = Duration::from_mins(1);
const PAUSE_MAX: Duration = Duration::from_mins(15);

/// After so long without a failure an address is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);

/// Addresses that are remembered; further ones are counted together.
const ADDRESSES_MAX: usize = 10_000;

/// Failures by address.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Debug)]
struct Failures {
    count: u32,
    since: Instant,
    last: Instant,
    paused_until: Instant,
    pauses: u32,
}

impl Throttle {
    /// Counts one failure; how long to pause, if this address is told to.
    pub(crate) fn failed(&self, address: IpAddr) -> Option<Duration> {
        let now = Instant::now();
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = neighbourhood(address);
        if !table.contains_key(&key) && table.len() >= ADDRESSES_MAX {
            table.retain(|_, failures| now - failures.last < FORGOTTEN_AFTER);
            if table.len() >= ADDRESSES_MAX {
                key = EVERYBODY_ELSE;
            }
        }
        let fresh = || Failures { count: 0, since: now, last: now, paused_until: now, pauses: 0 };
        let failures = table.entry(key).or_insert_with(fresh);
        if now - failures.last >= FORGOTTEN_AFTER {
            *failures = fresh();
        }
        failures.count(now)
    }
}

impl Failures {
    fn count(&mut self, now: Instant) -> Option<Duration> {
        self.last = now;
        if self.paused_until > now {
            return Some(self.paused_until - now);
        }
        if now - self.since >= WINDOW {
            self.since = now;
            self.count = 0;
        }
        self.count += 1;
        if self.count <= FAILURES_MAX {
            return None;
        }
        let pause = PAUSE_FIRST.saturating_mul(1 << self.pauses.min(8)).min(PAUSE_MAX);
        self.pauses += 1;
        self.count = 0;
        self.paused_until = now + pause;
        Some(pause)
    }
}

/// Who comes too late to be told apart.
const EVERYBODY_ELSE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// One subscriber has a whole /64 of IPv6.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(throttle: &Throttle, address: &str, times: usize) -> Option<Duration> {
        (0..times).map(|_| throttle.failed(ip(address))).last().flatten()
    }

    #[tokio::test(start_paused = true)]
    async fn the_eleventh_failure_in_a_minute_is_paused_and_pauses_double() {
        let throttle = Throttle::default();
        assert_eq!(fail(&throttle, "192.0.2.1", 10), None);
        assert_eq!(fail(&throttle, "192.0.2.2", 10), None, "another address has its own count");
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let pause = fail(&throttle, "192.0.2.1", 11).unwrap();
            pauses.push(pause.as_secs());
            advance(pause).await;
        }
        assert_eq!(pauses.first(), Some(&60));
        assert!(pauses.is_sorted() && pauses.last() == Some(&900), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_mistakes_are_never_paused() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            assert_eq!(fail(&throttle, "192.0.2.1", 1), None);
            advance(Duration::from_secs(7)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_v6_network_counts_as_one_and_mapped_addresses_as_v4() {
        let throttle = Throttle::default();
        assert_eq!(fail(&throttle, "2001:db8::1", 10), None);
        assert!(fail(&throttle, "2001:db8::ffff", 1).is_some());
        assert_eq!(fail(&throttle, "2001:db8:0:1::1", 1), None);
        assert_eq!(fail(&throttle, "::ffff:192.0.2.1", 10), None);
        assert!(fail(&throttle, "192.0.2.1", 1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_rest_counts_together() {
        let throttle = Throttle::default();
        for n in 0..u32::try_from(ADDRESSES_MAX).unwrap() {
            assert_eq!(throttle.failed(IpAddr::V4((0x0a00_0000 + n).into())), None);
        }
        let strangers: Vec<_> = (0..11_u8).map(|n| throttle.failed(IpAddr::V4([192, 0, 2, n].into()))).collect();
        assert!(strangers.last().copied().flatten().is_some());
        assert!(throttle.0.lock().unwrap().len() <= ADDRESSES_MAX + 1);
        advance(FORGOTTEN_AFTER).await;
        assert_eq!(throttle.failed(ip("198.51.100.1")), None);
        assert_eq!(throttle.0.lock().unwrap().len(), 1, "old ones made room");
    }
}
