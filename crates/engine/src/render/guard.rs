//! Finds links that come about only when values meet the text around them: `evil` before `.com`, `tel` before `:`.
//! Errs on the refusing side: an output counts as a stranger's unless its expression names trusted variables only.

use minijinja::{OutputSpan, OutputSpanKind};
use sms_core::text::contains_link;

use super::values::is_trusted;

/// Whether the values that strangers chose gave the text a link that the template alone does not have. A link of the
/// template's own, or a long code, is none of theirs unless it touches one.
pub(super) fn gains_link(output: &str, spans: &[OutputSpan], source: &str) -> bool {
    if !contains_link(output) {
        return false;
    }
    let pieces = pieces(output, spans, source);
    let number = || contains_link(&surroundings(&pieces, Reach::Number)) && !contains_link(&without_values(&pieces));
    contains_link(&surroundings(&pieces, Reach::Word)) || number()
}

/// Whether a stranger's value stands right beside a link, or is part of one.
pub(super) fn touches_link(output: &str, spans: &[OutputSpan], source: &str) -> bool {
    contains_link(&surroundings(&pieces(output, spans, source), Reach::Word))
}

/// A stretch of the output.
#[derive(Clone, Copy)]
struct Piece<'o> {
    text: &'o str,
    guarded: bool,
}

/// How far what stands beside a value can belong to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Over spaces between digits, as a phone number.
    Number,
    /// To the next space, as a URL.
    Word,
}

fn pieces<'o>(output: &'o str, spans: &[OutputSpan], source: &str) -> Vec<Piece<'o>> {
    let piece = |span: &OutputSpan| {
        let names_others = || !source.get(span.source_range()).is_some_and(names_trusted_only);
        let guarded = span.kind() != OutputSpanKind::Raw && names_others();
        Some(Piece { text: output.get(span.output_range())?, guarded })
    };
    spans.iter().filter_map(piece).collect()
}

/// What stands around the values, with a letter in the place of each.
fn without_values(pieces: &[Piece<'_>]) -> String {
    let neutral = pieces.iter().map(|piece| if piece.guarded { Piece { text: "x", ..*piece } } else { *piece });
    surroundings(&neutral.collect::<Vec<_>>(), Reach::Number)
}

/// The strangers' values with what stands beside them within `reach`; everything else is cut out.
fn surroundings(pieces: &[Piece<'_>], reach: Reach) -> String {
    let mut kept = String::from("\n");
    let mut between = String::new();
    let mut opened = false;
    for piece in pieces {
        if piece.guarded {
            push_near(&mut kept, &between, reach, (opened, true));
            between.clear();
            kept.push_str(piece.text);
            opened = true;
        } else {
            between.push_str(piece.text);
        }
    }
    if opened {
        push_near(&mut kept, &between, reach, (true, false));
    }
    kept
}

/// Keeps of a text what is within reach of the value before it and of the value after it. Without a letter or digit in
/// it, it is no more than a gap in a phone number.
fn push_near(kept: &mut String, text: &str, reach: Reach, (before, after): (bool, bool)) {
    let ends_before = |(at, c): &(usize, char)| {
        c.is_whitespace() && is_out_of(reach, text.get(at + c.len_utf8()..).and_then(|rest| rest.chars().next()))
    };
    let begins_after = |(at, c): &(usize, char)| {
        c.is_whitespace() && is_out_of(reach, text.get(..*at).and_then(|rest| rest.chars().next_back()))
    };
    let head = text.char_indices().find(ends_before).and_then(|(at, _)| text.get(..at));
    let tail = text.char_indices().rev().find(begins_after).and_then(|(at, _)| text.get(at..));
    let (Some(head), Some(tail), true) = (head, tail, text.contains(char::is_alphanumeric)) else {
        kept.push_str(text);
        return;
    };
    if before {
        kept.push_str(head);
    }
    kept.push('\n');
    if after {
        kept.push_str(tail);
    }
}

/// Whether `beyond`, on the other side of a space, is out of reach.
fn is_out_of(reach: Reach, beyond: Option<char>) -> bool {
    let goes_on = |c: char| c.is_numeric() || c.is_whitespace() || "+-./()".contains(c);
    reach == Reach::Word || !beyond.is_some_and(goes_on)
}

/// Whether all variables in a template's expression are trusted. Reads no more of the grammar than that takes; a word
/// it does not know counts as a stranger's.
fn names_trusted_only(expression: &str) -> bool {
    let mut chars = expression.char_indices().peekable();
    let mut before = ' '; // the last character that was no space
    while let Some((start, c)) = chars.next() {
        if matches!(c, '"' | '\'') {
            skip_string(&mut chars, c);
        } else if c.is_alphabetic() || c == '_' {
            while chars.next_if(|(_, c)| c.is_alphanumeric() || *c == '_').is_some() {}
            let end = chars.peek().map_or(expression.len(), |(at, _)| *at);
            let word = expression.get(start..end).unwrap_or_default();
            let rest = expression.get(end..).unwrap_or_default();
            // What follows a dot is a field, what follows a bar a filter, what follows a digit a number's end.
            let is_name = !matches!(before, '.' | '|') && !before.is_ascii_digit();
            if is_name && !is_harmless(word, rest) {
                return false;
            }
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
    true
}

fn is_harmless(word: &str, rest: &str) -> bool {
    let keyword = matches!(word, "and" | "else" | "false" | "if" | "in" | "is" | "none" | "not" | "or" | "true");
    let is_email = || {
        let field =
            rest.trim_start().strip_prefix('.').map(str::trim_start).and_then(|rest| rest.strip_prefix("email"));
        word == "user" && field.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    keyword || is_trusted(word) || is_email()
}

fn skip_string(chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>, quote: char) {
    while let Some((_, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == quote => return,
            _ => {}
        }
    }
}
