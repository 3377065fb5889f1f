//! What the mock does with a message: chosen by number, by the inbox's API or by configuration.

use serde::Deserialize;
use sms_core::options::Span;
use sms_core::{DeliveryState, Msisdn};

/// One script, as JSON in `PUT /inbox/v1/behaviours/{msisdn}` and as a table in the configuration; every key is optional:
///
/// ```
/// let script = r#"{"answer": "accept", "receipt": "undelivered", "after": "3s", "then": "delivered"}"#;
/// let behaviour: sms_mock::Behaviour = serde_json::from_str(script).unwrap();
/// assert_eq!(behaviour.then, Some(sms_mock::Word::Delivered));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// How the send ends.
    pub answer: Answer,
    /// The receipt of a message that was taken. Default: `delivered` where the answer is `accept`, else `none`.
    pub receipt: Option<Word>,
    /// How long after the message was taken the receipt comes. Default: the instance's `receipt_after`.
    pub after: Option<Span>,
    /// A second receipt right after the first.
    pub then: Option<Word>,
    /// The receipt comes before the answer and names the upstream id only.
    pub receipt_first: bool,
    /// The pause asked for with `throttle`. Default: 1 s.
    pub retry_after: Option<Span>,
}

/// How a send ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Taken.
    #[default]
    Accept,
    /// The credentials are refused.
    BadCredentials,
    /// Taken, but the answer cannot be read.
    Garbage,
    /// No connection.
    RefuseConnect,
    /// Text or sender refused.
    RejectContent,
    /// Number refused.
    RejectNumber,
    /// Taken, then the connection breaks.
    Reset,
    /// An error of the provider, answered; not taken.
    ServerError,
    /// Not taken, and no answer until the deadline.
    Silence,
    /// Too many requests.
    Throttle,
    /// Taken, and no answer until the deadline.
    Timeout,
}

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Confirmed by the network.
    Delivered,
    /// As the first receipt; as a first receipt, `delivered`.
    Duplicate,
    /// The validity ran out.
    Expired,
    /// There is none.
    None,
    /// The handset is absent.
    Undelivered,
}

impl Behaviour {
    /// The script of a magic number; `None` for every other one.
    pub(crate) fn of_magic(to: &Msisdn) -> Option<Self> {
        let delivered = Self::default();
        let answers = |answer| Self { answer, ..delivered };
        Some(match to.digits().checked_sub(MAGIC_FIRST)? {
            0 => delivered,
            1 => Self { receipt: Some(Word::Undelivered), ..delivered },
            2 => answers(Answer::RejectNumber),
            3 => answers(Answer::ServerError),
            4 => answers(Answer::Timeout),
            5 => answers(Answer::Throttle),
            6 => answers(Answer::RejectContent),
            7 => Self { receipt: Some(Word::None), ..delivered },
            8 => Self { then: Some(Word::Duplicate), ..delivered },
            9 => Self { after: Some(Span::from_secs(30)), ..delivered },
            10 => Self { receipt_first: true, ..delivered },
            11 => Self { then: Some(Word::Undelivered), ..delivered },
            12 => answers(Answer::RefuseConnect),
            _ => return None,
        })
    }

    /// What the receipts of a taken message say, in their order.
    pub(crate) fn receipts(&self) -> Vec<DeliveryState> {
        let first = self.receipt.unwrap_or(match self.answer {
            Answer::Accept => Word::Delivered,
            Answer::BadCredentials
            | Answer::Garbage
            | Answer::RefuseConnect
            | Answer::RejectContent
            | Answer::RejectNumber
            | Answer::Reset
            | Answer::ServerError
            | Answer::Silence
            | Answer::Throttle
            | Answer::Timeout => Word::None,
        });
        let first = first.state(DeliveryState::Delivered);
        let then = self.then.and_then(|word| word.state(first.clone()?));
        first.into_iter().chain(then).collect()
    }
}

impl Word {
    fn state(self, earlier: DeliveryState) -> Option<DeliveryState> {
        match self {
            Self::Delivered => Some(DeliveryState::Delivered),
            Self::Duplicate => Some(earlier),
            Self::Expired => Some(DeliveryState::Expired),
            Self::None => None,
            Self::Undelivered => Some(DeliveryState::Undelivered),
        }
    }
}

/// +44 7700 900000, the first number reserved for fiction.
const MAGIC_FIRST: u64 = 447_700_900_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn magic(last: u64) -> Option<Behaviour> {
        let number = Msisdn::parse(&format!("+447700900{last:03}"), None).unwrap();
        Behaviour::of_magic(&number)
    }

    #[test]
    fn magic_numbers_end_at_012() {
        assert!((0..=12).all(|last| magic(last).is_some()));
        assert!((13..1000).all(|last| magic(last).is_none()));
        let below = Msisdn::restore("+447700899999", sms_core::Country::UNKNOWN).unwrap();
        assert_eq!(Behaviour::of_magic(&below), None);
    }

    #[test]
    fn receipts_follow_the_script() {
        use DeliveryState::{Delivered, Expired, Undelivered};
        let receipts = |json: &str| serde_json::from_str::<Behaviour>(json).unwrap().receipts();
        assert_eq!(receipts("{}"), [Delivered]);
        assert_eq!(receipts(r#"{"receipt":"expired","then":"duplicate"}"#), [Expired, Expired]);
        assert_eq!(receipts(r#"{"then":"undelivered"}"#), [Delivered, Undelivered]);
        assert_eq!(receipts(r#"{"receipt":"none","then":"delivered"}"#), []);
        assert_eq!(receipts(r#"{"answer":"timeout"}"#), []);
        assert_eq!(receipts(r#"{"answer":"timeout","receipt":"delivered"}"#), [Delivered]);
    }

    #[test]
    fn unknown_words_are_refused() {
        for bad in [r#"{"answer":"yes"}"#, r#"{"answers":"accept"}"#, r#"{"after":"soon"}"#, r#"{"after":3}"#, "3"] {
            assert!(serde_json::from_str::<Behaviour>(bad).is_err(), "{bad}");
        }
    }
}
