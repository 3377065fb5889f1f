//! Numbers as people, platforms and attackers write them.

use std::collections::HashSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType};

use super::*;

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
fn calling_codes_are_the_librarys() {
    for code in PHONE_NUMBER_UTIL.get_supported_calling_codes() {
        let code = u64::try_from(code).unwrap();
        assert_eq!(calling_code(code * 10_000_000 + 1_234_567), code);
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

/// Examples of every kind of number in every country, as the library has them.
static EXAMPLES: LazyLock<Vec<rlibphonenumber::PhoneNumber>> = LazyLock::new(|| {
    let kinds = [
        PhoneNumberType::FixedLine,
        PhoneNumberType::Mobile,
        PhoneNumberType::TollFree,
        PhoneNumberType::PremiumRate,
        PhoneNumberType::SharedCost,
        PhoneNumberType::VoIP,
        PhoneNumberType::PersonalNumber,
        PhoneNumberType::Pager,
        PhoneNumberType::UAN,
        PhoneNumberType::VoiceMail,
    ];
    let util = &PHONE_NUMBER_UTIL;
    let regions = util.get_supported_regions().filter(|region| util.get_country_code_for_region(*region).is_some());
    let examples = regions.flat_map(|region| {
        kinds.into_iter().filter_map(move |kind| util.get_example_number_for_type_and_region(region, kind).ok())
    });
    let global = util.get_supported_global_network_calling_codes();
    let global = global.filter_map(|code| util.get_example_number_for_non_geo_entity(code).ok());
    examples.chain(global).filter(|number| util.is_valid_number(number)).collect()
});

fn e164(number: &rlibphonenumber::PhoneNumber) -> String {
    PHONE_NUMBER_UTIL.format(number, PhoneNumberFormat::E164).into_owned()
}

/// Examples of E.164's length in E.164 form.
static VALID: LazyLock<Vec<String>> =
    LazyLock::new(|| EXAMPLES.iter().map(e164).filter(|text| text.len() <= DIGITS_MAX + 1).collect());

#[test]
fn every_example_of_every_country_is_read_as_the_library_reads_it() {
    assert!(VALID.len() > 1000);
    for example in EXAMPLES.iter() {
        let text = e164(example);
        if text.len() > DIGITS_MAX + 1 {
            assert_eq!(Msisdn::parse(&text, None), Err(MsisdnError::TooLong));
            continue;
        }
        let number = Msisdn::parse(&text, None).unwrap();
        assert_eq!(number.expose(), text);
        let region = PHONE_NUMBER_UTIL.get_region_for_number(example).unwrap();
        assert_eq!(number.country(), Country::from(region), "{text}");
        assert_eq!(number.number_type(), PHONE_NUMBER_UTIL.get_number_type(example).into(), "{text}");
        for format in [PhoneNumberFormat::International, PhoneNumberFormat::RFC3966] {
            assert_eq!(Msisdn::parse(&PHONE_NUMBER_UTIL.format(example, format), None), Ok(number), "{text}");
        }
        assert_eq!(Msisdn::parse(&number.expose_digits(), None), Ok(number), "{text}");
        let national = PHONE_NUMBER_UTIL.format(example, PhoneNumberFormat::National);
        if PHONE_NUMBER_UTIL.parse(&*national, Some(region)).as_ref() == Ok(example) {
            assert_eq!(Msisdn::parse(&national, Some(region.into())), Ok(number), "{national} in {region}");
        }
    }
}

/// One way of writing a number.
#[derive(Debug, Clone)]
struct Style {
    before: &'static str,
    plus: &'static str,
    script: u32,
    separator: &'static str,
    /// After these digits a separator stands.
    places: Vec<usize>,
    after: &'static str,
}

impl Style {
    fn write(&self, e164: &str) -> String {
        let mut text = format!("{}{}", self.before, self.plus);
        for (index, digit) in e164.trim_start_matches('+').chars().enumerate() {
            if index > 0 && self.places.contains(&index) {
                text.push_str(self.separator);
            }
            text.push(char::from_u32(self.script + digit.to_digit(10).unwrap()).unwrap());
        }
        text + self.after
    }
}

fn styles() -> impl Strategy<Value = Style> {
    use proptest::sample::select;
    let before = select(vec!["", " ", "\t", "\u{A0}", "\u{202A}", "tel:", "Tel: "]);
    let plus = select(vec!["+", "＋", "00", "00 ", "+ ", "", "00-"]);
    let script = select(vec![0x30, 0x30, 0x30, 0x660, 0x6F0, 0x966, 0xFF10]);
    let separator = select(vec![" ", "-", ".", "/", "\u{A0}", "\u{2011}", "\u{202F}", "(", ")", " - ", "．", "‐"]);
    let places = proptest::collection::vec(1..15_usize, 0..4);
    let after = select(vec!["", " ", "\n", "\u{202C}", ";ext=7", " ext 7", " x7", " ext. 12", "x99"]);
    (before, plus, script, separator, places, after).prop_map(|(before, plus, script, separator, places, after)| {
        Style { before, plus, script, separator, places, after }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn however_it_is_written_it_is_the_same_number(example in any::<proptest::sample::Index>(), style in styles()) {
        let e164: &String = example.get(&VALID);
        let text = style.write(e164);
        prop_assume!(text.len() <= 64);
        let number = Msisdn::parse(&text, None);
        prop_assert_eq!(number.map(|number| number.expose()), Ok(e164.clone()), "{:?}", text);
    }
}

#[test]
fn the_shortest_numbers_come_back_from_the_store() {
    let german = Country::parse("DE").unwrap();
    let number = Msisdn::parse("1640", Some(german)).unwrap();
    assert_eq!(number.expose(), "+491640");
    assert_eq!(Msisdn::restore("+491640", german), Some(number));
}

fn texts() -> impl Strategy<Value = String> {
    let bytes = any::<Vec<u8>>().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    prop_oneof![bytes, any::<String>(), "[+0-9 ()x;=.et:/-]{0,40}", "(\\+|00|0|011)?[0-9]{3,18}"]
}

fn defaults() -> impl Strategy<Value = Option<Country>> {
    let codes = ["US", "GB", "DE", "IT", "MX", "AR", "BR", "AU", "RU", "CI", "JP", "SM", "ZZ"];
    proptest::option::of(proptest::sample::select(codes.map(|code| Country::parse(code).unwrap()).to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_read_reads_as_itself_again(text in texts(), default in defaults()) {
        if let Ok(number) = Msisdn::parse(&text, default) {
            let again = Msisdn::parse(&number.expose(), None).unwrap();
            prop_assert_eq!(again, number);
            prop_assert_eq!(again.country(), number.country());
            prop_assert_eq!(again.number_type(), number.number_type());
            prop_assert_eq!(Msisdn::restore(&number.expose(), number.country()), Some(number));
            prop_assert!(number.has_prefix(&calling_code(number.digits()).to_string()));
        }
    }

    #[test]
    fn nothing_printed_holds_more_than_two_digits_of_the_line(example in any::<proptest::sample::Index>()) {
        let e164: &String = example.get(&VALID);
        let number = Msisdn::parse(e164, None).unwrap();
        let line = number.expose_digits().len() - calling_code(number.digits()).to_string().len();
        let shown = number.to_string().chars().filter(char::is_ascii_digit).count();
        prop_assert_eq!(shown, number.expose_digits().len() - line + 2);
    }
}
