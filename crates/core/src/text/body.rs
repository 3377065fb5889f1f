//! The text of a message as a secret: it holds a one-time code. Must never implement `Display` or serialisation.

use std::fmt;

use zeroize::Zeroize as _;

/// A message's text; wiped from memory when dropped, masked in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// Takes ownership of the text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text in clear, for rendering, encryption and the wire only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// How many characters (Unicode scalar values) it has.
    pub fn len_chars(&self) -> usize {
        self.0.chars().count()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} chars)", self.len_chars())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_only_the_length() {
        let body = Body::new("Ihr Code: 483920 🔑".to_owned());
        assert_eq!(format!("{body:?}"), "Body(18 chars)");
        assert_eq!(body.clone().expose(), "Ihr Code: 483920 🔑");
        assert_eq!(body.len_chars(), 18);
    }
}
