//! Names and identifiers. Ids are a prefix and a `UUIDv7` in 32 hex digits, so they sort by time.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::UnixMs;

/// Declares a name that an operator chose: cheap to clone, compared by its text.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a name that the configuration has already checked.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The name as written in the configuration.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name, sharing its storage.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A limit of the configuration (`[[limits]] id = …`).
    LimitId
}
name! {
    /// A configured provider instance (`[providers.NAME]`).
    ProviderName
}
name! {
    /// A tenant (`[tenants.NAME]`).
    TenantId
}

/// Identifies one message for its whole life; `msg_` and 32 hex digits outside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId([u8; 16]);

impl MessageId {
    /// Makes an id for a message created `at`; `entropy` must be random.
    pub fn new(at: UnixMs, entropy: [u8; 10]) -> Self {
        Self(v7(at, entropy).into_bytes())
    }

    /// Parses `msg_…`.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text.strip_prefix("msg_")?).map(Self)
    }

    /// The 16 bytes, as stored.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Rebuilds an id from the store.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// When the message was created: the first 48 bits.
    pub fn created(&self) -> UnixMs {
        let ms = self.0.iter().take(6).fold(0, |ms, byte| (ms << 8) | i64::from(*byte));
        UnixMs::new(ms)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg_{}", Uuid::from_bytes(self.0).simple())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names one request in its answer, in logs and in problems: `req_…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// Makes an id for a request received `at`; `entropy` must be random.
    pub fn new(at: UnixMs, entropy: [u8; 10]) -> Self {
        Self(v7(at, entropy).into_bytes())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{}", Uuid::from_bytes(self.0).simple())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn v7(at: UnixMs, entropy: [u8; 10]) -> Uuid {
    Builder::from_unix_timestamp_millis(at.get().max(0).unsigned_abs(), &entropy).into_uuid()
}

/// Exactly 32 lower-case hex digits: one id has one spelling.
fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let canonical = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    canonical.then(|| Uuid::try_parse(text).ok().map(Uuid::into_bytes)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_id_survives_its_text_form() {
        let id = MessageId::new(UnixMs::new(1_764_000_000_123), [7; 10]);
        let text = id.to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(MessageId::parse(&text), Some(id));
        assert_eq!(id.created(), UnixMs::new(1_764_000_000_123));
    }

    #[test]
    fn other_spellings_are_refused() {
        let id = MessageId::new(UnixMs::new(1), [255; 10]).to_string();
        for bad in ["", "msg_", "msg_12", &id.to_uppercase(), &id.replace("msg_", "req_"), &format!("{id}0")] {
            assert_eq!(MessageId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let early = MessageId::new(UnixMs::new(1000), [255; 10]);
        let late = MessageId::new(UnixMs::new(1001), [0; 10]);
        assert!(early < late);
    }
}
