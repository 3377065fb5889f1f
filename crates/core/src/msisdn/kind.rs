//! Kinds of lines. Must never decide what may be sent to one: that is policy.

use std::fmt;

use rlibphonenumber::PhoneNumberType;
use serde::Serialize;

/// What a number's country uses its range for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberType {
    /// A landline.
    FixedLine,
    /// Either; in North America the number does not tell.
    FixedLineOrMobile,
    /// A mobile.
    Mobile,
    /// A pager.
    Pager,
    /// Follows a person from line to line.
    PersonalNumber,
    /// The caller pays extra.
    PremiumRate,
    /// Caller and recipient share the price.
    SharedCost,
    /// The recipient pays.
    TollFree,
    /// A company's one number for all its offices.
    Uan,
    /// Not known: the number was restored from the store.
    Unknown,
    /// Gives access to a mailbox.
    Voicemail,
    /// Internet telephony.
    Voip,
}

impl NumberType {
    /// The name in explanations and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FixedLine => "fixed_line",
            Self::FixedLineOrMobile => "fixed_line_or_mobile",
            Self::Mobile => "mobile",
            Self::Pager => "pager",
            Self::PersonalNumber => "personal_number",
            Self::PremiumRate => "premium_rate",
            Self::SharedCost => "shared_cost",
            Self::TollFree => "toll_free",
            Self::Uan => "uan",
            Self::Unknown => "unknown",
            Self::Voicemail => "voicemail",
            Self::Voip => "voip",
        }
    }
}

impl fmt::Display for NumberType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<PhoneNumberType> for NumberType {
    fn from(kind: PhoneNumberType) -> Self {
        match kind {
            PhoneNumberType::FixedLine => Self::FixedLine,
            PhoneNumberType::FixedLineOrMobile => Self::FixedLineOrMobile,
            PhoneNumberType::Mobile => Self::Mobile,
            PhoneNumberType::Pager => Self::Pager,
            PhoneNumberType::PersonalNumber => Self::PersonalNumber,
            PhoneNumberType::PremiumRate => Self::PremiumRate,
            PhoneNumberType::SharedCost => Self::SharedCost,
            PhoneNumberType::TollFree => Self::TollFree,
            PhoneNumberType::UAN => Self::Uan,
            PhoneNumberType::Unknown => Self::Unknown,
            PhoneNumberType::VoIP => Self::Voip,
            PhoneNumberType::VoiceMail => Self::Voicemail,
        }
    }
}
