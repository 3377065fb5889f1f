//! Countries as ISO 3166 has them. Must never hold anything but two upper-case letters.

use std::fmt;

use rlibphonenumber::{PHONE_NUMBER_UTIL, Region};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An ISO 3166-1 alpha-2 code, such as `DE`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// No country: international services such as satellite phones.
    pub const UNKNOWN: Self = Self(*b"ZZ");

    pub(super) const GB: Self = Self(*b"GB");

    /// Two ASCII letters in either case; `UK`, which ISO reserves for it, is `GB`. Whether such a country exists is not
    /// checked: see [`Self::calling_code`].
    pub fn parse(text: &str) -> Option<Self> {
        let letters: [u8; 2] = text.as_bytes().try_into().ok()?;
        let letters = letters.map(|letter| letter.to_ascii_uppercase());
        if !letters.iter().all(u8::is_ascii_uppercase) {
            return None;
        }
        Some(if letters == *b"UK" { Self::GB } else { Self(letters) })
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or("ZZ") // always ASCII letters
    }

    /// The calling code of its numbers (`49` for Germany), shared by some countries; `None` when the country has no
    /// numbers, hence most likely does not exist.
    pub fn calling_code(&self) -> Option<u16> {
        let code = PHONE_NUMBER_UTIL.get_country_code_for_region(self.region()?)?;
        u16::try_from(code).ok()
    }

    /// The letters as the numbering plans have them.
    pub(super) const fn of_plan(letters: [u8; 2]) -> Self {
        Self(letters)
    }

    pub(super) fn region(self) -> Option<Region> {
        Region::from_code(self.as_str()).ok()
    }
}

impl From<Region> for Country {
    fn from(region: Region) -> Self {
        Self::parse(&region.as_region_str()).unwrap_or(Self::UNKNOWN) // the world has three digits
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("expected a two-letter country code such as `DE`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_letters_of_either_case_are_a_country() {
        for (text, code) in [("DE", "DE"), ("de", "DE"), ("dE", "DE"), ("uk", "GB"), ("XK", "XK"), ("zz", "ZZ")] {
            assert_eq!(Country::parse(text).unwrap().as_str(), code);
        }
        for text in ["", "D", "DEU", "D3", "1A", " DE", "ÄÖ", "é", "ß", "中"] {
            assert_eq!(Country::parse(text), None, "{text}");
        }
    }

    #[test]
    fn country_is_its_letters_in_json_and_print() {
        let country = Country::parse("ch").unwrap();
        assert_eq!(format!("{country} {country:?} {country:>4}"), "CH CH   CH");
        assert_eq!(serde_json::to_string(&country).unwrap(), "\"CH\"");
        assert_eq!(serde_json::from_str::<Country>("\"ch\"").unwrap(), country);
        for json in ["\"Switzerland\"", "\"\"", "41", "null"] {
            assert!(serde_json::from_str::<Country>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn only_countries_with_numbers_have_a_calling_code() {
        let code = |text| Country::parse(text).unwrap().calling_code();
        assert_eq!(code("DE"), Some(49));
        assert_eq!(code("JM"), Some(1));
        assert_eq!(code("XK"), Some(383));
        assert_eq!(code("DW"), None);
        assert_eq!(Country::UNKNOWN.calling_code(), None);
    }
}
