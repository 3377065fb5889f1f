//! Waiting for something that must come true. The only place where a test's clock runs.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take that should happen at once, on a busy machine with a debug build.
pub const PATIENCE: Duration = Duration::from_secs(20);

const STEP: Duration = Duration::from_millis(10);

/// Asks again until there is an answer; panics with `what` when there is none within `limit`.
pub async fn eventually<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        sleep(STEP).await;
    }
}
