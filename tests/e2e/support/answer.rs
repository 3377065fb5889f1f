//! An HTTP answer, read to its end.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// Status, headers and the whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// There was no complete answer.
    pub async fn to(request: reqwest::RequestBuilder) -> Result<Self, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?.to_vec();
        Ok(Self { status, headers, body })
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A field of the JSON body, as text.
    #[track_caller]
    pub fn field(&self, name: &str) -> String {
        let json = self.json();
        let found = json.get(name).and_then(Value::as_str).map(str::to_owned);
        found.unwrap_or_else(|| panic!("no text `{name}` in {} {json}", self.status))
    }

    /// Panics unless the status is this one.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Panics unless this is a problem of the contract's form with this status and code; returns it.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let json = self.json();
        let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        assert_eq!(text("code"), code, "{json}");
        assert_eq!(json.get("status").and_then(Value::as_u64), Some(u64::from(status)), "{json}");
        for name in ["type", "title", "detail", "fix"] {
            assert!(!text(name).is_empty(), "no {name}: {json}");
        }
        assert!(is_id(&text("request_id"), "req_"), "{json}");
        json
    }

    /// The `id` of the JSON body, which must be a message's.
    #[track_caller]
    pub fn message_id(&self) -> String {
        let id = self.field("id");
        assert!(is_id(&id, "msg_"), "{id}");
        id
    }
}

/// A prefix and a `UUIDv7` in 32 hex digits.
fn is_id(text: &str, prefix: &str) -> bool {
    let Some(hex) = text.strip_prefix(prefix) else { return false };
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    hex.len() == 32 && hex.bytes().all(lower) && hex.as_bytes().get(12) == Some(&b'7')
}
