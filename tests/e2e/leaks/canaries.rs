//! What must not get out, and a search for it in every form in which it could.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use e2e::{Builder, OPS_TOKEN, key_of};

/// A code, and the words around it.
pub(crate) const CODE: &str = "91827364";
pub(crate) const WORDS: &str = "Canary Parrot Lane";

/// The number of most messages.
pub(crate) const NATIVE: &str = "+41765432000";

/// One of the numbers that are looked for: the `nth` of a block that a route can tell by [`prefix`].
pub(crate) fn number(block: usize, nth: usize) -> String {
    assert!(block < BLOCKS && nth < NUMBERS, "a number that is looked for");
    format!("{}{nth:02}", prefix(block))
}

/// What the numbers of a block begin with.
pub(crate) fn prefix(block: usize) -> String {
    format!("+4176543{:02}", 20 + block)
}

const BLOCKS: usize = 20;
const NUMBERS: usize = 5;

/// What is said about an end user.
pub(crate) const IP: &str = "198.51.100.77";
pub(crate) const BROWSER: &str = "CanaryBrowser/9.1";
pub(crate) const USER: &str = "auth0|canary-user-5f1e";
pub(crate) const EMAIL: &str = "canary.lane@parrot.example";

/// What the caller attaches to a message.
pub(crate) const REFERENCE: &str = "reference-canary-77c1";
pub(crate) const METADATA: &str = "metadata-canary-77c2";
pub(crate) const KEY: &str = "idempotency-canary-77c3";

/// Credentials: one that nobody has, one written into a configuration, one of a passwordless connection.
pub(crate) const STRANGER: &str = "sk_live_stranger_canary5f1e9c77d2";
pub(crate) const INLINE: &str = "inline-canary-secret-3b9a";
pub(crate) const PASSWORDLESS: &str = "passwordless-canary-secret-3b9b";

/// What the environment of the tests gives to every gateway.
const OF_THE_TESTS: [&str; 3] = [
    "callback-secret-of-the-tests",
    "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "0123456789abcdef0123456789abcdef",
];

const HEAD: usize = 4;

/// Everything to look for, by its first bytes.
pub(crate) struct Canaries {
    needles: HashMap<[u8; HEAD], Vec<(String, Vec<u8>)>>,
}

impl Canaries {
    /// All of them; a success may name the number that it is about.
    pub(crate) fn new(numbers: bool) -> Self {
        let mut canaries = Self { needles: HashMap::new() };
        let texts = [CODE, WORDS, IP, BROWSER, USER, EMAIL, REFERENCE, METADATA, KEY, STRANGER, INLINE, PASSWORDLESS];
        texts.iter().chain(&OF_THE_TESTS).for_each(|text| canaries.add(text));
        for text in [Builder::MITTO_KEY, Builder::WEBHOOK_SECRET, OPS_TOKEN, &key_of("acme")] {
            canaries.add(text);
        }
        if numbers {
            for number in (0..BLOCKS).flat_map(|block| (0..NUMBERS).map(move |nth| number(block, nth))) {
                canaries.add(number.trim_start_matches("+41"));
                canaries.add_packed(&number);
            }
        }
        canaries
    }

    /// Looks for one more.
    pub(crate) fn add(&mut self, canary: &str) {
        for (form, needle) in forms(canary) {
            self.put(format!("{canary} ({form})"), needle);
        }
    }

    /// A number as the integer that it is; its highest bytes are zero and prove nothing.
    fn add_packed(&mut self, number: &str) {
        let digits: u64 = number.trim_start_matches('+').parse().expect("digits");
        let significant = 5;
        self.put(
            format!("{number} (packed, big end first)"),
            digits.to_be_bytes().into_iter().skip(8 - significant).collect(),
        );
        self.put(
            format!("{number} (packed, little end first)"),
            digits.to_le_bytes().into_iter().take(significant).collect(),
        );
    }

    fn put(&mut self, name: String, needle: Vec<u8>) {
        let head = *needle.first_chunk::<HEAD>().expect("a needle that is found by its head");
        self.needles.entry(head).or_default().push((name, needle));
    }

    /// The first that is in there.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<&str> {
        bytes.windows(HEAD).enumerate().find_map(|(at, head)| {
            let candidates = self.needles.get(head)?;
            let rest = bytes.get(at..)?;
            candidates.iter().find(|(_, needle)| rest.starts_with(needle)).map(|(name, _)| name.as_str())
        })
    }

    /// Panics when one of them is in there.
    #[track_caller]
    pub(crate) fn none_in(&self, place: &str, bytes: &[u8]) {
        if let Some(name) = self.find(bytes) {
            let text = String::from_utf8_lossy(bytes);
            let around = text.lines().find(|line| self.find(line.as_bytes()).is_some()).unwrap_or_default();
            let around: String = around.chars().take(2_000).collect();
            panic!("{name} in {place}: {around}");
        }
    }

    /// How many needles there are.
    pub(crate) fn len(&self) -> usize {
        self.needles.values().map(Vec::len).sum()
    }
}

/// As it stands, in hex, in UTF-16, and in base64 wherever in a longer text it began.
fn forms(canary: &str) -> Vec<(&'static str, Vec<u8>)> {
    let wide = |bytes: fn(u16) -> [u8; 2]| canary.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let mut hex = String::new();
    canary.bytes().for_each(|byte| write!(hex, "{byte:02x}").expect("a string takes everything"));
    let mut forms = vec![
        ("plain", canary.as_bytes().to_vec()),
        ("UTF-16LE", wide(u16::to_le_bytes)),
        ("UTF-16BE", wide(u16::to_be_bytes)),
        ("HEX", hex.to_uppercase().into_bytes()),
        ("hex", hex.into_bytes()),
    ];
    for (name, engine) in [("base64", STANDARD), ("base64url", URL_SAFE)] {
        for before in 0..3 {
            // Letters that carry bits of what stands before or behind it are left out.
            let whole = [vec![0; before], canary.as_bytes().to_vec()].concat();
            let skipped = (before * 8).div_ceil(6);
            let letters = whole.len() * 8 / 6 - skipped;
            forms.push((name, engine.encode(whole).into_bytes().into_iter().skip(skipped).take(letters).collect()));
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_wherever_it_stands() {
        let canaries = Canaries::new(true);
        assert!(canaries.len() > 200, "{}", canaries.len());
        for before in 0..7 {
            let text = |middle: &str| format!("{}{middle} and more", "x".repeat(before));
            for found in [
                text(CODE).into_bytes(),
                STANDARD.encode(text(CODE)).into_bytes(),
                URL_SAFE.encode(text(WORDS)).into_bytes(),
                text(EMAIL).encode_utf16().flat_map(u16::to_le_bytes).collect(),
                text("41765432204").into_bytes(),
                text("076 5432100").replace(' ', "").into_bytes(),
                [text("").into_bytes(), 41_765_433_103_i64.to_be_bytes().to_vec(), vec![0]].concat(),
            ] {
                assert!(canaries.find(&found).is_some(), "{}", String::from_utf8_lossy(&found));
            }
        }
        assert_eq!(canaries.find(text_without().as_bytes()), None);
        assert_eq!(Canaries::new(false).find(NATIVE.as_bytes()), None);
    }

    fn text_without() -> String {
        format!("{} +41•••••00 {}", CODE.replace('2', "3"), WORDS.to_lowercase())
    }
}
