//! Asks the numbering plans (libphonenumber's) about a number that has been read. Must never accept what can merely be
//! parsed: a number counts only when its country's plan has it as valid.
//!
//! The library runs a dozen regular expressions for a number, the table of [`Plan`] takes a step a digit. So the table is
//! asked first, and the library about the rest: what is not valid as it stands, national notation, digits whose beginning
//! might be a national prefix. With a table that knows nothing the answers are the same.

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberType, Region, ValidationError,
};

use super::plan::Plan;
use super::reading::Reading;
use super::{Country, DIGITS_MAX, DIGITS_MIN, Msisdn, MsisdnError};

/// Finds the number that a reading means, from most to least certain.
pub(super) fn resolve(reading: &Reading, default_country: Option<Country>, plan: Plan) -> Result<Msisdn, MsisdnError> {
    let digits = reading.digits.as_str();
    if reading.plus {
        // `+00…` and `+011…`: no calling code begins with a zero, and people mix the two notations up.
        let digits = digits.strip_prefix("00").or_else(|| digits.strip_prefix("011")).unwrap_or(digits);
        return international(digits, plan);
    }
    let home = default_country.filter(|country| country.calling_code().is_some()).and_then(Country::region);
    if let Some(rest) = digits.strip_prefix("00") {
        let found = international(rest, plan);
        return match home {
            // `00` may be the beginning of a longer prefix there, such as Australia's 0011.
            Some(region) => found.or_else(|error| as_dialled_in(digits, region, plan).map_err(|_| error)),
            None => found,
        };
    }
    match home {
        Some(region) => as_dialled_in(digits, region, plan),
        // `(201) 555-0123` is American, not Egyptian.
        None if reading.area_code_first => Err(incomplete(digits)),
        None => international(digits, plan).map_err(|_| incomplete(digits)),
    }
}

/// Digits that begin with a calling code.
fn international(digits: &str, plan: Plan) -> Result<Msisdn, MsisdnError> {
    let e164 = if digits.starts_with('0') { None } else { digits.parse().ok() };
    if let Some(found) = e164.and_then(|e164| certain(e164, plan)) {
        return Ok(found);
    }
    let number = parse(&format!("+{digits}"), None)?;
    let found = accept(&number, digits, plan)?;
    if e164 == Some(found.digits) { Ok(found) } else { settled(found, plan) }
}

/// The number that the library would read from a plus and these digits, where that is sure without asking it.
fn certain(e164: u64, plan: Plan) -> Option<Msisdn> {
    if Msisdn::test(e164).is_test() {
        return Some(Msisdn::test(e164));
    }
    let judged = plan.judge(e164).filter(|judged| judged.stands)?;
    Some(Msisdn { digits: e164, country: judged.country, number_type: judged.number_type })
}

/// Digits as a subscriber in `region` would dial them, with that region's own international prefix, too.
fn as_dialled_in(digits: &str, region: Region, plan: Plan) -> Result<Msisdn, MsisdnError> {
    settled(accept(&parse(digits, Some(region))?, digits, plan)?, plan)
}

/// Makes sure that the E.164 form of what was found reads as the same number again.
fn settled(found: Msisdn, plan: Plan) -> Result<Msisdn, MsisdnError> {
    if certain(found.digits, plan) == Some(found) {
        return Ok(found);
    }
    let again = accept(&parse(&found.expose(), None)?, &found.expose_digits(), plan)?;
    if again == found { Ok(found) } else { Err(MsisdnError::InvalidForCountry { country: found.country }) }
}

/// Why digits without plus and without a default country are none of anybody's.
fn incomplete(digits: &str) -> MsisdnError {
    match digits.len() {
        ..DIGITS_MIN => MsisdnError::TooShort,
        DIGITS_MIN..=DIGITS_MAX => MsisdnError::NoCountry,
        _ => MsisdnError::TooLong,
    }
}

