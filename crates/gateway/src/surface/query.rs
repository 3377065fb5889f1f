//! Query strings, decoded once. Must never quote a value.

use std::str::FromStr;

use axum::http::Uri;

/// Fields beyond these are not looked at.
const FIELDS_MAX: usize = 64;

/// The fields of a query string or form.
#[derive(Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Self {
        Self(sms_rest::form_fields(uri.query().unwrap_or_default().as_bytes(), FIELDS_MAX))
    }

    /// The first value of a field that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// A value in its type.
    ///
    /// # Errors
    /// When it is there, but cannot be read.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, T::Err> {
        self.get(name).map(str::parse).transpose()
    }

    /// A phone number: an unescaped plus arrives as a space.
    pub(crate) fn number(&self, name: &str) -> Option<String> {
        let text = self.get(name)?;
        Some(text.strip_prefix(' ').map_or_else(|| text.to_owned(), |rest| format!("+{}", rest.trim_start())))
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/?{text}").parse().unwrap())
    }

    #[test]
    fn a_plus_of_a_number_survives_unescaped() {
        for text in ["to=+447700900000", "to=%2B447700900000", "to=%20447700900000"] {
            assert_eq!(query(text).number("to").as_deref(), Some("+447700900000"), "{text}");
        }
        assert_eq!(query("to=447700900000").number("to").as_deref(), Some("447700900000"));
    }

    #[test]
    fn empty_fields_are_absent_and_bad_ones_are_faults() {
        let query = query("a=&b=2&c=x");
        assert_eq!(query.get("a"), None);
        assert_eq!(query.parsed::<u8>("b"), Ok(Some(2)));
        assert!(query.parsed::<u8>("c").is_err());
        assert_eq!(query.parsed::<u8>("d"), Ok(None));
    }
}
