//! Finds the one-time code in a text, as a person would. Knows no message.

/// The code: what follows `#` in a last line for autofill (`@acme.example #123456`), else the first run
/// of 4 to 10 digits that stands alone, else groups such as `123 456` or `123-456`, else any such run.
pub(crate) fn code_in(text: &str) -> Option<String> {
    let runs = runs(text);
    let alone = || runs.iter().find(|run| run.alone && is_code(&run.digits)).map(|run| run.digits.clone());
    let any = || runs.iter().find(|run| is_code(&run.digits)).map(|run| run.digits.clone());
    bound_to_domain(text).or_else(alone).or_else(|| grouped(&runs)).or_else(any)
}

/// A maximal run of ASCII digits.
struct Run {
    digits: String,
    /// Neither a letter nor a plus touches it.
    alone: bool,
    /// One space or dash separates it from the run before.
    joined: bool,
}

fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut gap: Vec<char> = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if !c.is_ascii_digit() {
            gap.push(c);
            continue;
        }
        let mut digits = String::from(c);
        while let Some(more) = chars.next_if(char::is_ascii_digit) {
            digits.push(more);
        }
        let touches = |c: &char| c.is_alphanumeric() || *c == '+';
        let alone = !gap.last().is_some_and(touches) && !chars.peek().is_some_and(touches);
        let joined = !runs.is_empty() && matches!(gap.as_slice(), [' ' | '-' | '\u{a0}']);
        runs.push(Run { digits, alone, joined });
        gap.clear();
    }
    runs
}

/// Groups of two to four digits that together make a code.
fn grouped(runs: &[Run]) -> Option<String> {
    let groups = runs.chunk_by(|_, next| next.joined);
    let small = |run: &Run| run.alone && (2..=4).contains(&run.digits.len());
    groups
        .filter(|group| group.len() > 1 && group.iter().all(small))
        .map(|group| group.iter().map(|run| run.digits.as_str()).collect::<String>())
        .find(|code| is_code(code))
}

fn bound_to_domain(text: &str) -> Option<String> {
    let last = text.lines().rev().find(|line| !line.trim().is_empty())?;
    let (_, after) = last.trim().strip_prefix('@')?.split_once('#')?;
    let code = after.split_whitespace().next()?;
    is_code(code).then(|| code.to_owned())
}

fn is_code(text: &str) -> bool {
    (4..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_where_people_find_them() {
        for (text, code) in [
            ("Your code is 123456", Some("123456")),
            ("1234 is your Acme code. Valid for 10 minutes.", Some("1234")),
            ("G-482910 is your code", Some("482910")),
            ("<#> 123456 is your code. FA+9qCX9VSu", Some("123456")),
            ("Call +447700900123 or use 4711", Some("4711")),
            ("Your code: 123-456", Some("123456")),
            ("Your code: 12 34 56.", Some("123456")),
            ("Use 999999.\n@acme.example #123456", Some("123456")),
            ("Use 123456.\n\n@acme.example #code %x.example\n", Some("123456")),
            ("Code1234", Some("1234")),
            ("验证码：654321，请勿泄露", Some("654321")),
            ("No code at all, only 123 and 12345678901", None),
            ("", None),
        ] {
            assert_eq!(code_in(text).as_deref(), code, "{text}");
        }
    }
}
