//! The numbering plans as a table: what libphonenumber's patterns say of every number of E.164's length, found by
//! following its digits instead of running a dozen regular expressions. `cargo xtask numbering` compiles the table from
//! the metadata of the locked `rlibphonenumber` and documents its words.
//!
//! Must never say anything but what the library says: what it does not have as valid is left to the library.

use super::{Country, NumberType, calling_code};

/// Reads the table where it lies.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    bytes: &'static [u8],
}

/// What a valid number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) country: Country,
    pub(super) number_type: NumberType,
    /// Whether the library reads a plus and these digits as just this number. Otherwise their beginning could be meant as
    /// a national prefix, which the library takes off by rules of its own.
    pub(super) stands: bool,
}

impl Plan {
    /// The plans of the library this crate is built with.
    pub(super) const BUILT_IN: Self = Self { bytes: include_bytes!("plan.bin") };

    /// Knows no number, so that the library is asked about each.
    #[cfg(test)]
    pub(super) const EMPTY: Self = Self { bytes: &[] };

    /// What the number with these digits, calling code first, is; `None` when it is not valid.
    pub(super) fn judge(self, e164: u64) -> Option<Judged> {
        let code = usize::try_from(calling_code(e164)).ok()?;
        let first = self.word(CODES_AT + 2 * code)?;
        let regions = self.word(CODES_AT + 2 * code + 1)?;
        let nodes = self.word(0)?;
        let mut node = nodes + NODE_WORDS * first;
        for digit in national_digits(e164, code) {
            node = nodes + NODE_WORDS * self.word(node + 1 + digit)?;
        }
        let verdict = self.word(node)?;
        let number_type = *KINDS.get((verdict >> 1 & 0xF).checked_sub(1)?)?;
        let [first, second, ..] = self.word(regions + (verdict >> 5))?.to_le_bytes();
        Some(Judged { country: Country::of_plan([first, second]), number_type, stands: verdict & 1 == 1 })
    }

    fn word(self, at: usize) -> Option<usize> {
        let bytes = self.bytes.get(2 * at..)?.first_chunk()?;
        Some(usize::from(u16::from_le_bytes(*bytes)))
    }
}

/// Where the calling codes begin, two words each.
const CODES_AT: usize = 1;

/// A verdict and ten nodes to go to.
const NODE_WORDS: usize = 11;

/// Kinds by their number in the table, from 1.
const KINDS: [NumberType; 11] = [
    NumberType::PremiumRate,
    NumberType::TollFree,
    NumberType::SharedCost,
    NumberType::Voip,
    NumberType::PersonalNumber,
    NumberType::Pager,
    NumberType::Uan,
    NumberType::Voicemail,
    NumberType::FixedLine,
    NumberType::Mobile,
    NumberType::FixedLineOrMobile,
];

/// The digits behind the calling code.
fn national_digits(e164: u64, code: usize) -> impl Iterator<Item = usize> {
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let mut rest = e164;
    let mut first = DIGITS_MAX;
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        if rest == 0 {
            break;
        }
        *digit = usize::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        first = at;
    }
    let code_digits = match code {
        ..10 => 1,
        10..100 => 2,
        100.. => 3,
    };
    digits.into_iter().skip(first + code_digits)
}

#[cfg(test)]
mod tests;
