//! Counts per period: [`Rate`] paces (`"200/s"`), [`Window`] limits (`"5/10m"`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer};

use super::span::{FromText, Span};
use crate::Window;

/// A pace: so many in a period, evenly spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    per: Span,
}

impl Rate {
    /// `count` in each `per`; both must be more than nothing.
    pub fn new(count: u32, per: Span) -> Option<Self> {
        (count > 0 && per > Span::default()).then_some(Self { count, per })
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.count
    }

    /// In which period.
    pub fn per(self) -> Span {
        self.per
    }

    /// The distance between two at an even pace.
    pub fn interval(self) -> Duration {
        self.per.as_duration() / self.count
    }
}

/// The text is no count per period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected COUNT/PERIOD such as \"5/10m\", \"200/s\" or \"5/hour\"")]
pub struct NotARate;

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let (count, per) = parts(text)?;
        Self::new(count, per).ok_or(NotARate)
    }
}

impl FromStr for Window {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let (max, period) = parts(text)?;
        let fits = max > 0 && period > Span::default();
        fits.then_some(Self { max, period: period.as_duration() }).ok_or(NotARate)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, period(self.per))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.max, period(Span::from(self.period)))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText::new("a rate such as \"200/s\""))
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText::new("a limit such as \"5/10m\""))
    }
}

fn parts(text: &str) -> Result<(u32, Span), NotARate> {
    let (count, period) = text.split_once('/').ok_or(NotARate)?;
    let (count, period) = (count.trim(), period.trim());
    if !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotARate);
    }
    let period = match WORDS.iter().find(|(word, _)| *word == period) {
        Some((_, s)) => Span::from_secs(*s),
        None => period.parse().map_err(|_| NotARate)?,
    };
    Ok((count.parse().map_err(|_| NotARate)?, period))
}

/// `s` rather than `1s`.
fn period(span: Span) -> String {
    let text = span.to_string();
    match text.strip_prefix('1') {
        Some(unit) if !unit.starts_with(|c: char| c.is_ascii_digit()) && unit.len() == 1 => unit.to_owned(),
        Some(_) | None => text,
    }
}

/// Periods without a number.
const WORDS: [(&str, u64); 12] = [
    ("d", 86_400),
    ("day", 86_400),
    ("h", 3_600),
    ("hour", 3_600),
    ("m", 60),
    ("min", 60),
    ("minute", 60),
    ("s", 1),
    ("sec", 1),
    ("second", 1),
    ("w", 604_800),
    ("week", 604_800),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_windows_read_as_people_write_them() {
        for (text, count, s) in [
            ("200/s", 200, 1),
            ("600/min", 600, 60),
            ("5/hour", 5, 3_600),
            ("20/d", 20, 86_400),
            ("1/30s", 1, 30),
            ("5/10m", 5, 600),
            ("10/h", 10, 3_600),
            ("1 / week", 1, 604_800),
        ] {
            let window: Window = text.parse().unwrap();
            assert_eq!((window.max, window.period), (count, Duration::from_secs(s)), "{text}");
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.count(), rate.per()), (count, Span::from_secs(s)), "{text}");
        }
        assert_eq!("200/s".parse::<Rate>().unwrap().interval(), Duration::from_millis(5));
    }

    #[test]
    fn they_show_as_the_contract_writes_them() {
        for text in ["1/30s", "5/10m", "10/h", "20/d", "200/s", "3/1m30s", "1/1ms"] {
            assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nothing_and_nonsense_are_refused() {
        for text in
            ["", "5", "5/", "/h", "0/h", "5/0s", "-5/h", "+5/h", "5 per hour", "x/h", "5/10", "5/m/h", "99999999999/s"]
        {
            assert_eq!(text.parse::<Window>(), Err(NotARate), "{text}");
            assert_eq!(text.parse::<Rate>(), Err(NotARate), "{text}");
        }
    }
}
