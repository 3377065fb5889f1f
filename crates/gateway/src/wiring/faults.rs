//! What a checked configuration should never run into again, in words without places: the check before told of it
//! with `file:line:column`.

use std::fmt;

use sms_core::options::{Fault, What};

/// A configuration that was found good and yet cannot be wired.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be used: {0}")]
pub struct Unwired(String);

impl Unwired {
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }

    pub(super) fn from_faults(faults: Vec<Fault>) -> Self {
        let told: Vec<_> = faults.into_iter().map(|fault| format!("{} {}", fault.path, words(fault.what))).collect();
        Self(told.join("; "))
    }
}

fn words(what: What) -> String {
    match what {
        What::EmptySecret(from) => format!("is empty (from {from})"),
        What::InlineSecret => "holds a secret in clear".to_owned(),
        What::InsecureUrl => "leads to another machine over http://".to_owned(),
        What::Invalid(wanted) | What::InvalidKey(wanted) => format!("is not as expected: {wanted}"),
        What::Missing => "is missing".to_owned(),
        What::Unknown(_) => "is not known".to_owned(),
        What::UnreadableSecret(from) => format!("cannot be read (from {from})"),
    }
}
