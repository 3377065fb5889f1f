//! Numbers as people, platforms and attackers write them.

use std::collections::HashSet;

use super::*;

mod every;

fn country(code: &str) -> Option<Country> {
    (!code.is_empty()).then(|| Country::parse(code).unwrap())
}

fn parsed(text: &str, default: &str) -> Result<(String, String, NumberType), MsisdnError> {
    let number = Msisdn::parse(text, country(default))?;
    Ok((number.expose(), number.country().to_string(), number.number_type()))
}

fn assert_reads(cases: &[(&str, &str, &str, &str, NumberType)]) {
    for (text, default, e164, country, kind) in cases {
        let expected = Ok(((*e164).to_owned(), (*country).to_owned(), *kind));
        assert_eq!(parsed(text, default), expected, "{text:?} from {default:?}");
    }
}

fn assert_refused(cases: &[(&str, &str, MsisdnError)]) {
    for (text, default, error) in cases {
        assert_eq!(parsed(text, default), Err(*error), "{text:?} from {default:?}");
    }
}

fn invalid_for(code: &str) -> MsisdnError {
    MsisdnError::InvalidForCountry { country: Country::parse(code).unwrap() }
}

fn impossible_for(code: &str) -> MsisdnError {
    MsisdnError::Impossible { country: Country::parse(code).unwrap() }
}

#[test]
fn numbering_plans_with_traps_are_read_right() {
    use NumberType::{FixedLine, FixedLineOrMobile, Mobile};
    assert_reads(&[
        // Italy keeps the zero of its landlines; the Vatican's are among Rome's.
        ("+39 06 1234 5678", "", "+390612345678", "IT", FixedLine),
        ("06 1234 5678", "IT", "+390612345678", "IT", FixedLine),
        ("+39 (0)6 1234 5678", "", "+390612345678", "IT", FixedLine),
        ("+39 06 6982 1234", "", "+390669821234", "VA", FixedLine),
        ("+39 347 123 4567", "", "+393471234567", "IT", Mobile),
        // Ivory Coast made the zero part of the number.
        ("+225 07 08 12 34 56", "", "+2250708123456", "CI", Mobile),
        ("07 08 12 34 56", "CI", "+2250708123456", "CI", Mobile),
        // Calling codes that countries share.
        ("+7 701 123 45 67", "", "+77011234567", "KZ", Mobile),
        ("+7 911 123 45 67", "", "+79111234567", "RU", Mobile),
        ("8 (911) 123-45-67", "RU", "+79111234567", "RU", Mobile),
        ("+1 876 555 1234", "", "+18765551234", "JM", Mobile),
        ("+1 658 555 1234", "", "+16585551234", "JM", FixedLine),
        ("+1 808 555 5555", "", "+18085555555", "US", FixedLineOrMobile),
        ("+44 7781 123456", "", "+447781123456", "GG", Mobile),
        ("+44 1481 960194", "", "+441481960194", "GG", FixedLine),
    ]);
}

#[test]
fn latin_american_mobiles_lose_their_old_prefixes() {
    use NumberType::{FixedLineOrMobile, Mobile};
    assert_reads(&[
        // Mexico dropped the 1; Brazil and Argentina as the library does.
        ("+52 1 55 1234 5678", "", "+525512345678", "MX", FixedLineOrMobile),
        ("+52 044 55 1234 5678", "", "+525512345678", "MX", FixedLineOrMobile),
        ("+52 55 1234 5678", "", "+525512345678", "MX", FixedLineOrMobile),
        ("5215512345678", "", "+525512345678", "MX", FixedLineOrMobile),
        ("52 1 55 1234 5678", "MX", "+525512345678", "MX", FixedLineOrMobile),
        ("044 55 1234 5678", "MX", "+525512345678", "MX", FixedLineOrMobile),
        ("045 55 1234 5678", "MX", "+525512345678", "MX", FixedLineOrMobile),
        ("01 55 1234 5678", "MX", "+525512345678", "MX", FixedLineOrMobile),
        ("+55 11 91234-5678", "", "+5511912345678", "BR", Mobile),
        ("0 15 11 91234-5678", "BR", "+5511912345678", "BR", Mobile),
        ("+54 9 11 1234-5678", "", "+5491112345678", "AR", Mobile),
        ("+54 11 15 1234-5678", "", "+5491112345678", "AR", Mobile),
        ("011 15 1234-5678", "AR", "+5491112345678", "AR", Mobile),
    ]);
}

