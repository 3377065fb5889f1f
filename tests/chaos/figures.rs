//! Percentiles, and how they are written.

use std::time::Duration;

/// The value below which this share of them lies; zero of none.
pub(crate) fn quantile(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Milliseconds with one digit.
pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
}

/// `part` of `whole`, in percent with two digits.
pub(crate) fn percent(part: usize, whole: usize) -> String {
    format!("{:.2} %", ratio(part, whole) * 100.0)
}

/// `part / whole`; zero of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// How many a second.
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
pub(crate) fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

/// By how much the second is more than the first, in percent.
pub(crate) fn change(before: Duration, after: Duration) -> f64 {
    (after.as_secs_f64() / before.as_secs_f64().max(1e-9) - 1.0) * 100.0
}
