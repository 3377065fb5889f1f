//! Durations as people write them: `"3s"`, `"500ms"`, `"10m"`, `"2h"`, `"30d"`, `"1m30s"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer};

/// A duration from the configuration, to the millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

impl Span {
    /// So many milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// So many seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(Duration::from_secs(s))
    }

    /// As the standard library's type.
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl From<Duration> for Span {
    /// To the millisecond; what is finer is cut off.
    fn from(duration: Duration) -> Self {
        Self::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration such as \"3s\", \"500ms\" or \"1h30m\"")]
pub struct NotASpan;

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let mut rest = text;
        let (mut total_ms, mut below_ms) = (0_u64, u64::MAX);
        while !rest.is_empty() || below_ms == u64::MAX {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(NotASpan)?;
            let (number, tail) = rest.split_at(digits);
            let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit);
            let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(NotASpan)?;
            // Each unit once, the larger ones first: "30s1m" is more likely a mistake than meant.
            if *unit_ms >= below_ms {
                return Err(NotASpan);
            }
            let number: u64 = number.parse().map_err(|_| NotASpan)?;
            total_ms = number.checked_mul(*unit_ms).and_then(|ms| total_ms.checked_add(ms)).ok_or(NotASpan)?;
            (rest, below_ms) = (tail, *unit_ms);
        }
        if total_ms > LONGEST_MS { Err(NotASpan) } else { Ok(Self::from_millis(total_ms)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(LONGEST_MS);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, unit_ms) in UNITS {
            if rest >= unit_ms {
                write!(f, "{}{unit}", rest / unit_ms)?;
                rest %= unit_ms;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText::new("a duration such as \"3s\", \"500ms\" or \"1h30m\""))
    }
}

/// A visitor for types that are written as text: everything else, and text that does not fit, is
/// answered by the same sentence.
pub(super) struct FromText<T> {
    made: std::marker::PhantomData<T>,
    wanted: &'static str,
}

impl<T> FromText<T> {
    pub(super) fn new(wanted: &'static str) -> Self {
        Self { made: std::marker::PhantomData, wanted }
    }
}

impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.trim().parse().map_err(E::custom)
    }
}

/// Largest first.
pub(super) const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Ten years: beyond this a duration is a slip of the pen, and sums of them could overflow.
const LONGEST_MS: u64 = 3_650 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_show_as_written() {
        for (text, ms) in [
            ("3s", 3_000),
            ("500ms", 500),
            ("10m", 600_000),
            ("2h", 7_200_000),
            ("30d", 2_592_000_000),
            ("1m30s", 90_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("0s", 0),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span, span.to_string()), (Span::from_millis(ms), text.to_owned()));
        }
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "1m30s");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "s",
            "3",
            "3 s",
            "-3s",
            "3.5s",
            "3S",
            "30s1m",
            "3s3s",
            "3y",
            "s3",
            "4000d",
            "99999999999999999999s",
            "18446744073709551615d",
            "٣s",
        ] {
            assert_eq!(text.parse::<Span>(), Err(NotASpan), "{text}");
        }
    }
}
