//! GSM 03.38 (3GPP TS 23.038) and UCS-2, both ways. Must never replace a character silently: what does not fit is `None`.

/// The default alphabet by code; 0x1B is the escape to [`EXTENSION`].
const BASIC: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', 'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω',
    'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{1B}', 'Æ', 'æ', 'ß', 'É', ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+',
    ',', '-', '.', '/', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?', '¡', 'A', 'B',
    'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y',
    'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p',
    'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
];

/// The extension table; each costs an escape septet more.
const EXTENSION: [(u8, char); 10] = [
    (0x0A, '\u{0C}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2F, '\\'),
    (0x3C, '['),
    (0x3D, '~'),
    (0x3E, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

const ESCAPE: u8 = 0x1B;

/// No code at all, in [`ASCII`].
const ABSENT: u8 = 0xFF;

/// Marks a code of the extension table, in [`ASCII`] and [`Septets`].
const EXTENDED: u8 = 0x80;

/// Codes of the ASCII characters, which are nearly all that is ever sent.
const ASCII: [u8; 128] = ascii_codes();

/// The septets of one character: a code of the default alphabet, or an escape and a code.
#[derive(Clone, Copy)]
pub(super) struct Septets(u8);

impl Septets {
    /// `None` when the character is not in GSM 03.38.
    pub(super) fn of(c: char) -> Option<Self> {
        let code = match u8::try_from(c) {
            Ok(byte) if byte.is_ascii() => ASCII.get(usize::from(byte)).copied().unwrap_or(ABSENT),
            Ok(_) | Err(_) => beyond_ascii(c),
        };
        (code != ABSENT).then_some(Self(code))
    }

    /// How many septets: 1 or 2.
    pub(super) const fn len(self) -> usize {
        if self.0 & EXTENDED == 0 { 1 } else { 2 }
    }

    fn push_to(self, septets: &mut Vec<u8>) {
        if self.len() == 2 {
            septets.push(ESCAPE);
        }
        septets.push(self.0 & !EXTENDED);
    }
}

/// The text as septets, one an octet (the unpacked form that SMPP takes); `None` when a character does not fit.
///
/// ```
/// assert_eq!(sms_core::text::encode_gsm7("1 €"), Some(vec![0x31, 0x20, 0x1B, 0x65]));
/// assert_eq!(sms_core::text::encode_gsm7("1 ₿"), None);
/// ```
pub fn encode_gsm7(text: &str) -> Option<Vec<u8>> {
    let mut septets = Vec::with_capacity(text.len());
    for c in text.chars() {
        Septets::of(c)?.push_to(&mut septets);
    }
    Some(septets)
}

/// Reads unpacked septets. As the standard says, an escape before a code that the extension table lacks shows the
/// default character, and two escapes a space. `None` when an octet is no septet or the text ends in an escape.
pub fn decode_gsm7(septets: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(septets.len());
    let mut rest = septets.iter().copied();
    while let Some(code) = rest.next() {
        text.push(if code == ESCAPE { extended(rest.next()?)? } else { basic(code)? });
    }
    Some(text)
}

/// The text as UTF-16, big-endian.
pub fn encode_ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// Reads UTF-16, big-endian; `None` for half a unit or half a surrogate pair.
pub fn decode_ucs2(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    char::decode_utf16(units.iter().map(|unit| u16::from_be_bytes(*unit))).collect::<Result<_, _>>().ok()
}

fn basic(code: u8) -> Option<char> {
    BASIC.get(usize::from(code)).copied()
}

fn extended(code: u8) -> Option<char> {
    if code == ESCAPE {
        return Some(' ');
    }
    EXTENSION.iter().find(|(extension, _)| *extension == code).map_or_else(|| basic(code), |(_, c)| Some(*c))
}

const fn beyond_ascii(c: char) -> u8 {
    match c {
        '£' => 0x01,
        '¥' => 0x03,
        'è' => 0x04,
        'é' => 0x05,
        'ù' => 0x06,
        'ì' => 0x07,
        'ò' => 0x08,
        'Ç' => 0x09,
        'Ø' => 0x0B,
        'ø' => 0x0C,
        'Å' => 0x0E,
        'å' => 0x0F,
        'Δ' => 0x10,
        'Φ' => 0x12,
        'Γ' => 0x13,
        'Λ' => 0x14,
        'Ω' => 0x15,
        'Π' => 0x16,
        'Ψ' => 0x17,
        'Σ' => 0x18,
        'Θ' => 0x19,
        'Ξ' => 0x1A,
        'Æ' => 0x1C,
        'æ' => 0x1D,
        'ß' => 0x1E,
        'É' => 0x1F,
        '¤' => 0x24,
        '¡' => 0x40,
        'Ä' => 0x5B,
        'Ö' => 0x5C,
        'Ñ' => 0x5D,
        'Ü' => 0x5E,
        '§' => 0x5F,
        '¿' => 0x60,
        'ä' => 0x7B,
        'ö' => 0x7C,
        'ñ' => 0x7D,
        'ü' => 0x7E,
        'à' => 0x7F,
        '€' => EXTENDED | 0x65,
        _ => ABSENT,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "codes are below 128")]
const fn ascii_codes() -> [u8; 128] {
    let mut codes = [ABSENT; 128];
    let mut code = 0;
    while code < BASIC.len() {
        let c = BASIC[code];
        if c.is_ascii() && code != ESCAPE as usize {
            codes[c as usize] = code as u8;
        }
        code += 1;
    }
    let mut index = 0;
    while index < EXTENSION.len() {
        let (code, c) = EXTENSION[index];
        if c.is_ascii() {
            codes[c as usize] = EXTENDED | code;
        }
        index += 1;
    }
    codes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every character of GSM 03.38.
    fn alphabet() -> Vec<char> {
        let basic = BASIC.iter().copied().filter(|c| *c != '\u{1B}');
        basic.chain(EXTENSION.iter().map(|(_, c)| *c)).collect()
    }

    #[test]
    fn alphabet_has_137_characters_each_with_its_own_code() {
        let mut all = alphabet();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 137);
        for c in all {
            let septets = encode_gsm7(&c.to_string()).unwrap();
            assert_eq!(septets.len(), Septets::of(c).unwrap().len());
            assert_eq!(decode_gsm7(&septets).unwrap(), c.to_string());
        }
    }

    #[test]
    fn nothing_else_has_a_code() {
        let all = alphabet();
        let coded = (0..=0x0010_FFFF).filter_map(char::from_u32).filter(|c| Septets::of(*c).is_some()).count();
        assert_eq!(coded, all.len());
        for c in ['`', '\t', '\u{1B}', 'ç', 'Α', '’', '\u{A0}', 'š', '中', '🔑'] {
            assert_eq!(encode_gsm7(&c.to_string()), None, "{c:?}");
        }
    }

    #[test]
    fn well_known_codes_are_where_the_standard_puts_them() {
        assert_eq!(encode_gsm7("@$_Çà").unwrap(), [0x00, 0x02, 0x11, 0x09, 0x7F]);
        assert_eq!(encode_gsm7("[]").unwrap(), [0x1B, 0x3C, 0x1B, 0x3E]);
        assert_eq!(encode_gsm7("\u{0C}").unwrap(), [0x1B, 0x0A]);
    }

    #[test]
    fn escapes_of_unknown_codes_show_the_default_character() {
        assert_eq!(decode_gsm7(&[0x1B, 0x41]).unwrap(), "A");
        assert_eq!(decode_gsm7(&[0x1B, 0x1B]).unwrap(), " ");
    }

    #[test]
    fn broken_septets_are_refused() {
        assert_eq!(decode_gsm7(&[0x41, 0x1B]), None);
        assert_eq!(decode_gsm7(&[0x80]), None);
        assert_eq!(decode_gsm7(&[0x1B, 0xFF]), None);
    }

    #[test]
    fn ucs2_is_big_endian_and_refuses_halves() {
        assert_eq!(encode_ucs2("é🔑"), [0x00, 0xE9, 0xD8, 0x3D, 0xDD, 0x11]);
        assert_eq!(decode_ucs2(&[0x00, 0xE9, 0x00]), None);
        assert_eq!(decode_ucs2(&[0xD8, 0x3D]), None);
        assert_eq!(decode_ucs2(&[0xDD, 0x11, 0xD8, 0x3D]), None);
        assert_eq!(decode_ucs2(&[]).unwrap(), "");
    }

    proptest! {
        #[test]
        fn gsm_text_survives_the_round_trip(text in proptest::collection::vec(proptest::sample::select(alphabet()), 0..400)) {
            let text: String = text.into_iter().collect();
            let septets = encode_gsm7(&text).unwrap();
            prop_assert!(septets.iter().all(|septet| *septet < 128));
            prop_assert_eq!(decode_gsm7(&septets).unwrap(), text);
        }

        #[test]
        fn any_text_survives_ucs2(text in any::<String>()) {
            prop_assert_eq!(decode_ucs2(&encode_ucs2(&text)).unwrap(), text);
        }

        #[test]
        fn decoding_junk_never_panics(bytes in any::<Vec<u8>>()) {
            if let Some(text) = decode_gsm7(&bytes) {
                prop_assert!(encode_gsm7(&text).is_some());
            }
            if let Some(text) = decode_ucs2(&bytes) {
                prop_assert_eq!(encode_ucs2(&text), bytes);
            }
        }
    }
}
