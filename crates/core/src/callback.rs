//! The unguessable last path segment of receipt URLs, and the callback as providers see it.
//! Knows no HTTP framework: the gateway fills [`CallbackRequest`].

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::Secret;

/// What a provider called us with.
#[derive(Clone, Debug, Default)]
pub struct CallbackRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// Last path segment: the token from [`callback_token`].
    pub token: String,
    /// Raw query string without `?`.
    pub query: String,
    /// Header names in lower case with their values.
    pub headers: Vec<(String, String)>,
    /// Body as received, already capped by the gateway.
    pub body: Vec<u8>,
}

impl CallbackRequest {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why a callback was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// Token or signature is wrong: someone else is calling.
    #[error("the callback's token or signature does not match")]
    Forged,
    /// From the provider, but not readable; the text says what is wrong without quoting it.
    #[error("unreadable callback: {0}")]
    Malformed(&'static str),
}

/// The token that authenticates callbacks about `subject` (a message id, or a provider's name):
/// 128 bits of HMAC-SHA256 in hex.
pub fn callback_token(secret: &Secret, subject: &str) -> String {
    use std::fmt::Write as _;
    let mut token = String::with_capacity(32);
    for byte in mac(secret, subject).into_iter().take(16) {
        write!(token, "{byte:02x}").unwrap_or_default(); // writing to a String cannot fail
    }
    token
}

/// Compares in constant time.
pub fn callback_token_matches(secret: &Secret, subject: &str, token: &str) -> bool {
    callback_token(secret, subject).as_bytes().ct_eq(token.as_bytes()).into()
}

fn mac(secret: &Secret, subject: &str) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any length");
    mac.update(subject.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_bound_to_subject_and_secret() {
        let secret = Secret::new("s1");
        let token = callback_token(&secret, "msg_1");
        assert_eq!(token.len(), 32);
        assert!(callback_token_matches(&secret, "msg_1", &token));
        assert!(!callback_token_matches(&secret, "msg_2", &token));
        assert!(!callback_token_matches(&Secret::new("s2"), "msg_1", &token));
        assert!(!callback_token_matches(&secret, "msg_1", ""));
    }
}
