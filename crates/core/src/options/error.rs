//! Errors of the configuration's deserializer: they know their path, and never quote a value.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::path::{Path, Step};

/// What a custom error says to become [`Raw::InlineSecret`].
pub(super) const INLINE_SECRET: &str = "\u{1}inline secret";

/// What went wrong, before it is known whether it is a consequence of something else.
#[derive(Debug)]
pub(super) enum Raw {
    InlineSecret,
    Invalid(String),
    InvalidKey(String),
    Missing(&'static str),
    Unknown(&'static [&'static str]),
}

/// The path is collected leaf first while the error travels up.
#[derive(Debug)]
pub(super) struct Error {
    steps: Vec<Step>,
    raw: Raw,
}

impl Error {
    pub(super) fn into_parts(mut self) -> (Path, Raw) {
        self.steps.reverse();
        (Path::from(self.steps), self.raw)
    }

    pub(super) fn under(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// For errors in a made-up node: the node they stem from has no children of its own.
    pub(super) fn here(mut self) -> Self {
        self.steps.clear();
        self
    }

    pub(super) fn of_key(mut self) -> Self {
        if let Raw::Invalid(text) = &mut self.raw {
            self.raw = Raw::InvalidKey(std::mem::take(text));
        }
        self
    }

    fn of(raw: Raw) -> Self {
        Self { steps: Vec::new(), raw }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.raw {
            Raw::InlineSecret => f.write_str("a secret in clear"),
            Raw::Invalid(text) | Raw::InvalidKey(text) => f.write_str(text),
            Raw::Missing(field) => write!(f, "`{field}` is missing"),
            Raw::Unknown(known) => write!(f, "unknown key; known: {}", known.join(", ")),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        Self::of(if text == INLINE_SECRET { Raw::InlineSecret } else { Raw::Invalid(text) })
    }

    // serde's own text quotes the value.
    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::of(Raw::Invalid(format!("expected {wanted}, found {}", kind(&found))))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::of(Raw::Invalid(format!("expected {wanted}, found another {}", kind(&found))))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of(Raw::Missing(field))
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::of(Raw::Unknown(known))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::of(Raw::Invalid(format!("expected one of {}", known.join(", "))))
    }
}

fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "boolean",
        Unexpected::Float(_) => "fraction",
        Unexpected::Map => "table",
        Unexpected::Seq => "list",
        Unexpected::Signed(_) | Unexpected::Unsigned(_) => "integer",
        Unexpected::Char(_) | Unexpected::Str(_) => "string",
        Unexpected::Bytes(_)
        | Unexpected::Enum
        | Unexpected::NewtypeStruct
        | Unexpected::NewtypeVariant
        | Unexpected::Option
        | Unexpected::Other(_)
        | Unexpected::StructVariant
        | Unexpected::TupleVariant
        | Unexpected::Unit
        | Unexpected::UnitVariant => "value",
    }
}
