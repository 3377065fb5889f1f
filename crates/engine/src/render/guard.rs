//! Finds links that come about only when values meet the text around them: `evil` before `.com`, `tel` before `:`.
//! Errs on the refusing side: an output counts as a stranger's unless its expression names trusted variables only.

use minijinja::{OutputSpan, OutputSpanKind};
use sms_core::text::contains_link;

use super::values::is_trusted;

/// Whether the values that strangers chose gave the text a link that the template alone does not have.
pub(super) fn gains_link(output: &str, spans: &[OutputSpan], source: &str) -> bool {
    if !contains_link(output) {
        return false;
    }
    let pieces = pieces(output, spans, source);
    let without: String = pieces.iter().map(|piece| if piece.guarded { NEUTRAL } else { piece.text }).collect();
    // A template with a link of its own: only what touches a stranger's value counts.
    !contains_link(&without) || contains_link(&surroundings(&pieces))
}

/// Whether a stranger's value stands right beside a link, or is part of one.
pub(super) fn touches_link(output: &str, spans: &[OutputSpan], source: &str) -> bool {
    contains_link(&surroundings(&pieces(output, spans, source)))
}

/// In place of a value: no link, whatever stands around it.
const NEUTRAL: &str = "x";

/// A stretch of the output.
struct Piece<'o> {
    text: &'o str,
    guarded: bool,
}

fn pieces<'o>(output: &'o str, spans: &[OutputSpan], source: &str) -> Vec<Piece<'o>> {
    let piece = |span: &OutputSpan| {
        let guarded = match span.kind() {
            OutputSpanKind::Raw => false,
            _ => !source.get(span.source_range()).is_some_and(names_trusted_only),
        };
        Some(Piece { text: output.get(span.output_range())?, guarded })
    };
    spans.iter().filter_map(piece).collect()
}

/// The strangers' values with what stands right beside them, up to the next space; everything else is cut out. Between
/// two of them, what holds neither letters nor digits stays, since a phone number goes on over it.
fn surroundings(pieces: &[Piece<'_>]) -> String {
    let mut kept = String::from("\n");
    let mut between = String::new();
    let mut opened = false;
    for piece in pieces {
        if piece.guarded {
            push_near(&mut kept, &between, opened, true);
            between.clear();
            kept.push_str(piece.text);
            opened = true;
        } else {
            between.push_str(piece.text);
        }
    }
    if opened {
        push_near(&mut kept, &between, true, false);
    }
    kept
}

/// Keeps of a text what touches the value before it, and what touches the value after it.
fn push_near(kept: &mut String, text: &str, before: bool, after: bool) {
    let cut = text.find(char::is_whitespace).zip(text.rfind(char::is_whitespace));
    let Some((first, last)) = cut.filter(|_| text.contains(char::is_alphanumeric)) else {
        kept.push_str(text);
        return;
    };
    if before {
        kept.push_str(text.get(..first).unwrap_or(text));
    }
    kept.push('\n');
    if after {
        kept.push_str(text.get(last..).unwrap_or(text));
    }
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
