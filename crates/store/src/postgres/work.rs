//! The rows that one batch may touch, read in and locked before, written back after: between the two the keeper decides as
//! it does for every store, without waiting. Knows no SQL.

use std::collections::{BTreeMap, HashMap, HashSet};

use sms_core::store::{Endpoint, NoticeId, ReceivedReceipt};
use sms_core::{MessageId, Part, ProviderName, Status, TenantId, UnixMs};

use crate::key::Hash16;
use crate::parked::ParkedId;
use crate::state::{State, Turn};
use crate::tables::{Failure, Kept, NewNotice, Payload, Sealed, Stored, Tables};

/// What was read, and what is to be written.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) messages: HashMap<MessageId, Loaded>,
    /// Messages by providers' ids, and parts.
    pub(super) upstream: HashMap<(String, ProviderName), (MessageId, Option<Part>)>,
    pub(super) answers: HashMap<Hash16, Kept>,
    pub(super) out: Out,
}

/// A message as it was read, as it is now.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) stored: Stored,
    /// Read only where it may be leased.
    pub(super) body: Option<Vec<u8>>,
    /// Whose attempt is open.
    pub(super) owner: i64,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Out {
    /// By message: what it was before and the new lines of its history.
    pub(super) changed: BTreeMap<MessageId, (State, Vec<u8>)>,
    pub(super) inserted: Vec<Inserted>,
    pub(super) upstream: Vec<(String, ProviderName, MessageId, Option<Part>)>,
    pub(super) notices: Vec<Telling>,
    pub(super) parked: Vec<ReceivedReceipt>,
    pub(super) unparked: Vec<ParkedId>,
}

/// A new message.
#[derive(Debug)]
pub(super) struct Inserted {
    pub(super) sealed: Sealed,
    pub(super) state: State,
    pub(super) log: Vec<u8>,
}

/// A new notice.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) message: MessageId,
    pub(super) tenant: TenantId,
    pub(super) status: Status,
    pub(super) at: UnixMs,
    pub(super) due: UnixMs,
}

impl Work {
    /// The state of a message that was changed, as it is now.
    pub(super) fn now(&self, id: MessageId) -> Option<&State> {
        self.messages.get(&id).map(|loaded| &loaded.stored.state)
    }

    /// Messages whose attempt is open with another node than `me`.
    pub(super) fn foreign(&self, me: i64) -> HashSet<MessageId> {
        let open = |loaded: &&Loaded| loaded.stored.state.wait == crate::state::Wait::Open && loaded.owner != me;
        self.messages.values().filter(open).map(|loaded| loaded.stored.state.id).collect()
    }

    fn loaded(&self, id: MessageId) -> Result<&Loaded, Failure> {
        self.messages.get(&id).ok_or_else(|| Failure::damaged(format!("message {id} is missing")))
    }
}