#[test]
fn numbers_of_no_country_and_short_ones_are_read() {
    use NumberType::{FixedLine, Mobile, TollFree, Voip};
    assert_reads(&[
        // No country at all.
        ("+800 1234 5678", "", "+80012345678", "ZZ", TollFree),
        ("+870 773 111 632", "", "+870773111632", "ZZ", Mobile),
        ("+883 5100 1234 5678", "", "+883510012345678", "ZZ", Voip),
        // Short ones.
        ("+290 22158", "", "+29022158", "SH", FixedLine),
        ("+49 30 123", "", "+4930123", "DE", FixedLine),
        ("+247 40123", "", "+24740123", "AC", Mobile),
    ]);
}

#[test]
fn human_forms_are_normalised() {
    for text in [
        "+41791234567",
        "  +41 79 123 45 67\n",
        "+41-79-123-45-67",
        "+41.79.123.45.67",
        "+41 (79) 123/45/67",
        "+41 (0)79 123 45 67",
        "+41 (0) 79 123 45 67",
        "+41（0）79 123 45 67",
        "+41079 123 45 67",
        "0041 79 123 45 67",
        "0041 (0)79 123 45 67",
        "+0041 79 123 45 67",
        "+011 41 79 123 45 67",
        "41791234567",
        "+41\u{A0}79\u{202F}123\u{2009}45\u{3000}67",
        "+41\u{2011}79\u{2010}123\u{2013}45\u{2212}67",
        "\u{202A}+41791234567\u{202C}",
        "+41\u{200B}791234567\u{FEFF}",
        "＋４１７９１２３４５６７",
        "﹢41791234567",
        "+٤١٧٩١٢٣٤٥٦٧",
        "+۴۱۷۹۱۲۳۴۵۶۷",
        "+४१७९१२३४५६७",
        "++41791234567",
        "(+41) 79 123 45 67",
        "(0041) 79 123 45 67",
        "tel:+41-79-123-45-67",
        "TEL:+41791234567",
        "tel:+41791234567;ext=5",
        "tel:+41791234567;isub=1;ext=5",
        "tel:79-123-45-67;phone-context=+41",
        "tel:079-123-45-67;phone-context=+41",
        "+41791234567;ext=12",
        "+41 79 123 45 67 ext 5",
        "+41 79 123 45 67 ext. 5",
        "+41 79 123 45 67 Ext: 55",
        "+41 79 123 45 67 extension 5",
        "+41 79 123 45 67 x5",
        "+41791234567x123",
        "[41] 79~123 45 67",
    ] {
        assert_eq!(parsed(text, ""), Ok(("+41791234567".into(), "CH".into(), NumberType::Mobile)), "{text:?}");
        assert!(!Msisdn::parse(text, None).unwrap().is_test());
    }
}

#[test]
fn national_forms_need_their_country() {
    use NumberType::{FixedLineOrMobile, Mobile};
    assert_reads(&[
        ("079 123 45 67", "CH", "+41791234567", "CH", Mobile),
        ("٠٧٩١٢٣٤٥٦٧", "CH", "+41791234567", "CH", Mobile),
        ("79 123 45 67", "CH", "+41791234567", "CH", Mobile),
        ("tel:0791234567;phone-context=example.com", "CH", "+41791234567", "CH", Mobile),
        ("1-808-555-5555", "US", "+18085555555", "US", FixedLineOrMobile),
        ("(808) 555-5555", "US", "+18085555555", "US", FixedLineOrMobile),
        ("(808) 555-5555 x12", "US", "+18085555555", "US", FixedLineOrMobile),
        // The country's own calling code without a plus.
        ("41791234567", "CH", "+41791234567", "CH", Mobile),
        // A number with its own calling code does not care about the default.
        ("+41791234567", "US", "+41791234567", "CH", Mobile),
        ("0041791234567", "US", "+41791234567", "CH", Mobile),
        // A country that has no numbers is as good as none.
        ("41791234567", "ZZ", "+41791234567", "CH", Mobile),
    ]);
    // The last two would be valid in Egypt and Thailand, if parentheses meant nothing.
    for text in ["079 123 45 67", "(808) 555-5555", "8 (911) 123-45-67", "(201) 555-0123", "（664） 492-3452"] {
        assert_refused(&[(text, "", MsisdnError::NoCountry), (text, "ZZ", MsisdnError::NoCountry)]);
    }
}

