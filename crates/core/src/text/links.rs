//! Finds what a handset would turn into a link, or a reader could follow: addresses, domains, phone numbers. It errs on
//! the refusing side: `Dr.Smith` reads as a domain. Must never be fooled by full-width or invisible characters.

use super::chars::{decimal_digit, is_dash, narrow};
use super::clean::visible;

/// Whether a value that a stranger chose (a template's variable) holds a URL, a domain, an e-mail address or a phone
/// number. Not for codes: seven digits in a row are a phone number here.
///
/// ```
/// assert!(sms_core::text::contains_link("Anna, see evil．example"));
/// assert!(!sms_core::text::contains_link("Anna-Lena O'Neill jr."));
/// ```
pub fn contains_link(text: &str) -> bool {
    let chars = Folded::new(text);
    let mut index = 0;
    while let Some(c) = chars.at(index) {
        let found = match c {
            '@' => true,
            ':' => chars.scheme_ends(index),
            '.' | IDEOGRAPHIC_STOP => chars.domain_at(index),
            '/' => chars.rooted_path_at(index),
            _ => false,
        };
        if found {
            return true;
        }
        index = match chars.digits_at(index) {
            Digits::Linked => return true,
            Digits::Harmless { end } => end,
            Digits::None => index + 1,
        };
    }
    false
}

/// Schemes that handsets follow without `//`.
const SCHEMES: [&str; 14] = [
    "facetime", "ftp", "geo", "http", "https", "mailto", "mms", "mmsto", "sip", "skype", "sms", "smsto", "tel",
    "whatsapp",
];

/// Stands for `。` and `｡`: a dot to a browser, the end of a sentence to a reader.
const IDEOGRAPHIC_STOP: char = '。';

/// From here on a run of digits reads as a phone number.
const PHONE_DIGITS_MIN: usize = 7;

/// From here on one that begins with a plus does.
const PLUS_DIGITS_MIN: usize = 5;

/// More than these between two digits end a phone number.
const SEPARATORS_MAX: usize = 3;

/// What begins at a place of the text.
enum Digits {
    /// Digits that are no link, and where they end.
    Harmless { end: usize },
    /// A phone number or an IP address.
    Linked,
    /// Something else.
    None,
}

/// The text as a reader sees it: nothing invisible, all in lower-case ASCII where there is an equivalent.
struct Folded(Vec<char>);

impl Folded {
    fn new(text: &str) -> Self {
        Self(text.chars().filter_map(visible).map(fold).collect())
    }

    fn at(&self, index: usize) -> Option<char> {
        self.0.get(index).copied()
    }

    fn before(&self, index: usize) -> Option<char> {
        self.at(index.checked_sub(1)?)
    }

    fn is_digit(&self, index: usize) -> bool {
        self.at(index).is_some_and(|c| c.is_ascii_digit())
    }

    /// How many characters from `index` on satisfy `accept`.
    fn run(&self, index: usize, accept: impl Fn(char) -> bool) -> usize {
        self.0.iter().skip(index).take_while(|c| accept(**c)).count()
    }

    /// Whether the colon at `index` ends a scheme that a handset follows.
    fn scheme_ends(&self, index: usize) -> bool {
        let next = self.at(index + 1);
        if next == Some('/') && self.at(index + 2) == Some('/') {
            return true;
        }
        if next.is_none_or(char::is_whitespace) {
            return false;
        }
        let before = self.0.iter().take(index).rev().take_while(|c| c.is_ascii_alphabetic());
        let mut word: Vec<char> = before.copied().collect();
        word.reverse();
        SCHEMES.iter().any(|scheme| scheme.chars().eq(word.iter().copied()))
    }

    /// Whether the dot at `index` joins the labels of a domain: `label.tld`, where the last label begins with two letters
    /// or is punycode. A dot that opens the text may follow a label in the template.
    fn domain_at(&self, index: usize) -> bool {
        let label_before = match self.before(index) {
            Some(c) => c.is_alphanumeric() || matches!(c, '-' | '_'),
            None => true,
        };
        if !label_before {
            return false;
        }
        let after = index + 1;
        if self.at(index) == Some(IDEOGRAPHIC_STOP) {
            // Chinese and Japanese put no space after a full stop, so only an ASCII top-level domain counts.
            return self.run(after, |c| c.is_ascii_alphabetic()) >= 2;
        }
        let www = index >= 3 && (1..=3).all(|back| self.at(index - back) == Some('w'));
        let punycode = "xn--".chars().enumerate().all(|(offset, c)| self.at(after + offset) == Some(c));
        punycode || self.run(after, char::is_alphabetic) >= 2 || (www && self.run(after, char::is_alphanumeric) > 0)
    }

