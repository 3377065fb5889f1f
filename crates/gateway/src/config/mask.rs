//! Hides what could be a secret in the lines that a report shows. Carets show whole lines, and a
//! secret may stand beside the fault, in the wrong key, or under a misspelled one.

use std::ops::Range;

use super::document::Document;

/// Places of strings in `document` that are better not shown.
pub(super) fn doubtful(document: &Document) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    document.each_text(&mut |key, text, span| {
        let hash = text.starts_with("sha256:");
        if (sounds_secret(key) && !hash) || looks_secret(text) {
            places.push(span);
        }
    });
    places
}

/// Whether a line that is no TOML may hold a secret.
pub(super) fn is_doubtful_line(line: &str) -> bool {
    sounds_secret(line) || looks_secret(line)
}

/// Whether a key's name says that its value is a secret.
pub(super) fn sounds_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["auth", "cred", "key", "kye", "pass", "pwd", "secret", "secert", "token"].iter().any(|part| name.contains(part))
}

/// Whether a text looks like a secret whatever its key: known beginnings, URLs with a password, and
/// long runs of letters and digits mixed.
pub(super) fn looks_secret(text: &str) -> bool {
    let url = text.contains("://") && text.contains('@');
    let begins = ["sk_", "whsec_", "AC_", "Bearer ", "Basic "].iter().any(|start| text.contains(start));
    let run = |word: &str| {
        word.len() >= 20
            && word.bytes().any(|byte| byte.is_ascii_digit())
            && word.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let hash = text.starts_with("sha256:");
    url || begins || (!hash && text.split(|c: char| !c.is_ascii_alphanumeric()).any(run))
}

/// `line`, which begins at byte `start` of its text, with stars in `places`. Columns stay.
pub(super) fn masked(line: &str, start: usize, places: &[Range<usize>]) -> String {
    line.char_indices()
        .map(|(at, c)| {
            let hidden = places.iter().any(|place| place.contains(&(start + at)));
            if hidden && !matches!(c, '"' | '\'') { '*' } else { c }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let document = Document::parse(0, "t".to_owned(), text.to_owned()).unwrap();
        masked(text, 0, &doubtful(&document))
    }

    #[test]
    fn secrets_beside_a_fault_are_hidden_and_columns_stay() {
        assert_eq!(shown(r#"a = { api_key = "hé!", x = 1 }"#), r#"a = { api_key = "***", x = 1 }"#);
        assert_eq!(shown("keys = ['plain', \"b\"]"), "keys = ['*****', \"*\"]");
        assert_eq!(shown(r#"url = "postgres://u:p@h/d""#), r#"url = "******************""#);
        assert_eq!(shown(r#"api_key = { value = "hidden" }"#), r#"api_key = { value = "******" }"#);
        assert_eq!(shown("[m.api_key]\nenv = \"NAME\"\nvalue = \"x\""), "[m.api_key]\nenv = \"NAME\"\nvalue = \"*\"");
        assert_eq!(shown(r#"x = "sk_live_1""#), r#"x = "*********""#);
        assert_eq!(shown(r#"x = "0a1b2c3d4e5f6a7b8c9d0e""#), r#"x = "**********************""#);
    }

    #[test]
    fn references_hashes_and_plain_words_are_shown() {
        let hash = "0a1b2c3d4e5f6a7b8c9d0e0a1b2c3d4e5f6a7b8c9d0e0a1b2c3d4e5f6a7b8c9d";
        for text in [
            r#"api_key = { env = "MITTO_API_KEY" }"#.to_owned(),
            format!("keys = [\"sha256:{hash}\"]"),
            r#"timeuot = "3s""#.to_owned(),
            r#"en = "{{ code }} is your code""#.to_owned(),
        ] {
            assert_eq!(shown(&text), text);
        }
    }
}
