//! The text of a message: which encoding it needs, how many parts it becomes, what of it is safe to show a handset.
//!
//! Billing depends on the counts here, so they follow the wire exactly: a part never cuts an escape pair or a surrogate
//! pair. Must never print a text: whatever holds one masks its `Debug`.

pub(crate) mod chars;

mod alphabet;
mod body;
mod clean;
mod links;
mod segments;

pub use alphabet::{decode_gsm7, decode_ucs2, encode_gsm7, encode_ucs2};
pub use body::Body;
pub use clean::{smart_punctuation, strip_invisible};
pub use links::contains_link;
pub use segments::{Part, Segmentation, forces_ucs2, segment, split};

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a text travels over the air; decides how much of it fits a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// GSM 03.38 default alphabet with its extension table: 160 septets, 153 a part.
    Gsm7,
    /// UTF-16, big-endian: 70 code units, 67 a part. One character outside GSM 03.38 turns the whole text into this.
    Ucs2,
}

impl Encoding {
    /// The name in the API, the configuration and the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "gsm7",
            Self::Ucs2 => "ucs2",
        }
    }

    /// Units that fit a message of one part.
    pub const fn units_single_max(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// Units that fit each part of a longer message; the rest of the part holds the concatenation header (8-bit
    /// reference).
    pub const fn units_part_max(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_has_one_name_everywhere() {
        for (encoding, name) in [(Encoding::Gsm7, "gsm7"), (Encoding::Ucs2, "ucs2")] {
            assert_eq!(encoding.to_string(), name);
            let json = format!("\"{name}\"");
            assert_eq!(serde_json::to_string(&encoding).unwrap(), json);
            assert_eq!(serde_json::from_str::<Encoding>(&json).unwrap(), encoding);
        }
        assert!(serde_json::from_str::<Encoding>("\"GSM\"").is_err());
    }
}