    /// Whether a path that opens the text could complete the template's own domain.
    fn rooted_path_at(&self, index: usize) -> bool {
        index == 0 && self.at(1).is_some_and(|c| c == '/' || c.is_alphanumeric())
    }

    fn digits_at(&self, index: usize) -> Digits {
        let plus = self.at(index) == Some('+');
        let start = if plus { index + 1 + self.run(index + 1, is_separator).min(SEPARATORS_MAX) } else { index };
        if !self.is_digit(start) {
            return Digits::None;
        }
        if let Some(end) = self.date_ends(start).filter(|_| !plus) {
            return Digits::Harmless { end };
        }
        let (count, end) = self.digit_run(start);
        let digits_min = if plus { PLUS_DIGITS_MIN } else { PHONE_DIGITS_MIN };
        if count >= digits_min || self.is_ip_address(start) { Digits::Linked } else { Digits::Harmless { end } }
    }

    /// Digits of the run from `start` on, separators between them allowed, and where it ends.
    fn digit_run(&self, start: usize) -> (usize, usize) {
        let mut count = 0;
        let mut end = start;
        loop {
            let digits = self.run(end, |c| c.is_ascii_digit());
            count += digits;
            end += digits;
            let separators = self.run(end, is_separator);
            if separators > SEPARATORS_MAX || !self.is_digit(end + separators) {
                return (count, end);
            }
            end += separators;
        }
    }

    fn is_ip_address(&self, start: usize) -> bool {
        let mut index = start;
        for group in 0..4 {
            let digits = self.run(index, |c| c.is_ascii_digit());
            if !(1..=3).contains(&digits) || (group < 3 && self.at(index + digits) != Some('.')) {
                return false;
            }
            index += digits + 1;
        }
        true
    }

    /// The end of a date at `start` that no phone number could be hidden behind: what follows it is the end, a time,
    /// another date or no digit.
    fn date_ends(&self, start: usize) -> Option<usize> {
        let end = self.date_shape_ends(start)?;
        let next = end + self.run(end, is_separator).min(SEPARATORS_MAX);
        let clear = !self.is_digit(next) || self.is_time(next) || self.date_shape_ends(next).is_some();
        clear.then_some(end)
    }

    /// `2026-11-24`, `24.11.2026`, `11/24/2026` and the like.
    fn date_shape_ends(&self, start: usize) -> Option<usize> {
        let (first, second_at) = self.number_at(start)?;
        let separator = self.at(second_at).filter(|c| matches!(c, '-' | '.' | '/'))?;
        let (second, end) = self.number_at(second_at + 1)?;
        let (third, end) = (self.at(end) == Some(separator)).then(|| self.number_at(end + 1))??;
        let is_year = |number: u32| (1900..2100).contains(&number);
        let is_day = |number: u32| (1..=31).contains(&number);
        let date = (is_year(first) && is_day(third)) || (is_day(first) && is_year(third));
        (date && is_day(second)).then_some(end)
    }

    fn is_time(&self, start: usize) -> bool {
        let is_part = |number: Option<(u32, usize)>| number.filter(|(value, _)| *value < 60);
        is_part(self.number_at(start))
            .filter(|(_, end)| self.at(*end) == Some(':'))
            .is_some_and(|(_, end)| is_part(self.number_at(end + 1)).is_some())
    }

    /// A number of at most four digits and where it ends.
    fn number_at(&self, start: usize) -> Option<(u32, usize)> {
        let digits = self.run(start, |c| c.is_ascii_digit());
        let value = self.0.iter().skip(start).take(digits).filter_map(|c| c.to_digit(10));
        (1..=4).contains(&digits).then(|| (value.fold(0, |number, digit| number * 10 + digit), start + digits))
    }
}

const fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | '/' | '(' | ')')
}

