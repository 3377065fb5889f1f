//! Phone numbers. [`Msisdn`] is a valid number in E.164 form, parsed once at the edge.
//!
//! Hides the phone number library from everything else, and asks it only about what its plans, compiled into a table
//! (`msisdn/plan.rs`), do not settle. Must never show a full number: `Display` and `Debug` mask it,
//! errors do not echo it, and only [`Msisdn::expose`] and its siblings give it in clear.

mod country;
mod error;
mod kind;
mod numbering;
mod plan;
mod reading;

pub use country::Country;
pub use error::MsisdnError;
pub use kind::NumberType;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use plan::Plan;
use reading::Reading;

/// A phone number: valid in its country's numbering plan, or one of the test numbers ([`Msisdn::is_test`]).
///
/// Two are equal when their digits are, wherever they come from.
#[derive(Clone, Copy)]
pub struct Msisdn {
    digits: u64,
    country: Country,
    number_type: NumberType,
}

impl Msisdn {
    /// Reads a number as people and platforms write it: E.164, `00…`, `tel:` URIs, separators, `(0)`, digits of any
    /// script, an extension (dropped), Mexico's old `+52 1`.
    ///
    /// A number without `+` or `00` is read as `default_country` would dial it; without a default country its digits must
    /// make a valid international number as they stand, since many platforms omit the plus.
    ///
    /// # Errors
    /// Says what to repair. A number that can be read but that no operator could have assigned is an error, too.
    ///
    /// ```
    /// use sms_core::{Country, Msisdn};
    /// let number = Msisdn::parse("0171 234 56-78", Country::parse("de")).unwrap();
    /// assert_eq!(number.expose(), "+491712345678");
    /// assert_eq!(number.to_string(), "+49•••78");
    /// ```
    pub fn parse(text: &str, default_country: Option<Country>) -> Result<Self, MsisdnError> {
        let reading = Reading::of(text)?;
        let with_zero = numbering::resolve(&reading, default_country, Plan::BUILT_IN);
        match (with_zero, reading.without_trunk_zero()) {
            (Err(_), Some(reading)) => numbering::resolve(&reading, default_country, Plan::BUILT_IN),
            (result, _) => result,
        }
    }

    /// Takes a number back from our own store, which holds what [`Self::parse`] gave. Cheap: the numbering plan is not
    /// asked again, so the type is [`NumberType::Unknown`]. `None` when the text cannot be E.164.
    pub fn restore(e164: &str, country: Country) -> Option<Self> {
        let digits = e164.strip_prefix('+').unwrap_or(e164);
        let plausible = (SHORTEST..=DIGITS_MAX).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        let digits = plausible.then(|| digits.parse().ok())??;
        Some(Self { digits, country, number_type: NumberType::Unknown })
    }

    /// Where the number belongs; [`Country::UNKNOWN`] for international services such as satellite phones.
    pub const fn country(&self) -> Country {
        self.country
    }

    /// What kind of line the numbering plan has it for.
    pub const fn number_type(&self) -> NumberType {
        self.number_type
    }

    /// The number in clear, E.164 with its plus; for the wire, the store and keyed hashes only.
    pub fn expose(&self) -> String {
        format!("+{}", self.digits)
    }

    /// The number in clear without the plus, as some providers want it.
    pub fn expose_digits(&self) -> String {
        self.digits.to_string()
    }

    /// The number in clear as an integer; E.164 never begins with a zero.
    pub const fn digits(&self) -> u64 {
        self.digits
    }

    /// Whether it is one of +44 7700 900000 to 900999: reserved for fiction, so that no handset has it, and taken here
    /// as a number that only a `mock` provider may be given.
    pub const fn is_test(&self) -> bool {
        matches!(self.digits, TEST_FIRST..=TEST_LAST)
    }

    /// Whether the number begins with these digits (a plus before them is fine); never for an empty or other text.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        let prefix = prefix.strip_prefix('+').unwrap_or(prefix);
        let Ok(wanted) = prefix.parse::<u64>() else {
            return false;
        };
        let length = digit_count(wanted);
        if length != prefix.len() || wanted == 0 {
            return false; // a sign or a leading zero, which no E.164 number has
        }
        digit_count(self.digits).checked_sub(length).is_some_and(|dropped| leading(self.digits, dropped) == wanted)
    }

    const fn test(digits: u64) -> Self {
        Self { digits, country: Country::GB, number_type: NumberType::Mobile }
    }
}

impl PartialEq for Msisdn {
    fn eq(&self, other: &Self) -> bool {
        self.digits == other.digits
    }
}

impl Eq for Msisdn {}

impl PartialOrd for Msisdn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Msisdn {
    fn cmp(&self, other: &Self) -> Ordering {
        self.digits.cmp(&other.digits)
    }
}

impl Hash for Msisdn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digits.hash(state);
    }
}

/// The country calling code and the last two digits: `+44•••00`.
impl fmt::Display for Msisdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}•••{:02}", calling_code(self.digits), self.digits % 100)
    }
}

impl fmt::Debug for Msisdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Digits of the shortest number that a numbering plan may have, calling code included: German pagers have four after
/// `49`. A bound of what the store may hold, not of what is read.
const SHORTEST: usize = 4;

/// What is shorter is told to be too short, where no country's plan has it.
const DIGITS_MIN: usize = 7;

/// E.164's limit, calling code included.
const DIGITS_MAX: usize = 15;

const TEST_FIRST: u64 = 447_700_900_000;
const TEST_LAST: u64 = 447_700_900_999;

fn digit_count(digits: u64) -> usize {
    digits.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn leading(digits: u64, dropped: usize) -> u64 {
    u32::try_from(dropped).ok().and_then(|dropped| 10_u64.checked_pow(dropped)).map_or(0, |power| digits / power)
}

/// ITU-T E.164 gives calling codes one, two or three digits, told apart by how they begin.
fn calling_code(digits: u64) -> u64 {
    let length = digit_count(digits);
    let two = leading(digits, length.saturating_sub(2));
    match two {
        10..=19 | 70..=79 => two / 10,
        20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95 | 98 => two,
        _ => leading(digits, length.saturating_sub(3)),
    }
}

#[cfg(test)]
mod tests;
