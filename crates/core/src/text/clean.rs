//! Makes texts safe and cheap to send: drops what a handset would not show, writes typographic punctuation plainly.
//! Must never change a letter.

use super::chars::is_invisible;

/// Drops control characters (but line feeds), bidi controls, zero-width characters and other invisible ones, with which
/// a template's variable could hide a link or turn the line around. A tab becomes a space, an odd line break a line
/// feed.
///
/// ```
/// assert_eq!(sms_core::text::strip_invisible("evil\u{200B}\u{202E}name\r\n"), "evilname\n");
/// ```
pub fn strip_invisible(text: &str) -> String {
    text.chars().filter_map(visible).collect()
}

/// Writes curly quotes, long dashes, ellipses and odd spaces with characters of GSM 03.38, so that they do not turn a
/// text into UCS-2 at more than twice the price. Letters stay as they are.
///
/// ```
/// assert_eq!(sms_core::text::smart_punctuation("“Acme” – c’est…"), "\"Acme\" - c'est...");
/// ```
pub fn smart_punctuation(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        match plain(c) {
            Some(plain) => result.push_str(plain),
            None => result.push(c),
        }
    }
    result
}

/// What is left of a character once nothing invisible may pass.
pub(super) fn visible(c: char) -> Option<char> {
    match c {
        '\n' | '\u{2028}' | '\u{2029}' => Some('\n'),
        '\t' => Some(' '),
        _ if c.is_control() || is_invisible(c) => None,
        _ => Some(c),
    }
}

/// What GSM 03.38 has for a typographic character; `None` keeps it.
const fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        '‘' | '’' | '‚' | '‛' | '′' | '‵' | '´' | '`' | 'ʹ' | 'ʼ' | '＇' => "'",
        '“' | '”' | '„' | '‟' | '″' | '‶' | '«' | '»' | '〝' | '〞' | '＂' => "\"",
        '‹' => "<",
        '›' => ">",
        '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' | '⁃' | '﹘' | '﹣' | '－' => "-",
        '…' => "...",
        '‥' => "..",
        '․' => ".",
        '•' | '‣' => "*",
        '⁄' | '∕' => "/",
        '\t' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => " ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::{Encoding, encode_gsm7, segment};

    #[test]
    fn typographic_punctuation_fits_gsm() {
        let text = "‘Ihr’ “Code” „ist“ «hier» – jetzt — oder‑nie… 10\u{202F}000\u{A0}€ • ‹ja›\u{2009}⁄\u{3000}`x´";
        let plain = smart_punctuation(text);
        assert_eq!(plain, "'Ihr' \"Code\" \"ist\" \"hier\" - jetzt - oder-nie... 10 000 € * <ja> / 'x'");
        assert_eq!(segment(&plain).encoding, Encoding::Gsm7);
    }

    #[test]
    fn letters_of_any_script_stay() {
        for text in ["Škoda ç Ł ő", "код", "コード", "رمز", "🔑"] {
            assert_eq!(smart_punctuation(text), text);
            assert_eq!(strip_invisible(text), text);
        }
    }

    #[test]
    fn every_replacement_is_in_gsm() {
        for c in (0..=0x0010_FFFF).filter_map(char::from_u32) {
            if let Some(plain) = plain(c) {
                assert!(encode_gsm7(plain).is_some(), "{c:?}");
            }
        }
    }

    #[test]
    fn bidi_zero_width_and_control_characters_go() {
        let hidden = "\0\u{1B}\u{7F}\u{85}\u{200B}\u{200D}\u{200E}\u{202A}\u{202E}\u{2066}\u{2069}\u{FEFF}\u{AD}\u{61C}\
            \u{FE0F}\u{E0041}\u{3164}\r";
        assert_eq!(strip_invisible(hidden), "");
        assert_eq!(strip_invisible("a\tb\r\nc\u{2028}d"), "a b\nc\nd");
    }

    proptest! {
        #[test]
        fn stripping_twice_changes_nothing_more(text in any::<String>()) {
            let once = strip_invisible(&text);
            prop_assert!(!once.chars().any(|c| is_invisible(c) || (c.is_control() && c != '\n')));
            prop_assert_eq!(strip_invisible(&once), once);
        }

        #[test]
        fn plain_punctuation_never_makes_gsm_text_ucs2(text in any::<String>()) {
            let plain = smart_punctuation(&text);
            prop_assert_eq!(smart_punctuation(&plain), plain.clone());
            if segment(&text).encoding == Encoding::Gsm7 {
                prop_assert_eq!(segment(&plain).encoding, Encoding::Gsm7);
            }
        }
    }
}
