//! Waiting messages: claims, moves, expiry, and what a crash left behind.

use sms_core::store::{Change, LaneWant, Leased, Reroute, Waiting};
use sms_core::{MessageId, UnixMs};
use tracing::error;

use super::Keeper;
use crate::queue::Room;
use crate::read;
use crate::state::{State, Turn, Wait};
use crate::tables::{Failure, Tables};

impl<T: Tables> Keeper<T> {
    /// Takes due messages out of the lanes, with the intent of their next attempt.
    pub(crate) fn claim(&mut self, wants: &[LaneWant], now: UnixMs) -> Result<Vec<Leased>, Failure> {
        let mut claimed = Vec::new();
        for want in wants {
            let room = Room { countries: &want.room, others: want.others };
            for id in self.queue.pick(&want.lane, now, want.max, &room) {
                claimed.extend(self.claim_one(id, now)?);
            }
        }
        Ok(claimed)
    }

    /// Shows messages that wait in a lane; each call goes on where the last one ended.
    pub(crate) fn stranded(&mut self, want: &LaneWant, now: UnixMs) -> Result<Vec<Waiting>, Failure> {
        let room = Room { countries: &want.room, others: want.others };
        let mut shown = Vec::new();
        for id in self.queue.look(&want.lane, now, want.max, &room) {
            shown.extend(self.show(id, now)?);
        }
        Ok(shown)
    }

    /// One message that waits; `None` where it cannot be sent.
    pub(crate) fn show(&mut self, id: MessageId, now: UnixMs) -> Result<Option<Waiting>, Failure> {
        let Some(state) = self.waiting(id)? else { return Ok(None) };
        let payload = self.tables.payload(&state)?;
        let waiting = read::waiting(&self.keys, &state, &payload);
        if waiting.is_none() {
            self.give_up(state, now)?;
        }
        Ok(waiting)
    }

    /// Ends one message whose time to live has passed.
    pub(crate) fn end(&mut self, id: MessageId, now: UnixMs) -> Result<Option<Change>, Failure> {
        let Some(state) = self.waiting(id)? else { return Ok(None) };
        let mut turn = Turn::of(state);
        turn.expire(now);
        self.finish(&turn).map(Some)
    }

    /// Has waiting messages wait elsewhere; says of each whether it still waited as told.
    pub(crate) fn reroute(&mut self, batch: &[Reroute]) -> Result<Vec<bool>, Failure> {
        batch.iter().map(|reroute| self.reroute_one(reroute)).collect()
    }

    /// Ends waiting messages whose time to live has passed.
    pub(crate) fn sweep(&mut self, now: UnixMs, max: usize) -> Result<Vec<Change>, Failure> {
        let mut changes = Vec::new();
        for id in self.queue.expired(now, max) {
            changes.extend(self.end(id, now)?);
        }
        Ok(changes)
    }

    /// Attempts that were open when the store was opened and that nobody settled since.
    pub(crate) fn orphans(&mut self, now: UnixMs) -> Result<Vec<Leased>, Failure> {
        for id in self.put_off.clone() {
            let Some(state) = self.tables.state(id)?.filter(State::is_put_off) else { continue };
            let (attempt, lane) = (state.attempt, state.lane.clone());
            self.reroute_one(&Reroute { id, attempt, from: lane.clone(), lane, due: now, at: now })?;
        }
        let mut leased = Vec::new();
        for (id, attempt) in self.orphans.clone() {
            let Some(state) = self.open(id, attempt)? else { continue };
            if state.status.may_attempt() {
                leased.extend(self.lease(state, now)?);
            } else {
                // A receipt ended it before the crash; its text is gone and nothing can follow.
                let mut turn = Turn::of(state);
                turn.interrupted(now);
                self.finish(&turn)?;
            }
        }
        Ok(leased)
    }

    /// Opens the next attempt of a message that waits; `None` where it cannot be sent.
    pub(crate) fn claim_one(&mut self, id: MessageId, now: UnixMs) -> Result<Option<Leased>, Failure> {
        let Some(state) = self.waiting(id)? else { return Ok(None) };
        let mut turn = Turn::of(state);
        turn.begin(turn.state.lane.clone(), now);
        self.finish(&turn)?;
        self.lease(turn.state, now)
    }

    fn reroute_one(&mut self, reroute: &Reroute) -> Result<bool, Failure> {
        let waits = |state: &State| {
            matches!(state.wait, Wait::Until(_)) && state.attempt == reroute.attempt && state.lane == reroute.from
        };
        let Some(state) = self.tables.state(reroute.id)?.filter(waits) else { return Ok(false) };
        let mut turn = Turn::of(state);
        turn.reroute(reroute);
        self.finish(&turn)?;
        Ok(true)
    }

    /// `None` ends the message.
    fn lease(&mut self, state: State, now: UnixMs) -> Result<Option<Leased>, Failure> {
        let payload = self.tables.payload(&state)?;
        let leased = read::leased(&self.keys, &state, &payload);
        if leased.is_none() {
            self.give_up(state, now)?;
        }
        Ok(leased)
    }

    /// Its row was damaged, so nobody can send it.
    fn give_up(&mut self, state: State, now: UnixMs) -> Result<(), Failure> {
        error!(message.id = %state.id, "message {} cannot be sent: its row cannot be authenticated", state.id);
        let mut turn = Turn::of(state);
        turn.give_up(now);
        self.finish(&turn).map(drop)
    }

    fn waiting(&mut self, id: MessageId) -> Result<Option<State>, Failure> {
        let state = self.tables.state(id)?.filter(|state| matches!(state.wait, Wait::Until(_)));
        if state.is_none() {
            error!(message.id = %id, "message {id} waits in memory but not in its row");
        }
        Ok(state)
    }
}
