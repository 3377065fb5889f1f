//! Counts and cuts the parts of a text by walking it. Must never cut an escape pair or a surrogate pair, and must agree
//! with itself: as many parts as [`split`] gives, [`segment`] counts.

use std::fmt;

use super::Encoding;
use super::alphabet::Septets;

/// What a text costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// GSM 7-bit when every character is in GSM 03.38, else UCS-2.
    pub encoding: Encoding,
    /// Septets (an extension character is two) or UTF-16 code units (an emoji is two).
    pub units: usize,
    /// Parts on the air, which is what providers bill; an empty text is one.
    pub segments: u16,
}

/// The text of one part; masked in `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    text: &'a str,
    units: usize,
}

impl<'a> Part<'a> {
    /// The text in clear, for the wire only.
    pub const fn expose(&self) -> &'a str {
        self.text
    }

    /// Septets or UTF-16 code units, as in [`Segmentation::units`].
    pub const fn units(&self) -> usize {
        self.units
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part({} units)", self.units)
    }
}

/// Picks the encoding and counts the parts, in one pass and without allocating.
///
/// ```
/// let cost = sms_core::text::segment("Your code is 123456 €");
/// assert_eq!((cost.encoding.as_str(), cost.units, cost.segments), ("gsm7", 22, 1));
/// ```
pub fn segment(text: &str) -> Segmentation {
    let mut gsm = Packer::new(Encoding::Gsm7);
    let mut seen = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let Some(septets) = Septets::of(c) else {
            // Everything before was in GSM 03.38, hence one UTF-16 code unit each.
            let mut ucs2 = Packer::after_singles(Encoding::Ucs2, seen);
            ucs2.push(c.len_utf16());
            chars.for_each(|c| ucs2.push(c.len_utf16()));
            return ucs2.finish();
        };
        gsm.push(septets.len());
        seen += 1;
    }
    gsm.finish()
}

/// Cuts the text into its parts, which concatenate to the original; `None` when `encoding` cannot hold it.
pub fn split(text: &str, encoding: Encoding) -> Option<Vec<Part<'_>>> {
    let units = total(text, encoding)?;
    let mut parts = Vec::with_capacity(units / encoding.units_part_max() + 1);
    let mut rest = text;
    if units > encoding.units_single_max() {
        loop {
            let (len, units) = fitting(rest, encoding);
            if len == rest.len() {
                break;
            }
            let (text, after) = rest.split_at_checked(len)?;
            parts.push(Part { text, units });
            rest = after;
        }
    }
    parts.push(Part { text: rest, units: total(rest, encoding)? });
    Some(parts)
}

/// The distinct characters that are not in GSM 03.38, in their order; at most 16, which is enough to explain a price.
pub fn forces_ucs2(text: &str) -> Vec<char> {
    let mut forcing = Vec::new();
    for c in text.chars() {
        if Septets::of(c).is_none() && !forcing.contains(&c) {
            forcing.push(c);
            if forcing.len() == FORCING_MAX {
                break;
            }
        }
    }
    forcing
}

const FORCING_MAX: usize = 16;

fn cost(c: char, encoding: Encoding) -> Option<usize> {
    match encoding {
        Encoding::Gsm7 => Septets::of(c).map(Septets::len),
        Encoding::Ucs2 => Some(c.len_utf16()),
    }
}

fn total(text: &str, encoding: Encoding) -> Option<usize> {
    text.chars().try_fold(0, |units, c| Some(units + cost(c, encoding)?))
}

/// Bytes and units of the longest beginning that fits a part. Only for texts that [`total`] found to be encodable.
fn fitting(text: &str, encoding: Encoding) -> (usize, usize) {
    let mut units = 0;
    for (index, c) in text.char_indices() {
        let more = cost(c, encoding).unwrap_or(0);
        if units + more > encoding.units_part_max() {
            return (index, units);
        }
        units += more;
    }
    (text.len(), units)
}

