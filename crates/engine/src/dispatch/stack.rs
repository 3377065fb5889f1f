//! One attempt, from the permit to the provider's answer. The order of the layers lives here, a line each.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sms_core::{Attempt, Fate, Kind, OutboundSms, SendError, SmsProvider, Submission};

use super::lane::Lane;
use crate::telemetry::Telemetry;

/// A provider answers by its deadline; one that does not is cut off this much later.
const GRACE: Duration = Duration::from_millis(250);

/// Code in the ledger of an attempt that ended in a panic.
const PANIC: &str = "panic";

/// Makes the attempt. Its permit is held by the caller: breaker, concurrency and throughput come first, before the
/// intent is written, so that a crash leaves no more open intents than attempts in flight.
pub(crate) async fn call(
    lane: &Lane,
    provider: &dyn SmsProvider,
    sms: &OutboundSms,
    attempt: &Attempt,
    telemetry: &Telemetry,
) -> Result<Submission, SendError> {
    // The guard against panics is inside the time-out: a panic answers at once.
    let guarded = Guarded { inner: provider.send(sms, attempt) };
    // The time-out is inside what the caller learns from: a silent provider must count as faulty.
    match tokio::time::timeout_at(attempt.deadline + GRACE, guarded).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(Panicked)) => {
            telemetry.panicked();
            tracing::error!(provider.name = %lane.name, "provider `{}` panicked during an attempt", lane.name);
            Err(SendError::new(Kind::Protocol, Fate::Unknown, "the provider's code panicked").with_code(PANIC))
        }
        Err(_elapsed) => Err(SendError::new(Kind::Deadline, Fate::Unknown, "no answer by the deadline")),
    }
}

/// A future whose panics become values: one message must not take the process along.
struct Guarded<F> {
    inner: F,
}

struct Panicked;

impl<F: Future + Unpin> Future for Guarded<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = Pin::new(&mut self.inner);
        match std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}
