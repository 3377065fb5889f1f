//! Plumbing for providers that speak HTTP, once: a client that offers a request exactly once, the
//! translation of what went wrong into [`sms_core::Kind`] × [`sms_core::Fate`], and redaction.
//!
//! **Never** follows a redirect, repeats a request, asks the environment for a proxy, skips the
//! verification of a certificate, or lets a URL, a header or a body into an error.

mod answer;
mod client;
mod fault;
mod once;
mod status;

pub use answer::Answer;
pub use client::{Client, ClientError, ClientOptions};
pub use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, Url};
pub use status::classify_status;

/// The fields of a query string or of an `application/x-www-form-urlencoded` body, decoded; at most
/// `fields_max` of them. Bytes that are not UTF-8 become U+FFFD, so this never fails.
pub fn form_fields(encoded: &[u8], fields_max: usize) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded)
        .take(fields_max)
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_fields_are_decoded_and_bounded() {
        let fields = form_fields(b"a=1&b=%2B44+7&c=%ff&d", 3);
        let expected = [("a", "1"), ("b", "+44 7"), ("c", "\u{fffd}")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(fields, expected);
    }
}
