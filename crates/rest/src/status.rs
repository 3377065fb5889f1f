//! What an HTTP status means for the message: the table of architecture.md §3.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use sms_core::{Fate, Kind, SendError};

/// What an answer that carries no vendor code says about the message; for anything but the success a
/// provider expects. The provider code is `http_` and the status.
pub fn classify_status(status: u16, retry_after: Option<Duration>) -> SendError {
    let error = match status {
        401..=403 => SendError::new(Kind::Account, Fate::Refused, "credentials or credit refused"),
        408 => SendError::new(Kind::Unavailable, Fate::Refused, "the upstream did not read the request in time"),
        429 => SendError::new(Kind::Throttled, Fate::Refused, "too many requests"),
        400..=499 => SendError::new(Kind::Content, Fate::Refused, "the request was refused"),
        503 => SendError::new(Kind::Unavailable, Fate::Refused, "the upstream is not available"),
        500..=599 => SendError::new(Kind::Unavailable, Fate::Unknown, "fault of the upstream").answered(),
        200..=299 => SendError::new(Kind::Protocol, Fate::Unknown, "success without a readable answer"),
        _ => SendError::new(Kind::Protocol, Fate::Unknown, "neither success nor refusal").answered(),
    };
    let error = error.with_code(format!("http_{status}"));
    match retry_after {
        Some(pause) if matches!(status, 429 | 503) => error.with_retry_after(pause),
        Some(_) | None => error,
    }
}

/// The longest pause an upstream can talk us into.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Seconds, or a date counted from the upstream's own clock (its `Date`), capped.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = header(headers, &RETRY_AFTER)?;
    let pause = if let Ok(seconds) = text.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let until = DateTimeParser::new().parse_timestamp(text).ok()?;
        let now = DateTimeParser::new().parse_timestamp(header(headers, &DATE)?).ok()?;
        Duration::from_secs(u64::try_from(until.as_second().saturating_sub(now.as_second())).unwrap_or(0))
    };
    Some(pause.min(RETRY_AFTER_MAX))
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_kind_and_a_fate() {
        let table = [
            (200, Kind::Protocol, Fate::Unknown, false),
            (302, Kind::Protocol, Fate::Unknown, true),
            (400, Kind::Content, Fate::Refused, false),
            (401, Kind::Account, Fate::Refused, false),
            (402, Kind::Account, Fate::Refused, false),
            (403, Kind::Account, Fate::Refused, false),
            (404, Kind::Content, Fate::Refused, false),
            (408, Kind::Unavailable, Fate::Refused, false),
            (429, Kind::Throttled, Fate::Refused, false),
            (500, Kind::Unavailable, Fate::Unknown, true),
            (502, Kind::Unavailable, Fate::Unknown, true),
            (503, Kind::Unavailable, Fate::Refused, false),
            (504, Kind::Unavailable, Fate::Unknown, true),
        ];
        for (status, kind, fate, answered) in table {
            let error = classify_status(status, None);
            assert_eq!((error.kind, error.fate, error.answered), (kind, fate, answered), "{status}");
            assert_eq!(error.provider_code, Some(format!("http_{status}")));
        }
    }

    #[test]
    fn a_pause_is_kept_where_it_means_one() {
        let pause = Some(Duration::from_secs(7));
        assert_eq!(classify_status(429, pause).retry_after, pause);
        assert_eq!(classify_status(503, pause).retry_after, pause);
        assert_eq!(classify_status(400, pause).retry_after, None);
    }

    fn pause(pairs: &[(HeaderName, &str)]) -> Option<Duration> {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        retry_after(&headers)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_capped() {
        let date = |text| (DATE, text);
        let retry = |text| (RETRY_AFTER, text);
        assert_eq!(pause(&[retry(" 7 ")]), Some(Duration::from_secs(7)));
        assert_eq!(pause(&[retry("999999999999")]), Some(RETRY_AFTER_MAX));
        let now = date("Tue, 24 Nov 2026 10:00:00 GMT");
        let soon = retry("Tue, 24 Nov 2026 10:00:30 GMT");
        assert_eq!(pause(&[now.clone(), soon.clone()]), Some(Duration::from_secs(30)));
        assert_eq!(pause(&[soon, date("Tue, 24 Nov 2026 10:01:00 GMT")]), Some(Duration::ZERO));
        for junk in ["", "-1", "soon", "1.5", "99999999999999999999999"] {
            assert_eq!(pause(&[now.clone(), retry(junk)]), None, "{junk}");
        }
        assert_eq!(pause(&[retry("Tue, 24 Nov 2026 10:00:30 GMT")]), None);
    }
}
