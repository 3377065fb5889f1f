//! The table against the library: number by number, and text by text with the table and without.

use std::collections::HashSet;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region};

use super::super::reading::Reading;
use super::super::{DIGITS_MAX, Msisdn, MsisdnError, numbering};
use super::*;

/// Reproducible luck (splitmix64).
struct Luck(u64);

impl Luck {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ mixed >> 31) % u64::try_from(limit).unwrap()).unwrap()
    }

    fn digit(&mut self) -> char {
        char::from(b'0' + u8::try_from(self.below(10)).unwrap())
    }
}

/// Some country takes each off.
const NATIONAL_PREFIXES: [&str; 10] = ["0", "0", "0", "01", "044", "06", "1", "8", "80", "9"];

/// A calling code and the regions that share it.
struct Code {
    code: i32,
    regions: Vec<Region>,
}

fn codes() -> Vec<Code> {
    let util = &PHONE_NUMBER_UTIL;
    let regions = |code| util.get_regions_for_country_calling_code(code).unwrap().collect();
    util.get_supported_calling_codes().map(|code| Code { code, regions: regions(code) }).collect()
}

/// A valid number: steps through the table at random, never to where nothing is.
fn valid(code: i32, luck: &mut Luck) -> String {
    let plan = Plan::BUILT_IN;
    let nodes = plan.word(0).unwrap();
    let mut node = plan.word(CODES_AT + 2 * usize::try_from(code).unwrap()).unwrap();
    let mut text = code.to_string();
    loop {
        let at = nodes + NODE_WORDS * node;
        let ways: Vec<usize> = (0..10).filter(|digit| plan.word(at + 1 + digit).unwrap() != 0).collect();
        let may_end = plan.word(at).unwrap() != 0;
        if may_end && (ways.is_empty() || luck.below(2) == 0) {
            return text;
        }
        let digit = ways[luck.below(ways.len())];
        text.push_str(&digit.to_string());
        node = plan.word(at + 1 + digit).unwrap();
    }
}

/// One digit other, less, or more.
fn mutated(code: i32, luck: &mut Luck) -> String {
    let mut text = valid(code, luck);
    let at = code.to_string().len() + luck.below(4);
    match luck.below(4) {
        0 => drop(text.pop()),
        1 => text.push(luck.digit()),
        2 => text.replace_range(at..=at, &luck.digit().to_string()),
        _ => text.insert(at, luck.digit()),
    }
    text
}

fn random(code: i32, luck: &mut Luck) -> String {
    let mut text = code.to_string();
    for _ in 0..2 + luck.below(DIGITS_MAX - 2) {
        text.push(luck.digit());
    }
    text
}

/// What the library says of the number with this calling code and these digits behind it.
fn librarys(code: i32, national: &str) -> Option<(Country, NumberType)> {
    let digits = national.parse::<u64>().unwrap();
    let zeros = national.len() - digits.to_string().len();
    let number = PhoneNumber {
        country_code: code,
        national_number: digits,
        italian_leading_zero: (zeros > 0).then_some(true),
        number_of_leading_zeros: (zeros > 1).then(|| i32::try_from(zeros).unwrap()),
        ..PhoneNumber::default()
    };
    let kind = PHONE_NUMBER_UTIL.get_number_type(&number);
    let country = PHONE_NUMBER_UTIL.get_region_for_number(&number).map_or(Country::UNKNOWN, Country::from);
    (kind != PhoneNumberType::Unknown).then(|| (country, kind.into()))
}

fn read(text: &str, default: Option<Country>, plan: Plan) -> Result<(u64, Country, NumberType), MsisdnError> {
    let number = numbering::resolve(&Reading::of(text)?, default, plan)?;
    Ok((number.digits(), number.country(), number.number_type()))
}

/// One of the ways to write the number.
fn written(code: &Code, e164: &str, luck: &mut Luck) -> (String, Option<Country>) {
    let region = code.regions[luck.below(code.regions.len())];
    let national = e164.strip_prefix(&code.code.to_string()).unwrap();
    match luck.below(6) {
        0 => (e164.to_owned(), None),
        1 => (format!("00{e164}"), Some(region.into())),
        2 => (e164.to_owned(), Some(region.into())),
        3 => (national.to_owned(), Some(region.into())),
        4 => {
            let prefix = NATIONAL_PREFIXES[luck.below(NATIONAL_PREFIXES.len())];
            (format!("{prefix}{national}"), Some(region.into()))
        }
        _ => (format!("+{e164}"), None),
    }
}

/// How many numbers were valid, and how many of these stand.
#[derive(Default)]
struct Seen {
    valid: usize,
    standing: usize,
}

