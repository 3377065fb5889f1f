//! Finds the one-time code in a finished text, for platforms that send only the text.

/// Shortest and longest run of digits that can be a code.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=10;

/// The only run of 4 to 10 digits; `None` when there is none, or more than one.
pub(super) fn only_code(text: &str) -> Option<&str> {
    let mut runs = text.split(|c: char| !c.is_ascii_digit()).filter(|run| DIGITS.contains(&run.len()));
    let first = runs.next()?;
    runs.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_of_digits_is_the_code() {
        assert_eq!(only_code("Your verification code is: 12345"), Some("12345"));
        assert_eq!(only_code("123456 ist Ihr Code. @acme.example #123456"), Some("123456"));
        assert_eq!(only_code("G-1234"), Some("1234"));
    }

    #[test]
    fn none_or_several_are_not_guessed() {
        for text in ["", "no code", "123", "12345678901", "call 5551234, code 987654"] {
            assert_eq!(only_code(text), None, "{text}");
        }
    }
}
