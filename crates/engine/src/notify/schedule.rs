//! What follows an answer: a pure function of the answer and the number of tellings so far.

use std::time::Duration;

use sms_core::UnixMs;

use super::port::{WebhookAnswer, WebhookFault};

/// Pauses before the second, third … telling (contract §6); each ± 10 %.
const SCHEDULE_S: [u64; 7] = [5, 60, 300, 1_800, 7_200, 21_600, 86_400];

/// Longest pause an endpoint may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken.
    Delivered,
    /// Not taken; why.
    Failed(Reason),
    /// The endpoint wants no more calls, ever.
    Gone,
}

/// Why a change was not taken, as `reason` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Address,
    Broken,
    Connect,
    Gone,
    Redirect,
    Status,
    Throttled,
    Timeout,
    Url,
}

impl Reason {
    /// Every reason, in label order.
    pub(crate) const ALL: [Self; 9] = [
        Self::Address,
        Self::Broken,
        Self::Connect,
        Self::Gone,
        Self::Redirect,
        Self::Status,
        Self::Throttled,
        Self::Timeout,
        Self::Url,
    ];

    /// The metric label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Broken => "broken",
            Self::Connect => "connect",
            Self::Gone => "gone",
            Self::Redirect => "redirect",
            Self::Status => "status",
            Self::Throttled => "throttled",
            Self::Timeout => "timeout",
            Self::Url => "url",
        }
    }

    /// The endpoint holds calls up: fewer at a time are enough.
    pub(super) fn is_slow(self) -> bool {
        match self {
            Self::Connect | Self::Throttled | Self::Timeout => true,
            Self::Address | Self::Broken | Self::Gone | Self::Redirect | Self::Status | Self::Url => false,
        }
    }
}

/// 2xx is taken, 410 asks for no more; everything else, a redirect too, is a failure.
pub(super) fn verdict(answer: &Result<WebhookAnswer, WebhookFault>) -> Verdict {
    let reason = match answer {
        Ok(WebhookAnswer { status: 200..300, .. }) => return Verdict::Delivered,
        Ok(WebhookAnswer { status: 410, .. }) => return Verdict::Gone,
        Ok(WebhookAnswer { status: 300..400, .. }) => Reason::Redirect,
        Ok(WebhookAnswer { status: 429 | 502 | 503 | 504, .. }) => Reason::Throttled,
        Ok(_) => Reason::Status,
        Err(WebhookFault::Address) => Reason::Address,
        Err(WebhookFault::Broken) => Reason::Broken,
        Err(WebhookFault::Connect) => Reason::Connect,
        Err(WebhookFault::Timeout) => Reason::Timeout,
        Err(WebhookFault::Url) => Reason::Url,
    };
    Verdict::Failed(reason)
}

/// When to tell again after a failure; `None`: never by itself. An endpoint may ask for a longer pause than ours.
pub(super) fn again(told: u16, answer: &Result<WebhookAnswer, WebhookFault>, now: UnixMs, dice: u32) -> Option<UnixMs> {
    let pause = Duration::from_secs(*SCHEDULE_S.get(usize::from(told))?);
    let jitter = pause / 5 * (dice % 1_000) / 1_000;
    let asked = answer.as_ref().ok().and_then(|answer| answer.retry_after).unwrap_or_default();
    Some(now.plus((pause * 9 / 10 + jitter).max(asked.min(RETRY_AFTER_MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> WebhookAnswer {
        WebhookAnswer { status, retry_after: None }
    }

    fn pause(answer: &Result<WebhookAnswer, WebhookFault>, told: u16, dice: u32) -> Option<i64> {
        again(told, answer, UnixMs::new(0), dice).map(|due| due.get() / 1_000)
    }

    #[test]
    fn failures_are_told_again_over_a_day_then_given_up() {
        let pauses: Vec<_> = (0..8).map(|told| pause(&Ok(status(500)), told, 500)).collect();
        assert_eq!(pauses, [Some(5), Some(60), Some(300), Some(1_800), Some(7_200), Some(21_600), Some(86_400), None]);
        assert_eq!(pause(&Err(WebhookFault::Connect), 0, 500), Some(5));
    }

    #[test]
    fn pauses_scatter_by_a_tenth() {
        let spread: Vec<_> = [0, 999].map(|dice| pause(&Ok(status(500)), 6, dice).unwrap()).into();
        assert!(spread[0] == 77_760 && (95_000..=95_040).contains(&spread[1]), "{spread:?}");
        let different: std::collections::BTreeSet<_> =
            (0..1_000).map(|dice| pause(&Ok(status(500)), 6, dice)).collect();
        assert!(different.len() > 900);
    }

    #[test]
    fn an_endpoint_may_ask_for_a_longer_pause_but_not_for_years() {
        let asks = |secs| Ok(WebhookAnswer { status: 503, retry_after: Some(Duration::from_secs(secs)) });
        assert_eq!(pause(&asks(120), 0, 500), Some(120));
        assert_eq!(pause(&asks(1), 1, 500), Some(60), "nor for a shorter one");
        assert_eq!(pause(&asks(u64::MAX), 0, 500), Some(86_400));
    }

    #[test]
    fn only_2xx_is_taken_and_only_410_ends_it() {
        assert_eq!([200, 204, 299].map(|s| verdict(&Ok(status(s)))), [Verdict::Delivered; 3]);
        assert_eq!(verdict(&Ok(status(410))), Verdict::Gone);
        for (code, reason) in [
            (301, Reason::Redirect),
            (302, Reason::Redirect),
            (307, Reason::Redirect),
            (308, Reason::Redirect),
            (400, Reason::Status),
            (429, Reason::Throttled),
            (500, Reason::Status),
            (503, Reason::Throttled),
            (999, Reason::Status),
            (101, Reason::Status),
        ] {
            assert_eq!(verdict(&Ok(status(code))), Verdict::Failed(reason), "{code}");
        }
    }

    #[test]
    fn reasons_are_labels_in_order() {
        assert!(Reason::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
    }
}
