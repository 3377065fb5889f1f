//! What was measured of a provider in a country, and how that decides between two. Knows no provider and no clock.

use std::fmt::{self, Debug};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sms_core::{Country, ProviderName};

use crate::dispatch::{PRIOR, PRIOR_WEIGHT};
use crate::plan::Prefer;

/// Answers from which a latency is known.
const ANSWERS_MIN: u32 = 5;

/// So much faster is faster: smaller differences are noise.
const FASTER: f64 = 0.8;

/// One message in so many tries another provider than the measured best, so that the others are measured again.
const EXPLORE_ONE_IN: u32 = 50;

/// What is known of one provider in one country.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Share of messages with a final receipt that were delivered; 0 without receipts.
    pub delivery_rate: f64,
    /// The receipts it is known from; older ones count less.
    pub receipts: f64,
    /// Mean time to an answer of late, in seconds.
    #[serde(rename = "latency_seconds", with = "seconds", skip_serializing_if = "Option::is_none", default)]
    pub latency: Option<Duration>,
    /// The answers it is known from.
    pub answers: u32,
}

mod seconds {
    //! A duration as a number of seconds.

    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(latency: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        latency.map(|latency| latency.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }
}

/// Where measurements are looked up.
pub trait Measures: Debug {
    /// What is known; the default where nothing is.
    fn of(&self, provider: &ProviderName, country: Country) -> Measured;
}

/// Nothing was measured: what a configuration alone says.
#[derive(Clone, Copy, Debug)]
pub struct Unmeasured;

impl Measures for Unmeasured {
    fn of(&self, _: &ProviderName, _: Country) -> Measured {
        Measured::default()
    }
}

impl Measured {
    /// The share delivered, leaning towards an opinion where little is known, and its standard error.
    fn delivery(&self) -> (f64, f64) {
        let weight = self.receipts + PRIOR_WEIGHT;
        let share = (self.delivery_rate * self.receipts + PRIOR * PRIOR_WEIGHT) / weight;
        (share, (share * (1.0 - share) / weight).sqrt())
    }

    /// Clearly better than `other`; where that is open, the order as written holds.
    pub(crate) fn beats(&self, other: &Self, prefer: Prefer) -> bool {
        match prefer {
            Prefer::None => false,
            Prefer::Delivery => {
                let ((mine, my_error), (theirs, their_error)) = (self.delivery(), other.delivery());
                mine - theirs > my_error.hypot(their_error)
            }
            Prefer::Latency => match (self.known_latency(), other.known_latency()) {
                (Some(mine), Some(theirs)) => mine.as_secs_f64() < theirs.as_secs_f64() * FASTER,
                // Nobody is slow who was not asked: a few messages will tell.
                (None, Some(_)) => true,
                (None | Some(_), None) => false,
            },
        }
    }

    fn known_latency(&self) -> Option<Duration> {
        self.latency.filter(|_| self.answers >= ANSWERS_MIN)
    }

    /// For explanations.
    pub(crate) fn words(&self, prefer: Prefer) -> String {
        match prefer {
            Prefer::None => String::new(),
            Prefer::Delivery if self.receipts < 1.0 => "no receipts yet".to_owned(),
            Prefer::Delivery => format!("{:.1} % of {:.0} delivered", self.delivery_rate * 100.0, self.receipts),
            Prefer::Latency => match self.known_latency() {
                Some(latency) => format!("{} ms in {} answers", latency.as_millis(), self.answers),
                None => format!("{} answers yet", self.answers),
            },
        }
    }
}

/// Whether this message tries another than the measured best: which one of `others`.
pub(crate) fn explores(dice: u32, others: usize) -> Option<usize> {
    let others = u32::try_from(others).ok().filter(|others| *others > 0)?;
    // The upper bits choose by weight; these are independent of them.
    dice.is_multiple_of(EXPLORE_ONE_IN).then(|| usize::try_from((dice / EXPLORE_ONE_IN) % others).unwrap_or(0))
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.words(Prefer::Delivery), self.words(Prefer::Latency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(delivered: f64, receipts: f64) -> Measured {
        Measured { delivery_rate: delivered / receipts, receipts, ..Measured::default() }
    }

    fn latency(ms: u64, answers: u32) -> Measured {
        Measured { latency: Some(Duration::from_millis(ms)), answers, ..Measured::default() }
    }

    #[test]
    fn a_clear_difference_in_delivery_decides() {
        assert!(delivery(970.0, 1_000.0).beats(&delivery(900.0, 1_000.0), Prefer::Delivery));
        assert!(!delivery(900.0, 1_000.0).beats(&delivery(970.0, 1_000.0), Prefer::Delivery));
        assert!(!delivery(970.0, 1_000.0).beats(&delivery(900.0, 1_000.0), Prefer::None));
    }

    #[test]
    fn a_difference_that_chance_explains_does_not() {
        assert!(!delivery(951.0, 1_000.0).beats(&delivery(950.0, 1_000.0), Prefer::Delivery));
        assert!(!Measured::default().beats(&delivery(1.0, 2.0), Prefer::Delivery));
        assert!(!delivery(3.0, 3.0).beats(&delivery(2.0, 3.0), Prefer::Delivery));
    }

    #[test]
    fn one_that_nobody_measured_gets_a_chance_against_a_bad_one_and_none_against_a_good_one() {
        assert!(Measured::default().beats(&delivery(2.0, 20.0), Prefer::Delivery));
        assert!(!Measured::default().beats(&delivery(190.0, 200.0), Prefer::Delivery));
    }

    #[test]
    fn the_faster_one_is_preferred_once_it_is_known_to_be() {
        assert!(latency(50, 100).beats(&latency(400, 100), Prefer::Latency));
        assert!(!latency(390, 100).beats(&latency(400, 100), Prefer::Latency));
        assert!(latency(900, 4).beats(&latency(400, 100), Prefer::Latency), "not known yet: to be measured");
        assert!(!latency(50, 100).beats(&latency(400, 4), Prefer::Latency));
    }

    #[test]
    fn a_small_share_explores_each_of_the_others() {
        let (mut explored, mut which) = (0_u32, [0_u32; 2]);
        for dice in 0..100_000 {
            if let Some(other) = explores(dice, 2) {
                explored += 1;
                which[other] += 1;
            }
        }
        assert_eq!(explored, 2_000);
        assert!(which.iter().all(|n| *n == 1_000), "{which:?}");
        assert_eq!(explores(0, 0), None);
    }

    #[test]
    fn measurements_survive_json() {
        let measured = Measured { delivery_rate: 0.5, receipts: 8.0, ..latency(250, 7) };
        let json = serde_json::to_value(measured).unwrap();
        assert_eq!(json["latency_seconds"], 0.25);
        assert_eq!(serde_json::from_value::<Measured>(json).unwrap(), measured);
    }
}
