//! `[[limits]]`, `[countries]` and `[guard]`: what a message is refused for.

use schemars::JsonSchema;
use serde::Deserialize;
use sms_core::{Country, Window};

use super::json;

/// One limit on acceptances. It does not apply to requests that lack one of its keys.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Never more than so many in any window that long, such as `"5/10m"`; all of them hold.
    #[schemars(with = "Vec<json::RateText>")]
    pub allow: Vec<Window>,
    /// Name of the limit, in answers and metrics.
    pub id: String,
    /// Whether it refuses, or only counts what it would refuse.
    #[serde(default)]
    pub mode: LimitMode,
    /// What is counted together.
    pub per: Vec<LimitKey>,
}

impl Limit {
    /// The built-in default.
    pub fn per_recipient() -> Self {
        let window = |max, s| Window { max, period: std::time::Duration::from_secs(s) };
        Self {
            allow: vec![window(1, 30), window(5, 600), window(10, 3_600), window(20, 86_400)],
            id: "per_recipient".to_owned(),
            mode: LimitMode::Block,
            per: vec![LimitKey::Tenant, LimitKey::Recipient],
        }
    }
}

/// Whether a limit refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitMode {
    /// It refuses.
    #[default]
    Block,
    /// It only counts.
    Shadow,
}

/// What a limit counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKey {
    /// The application that asks.
    ClientId,
    /// Country of the recipient.
    Country,
    /// The end user's id, as the caller tells it.
    EndUser,
    /// The end user's address, as the caller tells it.
    Ip,
    /// The recipient's number without its last four digits.
    Prefix,
    /// The recipient's number.
    Recipient,
    /// Who asks.
    Tenant,
}

/// Countries that messages may go to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Countries {
    /// Exceptions from `default = "block"`.
    #[schemars(with = "Vec<json::CountryText>")]
    pub allow: Vec<Country>,
    /// Exceptions from `default = "allow"`.
    #[schemars(with = "Vec<json::CountryText>")]
    pub block: Vec<Country>,
    /// What holds for countries that neither list names.
    pub default: CountryDefault,
}

/// What holds for countries that no list names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountryDefault {
    /// Messages go there.
    #[default]
    Allow,
    /// They do not.
    Block,
}

/// Abuse protection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// How far it goes.
    pub mode: GuardMode,
}

/// How far abuse protection goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardMode {
    /// It refuses what looks like abuse.
    Block,
    /// It asks the caller to challenge the end user first.
    Challenge,
    /// Nothing is watched.
    Off,
    /// It only counts what it would refuse.
    #[default]
    Shadow,
}