fn fold(c: char) -> char {
    let c = narrow(c).to_ascii_lowercase();
    match c {
        '․' | '﹒' => '.',
        '。' | '｡' => IDEOGRAPHIC_STOP,
        '﹫' => '@',
        '﹕' | '︰' | '꞉' | '∶' => ':',
        '⁄' | '∕' | '⧸' => '/',
        '﹢' => '+',
        '\n' => '\n',
        _ if is_dash(c) => '-',
        _ if c.is_whitespace() => ' ',
        _ => decimal_digit(c).unwrap_or(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::strip_invisible;

    #[test]
    fn links_of_every_kind_are_found() {
        for text in [
            "http://evil.example/x",
            "HTTPS://EVIL",
            "see ftp://10",
            "myapp://open",
            "mailto:a",
            "Tel:911",
            "sms:12345",
            "www.x.y",
            "www.4chan",
            "example.com",
            "Go to Example.COM now",
            "bit.ly/abc",
            "t.me/x",
            "sub.domain.co.uk",
            "a-b.io",
            "end.of.sentence",
            "x.xn--p1ai",
            "пример.рф",
            "例え.テスト",
            "example。com",
            "ｅｘａｍｐｌｅ．ｃｏｍ",
            "example․com",
            "example﹒com",
            "𝐞𝐱𝐚𝐦𝐩𝐥𝐞.𝐜𝐨𝐦",
            "ⓔⓧⓐⓜⓟⓛⓔ.ⓒⓞⓜ",
            ".com",
            "/login",
            "//evil",
            "me@example",
            "ping @anna",
            "me＠example",
            "me﹫example",
            "192.168.0.1",
            "http：／／evil",
        ] {
            assert!(contains_link(text), "{text}");
        }
    }

    #[test]
    fn phone_numbers_are_found() {
        for text in [
            "+447700900123",
            "call +44 7700 900123 now",
            "(0800) 123-4567",
            "0800.123.4567",
            "555-1234",
            "5551234",
            "+49 30 12",
            "+ 4930 12",
            "٠٧٧٠٠٩٠٠١٢٣",
            "０８００１２３４５６７",
            "call0800123456",
            "请拨打4001234567",
            "0800 – 123 – 4567",
            "08\u{A0}00\u{2009}123 45",
            "24.11.2026 0800 123456",
            "24.11.2026 1234567",
            "08.01.2000 123456",
            "1999.12.31.5",
            "99.99.2026 1",
        ] {
            assert!(contains_link(text), "{text}");
        }
    }

    #[test]
    fn names_dates_and_amounts_are_no_links() {
        for text in [
            "",
            "Anna",
            "Anna-Lena O'Neill",
            "J. R. Müller jr.",
            "J.R. Smith",
            "Dr. Smith",
            "Acme Inc.",
            "U.S.A.",
            "e.g. this",
            "a.m.",
            "wow... nice",
            "Hello . World",
            "3.50 EUR",
            "1,299.00",
            "10.30am",
            "v1.2",
            "No.12",
            "Order 123456",
            "12:30",
            "Re: hello",
            "Ratio 3:4",
            "Tel: none",
            "and/or",
            "1/2",
            "2026-11-24",
            "24.11.2026",
            "11/24/2026",
            "24.11.2026 14:30",
            "24.11.2026, 9:05",
            "2026-11-24 - 2026-12-01",
            "你好。再见",
            "山田太郎。",
            "C++ 17",
            "#42",
            "+1234",
        ] {
            assert!(!contains_link(text), "{text}");
        }
    }

    #[test]
    fn invisible_characters_hide_nothing() {
        for hidden in ['\u{200B}', '\u{200D}', '\u{AD}', '\u{202E}', '\u{2060}', '\0', '\r', '\u{FE0F}', '\u{E0020}'] {
            for link in ["evil.com", "http://x", "+447700900123", "5551234", "xx.xn--p1ai"] {
                let text: String = link.chars().flat_map(|c| [hidden, c]).collect();
                assert!(contains_link(&text), "{link} with {hidden:?}");
            }
        }
    }

    #[test]
    fn a_line_break_ends_a_link() {
        assert!(!contains_link("a.\ncom"));
        assert!(!contains_link("555\n1234"));
    }

    proptest! {
        #[test]
        fn a_domain_is_found_wherever_it_stands(before in "\\PC{0,20}", after in "\\PC{0,20}", name in "[a-z0-9]{1,9}\\.(com|ru|io|xyz)") {
            let text = format!("{before} {name} {after}");
            prop_assert!(contains_link(&text));
        }

        #[test]
        fn a_number_is_found_whatever_separates_it(digits in "[0-9]{10,15}", separators in "[-./() ]{0,3}") {
            let text: String = digits.chars().flat_map(|c| [c.to_string(), separators.clone()]).collect();
            prop_assert!(contains_link(&text));
        }

        #[test]
        fn stripping_what_is_invisible_never_uncovers_a_link(text in any::<String>()) {
            prop_assert_eq!(contains_link(&strip_invisible(&text)), contains_link(&text));
        }

        #[test]
        fn letters_and_spaces_are_never_a_link(text in "[\\p{L} '-]{0,40}") {
            prop_assert!(!contains_link(&text));
        }
    }
}
