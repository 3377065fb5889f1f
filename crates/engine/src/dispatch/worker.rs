//! Takes waiting messages out of the store: one worker a lane, plus what a crash left behind.

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{INTERRUPTED, LaneWant, Leased, Outcome, Reroute, Waiting};
use sms_core::{Country, Fate, Kind, ProviderName, SendError, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::chances::Hopeful;
use super::lane::{Lane, Permit};
use super::pair::Gate;
use super::{Ended, attempted, conclude, policy, work};
use crate::shared::{Core, Running};

/// How often a lane looks for retries that became due.
const TICK: Duration = Duration::from_millis(100);

/// Most messages taken in one go.
const CLAIM_MAX: usize = 64;

/// Pause after the store failed.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// How often messages that wait for a provider that takes nothing are offered to others. Not more at once, so that few
/// are gone when it is back.
const MOVE_EVERY: Duration = Duration::from_millis(250);

/// Serves one lane until `stop`.
pub(crate) async fn run_lane(core: Arc<Core>, lane: Arc<Lane>, stop: CancellationToken) {
    let (mut moved, mut busy) = (Instant::now(), false);
    while !stop.is_cancelled() {
        // Where every slot was taken, waiting for one is the pause.
        tokio::select! {
            biased; // in this order nobody starves; chance would make a simulated seed go another way
            () = stop.cancelled() => return,
            () = lane.wake.notified(), if !busy => {}
            () = tokio::time::sleep(TICK), if !busy => {}
            () = std::future::ready(()), if busy => {}
        }
        lane.watch();
        busy = false;
        let mut done = Ok(());
        if moved.elapsed() >= MOVE_EVERY {
            moved = Instant::now();
            done = move_stranded(&core, &lane).await;
        }
        if done.is_ok() && !takes_nothing(&core.running.load(), &lane) {
            done = give_chances(&core, &lane).await;
        }
        let began = Instant::now();
        while !stop.is_cancelled() && done.is_ok() && !takes_nothing(&core.running.load(), &lane) {
            match drain(&core, &lane).await {
                Ok(Drained::Dry) => break,
                // A backlog that lasts is no reason to look after nothing else.
                Ok(Drained::Took) if began.elapsed() < TICK => continue,
                Ok(Drained::Busy | Drained::Took) => busy = true,
                Err(error) => done = Err(error),
            }
            break;
        }
        if let Err(error) = done {
            tracing::error!(provider.name = %lane.name, error.kind = "store", "waiting messages could not be taken: {error}");
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }
}

/// What became of a look for waiting messages.
enum Drained {
    /// Every slot stayed taken.
    Busy,
    /// Nothing waits that may go.
    Dry,
    /// Some went.
    Took,
}

/// Takes as many waiting messages as there are permits.
async fn drain(core: &Arc<Core>, lane: &Arc<Lane>) -> Result<Drained, StoreError> {
    // Not for ever: while every slot is taken there is something else to look after.
    let first = match tokio::time::timeout(TICK, lane.begin()).await {
        Ok(Some(first)) => first,
        Ok(None) => return Ok(Drained::Dry),
        Err(_) => return Ok(Drained::Busy),
    };
    let mut permits: Vec<Permit> = vec![first];
    permits.extend(std::iter::from_fn(|| lane.try_begin_any()).take(CLAIM_MAX - 1));
    let wanted = permits.len();
    let want = LaneWant { room: lane.room(wanted), ..LaneWant::new(lane.name.clone(), wanted) };
    let claimed = core.store.claim(&[want], core.clock.now()).await;
    let leased = claimed.as_ref().map_or(0, Vec::len);
    // What is not used must not cost throughput.
    permits.drain(leased.min(permits.len())..).for_each(|permit| lane.give_back(permit));
    for (leased, mut permit) in claimed?.into_iter().zip(permits) {
        permit.assign(leased.to.country());
        lane.took(&leased.tenant);
        core.tasks.spawn(work(Arc::clone(core), leased, permit));
    }
    if leased < wanted {
        lane.nothing_waits();
    }
    Ok(if leased == 0 { Drained::Dry } else { Drained::Took })
}

/// Has messages that wait where nothing goes, or next to nothing, wait for another provider of their routes, whose lane
/// then takes them as it takes every other. No attempt begins here: there is no permit for one.
async fn move_stranded(core: &Arc<Core>, lane: &Arc<Lane>) -> Result<(), StoreError> {
    let running = core.running.load_full();
    let Some(want) = stranded(&running, lane) else { return Ok(()) };
    let now = core.clock.now();
    let shown = core.store.stranded(&want, now).await?;
    let moves: Vec<_> =
        shown.into_iter().filter_map(|waiting| Some((elsewhere(&running, &waiting)?, waiting))).collect();
    if moves.is_empty() {
        return Ok(());
    }
    let reroute = |(to, waiting): &(ProviderName, Waiting)| Reroute {
        id: waiting.id,
        attempt: waiting.attempt,
        from: waiting.lane.clone(),
        lane: to.clone(),
        due: waiting.due,
        at: now,
    };
    let moved = core.store.reroute(moves.iter().map(reroute).collect()).await?;
    let running = core.running.load();
    for ((to, waiting), _) in moves.iter().zip(moved).filter(|(_, moved)| *moved) {
        core.telemetry.failover(&lane.name, to);
        running.waits(to, &waiting.tenant);
    }
    Ok(())
}

/// Repetitions that had no place in the retry budget, and for which it has room now, are due.
async fn give_chances(core: &Arc<Core>, lane: &Arc<Lane>) -> Result<(), StoreError> {
    let now = core.clock.now();
    let given = lane.chances(now);
    if given.is_empty() {
        return Ok(());
    }
    let reroute = |hopeful: &Hopeful| Reroute {
        id: hopeful.id,
        attempt: hopeful.attempt,
        from: lane.name.clone(),
        lane: lane.name.clone(),
        due: hopeful.due.max(now),
        at: now,
    };
    let rerouted = core.store.reroute(given.iter().map(reroute).collect()).await;
    let taken = rerouted.as_ref().map_or(&[][..], Vec::as_slice);
    for (hopeful, taken) in given.into_iter().zip(taken.iter().map(Some).chain(std::iter::repeat(None))) {
        match taken {
            Some(true) if hopeful.due <= now => lane.waits(&hopeful.tenant),
            Some(true) => {}
            Some(false) => lane.cancel_repetition(), // it came to an end meanwhile
            None => {
                lane.cancel_repetition();
                lane.hopes(hopeful);
            }
        }
    }
    rerouted.map(drop)
}

/// Which messages of a lane go nowhere at present although some route has another provider that could take them.
fn stranded(running: &Running, lane: &Lane) -> Option<LaneWant> {
    let want = LaneWant::new(lane.name.clone(), CLAIM_MAX);
    let want = if takes_nothing(running, lane) {
        LaneWant { others: if has_other(running, &lane.name, None) { CLAIM_MAX } else { 0 }, ..want }
    } else {
        let countries = lane.stranded_countries().into_iter();
        let movable = countries.filter(|country| has_other(running, &lane.name, Some(*country)));
        LaneWant { room: movable.map(|country| (country, CLAIM_MAX)).collect(), others: 0, ..want }
    };
    (want.others > 0 || !want.room.is_empty()).then_some(want)
}

/// Where a message that is stranded had better wait.
fn elsewhere(running: &Running, waiting: &Waiting) -> Option<ProviderName> {
    let gate = |name: &ProviderName| running.provider(name).map_or(Gate::Shut, |(lane, _)| lane.gate(waiting.country));
    policy::elsewhere(&waiting.route.candidates, &waiting.tried, &waiting.lane, gate)
}

/// Nothing goes there, wherever to: it is shut, or has left the configuration.
fn takes_nothing(running: &Running, lane: &Lane) -> bool {
    lane.is_shut() || running.provider(&lane.name).is_none()
}

/// Whether some route that uses this provider has another one that takes messages (to that country). No route tells of
/// one that left: whoever takes anything may be another one of theirs.
fn has_other(running: &Running, name: &ProviderName, country: Option<Country>) -> bool {
    let takes = |other: &ProviderName| {
        running.provider(other).is_some_and(|(lane, _)| match country {
            Some(country) => lane.gate(country) == Gate::Go,
            None => !lane.is_shut(),
        })
    };
    if running.provider(name).is_none() {
        return running.plan.providers.keys().any(takes);
    }
    let mut choices = running.plan.rules.iter().map(|rule| &rule.choice);
    choices.any(|choice| {
        choice.providers().any(|provider| provider == name)
            && choice.providers().any(|other| other != name && takes(other))
    })
}

/// Goes on with attempts that were on the wire when their process died: their outcome is unknown. Says how many.
pub(crate) fn resume(core: &Arc<Core>, orphans: Vec<Leased>) -> usize {
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
    count
}

fn interrupted(core: &Core, leased: &Leased) -> Ended {
    let error = SendError::new(Kind::Unavailable, Fate::Unknown, "the gateway stopped during the attempt");
    let result = Err(error.with_code(INTERRUPTED));
    let attempted = attempted(leased, &result, core.clock.now(), Duration::ZERO);
    debug_assert_eq!(attempted.outcome, Outcome::Unknown);
    Ended { attempted, result }
}