/// Tries this many numbers for each region.
fn compare(per_region: usize, seed: u64) -> Seen {
    let mut luck = Luck(seed);
    let mut seen = Seen::default();
    for code in codes() {
        for round in 0..per_region * code.regions.len() {
            let e164 = [valid, mutated, random][round % 3](code.code, &mut luck);
            let national = e164.strip_prefix(&code.code.to_string()).unwrap();
            let judged = Plan::BUILT_IN.judge(e164.parse().unwrap());
            let told = judged.map(|judged| (judged.country, judged.number_type));
            let readable = national.len() > 1 && e164.len() <= DIGITS_MAX;
            let expected = if readable { librarys(code.code, national) } else { None };
            assert_eq!(told, expected, "+{e164}, seed {seed}");
            seen.valid += usize::from(judged.is_some());
            seen.standing += usize::from(judged.is_some_and(|judged| judged.stands));
            let (text, default) = written(&code, &e164, &mut luck);
            let (with, without) = (read(&text, default, Plan::BUILT_IN), read(&text, default, Plan::EMPTY));
            assert_eq!(with, without, "{text} from {default:?}, seed {seed}");
        }
    }
    seen
}

#[test]
fn the_table_says_what_the_library_says() {
    let seen = compare(100, 1);
    assert!(seen.valid > 8_000 && seen.standing > seen.valid / 2, "{} of {}", seen.standing, seen.valid);
}

/// `cargo test --release -p sms-core millions -- --ignored`, after an update of the library.
#[test]
#[ignore = "minutes; the same with some numbers a region runs each time"]
fn the_table_says_what_the_library_says_of_millions() {
    let halves = [[2, 3, 4, 5], [6, 7, 8, 9]];
    let threads = halves.map(|seeds| std::thread::spawn(move || seeds.map(|seed| compare(2_000, seed))));
    let seen = threads.map(|thread| thread.join().unwrap());
    let sum = |count: fn(&Seen) -> usize| seen.iter().flatten().map(count).sum::<usize>();
    let (valid, standing) = (sum(|seen| seen.valid), sum(|seen| seen.standing));
    assert!(valid > 1_000_000 && standing > valid / 2, "{standing} of {valid}");
}

/// What is sure is sure for a reason: the library takes nothing off.
#[test]
fn numbers_that_stand_are_read_as_they_are() {
    let mut luck = Luck(10);
    for code in codes() {
        for _ in 0..20 {
            let e164 = valid(code.code, &mut luck);
            let judged = Plan::BUILT_IN.judge(e164.parse().unwrap()).unwrap();
            if judged.stands {
                let (digits, ..) = read(&format!("+{e164}"), None, Plan::EMPTY).unwrap();
                assert_eq!(digits.to_string(), e164);
            }
        }
    }
}

#[test]
fn every_region_and_every_kind_is_in_the_table() {
    let util = &PHONE_NUMBER_UTIL;
    for region in util.get_supported_regions() {
        let example = util.get_example_number(region).unwrap();
        let e164 = util.format(&example, PhoneNumberFormat::E164);
        let judged = Plan::BUILT_IN.judge(e164.trim_start_matches('+').parse().unwrap()).unwrap();
        // Regions that share all their numbers are told as one of them: Saint Martin as Guadeloupe.
        assert_eq!(judged.country, util.get_region_for_number(&example).unwrap().into(), "{e164}");
    }
    let mut luck = Luck(11);
    let valid = codes().into_iter().flat_map(|code| [code.code; 100]).map(|code| valid(code, &mut luck));
    let kinds: HashSet<NumberType> =
        valid.map(|e164| Plan::BUILT_IN.judge(e164.parse().unwrap()).unwrap().number_type).collect();
    assert_eq!(kinds.len(), KINDS.len());
}

/// The library forgets zeros beyond the tenth before another digit, the table does not: no number may have as many.
#[test]
fn no_number_begins_with_more_zeros_than_the_library_counts() {
    const ZEROS: usize = 11;
    for code in codes() {
        let room = DIGITS_MAX - code.code.to_string().len();
        for length in ZEROS + 1..=room {
            let power = |digits: usize| 10_u64.pow(u32::try_from(digits).unwrap());
            let first = u64::try_from(code.code).unwrap() * power(length);
            for rest in 0..power(length - ZEROS) {
                assert_eq!(Plan::BUILT_IN.judge(first + rest), None, "+{}", first + rest);
            }
        }
    }
}

#[test]
fn test_numbers_are_what_the_library_reads() {
    for digits in 447_700_900_000..=447_700_900_999_u64 {
        let number = PHONE_NUMBER_UTIL.parse(format!("+{digits}"), None).unwrap();
        assert_eq!((number.country_code, number.national_number), (44, digits - 440_000_000_000));
        assert_eq!(number.italian_leading_zero, None);
        assert_eq!(Plan::BUILT_IN.judge(digits), None);
        assert!(Msisdn::parse(&format!("+{digits}"), None).unwrap().is_test());
    }
}

#[test]
fn what_is_no_number_is_not_judged() {
    for digits in [0, 1, 49, 491, 210, 9_990_000_000, 1_000_000_000_000_000, u64::MAX] {
        assert_eq!(Plan::BUILT_IN.judge(digits), None, "{digits}");
    }
    assert_eq!(Plan::EMPTY.judge(4_915_112_345_678), None);
}
