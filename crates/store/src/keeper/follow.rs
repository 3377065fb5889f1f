//! What happens to accepted messages: outcomes, receipts, cancellation, feedback.

use sms_core::store::{
    CancelOutcome, Entry, NoticeId, NoticeOutcome, Receipted, ReceivedReceipt, Retelling, Settle, Settled, Then, What,
};
use sms_core::{MessageId, Part, ProviderName, TenantId, UnixMs};

use super::Keeper;
use crate::parked::{ParkedId, is_stale};
use crate::parts::{self, Parts};
use crate::state::{State, Turn, Wait, entries};
use crate::tables::{Failure, NewNotice, Stored, Tables};

impl<T: Tables> Keeper<T> {
    /// Records outcomes; an attempt that is no longer open is fenced.
    pub(crate) fn settle(&mut self, batch: &[Settle]) -> Result<Vec<Settled>, Failure> {
        batch.iter().map(|settle| self.settle_one(settle)).collect()
    }

    /// Matches receipts, or parks them.
    pub(crate) fn receipts(&mut self, batch: &[ReceivedReceipt], now: UnixMs) -> Result<Vec<Receipted>, Failure> {
        let answers = batch.iter().map(|received| self.receipt_one(received)).collect();
        self.unpark_stale(now, batch.len() + 1)?;
        answers
    }

    /// Cancels a message of `tenant` to which nothing happened yet.
    pub(crate) fn cancel(&mut self, tenant: &TenantId, id: MessageId, now: UnixMs) -> Result<CancelOutcome, Failure> {
        let Some(state) = self.tables.state(id)?.filter(|state| state.tenant == *tenant) else {
            return Ok(CancelOutcome::NotFound);
        };
        let mut turn = Turn::of(state);
        turn.cancel(now);
        if turn.state.status == turn.before.status {
            return Ok(CancelOutcome::TooLate(turn.state.status));
        }
        self.finish(&turn).map(CancelOutcome::Canceled)
    }

    /// Appends to the history of a message of `tenant`.
    pub(crate) fn note(&mut self, tenant: &TenantId, id: MessageId, entry: &Entry) -> Result<Option<Stored>, Failure> {
        let Some(state) = self.tables.state(id)?.filter(|state| state.tenant == *tenant) else { return Ok(None) };
        let mut turn = Turn::of(state);
        turn.note(entry.at, entry.what.clone());
        self.finish(&turn)?;
        self.tables.record(id)
    }

    /// Puts attempts that nobody took up back into their lanes; nothing of them was sent.
    pub(crate) fn release(&mut self, attempts: &[(MessageId, u16)], now: UnixMs) -> Result<(), Failure> {
        for (id, attempt) in attempts {
            if let Some(state) = self.open(*id, *attempt)? {
                let mut turn = Turn::of(state);
                turn.release(now);
                self.finish(&turn)?;
            }
        }
        Ok(())
    }

    /// Records how telling tenants went.
    pub(crate) fn settle_notices(&mut self, batch: &[(NoticeId, NoticeOutcome)]) -> Result<(), Failure> {
        for (id, outcome) in batch {
            match outcome {
                NoticeOutcome::Done => self.tables.end_notice(*id)?,
                NoticeOutcome::Retry { due } => self.tables.retry_notice(*id, *due)?,
                NoticeOutcome::Shelved => self.tables.shelve_notice(*id)?,
            }
        }
        Ok(())
    }

    /// Has a tenant told once more; says of how many changes.
    pub(crate) fn retell(&mut self, tenant: &TenantId, what: &Retelling, now: UnixMs) -> Result<u64, Failure> {
        let id = match what {
            Retelling::Message(id) => *id,
            Retelling::Shelved { since, until, max } => {
                return self.tables.unshelve_notices(tenant, (*since, *until), *max, now);
            }
        };
        let state = self.tables.state(id)?.filter(|state| state.tenant == *tenant && state.status.is_told());
        let Some(state) = state else { return Ok(0) };
        let (message, status, at) = (state.id, state.status, state.updated);
        self.tables.add_notice(&NewNotice { message, tenant, status, at, due: now })?;
        Ok(1)
    }

    /// The message whose attempt `attempt` is open.
    pub(super) fn open(&mut self, id: MessageId, attempt: u16) -> Result<Option<State>, Failure> {
        let state = self.tables.state(id)?;
        Ok(state.filter(|state| state.wait == Wait::Open && state.attempt == attempt))
    }

