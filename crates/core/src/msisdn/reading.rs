//! Reads the digits out of what people and platforms write. Knows no numbering plan; must never do work that grows with
//! the input beyond [`TEXT_BYTES_MAX`].

use super::MsisdnError;
use crate::text::chars::{decimal_digit, is_dash, is_invisible, narrow};

/// Longer texts are refused unread.
const TEXT_BYTES_MAX: usize = 64;

/// Calling code and national number, an international prefix and a trunk zero before them; libphonenumber's own limit
/// for a national number is 17.
const DIGITS_MAX: usize = 25;

/// Fewer digits than these before an extension are no number.
const DIGITS_BEFORE_EXTENSION_MIN: usize = 5;

const EXTENSION_DIGITS_MAX: usize = 11;

/// The digits of a text and what it says about them.
pub(super) struct Reading {
    /// ASCII digits only, at least one.
    pub(super) digits: String,
    /// Whether a plus stood before them, hence whether they begin with a calling code.
    pub(super) plus: bool,
    /// Whether they begin within parentheses, as an area code does and a calling code does not.
    pub(super) area_code_first: bool,
    trunk_zero: Option<usize>,
}

impl Reading {
    /// Reads a number as text or as a `tel:` URI.
    pub(super) fn of(text: &str) -> Result<Self, MsisdnError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(MsisdnError::TooLong);
        }
        let text = text.trim_matches(is_blank);
        if text.is_empty() {
            return Err(MsisdnError::Empty);
        }
        let number = strip_prefix_ignoring_case(text, "tel:").unwrap_or(text);
        let (number, parameters) = number.split_once(';').unwrap_or((number, ""));
        let mut reading = Self::scan(number)?;
        for parameter in parameters.split(';').filter(|parameter| !parameter.is_empty()) {
            reading.apply(parameter)?;
        }
        if reading.digits.len() > DIGITS_MAX {
            return Err(MsisdnError::TooLong);
        }
        Ok(reading)
    }

    /// The same number without the zero of `+44 (0)7…`, where one was written so.
    pub(super) fn without_trunk_zero(&self) -> Option<Self> {
        let mut digits = self.digits.clone();
        digits.remove(self.trunk_zero?);
        Some(Self { digits, trunk_zero: None, ..*self })
    }

    fn scan(text: &str) -> Result<Self, MsisdnError> {
        let digits = String::with_capacity(DIGITS_MAX);
        let mut reading = Self { digits, plus: false, area_code_first: false, trunk_zero: None };
        let mut opened = None;
        let mut rest = text.chars();
        loop {
            let remaining = rest.as_str();
            let Some(c) = rest.next().map(narrow) else {
                break;
            };
            if let Some(digit) = decimal_digit(c) {
                reading.area_code_first |= opened == Some(0) && reading.digits.is_empty();
                reading.digits.push(digit);
            } else if is_plus(c) && reading.digits.is_empty() {
                reading.plus = true;
            } else if matches!(c, '(' | ')') {
                if c == ')' {
                    reading.close(opened);
                }
                opened = (c == '(').then_some(reading.digits.len());
            } else if !is_separator(c) {
                reading.require_extension(remaining)?;
                break;
            }
        }
        if reading.digits.is_empty() { Err(MsisdnError::NotANumber) } else { Ok(reading) }
    }

    /// A lone zero in parentheses, behind other digits, is a trunk zero.
    fn close(&mut self, opened: Option<usize>) {
        let lone_zero = opened.filter(|at| *at > 0 && self.digits.len() == at + 1 && self.digits.ends_with('0'));
        self.trunk_zero = self.trunk_zero.or(lone_zero);
    }

    /// Accepts a trailing `x5`, `ext. 5` and the like, which a text message cannot reach.
    fn require_extension(&self, text: &str) -> Result<(), MsisdnError> {
        let number = ["extension", "extn", "ext", "x", "ｘ"]
            .iter()
            .find_map(|mark| strip_prefix_ignoring_case(text, mark))
            .map(|number| number.trim_start_matches(|c| is_blank(c) || matches!(c, '.' | ':' | '=')));
        let digits = number.filter(|number| number.chars().all(|c| decimal_digit(c).is_some()));
        let length = digits.map_or(0, |digits| digits.chars().count());
        if self.digits.len() < DIGITS_BEFORE_EXTENSION_MIN || !(1..=EXTENSION_DIGITS_MAX).contains(&length) {
            return Err(MsisdnError::NotANumber);
        }
        Ok(())
    }

    /// Applies a parameter of a `tel:` URI (RFC 3966): the context completes a local number, the others are dropped.
    fn apply(&mut self, parameter: &str) -> Result<(), MsisdnError> {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = name.trim_matches(is_blank);
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphabetic() || c == '-') {
            return Err(MsisdnError::NotANumber);
        }
        let global = value.trim_start_matches(is_blank).starts_with('+');
        if name.eq_ignore_ascii_case("phone-context") && global && !self.plus {
            let context = Self::scan(value)?;
            self.digits.insert_str(0, &context.digits);
            self.plus = true;
            self.trunk_zero = None;
        }
        Ok(())
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || is_invisible(c)
}

fn is_plus(c: char) -> bool {
    matches!(c, '+' | '﹢')
}

fn is_separator(c: char) -> bool {
    is_blank(c) || is_dash(c) || matches!(c, '.' | '/' | '[' | ']' | '~' | '․' | '·' | '⁄' | '∕' | '〜')
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
