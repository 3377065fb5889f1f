//! From what the transport says to what became of the message. Must never quote a URL, a header or a
//! body: only causes, in the words of the operating system and of the TLS library.

use std::error::Error as StdError;

use sms_core::{Fate, Kind, SendError};

/// A request that failed before an answer's head arrived; `taken` says whether the message had been
/// handed to a connection by then.
pub(crate) fn transport(error: reqwest::Error, taken: bool) -> SendError {
    let error = error.without_url();
    let causes = causes(&error);
    if error.is_connect() {
        return SendError::new(Kind::Unavailable, Fate::NotSent, format!("could not connect: {causes}"));
    }
    if !taken {
        return SendError::new(Kind::Unavailable, Fate::NotSent, format!("failed before writing: {causes}"));
    }
    if says(&error, "invalid HTTP") || says(&error, "head is too large") {
        return SendError::new(Kind::Protocol, Fate::Unknown, format!("the answer is not HTTP: {causes}"));
    }
    SendError::new(Kind::Unavailable, Fate::Unknown, format!("no answer after writing: {causes}"))
}

/// The deadline passed before an answer's head arrived.
pub(crate) fn deadline(taken: bool) -> SendError {
    if taken {
        SendError::new(Kind::Deadline, Fate::Unknown, "no answer by the deadline")
    } else {
        SendError::new(Kind::Deadline, Fate::NotSent, "the deadline passed before the request could be written")
    }
}

/// The chain of causes below `error` on one printable line. The outermost text is left out: it
/// repeats what the caller says, and is where libraries put URLs.
pub(crate) fn causes(error: &dyn StdError) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&words);
        }
        source = cause.source();
    }
    let printable: String = text.chars().filter(|c| !c.is_control()).take(CAUSES_CHARS_MAX).collect();
    if printable.is_empty() { "no cause told".to_owned() } else { printable }
}

/// Long enough for a certificate error, short enough for a log line.
const CAUSES_CHARS_MAX: usize = 240;

fn says(error: &dyn StdError, words: &str) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.to_string().contains(words) {
            return true;
        }
        source = cause.source();
    }
    false
}