#[test]
fn international_prefixes_are_those_of_the_country_dialled_from() {
    use NumberType::Mobile;
    assert_reads(&[
        ("011 41 79 123 45 67", "US", "+41791234567", "CH", Mobile),
        ("011 41 (0)79 123 45 67", "CA", "+41791234567", "CH", Mobile),
        ("0011 41 79 123 45 67", "AU", "+41791234567", "CH", Mobile),
        ("8 10 41 79 123 45 67", "RU", "+41791234567", "CH", Mobile),
        ("010 41 79 123 45 67", "JP", "+41791234567", "CH", Mobile),
        ("00 15 41 79 123 45 67", "BR", "+41791234567", "CH", Mobile),
        ("00 55 11 91234-5678", "BR", "+5511912345678", "BR", Mobile),
    ]);
    assert_refused(&[
        ("011 41 79 123 45 67", "", MsisdnError::NoCountry),
        ("011 41 79 123 45 67", "DE", invalid_for("DE")),
        ("0011 41 79 123 45 67", "", MsisdnError::TooLong),
    ]);
}

#[test]
fn a_trunk_zero_goes_where_the_plan_has_none() {
    use NumberType::{FixedLine, FixedLineOrMobile, Mobile};
    assert_reads(&[
        ("+39 (0)347 123 4567", "", "+393471234567", "IT", Mobile),
        ("+34 (0)91 234 56 78", "", "+34912345678", "ES", FixedLine),
        ("+1 (0) 808 555 5555", "", "+18085555555", "US", FixedLineOrMobile),
        ("+44 (0)7781 123456", "", "+447781123456", "GG", Mobile),
        ("0044 (0)7781 123456", "FR", "+447781123456", "GG", Mobile),
    ]);
}

#[test]
fn numbers_that_merely_parse_are_refused() {
    assert_refused(&[
        ("12345", "US", MsisdnError::TooShort),
        ("12345", "", MsisdnError::TooShort),
        ("112", "DE", MsisdnError::TooShort),
        ("110", "DE", MsisdnError::TooShort),
        ("911", "US", MsisdnError::TooShort),
        ("555-1234", "US", MsisdnError::TooShort),
        ("44 55 1234 5678", "MX", MsisdnError::TooLong),
        // American numbers without their plus, which are none of Mexico's.
        ("1 808 555 5555", "MX", MsisdnError::TooLong),
        ("1 55 1234 5678", "MX", MsisdnError::TooLong),
        ("+1 787 123 4567", "", invalid_for("PR")),
        ("+1 876 123 4567", "", invalid_for("JM")),
        ("+1 399 999 9999", "", invalid_for("US")),
        ("+1 399 999", "", MsisdnError::TooShort),
        ("+1 555 555 1212", "", invalid_for("US")),
        ("+49 171 123456", "", invalid_for("DE")),
        ("+41 79 123 45 6", "", MsisdnError::TooShort),
        ("+41 79 123 45 67 8", "", impossible_for("CH")),
        ("+34 912 345 6789", "", MsisdnError::TooLong),
        ("+49 1711 2345 6789 0123", "", MsisdnError::TooLong),
        ("+999 1234 5678", "", MsisdnError::UnknownCallingCode),
        ("+210 1234 5678", "", MsisdnError::UnknownCallingCode),
        ("+079 123 45 67", "CH", MsisdnError::UnknownCallingCode),
        ("+0", "", MsisdnError::TooShort),
        ("+4", "", MsisdnError::TooShort),
        ("+41", "", MsisdnError::TooShort),
        ("0", "DE", MsisdnError::TooShort),
        ("00", "DE", MsisdnError::TooShort),
        ("000000000000", "DE", MsisdnError::UnknownCallingCode),
    ]);
}

#[test]
fn what_is_no_number_is_told_apart_from_a_wrong_one() {
    let long = "9".repeat(26);
    let padded = format!("+41791234567{}", " ".repeat(60));
    assert_refused(&[
        ("", "", MsisdnError::Empty),
        (" \u{A0}\u{200B}\t\r\n", "DE", MsisdnError::Empty),
        (&long, "", MsisdnError::TooLong),
        (&padded, "", MsisdnError::TooLong),
    ]);
    for text in [
        "+",
        "()",
        "-",
        "tel:",
        ";ext=5",
        "anna",
        "+41 79 ABC DE FG",
        "1-800-FLOWERS",
        "anna@example.com",
        "+41791234567 +41791234568",
        "+41791234567, +41791234568",
        "+41791234567;+41791234568",
        "+41791234567+",
        "*100#",
        "+41791234567#",
        "+41791234567 ext",
        "+41791234567 x5 6",
        "+41791234567 x5x6",
        "+4179 x5",
        "+41791234567 ext 123456789012",
        "%2B41791234567",
        "sms:+41791234567",
        "²³¹²³¹²³¹",
        "五五五",
        "+41791234567\0",
    ] {
        assert_refused(&[(text, "", MsisdnError::NotANumber), (text, "CH", MsisdnError::NotANumber)]);
    }
}

