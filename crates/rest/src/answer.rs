//! What an upstream answered, read to the end within a bound. Must never show a body: upstreams like
//! to quote the number or the text that they refuse.

use std::fmt;
use std::time::Duration;

use sms_core::{Fate, Kind, SendError};

use crate::fault;
use crate::status;

/// Status, wish for a pause, and body of an answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// How long the upstream asks us to pause; at most an hour.
    pub retry_after: Option<Duration>,
    /// The body. Empty for an answer other than 2xx whose body could not be read: its status decides.
    pub body: Vec<u8>,
}

impl Answer {
    /// 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON, where it is.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What the HTTP status alone says about the message, for an answer without a vendor code.
    pub fn failure(&self) -> SendError {
        status::classify_status(self.status, self.retry_after)
    }

    /// Reads a response within `body_bytes_max`.
    pub(crate) async fn read(mut response: reqwest::Response, body_bytes_max: usize) -> Result<Self, SendError> {
        let status = response.status().as_u16();
        let retry_after = status::retry_after(response.headers());
        let mut answer = Self { status, retry_after, body: Vec::new() };
        match collect(&mut response, body_bytes_max).await {
            Ok(body) => answer.body = body,
            Err(error) if answer.is_success() => return Err(error),
            Err(error) => drop(error), // a refusal stays one when its explanation cannot be read
        }
        Ok(answer)
    }

    /// An answer of which only the head arrived.
    pub(crate) fn headless(status: u16, retry_after: Option<Duration>) -> Self {
        Self { status, retry_after, body: Vec::new() }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Chunks are counted after decompression, so a bomb ends at the cap, too.
async fn collect(response: &mut reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, SendError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= bytes_max => body.extend_from_slice(&chunk),
            Ok(Some(_)) => {
                return Err(SendError::new(Kind::Protocol, Fate::Unknown, "the answer is larger than allowed"));
            }
            Ok(None) => return Ok(body),
            Err(error) => {
                let detail = format!("the answer broke off: {}", fault::causes(&error));
                return Err(SendError::new(Kind::Protocol, Fate::Unknown, detail));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_body() {
        let answer = Answer { status: 400, retry_after: None, body: b"bad number 447700900001".to_vec() };
        assert_eq!(format!("{answer:?}"), "Answer { status: 400, retry_after: None, body_bytes: 23 }");
    }
}