/// Fills parts one character at a time; one that does not fit opens the next part.
struct Packer {
    encoding: Encoding,
    units: usize,
    closed: usize,
    open_units: usize,
}

impl Packer {
    const fn new(encoding: Encoding) -> Self {
        Self { encoding, units: 0, closed: 0, open_units: 0 }
    }

    /// As if `count` characters of one unit had been pushed.
    const fn after_singles(encoding: Encoding, count: usize) -> Self {
        let closed = count.saturating_sub(1) / encoding.units_part_max();
        Self { encoding, units: count, closed, open_units: count - closed * encoding.units_part_max() }
    }

    fn push(&mut self, units: usize) {
        self.units += units;
        if self.open_units + units > self.encoding.units_part_max() {
            self.closed += 1;
            self.open_units = units;
        } else {
            self.open_units += units;
        }
    }

    fn finish(self) -> Segmentation {
        let fits_one = self.units <= self.encoding.units_single_max();
        let segments = if fits_one { 1 } else { u16::try_from(self.closed + 1).unwrap_or(u16::MAX) };
        Segmentation { encoding: self.encoding, units: self.units, segments }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::{decode_gsm7, encode_gsm7};

    fn cost_of(text: &str) -> (&'static str, usize, u16) {
        let Segmentation { encoding, units, segments } = segment(text);
        (encoding.as_str(), units, segments)
    }

    #[test]
    fn gsm_boundaries() {
        for (count, segments) in [(0, 1), (1, 1), (160, 1), (161, 2), (306, 2), (307, 3), (459, 3), (460, 4)] {
            assert_eq!(cost_of(&"a".repeat(count)), ("gsm7", count, segments), "{count}");
        }
    }

    #[test]
    fn ucs2_boundaries() {
        for (count, segments) in [(1, 1), (70, 1), (71, 2), (134, 2), (135, 3), (201, 3), (202, 4)] {
            assert_eq!(cost_of(&"š".repeat(count)), ("ucs2", count, segments), "{count}");
        }
    }

    #[test]
    fn extension_characters_cost_two_septets() {
        assert_eq!(cost_of(&"€".repeat(80)), ("gsm7", 160, 1));
        assert_eq!(cost_of(&"€".repeat(81)), ("gsm7", 162, 2));
        assert_eq!(cost_of("^{}\\[~]|€\u{0C}"), ("gsm7", 20, 1));
    }

    #[test]
    fn an_escape_pair_is_not_cut_and_may_cost_a_part() {
        // 306 septets would be two parts if the first could end in half a euro sign.
        let text = format!("{}€{}€", "a".repeat(152), "b".repeat(150));
        assert_eq!(cost_of(&text), ("gsm7", 306, 3));
        let parts: Vec<_> = split(&text, Encoding::Gsm7).unwrap().iter().map(Part::units).collect();
        assert_eq!(parts, [152, 152, 2]);
        let text = format!("{}€{}", "a".repeat(151), "b".repeat(153));
        assert_eq!(cost_of(&text), ("gsm7", 306, 2));
    }

    #[test]
    fn a_surrogate_pair_is_not_cut() {
        let text = format!("{}🔑{}", "a".repeat(66), "b".repeat(67));
        assert_eq!(cost_of(&text), ("ucs2", 135, 3));
        let parts = split(&text, Encoding::Ucs2).unwrap();
        assert_eq!(parts.iter().map(Part::units).collect::<Vec<_>>(), [66, 67, 2]);
        assert_eq!(parts.get(1).unwrap().expose().chars().next(), Some('🔑'));
    }

    #[test]
    fn one_late_character_recounts_what_came_before() {
        for before in [0, 1, 66, 67, 68, 69, 70, 134, 135, 160, 1000] {
            let text = format!("{}š", "€".repeat(before));
            let expected = u16::try_from(if before < 70 { 1 } else { (before + 1).div_ceil(67) }).unwrap();
            assert_eq!(cost_of(&text), ("ucs2", before + 1, expected), "{before}");
        }
    }

    #[test]
    fn parts_beyond_what_u16_holds_saturate() {
        assert_eq!(segment(&"š".repeat(67 * 65_536)).segments, u16::MAX);
    }

    #[test]
    fn gsm_text_may_be_split_as_ucs2_but_not_the_reverse() {
        assert_eq!(split(&"a".repeat(71), Encoding::Ucs2).unwrap().len(), 2);
        assert_eq!(split("a š", Encoding::Gsm7), None);
        assert_eq!(split(&format!("{}š", "a".repeat(200)), Encoding::Gsm7), None);
        assert_eq!(split("", Encoding::Gsm7).unwrap(), [Part { text: "", units: 0 }]);
    }

    #[test]
    fn debug_of_a_part_hides_its_text() {
        let parts = split("Code 483920", Encoding::Gsm7).unwrap();
        assert_eq!(format!("{parts:?}"), "[Part(11 units)]");
    }

    #[test]
    fn characters_that_force_ucs2_are_named_once_in_order() {
        assert_eq!(forces_ucs2("Šaŝa – šaša – €"), ['Š', 'ŝ', '–', 'š']);
        assert_eq!(forces_ucs2("plain [text] €"), []);
        let many: String = ('а'..='я').collect();
        assert_eq!(forces_ucs2(&many).len(), FORCING_MAX);
    }

    /// Texts near the boundaries, rich in two-unit characters.
    fn texts() -> impl Strategy<Value = String> {
        let gsm = proptest::sample::select(vec!['a', 'é', ' ', '€', '[', '\n', '0']);
        let wide = proptest::sample::select(vec!['a', '€', 'š', '中', '🔑', '\u{10FFFF}']);
        let gsm = proptest::collection::vec(gsm, 0..500);
        let wide = proptest::collection::vec(wide, 0..300);
        prop_oneof![gsm, wide].prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn parts_join_to_the_text_and_none_is_over_its_limit(text in prop_oneof![texts(), any::<String>()]) {
            let counted = segment(&text);
            let parts = split(&text, counted.encoding).unwrap();
            let joined: String = parts.iter().map(Part::expose).collect();
            prop_assert_eq!(&joined, &text);
            prop_assert_eq!(parts.len(), usize::from(counted.segments));
            prop_assert_eq!(parts.iter().map(Part::units).sum::<usize>(), counted.units);
            let limit = if parts.len() == 1 {
                counted.encoding.units_single_max()
            } else {
                counted.encoding.units_part_max()
            };
            for part in parts {
                prop_assert!(part.units() <= limit);
                match counted.encoding {
                    // A cut pair would decode to something else, or not at all.
                    Encoding::Gsm7 => {
                        let septets = encode_gsm7(part.expose()).unwrap();
                        prop_assert_eq!(septets.len(), part.units());
                        prop_assert_eq!(decode_gsm7(&septets).unwrap(), part.expose());
                    }
                    Encoding::Ucs2 => {
                        prop_assert_eq!(part.expose().encode_utf16().count(), part.units());
                    }
                }
            }
        }

        #[test]
        fn only_what_is_named_forces_ucs2(text in prop_oneof![texts(), any::<String>()]) {
            prop_assert_eq!(forces_ucs2(&text).is_empty(), segment(&text).encoding == Encoding::Gsm7);
            prop_assert_eq!(encode_gsm7(&text).is_some(), segment(&text).encoding == Encoding::Gsm7);
        }

        #[test]
        fn no_part_could_have_taken_the_next_character(text in texts()) {
            let encoding = segment(&text).encoding;
            let parts = split(&text, encoding).unwrap();
            for pair in parts.windows(2) {
                let [part, next] = pair else { unreachable!() };
                let first = next.expose().chars().next().and_then(|c| cost(c, encoding)).unwrap();
                prop_assert!(part.units() + first > encoding.units_part_max());
            }
        }
    }
}
