//! What Mitto's answer says about the message. `responseCode` decides on any HTTP status; the status
//! decides only where there is no code, or where the code says less than the status.

use sms_core::{Fate, Kind, SendError, Submission};
use sms_rest::Answer;

use crate::wire::SendAnswer;

/// Reads the answer to `POST /sms.json`.
pub(crate) fn verdict(answer: &Answer) -> Result<Submission, SendError> {
    let SendAnswer { code, id } = SendAnswer::parse(answer.json().as_ref());
    match code {
        Some(0) => Ok(Submission { upstream_id: id, parts: None }),
        Some(code) => Err(refusal(code, answer)),
        None => Err(answer.failure()),
    }
}

/// Mitto's table of codes. The words are ours: Mitto's quote numbers.
fn refusal(code: i64, answer: &Answer) -> SendError {
    let refused = |kind, detail: &str| SendError::new(kind, Fate::Refused, detail);
    let error = match code {
        2 => refused(Kind::Content, "Mitto refused the type of the message"),
        3 => refused(Kind::Content, "Mitto saw an empty text"),
        4 => refused(Kind::Content, "Mitto refused the text: characters outside its encoding"),
        5 => refused(Kind::Content, "Mitto saw an empty sender"),
        6 => refused(Kind::Content, "Mitto refused the sender"),
        7 => refused(Kind::Content, "Mitto saw an empty recipient"),
        8 => refused(Kind::Recipient, "Mitto refused the recipient"),
        _ if proves_refusal(answer.status) => answer.failure(),
        1 => SendError::new(Kind::Unavailable, Fate::Unknown, "internal error at Mitto").answered(),
        _ if (400..500).contains(&answer.status) => answer.failure(),
        _ => {
            SendError::new(Kind::Protocol, Fate::Unknown, "Mitto answered a code that it does not document").answered()
        }
    };
    error.with_code(code.to_string())
}

/// Statuses that say more than "internal error": nobody took the message.
fn proves_refusal(status: u16) -> bool {
    matches!(status, 401..=403 | 429 | 503)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: Some(Duration::from_secs(9)), body: body.as_bytes().to_vec() }
    }

    fn failure(status: u16, body: &str) -> (Kind, Fate, bool) {
        let error = verdict(&answer(status, body)).unwrap_err();
        (error.kind, error.fate, error.answered)
    }

    #[test]
    fn the_code_decides_on_any_status() {
        for status in [200, 400, 500] {
            let taken = verdict(&answer(status, r#"{"id":"A-1","responseCode":0}"#)).unwrap();
            assert_eq!(taken, Submission { upstream_id: "a1".to_owned(), parts: None });
            assert_eq!(failure(status, r#"{"responseCode":8}"#), (Kind::Recipient, Fate::Refused, false));
            for code in 2..=7 {
                let body = format!(r#"{{"responseCode":"{code}","responseText":"no"}}"#);
                assert_eq!(failure(status, &body), (Kind::Content, Fate::Refused, false));
            }
            assert_eq!(failure(status, r#"{"responseCode":1}"#), (Kind::Unavailable, Fate::Unknown, true));
        }
    }

    #[test]
    fn a_status_that_proves_refusal_says_more_than_an_internal_error() {
        let throttled = verdict(&answer(429, r#"{"responseCode":1}"#)).unwrap_err();
        assert_eq!((throttled.kind, throttled.fate), (Kind::Throttled, Fate::Refused));
        assert_eq!(throttled.retry_after, Some(Duration::from_secs(9)));
        assert_eq!(throttled.provider_code.as_deref(), Some("1"));
        assert_eq!(failure(401, r#"{"responseCode":1}"#), (Kind::Account, Fate::Refused, false));
        assert_eq!(failure(503, r#"{"responseCode":99}"#), (Kind::Unavailable, Fate::Refused, false));
    }

    #[test]
    fn an_undocumented_code_proves_nothing_unless_the_status_does() {
        assert_eq!(failure(200, r#"{"responseCode":99}"#), (Kind::Protocol, Fate::Unknown, true));
        assert_eq!(failure(500, r#"{"responseCode":-1}"#), (Kind::Protocol, Fate::Unknown, true));
        assert_eq!(failure(400, r#"{"responseCode":99}"#), (Kind::Content, Fate::Refused, false));
    }

    #[test]
    fn without_a_code_the_status_decides() {
        assert_eq!(failure(200, "<html>"), (Kind::Protocol, Fate::Unknown, false));
        assert_eq!(failure(200, ""), (Kind::Protocol, Fate::Unknown, false));
        assert_eq!(failure(403, "\"no\""), (Kind::Account, Fate::Refused, false));
        assert_eq!(failure(502, "<html>"), (Kind::Unavailable, Fate::Unknown, true));
        assert_eq!(failure(400, "{}"), (Kind::Content, Fate::Refused, false));
    }

    #[test]
    fn a_message_without_an_id_is_taken_all_the_same() {
        let taken = verdict(&answer(200, r#"{"responseCode":0,"responseText":"SMS sent successfully."}"#)).unwrap();
        assert_eq!(taken.upstream_id, "");
    }

    #[test]
    fn no_word_of_the_answer_is_repeated() {
        let error = verdict(&answer(200, r#"{"responseCode":8,"responseText":"41751231234 is bad"}"#)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("41751231234"));
    }
}