#[test]
fn errors_never_echo_the_number_and_say_what_to_do() {
    let mut fixes = HashSet::new();
    for (text, default) in [
        ("", ""),
        ("anna 4179123", ""),
        ("12345", "US"),
        ("+34 912 345 6789", ""),
        ("079 123 45 67", ""),
        ("+999 1234 5678", ""),
        ("+41 79 123 45 67 8", ""),
        ("+1 555 555 1212", ""),
    ] {
        let error = Msisdn::parse(text, country(default)).unwrap_err();
        assert!(fixes.insert(error.fix()), "{error:?} has a fix of its own");
        let shown = format!("{error} {error:?} {}", error.fix());
        for run in text.split(|c: char| !c.is_ascii_digit()).filter(|run| run.len() > 2) {
            assert!(!shown.contains(run), "{shown}");
        }
    }
    assert_eq!(invalid_for("US").to_string(), "there are no such numbers in US");
    assert_eq!(invalid_for("ZZ").to_string(), "there are no such numbers in this international service");
}

#[test]
fn numbers_reserved_for_fiction_are_valid_test_numbers() {
    for (text, default) in [
        ("+44 7700 900000", ""),
        ("+447700900999", ""),
        ("447700900123", ""),
        ("00447700900123", ""),
        ("+44 (0)7700 900123", ""),
        ("07700 900123", "GB"),
        ("7700 900123", "GB"),
        ("011 44 7700 900123", "US"),
    ] {
        let number = Msisdn::parse(text, country(default)).unwrap();
        assert!(number.is_test(), "{text}");
        assert_eq!((number.country().as_str(), number.number_type()), ("GB", NumberType::Mobile));
        assert_eq!(Msisdn::parse(&number.expose(), None), Ok(number));
    }
    for text in ["+44 7700 899999", "+44 7700 901000", "+44 7700 90012", "+44 7700 9001234"] {
        assert!(!Msisdn::parse(text, None).is_ok_and(|number| number.is_test()), "{text}");
    }
    assert!(Msisdn::restore("+447700900042", Country::GB).unwrap().is_test());
}

#[test]
fn print_shows_only_calling_code_and_last_two_digits() {
    for (e164, masked) in [
        ("+447700900100", "+44•••00"),
        ("+447700900109", "+44•••09"),
        ("+41791234567", "+41•••67"),
        ("+18085555555", "+1•••55"),
        ("+77011234567", "+7•••67"),
        ("+2250708123456", "+225•••56"),
        ("+3531234567", "+353•••67"),
        ("+883510012345678", "+883•••78"),
    ] {
        let number = Msisdn::restore(e164, Country::UNKNOWN).unwrap();
        assert_eq!(number.to_string(), masked);
        assert_eq!(format!("{number:?}"), masked);
    }
}

#[test]
fn restoring_takes_e164_only_and_knows_no_type() {
    let fresh = Msisdn::parse("+41791234567", None).unwrap();
    for text in ["+41791234567", "41791234567"] {
        let stored = Msisdn::restore(text, fresh.country()).unwrap();
        assert_eq!(stored, fresh);
        assert_eq!((stored.country(), stored.number_type()), (fresh.country(), NumberType::Unknown));
        assert_eq!(stored.expose(), "+41791234567");
        assert_eq!(stored.expose_digits(), "41791234567");
        assert_eq!(stored.digits(), 41_791_234_567);
    }
    for text in [
        "",
        "+",
        "+41 791234567",
        "++41791234567",
        "0791234567",
        "+123",
        "+1234567890123456",
        "+4179x234567",
        "+٤١٧٩١٢٣٤٥٦٧",
    ] {
        assert_eq!(Msisdn::restore(text, fresh.country()), None, "{text}");
    }
}

#[test]
fn equality_order_and_hash_are_those_of_the_digits() {
    let low = Msisdn::restore("+41791234567", Country::UNKNOWN).unwrap();
    let same = Msisdn::parse("+41791234567", None).unwrap();
    let high = Msisdn::restore("+447700900000", Country::UNKNOWN).unwrap();
    assert_eq!(low, same);
    assert!(low < high && high > same);
    assert_eq!([low, same, high].into_iter().collect::<HashSet<_>>().len(), 2);
    assert!(size_of::<Msisdn>() <= 24);
}

#[test]
fn prefixes_match_from_the_first_digit() {
    let number = Msisdn::parse("+41791234567", None).unwrap();
    for prefix in ["4", "41", "+41", "4179", "41791234567"] {
        assert!(number.has_prefix(prefix), "{prefix}");
    }
    for prefix in
        ["", "+", "++41", "0", "041", "42", "79", "417912345678", "4 1", "41x", "-41", "٤١", "99999999999999999999"]
    {
        assert!(!number.has_prefix(prefix), "{prefix}");
    }
}