fn parse(text: &str, region: Option<Region>) -> Result<PhoneNumber, MsisdnError> {
    PHONE_NUMBER_UTIL.parse(text, region).map_err(|error| match error {
        ParseError::InvalidCountryCode => MsisdnError::UnknownCallingCode,
        // We pass nothing but digits, so that too few are all that can be wrong with them.
        ParseError::NotANumber(_) | ParseError::TooShortAfterIdd | ParseError::TooShortNsn => MsisdnError::TooShort,
        ParseError::TooLongNsn => MsisdnError::TooLong,
    })
}

fn accept(number: &PhoneNumber, written: &str, plan: Plan) -> Result<Msisdn, MsisdnError> {
    let digits = e164_digits(number)?;
    if Msisdn::test(digits).is_test() {
        return Ok(Msisdn::test(digits));
    }
    if let Some(judged) = plan.judge(digits) {
        return Ok(Msisdn { digits, country: judged.country, number_type: judged.number_type });
    }
    let kind = PHONE_NUMBER_UTIL.get_number_type(number);
    if kind == PhoneNumberType::Unknown {
        return match without_mexican_mobile_prefix(number, written) {
            Some(repaired) => accept(&repaired, written, plan),
            None => Err(refusal(number)),
        };
    }
    let region = PHONE_NUMBER_UTIL.get_region_for_number(number);
    let country = region.map_or(Country::UNKNOWN, Country::from);
    Ok(Msisdn { digits, country, number_type: kind.into() })
}

/// Calling code, the zeros that some plans keep (Italy), national number.
fn e164_digits(number: &PhoneNumber) -> Result<u64, MsisdnError> {
    let zeros = match (number.italian_leading_zero, number.number_of_leading_zeros) {
        (Some(true), count) => usize::try_from(count.unwrap_or(1)).unwrap_or(0),
        (Some(false) | None, _) => 0,
    };
    let digits = format!("{}{:0<zeros$}{}", number.country_code, "", number.national_number);
    if digits.len() > DIGITS_MAX {
        return Err(MsisdnError::TooLong);
    }
    digits.parse().map_err(|_| MsisdnError::NotANumber)
}

/// Mexico dropped `1` (after the calling code) and `044`, `045`, `01` (at home) before its ten digits in 2019; address
/// books did not. `written` tells them from a North American number without its plus, which has eleven digits.
fn without_mexican_mobile_prefix(number: &PhoneNumber, written: &str) -> Option<PhoneNumber> {
    const MEXICO: i32 = 52;
    const TEN_DIGITS: u64 = 10_000_000_000;
    const WITH_CALLING_CODE_MIN: usize = "5215512345678".len();
    let zero_first = number.italian_leading_zero == Some(true);
    let old_prefix = match number.national_number / TEN_DIGITS {
        1 => zero_first || written.len() >= WITH_CALLING_CODE_MIN,
        44 | 45 => zero_first,
        _ => false,
    };
    if number.country_code != MEXICO || !old_prefix {
        return None;
    }
    Some(PhoneNumber {
        country_code: MEXICO,
        national_number: number.national_number % TEN_DIGITS,
        ..PhoneNumber::default()
    })
}

fn refusal(number: &PhoneNumber) -> MsisdnError {
    let country = PHONE_NUMBER_UTIL
        .get_region_for_number(number)
        .or_else(|| PHONE_NUMBER_UTIL.get_region_for_country_code(number.country_code))
        .map_or(Country::UNKNOWN, Country::from);
    match PHONE_NUMBER_UTIL.is_possible_number_with_reason(number) {
        Ok(NumberLengthType::IsPossible) => MsisdnError::InvalidForCountry { country },
        Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => MsisdnError::TooShort,
        Err(ValidationError::InvalidCountryCode) => MsisdnError::UnknownCallingCode,
        Err(ValidationError::InvalidLength) => MsisdnError::Impossible { country },
        Err(ValidationError::TooLong) => MsisdnError::TooLong,
    }
}
