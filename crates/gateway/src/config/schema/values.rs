//! Words of the configuration that have a form: languages, prefixes, URLs, hours. Checked when they are read, so that the fault stands at the word itself.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use sms_core::options::BaseUrl;

/// What was expected instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct NotA(&'static str);

/// Declares a checked text.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $wanted:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The checked text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotA;

            fn from_str(text: &str) -> Result<Self, NotA> {
                let check: fn(&str) -> Option<String> = $check;
                check(text).map(Self).ok_or(NotA($wanted))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(FromText { made: std::marker::PhantomData, wanted: $wanted })
            }
        }
    };
}

text! {
    /// A language: BCP 47, `_` accepted, kept as `pt-BR`.
    Language, "a language such as \"en\" or \"pt-BR\"", language
}

text! {
    /// The beginning of a number, kept with its plus.
    Prefix, "the beginning of a number, such as \"+1876\"", |text| {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let fits = (1..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        fits.then(|| format!("+{digits}"))
    }
}

text! {
    /// A URL that others reach us by, or we others: `https://`, or `http://` for tests.
    PublicUrl, "a URL such as \"https://sms.example.com\"", |text| {
        text.parse::<BaseUrl>().ok().map(|url| url.as_str().to_owned())
    }
}

text! {
    /// Where status changes are posted: a URL that may have a query, without credentials.
    WebhookUrl, "a URL such as \"https://acme.example/sms\"", |text| {
        let (before, query) = text.split_once('?').unwrap_or((text, ""));
        let fits = !query.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#');
        (fits && before.parse::<BaseUrl>().is_ok()).then(|| text.to_owned())
    }
}

/// A time of day that may run past midnight, in a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    from_minute: u16,
    text: String,
    to_minute: u16,
    zone: TimeZone,
}

impl Hours {
    /// First minute of the day inside, from 0.
    pub fn from_minute(&self) -> u16 {
        self.from_minute
    }

    /// First minute outside again, up to 1440; less than the first when the span runs past midnight.
    pub fn to_minute(&self) -> u16 {
        self.to_minute
    }

    /// Whose clock counts.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// As written, for explanations.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Hours {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let wrong = NotA(HOURS);
        let (span, zone) = text.trim().split_once(' ').ok_or(wrong)?;
        let (from, to) = span.split_once('-').ok_or(wrong)?;
        let zone = TimeZone::get(zone.trim())
            .map_err(|_| NotA("a known time zone, such as \"Europe/Prague\", after the hours"))?;
        let (from_minute, to_minute) = (minute(from).ok_or(wrong)?, minute(to).ok_or(wrong)?);
        // From 8 to 8 could mean all day or never.
        if from_minute == to_minute {
            return Err(NotA("hours that begin and end at different minutes"));
        }
        Ok(Self { from_minute, text: text.trim().to_owned(), to_minute, zone })
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText { made: std::marker::PhantomData, wanted: HOURS })
    }
}

/// Reads `T` from text; everything else is answered by what was wanted.
struct FromText<T> {
    made: std::marker::PhantomData<T>,
    wanted: &'static str,
}

impl<T: FromStr<Err = NotA>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.trim().parse().map_err(E::custom)
    }
}

/// `HH:MM` as a minute of the day; 24:00 is its end.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |part: &str| -> Option<u16> {
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok())?
    };
    match (two(hour)?, two(minute)?) {
        (24, 0) => Some(24 * 60),
        (hour @ 0..24, minute @ 0..60) => Some(hour * 60 + minute),
        (_, _) => None,
    }
}

/// Two or three letters, then parts of 1 to 8 letters or digits; language lower, region upper case.
fn language(text: &str) -> Option<String> {
    let mut parts = text.split(['-', '_']);
    let first = parts.next()?;
    if !(2..=3).contains(&first.len()) || !first.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let mut tag = first.to_ascii_lowercase();
    for part in parts {
        if !(1..=8).contains(&part.len()) || !part.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        tag.push('-');
        tag.push_str(&cased(part));
    }
    Some(tag)
}

/// Regions are written in upper case, scripts with a capital, the rest in lower case.
fn cased(part: &str) -> String {
    match part.len() {
        2 => part.to_ascii_uppercase(),
        4 => {
            let mut script = part.to_ascii_lowercase();
            if let Some(first) = script.get_mut(0..1) {
                first.make_ascii_uppercase();
            }
            script
        }
        _ => part.to_ascii_lowercase(),
    }
}

const HOURS: &str = "hours such as \"22:00-06:00 Europe/Prague\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_in_one_form() {
        for (text, kept) in
            [("en", "en"), ("pt_br", "pt-BR"), ("zh-hant-TW", "zh-Hant-TW"), ("es-419", "es-419"), ("FIL", "fil")]
        {
            assert_eq!(text.parse::<Language>().unwrap().as_str(), kept);
        }
        assert_eq!("1876".parse::<Prefix>().unwrap().as_str(), "+1876");
        assert_eq!("https://a.example/".parse::<PublicUrl>().unwrap().as_str(), "https://a.example");
        assert_eq!("https://a.example/s/?t=1".parse::<WebhookUrl>().unwrap().as_str(), "https://a.example/s/?t=1");
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["", "e", "english", "en-", "en--US", "e1", "en US"] {
            assert!(text.parse::<Language>().is_err(), "{text}");
        }
        for text in ["", "+", "+0", "12a", "+1234567890123456", "+-1"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        assert!("sms.example.com".parse::<PublicUrl>().is_err());
        assert!("https://u:p@a.example/".parse::<WebhookUrl>().is_err());
    }

    #[test]
    fn hours_know_midnight_and_zones() {
        let hours: Hours = "22:00-06:00 Europe/Prague".parse().unwrap();
        assert_eq!((hours.from_minute(), hours.to_minute()), (1320, 360));
        assert_eq!(hours.zone().iana_name(), Some("Europe/Prague"));
        assert_eq!("08:00-24:00 UTC".parse::<Hours>().unwrap().to_minute(), 1440);
        for text in [
            "22:00-06:00",
            "22-06 UTC",
            "25:00-06:00 UTC",
            "22:60-06:00 UTC",
            "24:01-06:00 UTC",
            "00:00-24:00 UTC+",
            "8:00-9:00 UTC",
            "08:00-08:00 UTC",
            "22:00-06:00 Mars/Olympus",
            "",
        ] {
            assert!(text.parse::<Hours>().is_err(), "{text}");
        }
    }
}