    /// Records one outcome.
    pub(crate) fn settle_one(&mut self, settle: &Settle) -> Result<Settled, Failure> {
        let Some(state) = self.open(settle.id, settle.attempt)? else { return Ok(Settled::Fenced) };
        let mut turn = Turn::of(state);
        let sent = match &settle.then {
            Then::Sent { upstream_id } => Some(upstream_id.as_str()),
            Then::Again { .. } | Then::End(_) | Then::Later { .. } => None,
        };
        let (provider, ids) = (&settle.attempted.provider, sent.unwrap_or_default());
        let parked = self.parked_of(settle.id, provider, ids);
        if sent.is_some() {
            turn.settle(settle);
            if let Some(ids) = parts::ids(ids) {
                self.tables.add_parts(settle.id, provider, &ids)?;
            }
        }
        for id in parked {
            self.tables.unpark(id)?;
            if let Some(received) = self.parked.remove(id).filter(|received| !is_stale(received, settle.at)) {
                let part = parts::place(ids, &received.receipt.upstream_id);
                self.take_receipt(&mut turn, &received, part)?;
            }
        }
        // Only now: a parked receipt may have forbidden the next attempt.
        let go = sent.is_none() && turn.settle(settle);
        let change = self.finish(&turn)?;
        Ok(Settled::Done { change, go })
    }

    fn receipt_one(&mut self, received: &ReceivedReceipt) -> Result<Receipted, Failure> {
        match self.addressee(received)? {
            Some((state, part)) => {
                let mut turn = Turn::of(state);
                self.take_receipt(&mut turn, received, part)?;
                self.finish(&turn).map(Receipted::Matched)
            }
            None => self.park(received).map(|()| Receipted::Parked),
        }
    }

    /// What the receipt of a part says about the message is what is known of all its parts.
    fn take_receipt(&mut self, turn: &mut Turn, received: &ReceivedReceipt, told: Option<Part>) -> Result<(), Failure> {
        let receipt = &received.receipt;
        let Some(part) = receipt.part.or(told).filter(|part| part.of > 1) else {
            turn.receipt(received);
            return Ok(());
        };
        let mut log = self.tables.log(&turn.before)?;
        log.extend_from_slice(&turn.lines);
        let mut parts = Parts::of(&entries(&log).unwrap_or_default(), &received.provider);
        let news = parts.learn(part, &receipt.state);
        turn.part_receipt(received, part.number, news, parts.whole(part.of));
        Ok(())
    }

    /// The message a receipt speaks of, and the part: by our id where the provider was ever given it, else by the
    /// provider's.
    fn addressee(&mut self, received: &ReceivedReceipt) -> Result<Option<(State, Option<Part>)>, Failure> {
        let (receipt, provider) = (&received.receipt, &received.provider);
        let upstream_id = Some(receipt.upstream_id.as_str()).filter(|id| (1..=UPSTREAM_ID_MAX).contains(&id.len()));
        if let Some(id) = receipt.message
            && let Some(state) = self.tables.state(id)?
            && self.was_tried(&state, provider)?
        {
            let in_parts = state.upstream_id.as_deref().is_some_and(|ids| parts::ids(ids).is_some());
            let part = match upstream_id.filter(|_| in_parts) {
                Some(upstream_id) => self.tables.part(upstream_id, provider)?,
                None => None,
            };
            return Ok(Some((state, part.map(|(_, part)| part))));
        }
        let Some(upstream_id) = upstream_id else { return Ok(None) };
        let (id, part) = match self.tables.by_upstream(upstream_id, provider)? {
            Some(id) => (id, None),
            None => match self.tables.part(upstream_id, provider)? {
                Some((id, part)) => (id, Some(part)),
                None => return Ok(None),
            },
        };
        Ok(self.tables.state(id)?.map(|state| (state, part)))
    }

    /// The parked receipts of `provider` that speak of this message or of one of its parts, oldest first.
    fn parked_of(&self, message: MessageId, provider: &ProviderName, ids: &str) -> Vec<ParkedId> {
        let Some(each) = parts::ids(ids) else { return self.parked.of(message, provider, ids) };
        let mut found: Vec<ParkedId> = each.iter().flat_map(|id| self.parked.of(message, provider, id)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn was_tried(&mut self, state: &State, provider: &ProviderName) -> Result<bool, Failure> {
        if state.provider.as_ref() == Some(provider) {
            return Ok(true);
        }
        if state.attempt < 2 {
            return Ok(false);
        }
        let log = self.tables.log(state)?;
        let entries = entries(&log).unwrap_or_default();
        Ok(entries.iter().any(|entry| matches!(&entry.what, What::Intent { provider: with, .. } if with == provider)))
    }

    fn park(&mut self, received: &ReceivedReceipt) -> Result<(), Failure> {
        let receipt = &received.receipt;
        let nameless = receipt.message.is_none() && receipt.upstream_id.is_empty();
        if nameless || receipt.upstream_id.len() > UPSTREAM_ID_MAX {
            return Ok(()); // nothing could ever match it
        }
        let id = self.tables.park(received)?;
        self.parked.add(id, received.clone());
        Ok(())
    }
}

/// Longest provider's id that is looked at; real ones have 64 characters at most.
const UPSTREAM_ID_MAX: usize = 256;
