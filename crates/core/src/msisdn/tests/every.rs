//! Every country's example numbers, in every way of writing them, and texts that are none.

use std::sync::LazyLock;

use proptest::prelude::*;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType};

use crate::msisdn::*;

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

#[test]
fn calling_codes_are_the_librarys() {
    for code in PHONE_NUMBER_UTIL.get_supported_calling_codes() {
        let code = u64::try_from(code).unwrap();
        assert_eq!(calling_code(code * 10_000_000 + 1_234_567), code);
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
