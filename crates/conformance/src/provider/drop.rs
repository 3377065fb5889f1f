//! A dropped send leaves nothing behind: no task, no connection, no further request.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::samples::{ANSWERS_WITHIN, attempt, sms};
use super::{Kit, Rig};
use crate::upstream::Behaviour;

pub(super) async fn check(kit: &mut Kit<'_>) {
    let rig = kit.harness.rig(Behaviour::HangAfterRead).await;
    let tasks_before = tasks();
    let sms = sms(8);
    let attempt = attempt(&sms, ANSWERS_WITHIN);
    {
        let sending = rig.provider.send(&sms, &attempt);
        tokio::select! {
            result = sending => {
                let early = matches!(&result, Err(error) if error.kind == sms_core::Kind::Deadline);
                kit.expect(CHECK, early, || format!("answered while the upstream hung: {result:?}"));
                return;
            }
            () = has_read(&rig) => {}
        }
    }
    let gone = settles(|| tasks() <= tasks_before).await;
    kit.expect(CHECK, gone, || format!("{} tasks instead of {tasks_before}", tasks()));
    if rig.wire.open_connections().is_some() {
        let closed = settles(|| rig.wire.open_connections() == Some(0)).await;
        kit.expect(CHECK, closed, || format!("{:?} connections stay open", rig.wire.open_connections()));
    }
    sleep(STEP * 10).await;
    let requests = rig.wire.requests();
    kit.expect(CHECK, requests.is_none_or(|requests| requests <= 1), || format!("{requests:?} requests"));
}

/// Until the upstream has the request in hand; without a wire, a moment.
async fn has_read(rig: &Rig) {
    if rig.wire.requests().is_none() {
        return sleep(STEP).await;
    }
    while rig.wire.requests() == Some(0) {
        sleep(STEP).await;
    }
}

async fn settles(holds: impl Fn() -> bool) -> bool {
    let until = Instant::now() + SETTLE;
    while Instant::now() < until {
        if holds() {
            return true;
        }
        sleep(STEP).await;
    }
    holds()
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

const CHECK: &str = "dropped_send_leaves_nothing";
const SETTLE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(5);
