//! Language tags and the order in which texts are looked for (RFC 4647 lookup).

use std::fmt;

/// A BCP 47 tag in lower case with hyphens, such as `fr-ca`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(String);

impl Language {
    /// Parses one tag; `_` counts as `-`. `None` when it is not shaped like a tag.
    pub fn parse(text: &str) -> Option<Self> {
        let tag = text.trim().replace('_', "-").to_ascii_lowercase();
        let mut subtags = tag.split('-');
        let primary = subtags.next().unwrap_or_default();
        let shaped = (2..=8).contains(&primary.len())
            && primary.bytes().all(|b| b.is_ascii_alphabetic())
            && subtags.all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()))
            && tag.len() <= 35;
        shaped.then_some(Self(tag))
    }

    /// Parses a tag or an Accept-Language list, best first; what is not shaped like a tag is left out.
    pub fn parse_list(text: &str) -> Vec<Self> {
        let mut ranked: Vec<(i32, Self)> = text
            .split(',')
            .take(16)
            .filter_map(|item| {
                let (tag, quality) = item.split_once(';').unwrap_or((item, ""));
                Some((quality_permille(quality), Self::parse(tag)?))
            })
            .filter(|(quality, _)| *quality > 0)
            .collect();
        ranked.sort_by_key(|(quality, _)| -quality); // stable: equal ranks keep their order
        ranked.into_iter().map(|(_, language)| language).collect()
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The next more general tag: `fr-ca` → `fr` → none.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('-').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// `self` and everything more general.
    pub fn chain(&self) -> impl Iterator<Item = Self> + use<> {
        std::iter::successors(Some(self.clone()), Self::parent)
    }

    /// A rule written for `range` covers this tag: `fr` covers `fr-ca`.
    pub fn is_within(&self, range: &Self) -> bool {
        self.0.strip_prefix(&range.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `q=0.9` → 900; absent → 1000; unreadable → 0.
fn quality_permille(text: &str) -> i32 {
    let Some(number) = text.trim().strip_prefix("q=") else {
        return if text.trim().is_empty() { 1000 } else { 0 };
    };
    #[expect(clippy::cast_possible_truncation, reason = "clamped to 0..=1000 first")]
    number.trim().parse::<f64>().map_or(0, |q| (q.clamp(0.0, 1.0) * 1000.0) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        Language::parse_list(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn accept_language_is_read_by_quality() {
        assert_eq!(list("en-US,fr;q=0.9,en;q=0.95"), ["en-us", "en", "fr"]);
        assert_eq!(list("pt_BR"), ["pt-br"]);
        assert_eq!(list("*, ,x, en;q=0, de;q=oops"), Vec::<String>::new());
    }

    #[test]
    fn lookup_goes_from_special_to_general() {
        let tag = Language::parse("zh-Hant-TW").unwrap();
        let chain: Vec<String> = tag.chain().map(|l| l.to_string()).collect();
        assert_eq!(chain, ["zh-hant-tw", "zh-hant", "zh"]);
    }

    #[test]
    fn a_range_covers_its_regions_only() {
        let fr = Language::parse("fr").unwrap();
        assert!(Language::parse("fr-CA").unwrap().is_within(&fr));
        assert!(!Language::parse("fry").unwrap().is_within(&fr));
        assert!(!fr.is_within(&Language::parse("fr-CA").unwrap()));
    }

    #[test]
    fn junk_is_no_tag() {
        for bad in ["", "e", "en--us", "en us", "../../etc", "ünd", &"a".repeat(40)] {
            assert_eq!(Language::parse(bad), None, "{bad}");
        }
    }
}
