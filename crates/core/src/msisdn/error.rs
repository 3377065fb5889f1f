//! Why a number was refused, one variant a repair. Must never echo the number.

use thiserror::Error;

use super::Country;

/// Why a text is not a phone number we can send to; each variant needs another repair ([`Self::fix`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MsisdnError {
    /// Nothing was given.
    #[error("the number is empty")]
    Empty,
    /// A length that no number of the country has, though shorter and longer ones exist.
    #[error("numbers of {} do not have this many digits", place(*country))]
    Impossible {
        /// Whose numbering plan was applied.
        country: Country,
    },
    /// The length is right, but the country has not put such numbers into use.
    #[error("there are no such numbers in {}", place(*country))]
    InvalidForCountry {
        /// Whose numbering plan was applied.
        country: Country,
    },
    /// A national number, and nothing says of which country.
    #[error("the number has no country calling code")]
    NoCountry,
    /// Holds what no phone number has: letters, symbols, a second number.
    #[error("the text is not a phone number")]
    NotANumber,
    /// More digits, or more text, than any number has.
    #[error("the number is too long")]
    TooLong,
    /// Fewer digits than the shortest number; short codes and emergency numbers are of this kind.
    #[error("the number is too short")]
    TooShort,
    /// Begins with a calling code that nobody has.
    #[error("no country has this calling code")]
    UnknownCallingCode,
}

impl MsisdnError {
    /// What the caller can do about it.
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::Empty => "Give the recipient's number in E.164 form: a plus, the country calling code, the number.",
            Self::Impossible { .. } => "Look for a digit that is missing or doubled.",
            Self::InvalidForCountry { .. } => {
                "Check the digits and the country calling code: no operator can have given out this number."
            }
            Self::NoCountry => "Begin with a plus and the country calling code, for example +41 for Switzerland.",
            Self::NotANumber => "Give one number only: digits, a leading plus, and spaces or hyphens between them.",
            Self::TooLong => "Remove what does not belong to the number: E.164 has at most 15 digits.",
            Self::TooShort => {
                "Give the complete number with its country calling code; short codes and emergency numbers cannot be \
                 sent to."
            }
            Self::UnknownCallingCode => {
                "Check the digits after the plus: they must begin with a country calling code, without a zero before \
                 it."
            }
        }
    }
}

fn place(country: Country) -> String {
    if country == Country::UNKNOWN { "this international service".to_owned() } else { country.to_string() }
}
