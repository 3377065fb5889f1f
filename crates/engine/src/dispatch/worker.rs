//! Takes waiting messages out of the store: one worker a lane, plus what a crash left behind.

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{INTERRUPTED, LaneWant, Leased, Outcome};
use sms_core::{Fate, Kind, SendError, StoreError};
use tokio_util::sync::CancellationToken;

use super::lane::{Lane, Permit};
use super::{Ended, attempted, conclude, work};
use crate::shared::Core;

/// How often a lane looks for retries that became due.
const TICK: Duration = Duration::from_millis(100);

/// Most messages taken in one go.
const CLAIM_MAX: usize = 64;

/// Pause after the store failed.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// Serves one lane until `stop`.
pub(crate) async fn run_lane(core: Arc<Core>, lane: Arc<Lane>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = lane.wake.notified() => {}
            () = tokio::time::sleep(TICK) => {}
            () = stop.cancelled() => return,
        }
        while !stop.is_cancelled() {
            match drain(&core, &lane).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(provider.name = %lane.name, error.kind = "store", "waiting messages could not be taken: {error}");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}

/// Takes as many waiting messages as there are permits; says how many.
async fn drain(core: &Arc<Core>, lane: &Arc<Lane>) -> Result<usize, StoreError> {
    let Some(first) = lane.begin().await else { return Ok(0) };
    let mut permits: Vec<Permit> = vec![first];
    permits.extend(std::iter::from_fn(|| lane.try_begin()).take(CLAIM_MAX - 1));
    let want = LaneWant { lane: lane.name.clone(), max: permits.len() };
    let claimed = core.store.claim(&[want], core.clock.now()).await;
    let leased = claimed.as_ref().map_or(0, Vec::len);
    // What is not used must not cost throughput.
    permits.drain(leased.min(permits.len())..).for_each(|permit| lane.give_back(permit));
    for (leased, permit) in claimed?.into_iter().zip(permits) {
        core.tasks.spawn(work(Arc::clone(core), leased, permit));
    }
    Ok(leased)
}

/// Attempts that were on the wire when the last process died: their outcome is unknown.
pub(crate) async fn resume_orphans(core: &Arc<Core>) -> Result<usize, StoreError> {
    let orphans = core.store.orphans().await?;
    let count = orphans.len();
    for leased in orphans {
        let core = Arc::clone(core);
        core.tasks.clone().spawn(async move {
            let ended = interrupted(&core, &leased);
            let mut leased = leased;
            if let Some(permit) = conclude(&core, &mut leased, ended).await {
                work(core, leased, permit).await;
            }
        });
    }
    Ok(count)
}

fn interrupted(core: &Core, leased: &Leased) -> Ended {
    let error = SendError::new(Kind::Unavailable, Fate::Unknown, "the gateway stopped during the attempt");
    let result = Err(error.with_code(INTERRUPTED));
    let attempted = attempted(leased, &result, core.clock.now(), Duration::ZERO);
    debug_assert_eq!(attempted.outcome, Outcome::Unknown);
    Ended { attempted, result }
}
