//! Acceptance: idempotency, then limits, then the message, in one step.

use std::time::Duration;

use sms_core::store::{Charging, Entry, Replay, Verdict, What};
use sms_core::{LimitId, UnixMs};

use super::{Keeper, job};
use crate::book::reach;
use crate::read;
use crate::state::{Turn, line};
use crate::tables::{Failure, NewAdmit, NewBlocked, NewCharge, Tables};

impl<T: Tables> Keeper<T> {
    /// Decides each entry; later entries see the effects of earlier ones.
    pub(crate) fn admit(&mut self, batch: &[NewAdmit], now: UnixMs) -> Result<Vec<Verdict>, Failure> {
        batch.iter().map(|new| self.admit_one(new, now)).collect()
    }

    /// Writes refused requests into the history.
    pub(crate) fn block(&mut self, batch: &[NewBlocked]) -> Result<(), Failure> {
        for new in batch {
            let mut log = Vec::new();
            line(&mut log, &Entry { at: new.state.created, what: What::Blocked { code: new.code.clone() } });
            self.tables.insert(&new.message, &new.state, &log)?;
        }
        Ok(())
    }

    /// Decides one entry.
    pub(crate) fn admit_one(&mut self, new: &NewAdmit, now: UnixMs) -> Result<Verdict, Failure> {
        if let Some(verdict) = self.replayed(new, now)? {
            return Ok(verdict);
        }
        let shadowed = match self.decide(&new.charges, now) {
            Ok(shadowed) => shadowed,
            Err((limit, retry_after)) => return Ok(Verdict::Limited { limit, retry_after }),
        };
        self.charge(&new.charges, &shadowed, now)?;
        if let Some((key, kept)) = &new.idempotency {
            self.tables.keep_answer(key, kept)?;
        }
        self.insert(new)?;
        Ok(Verdict::Leased { shadowed })
    }

    fn replayed(&mut self, new: &NewAdmit, now: UnixMs) -> Result<Option<Verdict>, Failure> {
        let Some((key, kept)) = &new.idempotency else { return Ok(None) };
        let Some(before) = self.tables.replay(key)?.filter(|before| read::answers(before, now)) else {
            return Ok(None);
        };
        match read::replay(&self.keys, &before, &kept.fingerprint) {
            Ok(Replay::KeyReuse) => Ok(Some(Verdict::KeyReuse)),
            Ok(Replay::Replayed { id, answer }) => Ok(Some(Verdict::Replayed { id, answer })),
            Err(error) => Err(Failure::operation(error)),
        }
    }

    /// The shadow limits that would have refused, or the limit that refuses longest.
    fn decide(&mut self, charges: &[NewCharge], now: UnixMs) -> Result<Vec<LimitId>, (LimitId, Duration)> {
        let (mut shadowed, mut refused) = (Vec::new(), None::<(LimitId, Duration)>);
        for charge in charges {
            let Some(wait) = self.book.refusal(&charge.key, now, &charge.windows) else { continue };
            match charge.charging {
                Charging::Shadow => shadowed.push(charge.limit.clone()),
                Charging::Block if refused.as_ref().is_none_or(|(_, longest)| wait > *longest) => {
                    refused = Some((charge.limit.clone(), wait));
                }
                Charging::Block => {}
            }
        }
        refused.map_or(Ok(shadowed), Err)
    }

    /// A shadow limit counts what it would have let pass, as it would if it blocked.
    fn charge(&mut self, charges: &[NewCharge], shadowed: &[LimitId], now: UnixMs) -> Result<(), Failure> {
        let mut keys = Vec::with_capacity(charges.len());
        for charge in charges.iter().filter(|charge| !shadowed.contains(&charge.limit)) {
            self.book.charge(charge.key, now, &charge.windows);
            keys.push((charge.key, now.plus(reach(&charge.windows))));
        }
        if keys.is_empty() { Ok(()) } else { self.tables.charge(now, &keys) }
    }

    fn insert(&mut self, new: &NewAdmit) -> Result<(), Failure> {
        let mut turn = Turn::of(new.state.clone());
        turn.note(new.state.created, What::Accepted);
        if new.begin {
            turn.begin(new.state.lane.clone(), new.state.created);
        }
        let state = &turn.state;
        self.tables.insert(&new.message, state, &turn.lines)?;
        if let Some(job) = job(state) {
            self.queue.add(job);
        }
        self.queue.follow(state.id, None, state.status);
        Ok(())
    }
}