impl Tables for Work {
    fn begin(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn rollback(&mut self) {}

    fn insert(&mut self, message: &Sealed, state: &State, log: &[u8]) -> Result<(), Failure> {
        self.out.inserted.push(Inserted { sealed: message.clone(), state: state.clone(), log: log.to_vec() });
        Ok(())
    }

    fn state(&mut self, id: MessageId) -> Result<Option<State>, Failure> {
        Ok(self.now(id).cloned())
    }

    fn update(&mut self, turn: &Turn) -> Result<(), Failure> {
        let id = turn.state.id;
        let Some(loaded) = self.messages.get_mut(&id) else {
            return Err(Failure::damaged(format!("message {id} is missing")));
        };
        let (_, lines) = self.out.changed.entry(id).or_insert_with(|| (turn.before.clone(), Vec::new()));
        lines.extend_from_slice(&turn.lines);
        loaded.stored.log.extend_from_slice(&turn.lines);
        loaded.stored.state = State { log_len: loaded.stored.log.len(), ..turn.state.clone() };
        if let (Some(upstream_id), Some(provider)) = (&turn.state.upstream_id, &turn.state.provider)
            && (turn.before.upstream_id.as_ref(), turn.before.provider.as_ref()) != (Some(upstream_id), Some(provider))
        {
            self.upstream.insert((upstream_id.clone(), provider.clone()), (id, None));
            self.out.upstream.push((upstream_id.clone(), provider.clone(), id, None));
        }
        Ok(())
    }

    fn log(&mut self, state: &State) -> Result<Vec<u8>, Failure> {
        self.loaded(state.id).map(|loaded| loaded.stored.log.clone())
    }

    fn payload(&mut self, state: &State) -> Result<Payload, Failure> {
        let loaded = self.loaded(state.id)?;
        let Stored { to, details, log, .. } = loaded.stored.clone();
        Ok(Payload { to, body: loaded.body.clone(), details, log })
    }

    fn record(&mut self, id: MessageId) -> Result<Option<Stored>, Failure> {
        Ok(self.messages.get(&id).map(|loaded| loaded.stored.clone()))
    }

    fn by_upstream(&mut self, upstream_id: &str, provider: &ProviderName) -> Result<Option<MessageId>, Failure> {
        let found = self.upstream.get(&(upstream_id.to_owned(), provider.clone()));
        Ok(found.filter(|(_, part)| part.is_none()).map(|(id, _)| *id))
    }

    fn add_parts(&mut self, message: MessageId, provider: &ProviderName, ids: &[&str]) -> Result<(), Failure> {
        let of = u16::try_from(ids.len()).unwrap_or(u16::MAX);
        for (id, number) in ids.iter().zip(1..) {
            self.out.upstream.push(((*id).to_owned(), provider.clone(), message, Some(Part { number, of })));
        }
        Ok(())
    }

    fn part(&mut self, upstream_id: &str, provider: &ProviderName) -> Result<Option<(MessageId, Part)>, Failure> {
        let found = self.upstream.get(&(upstream_id.to_owned(), provider.clone()));
        Ok(found.and_then(|(id, part)| Some((*id, (*part)?))))
    }

    fn replay(&mut self, key: &Hash16) -> Result<Option<Kept>, Failure> {
        Ok(self.answers.get(key).cloned())
    }

    fn keep_answer(&mut self, key: &Hash16, kept: &Kept) -> Result<(), Failure> {
        self.answers.insert(*key, kept.clone());
        Ok(())
    }

    fn charge(&mut self, _at: UnixMs, _keys: &[(Hash16, UnixMs)]) -> Result<(), Failure> {
        Ok(()) // the book is written back as it is then
    }

    fn park(&mut self, receipt: &ReceivedReceipt) -> Result<ParkedId, Failure> {
        self.out.parked.push(receipt.clone());
        Ok(-super::rows::limit(self.out.parked.len())) // it has no row yet and nothing of this batch asks for it
    }

    fn unpark(&mut self, id: ParkedId) -> Result<(), Failure> {
        self.out.unparked.push(id);
        Ok(())
    }

    fn add_notice(&mut self, notice: &NewNotice<'_>) -> Result<(), Failure> {
        let NewNotice { message, tenant, status, at, due } = *notice;
        self.out.notices.push(Telling { message, tenant: tenant.clone(), status, at, due });
        Ok(())
    }

    fn end_notice(&mut self, _id: NoticeId) -> Result<(), Failure> {
        Err(elsewhere())
    }

    fn retry_notice(&mut self, _id: NoticeId, _due: UnixMs) -> Result<(), Failure> {
        Err(elsewhere())
    }

    fn shelve_notice(&mut self, _id: NoticeId) -> Result<(), Failure> {
        Err(elsewhere())
    }

    fn unshelve_notices(
        &mut self,
        _tenant: &TenantId,
        _span: (UnixMs, UnixMs),
        _max: usize,
        _now: UnixMs,
    ) -> Result<u64, Failure> {
        Err(elsewhere())
    }

    fn set_endpoint(&mut self, _endpoint: &Endpoint) -> Result<(), Failure> {
        Err(elsewhere())
    }

    fn purge_messages(&mut self, _before: UnixMs, _budget: usize) -> Result<u64, Failure> {
        Err(elsewhere())
    }

    fn purge_numbers(&mut self, _before: UnixMs, _budget: usize) -> Result<u64, Failure> {
        Err(elsewhere())
    }

    fn purge_others(&mut self, _now: UnixMs, _budget: usize) -> Result<u64, Failure> {
        Err(elsewhere())
    }

    fn ping(&mut self, _now: UnixMs) -> Result<(), Failure> {
        Err(elsewhere())
    }
}

/// Decides nothing, so it is one statement (`notices`, `purge`), and nobody asks for it here.
fn elsewhere() -> Failure {
    Failure::damaged("a statement of its own")
}
