//! Sizes in bytes as people write them: `"64KiB"`, `"1MiB"`, `"512B"`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};

use super::span::FromText;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// In bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

/// The text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a size such as \"64KiB\" or \"1MiB\"")]
pub struct NotASize;

impl FromStr for Size {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(NotASize)?;
        let (number, unit) = text.split_at(digits);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or(NotASize)?;
        let number: u64 = number.parse().map_err(|_| NotASize)?;
        number.checked_mul(*unit).filter(|bytes| *bytes <= LARGEST).map(Self).ok_or(NotASize)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) =
            UNITS.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)).unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText::new("a size such as \"64KiB\" or \"1MiB\""))
    }
}

/// Largest first.
const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// One TiB: beyond this it is a slip of the pen.
const LARGEST: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_show_as_written() {
        for (text, bytes) in [("64KiB", 65_536), ("1MiB", 1 << 20), ("512B", 512), ("0B", 0)] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.as_bytes(), size.to_string()), (bytes, text.to_owned()));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "64", "KiB", "64KB", "64kib", "-1B", "1.5MiB", "99999999GiB"] {
            assert_eq!(text.parse::<Size>(), Err(NotASize), "{text}");
        }
    }
}
