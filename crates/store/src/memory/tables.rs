//! Rows in maps. No transaction fails here, so nothing is taken back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sms_core::store::{Endpoint, Filter, NoticeId, NoticeWant, ReceivedReceipt};
use sms_core::{MessageId, Part, ProviderName, Status, TenantId, UnixMs};

use crate::key::Hash16;
use crate::parked::ParkedId;
use crate::state::{State, Turn, Wait};
use crate::tables::{Failure, Kept, NewNotice, Payload, SHELVED, Sealed, Stored, Tables, first_id, passes, span};

/// Everything the memory store keeps.
#[derive(Debug, Default)]
pub(crate) struct MemoryTables {
    messages: BTreeMap<MessageId, Row>,
    upstream: HashMap<(String, ProviderName), MessageId>,
    answers: HashMap<Hash16, Kept>,
    notices: BTreeMap<NoticeId, Telling>,
    endpoints: BTreeMap<TenantId, Endpoint>,
    parts: HashMap<(String, ProviderName), (MessageId, Part)>,
    /// Of parked receipts and notices.
    last_id: i64,
}

#[derive(Debug)]
struct Row {
    sealed: Sealed,
    to: Option<Vec<u8>>,
    state: State,
    log: Vec<u8>,
}

/// A notice without its message.
#[derive(Clone, Debug)]
pub(crate) struct Telling {
    pub(crate) message: MessageId,
    pub(crate) tenant: TenantId,
    pub(crate) status: Status,
    pub(crate) at: UnixMs,
    pub(crate) due: UnixMs,
    pub(crate) attempt: u16,
}

impl MemoryTables {
    /// Up to `filter.limit` messages, newest first, and whether there are more.
    pub(crate) fn search(&self, filter: &Filter, to: Option<&Hash16>) -> (Vec<Stored>, bool) {
        let (since, end) = span(filter);
        if since >= end {
            return (Vec::new(), false);
        }
        let newest = self.messages.range(since..end).rev().map(|(_, row)| row);
        let mut found =
            newest.filter(|row| passes(filter, &row.state, &row.sealed.to_hash, row.sealed.client_id.as_deref(), to));
        let page = found.by_ref().take(filter.limit).map(stored).collect();
        (page, found.next().is_some())
    }

    /// One tenant's notices that are due, in order.
    pub(crate) fn due_notices(&self, want: &NoticeWant, now: UnixMs) -> Vec<(NoticeId, Telling)> {
        let is_due = |telling: &Telling| telling.tenant == want.tenant && telling.due <= now && telling.due != SHELVED;
        let mut due: Vec<_> =
            self.notices.iter().filter(|(_, telling)| is_due(telling)).map(|(id, t)| (*id, t.clone())).collect();
        due.sort_by_key(|(id, telling)| (telling.due, *id));
        due.truncate(want.max);
        due
    }

    /// Tenants with notices that are not shelved.
    pub(crate) fn notice_tenants(&self) -> BTreeSet<TenantId> {
        self.notices.values().filter(|telling| telling.due != SHELVED).map(|telling| telling.tenant.clone()).collect()
    }

    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints.values().cloned().collect()
    }

    /// Every open attempt.
    pub(crate) fn open(&self) -> Vec<(MessageId, u16)> {
        let states = self.messages.values().map(|row| &row.state);
        states.filter(|state| state.wait == Wait::Open).map(|state| (state.id, state.attempt)).collect()
    }

    pub(crate) fn put_off(&self) -> Vec<MessageId> {
        self.messages.values().map(|row| &row.state).filter(|state| state.is_put_off()).map(|state| state.id).collect()
    }

    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    fn row(&self, id: MessageId) -> Result<&Row, Failure> {
        self.messages.get(&id).ok_or_else(|| Failure::damaged(format!("message {id} is missing")))
    }
}

impl Tables for MemoryTables {
    fn begin(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn rollback(&mut self) {}

    fn insert(&mut self, message: &Sealed, state: &State, log: &[u8]) -> Result<(), Failure> {
        let state = State { log_len: log.len(), ..state.clone() };
        let row = Row { sealed: message.clone(), to: Some(message.to.clone()), state, log: log.to_vec() };
        if self.messages.contains_key(&row.state.id) {
            return Err(Failure::damaged(format!("message {} exists", row.state.id)));
        }
        self.messages.insert(row.state.id, row);
        Ok(())
    }

    fn state(&mut self, id: MessageId) -> Result<Option<State>, Failure> {
        Ok(self.messages.get(&id).map(|row| row.state.clone()))
    }

    fn update(&mut self, turn: &Turn) -> Result<(), Failure> {
        let id = turn.state.id;
        let Some(row) = self.messages.get_mut(&id) else {
            return Err(Failure::damaged(format!("message {id} is missing")));
        };
        row.state = turn.state.clone();
        row.log.extend_from_slice(&turn.lines);
        row.state.log_len = row.log.len();
        if !turn.state.status.may_attempt() {
            row.sealed.body = None;
        }
        if let (Some(upstream_id), Some(provider)) = (&turn.state.upstream_id, &turn.state.provider) {
            self.upstream.insert((upstream_id.clone(), provider.clone()), id);
        }
        Ok(())
    }

    fn log(&mut self, state: &State) -> Result<Vec<u8>, Failure> {
        self.row(state.id).map(|row| row.log.clone())
    }

    fn payload(&mut self, state: &State) -> Result<Payload, Failure> {
        self.row(state.id).map(|row| Payload {
            to: row.to.clone(),
            body: row.sealed.body.clone(),
            details: row.sealed.details.clone(),
            log: row.log.clone(),
        })
    }

    fn record(&mut self, id: MessageId) -> Result<Option<Stored>, Failure> {
        Ok(self.messages.get(&id).map(stored))
    }

    fn by_upstream(&mut self, upstream_id: &str, provider: &ProviderName) -> Result<Option<MessageId>, Failure> {
        Ok(self.upstream.get(&(upstream_id.to_owned(), provider.clone())).copied())
    }

    fn add_parts(&mut self, message: MessageId, provider: &ProviderName, ids: &[&str]) -> Result<(), Failure> {
        let of = u16::try_from(ids.len()).unwrap_or(u16::MAX);
        for (id, number) in ids.iter().zip(1..) {
            self.parts.insert(((*id).to_owned(), provider.clone()), (message, Part { number, of }));
        }
        Ok(())
    }

    fn part(&mut self, upstream_id: &str, provider: &ProviderName) -> Result<Option<(MessageId, Part)>, Failure> {
        Ok(self.parts.get(&(upstream_id.to_owned(), provider.clone())).copied())
    }

    fn replay(&mut self, key: &Hash16) -> Result<Option<Kept>, Failure> {
        Ok(self.answers.get(key).cloned())
    }

    fn keep_answer(&mut self, key: &Hash16, kept: &Kept) -> Result<(), Failure> {
        self.answers.insert(*key, kept.clone());
        Ok(())
    }

    fn charge(&mut self, _at: UnixMs, _keys: &[(Hash16, UnixMs)]) -> Result<(), Failure> {
        Ok(()) // the book is all there is
    }

    fn park(&mut self, _receipt: &ReceivedReceipt) -> Result<ParkedId, Failure> {
        Ok(self.next_id())
    }

    fn unpark(&mut self, _id: ParkedId) -> Result<(), Failure> {
        Ok(())
    }

    fn add_notice(&mut self, notice: &NewNotice<'_>) -> Result<(), Failure> {
        let id = NoticeId(self.next_id());
        let NewNotice { message, tenant, status, at, due } = *notice;
        self.notices.insert(id, Telling { message, tenant: tenant.clone(), status, at, due, attempt: 0 });
        Ok(())
    }

    fn end_notice(&mut self, id: NoticeId) -> Result<(), Failure> {
        self.notices.remove(&id);
        Ok(())
    }

    fn retry_notice(&mut self, id: NoticeId, due: UnixMs) -> Result<(), Failure> {
        if let Some(telling) = self.notices.get_mut(&id).filter(|telling| telling.due != SHELVED) {
            telling.due = due;
            telling.attempt = telling.attempt.saturating_add(1);
        }
        Ok(())
    }

    fn shelve_notice(&mut self, id: NoticeId) -> Result<(), Failure> {
        if let Some(telling) = self.notices.get_mut(&id) {
            telling.due = SHELVED;
        }
        Ok(())
    }

    fn unshelve_notices(
        &mut self,
        tenant: &TenantId,
        (since, until): (UnixMs, UnixMs),
        max: usize,
        now: UnixMs,
    ) -> Result<u64, Failure> {
        let shelved = self.notices.values_mut().filter(|telling| {
            telling.tenant == *tenant && telling.due == SHELVED && (since..until).contains(&telling.at)
        });
        let mut due = 0;
        for telling in shelved.take(max) {
            (telling.due, telling.attempt) = (now, 0);
            due += 1;
        }
        Ok(due)
    }

    fn set_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), Failure> {
        self.endpoints.insert(endpoint.tenant.clone(), endpoint.clone());
        Ok(())
    }

    fn purge_messages(&mut self, before: UnixMs, budget: usize) -> Result<u64, Failure> {
        let old = self.messages.range(..first_id(before)).filter(|(_, row)| row.state.wait == Wait::Idle);
        let old: Vec<MessageId> = old.map(|(id, _)| *id).take(budget).collect();
        for id in &old {
            self.messages.remove(id);
        }
        self.upstream.retain(|_, id| !old.contains(id));
        self.notices.retain(|_, telling| !old.contains(&telling.message));
        self.parts.retain(|_, (id, _)| !old.contains(id));
        Ok(old.len() as u64)
    }

    fn purge_numbers(&mut self, before: UnixMs, budget: usize) -> Result<u64, Failure> {
        let old = self.messages.range_mut(..first_id(before)).filter(|(_, row)| row.state.wait == Wait::Idle);
        let numbers = old.filter_map(|(_, row)| row.to.take());
        Ok(numbers.take(budget).count() as u64)
    }

    fn purge_others(&mut self, now: UnixMs, budget: usize) -> Result<u64, Failure> {
        let over = self.answers.iter().filter(|(_, kept)| kept.until <= now).map(|(key, _)| *key);
        let over: Vec<Hash16> = over.take(budget).collect();
        for key in &over {
            self.answers.remove(key);
        }
        Ok(over.len() as u64)
    }

    fn ping(&mut self, _now: UnixMs) -> Result<(), Failure> {
        Ok(())
    }
}

fn stored(row: &Row) -> Stored {
    Stored { state: row.state.clone(), to: row.to.clone(), details: row.sealed.details.clone(), log: row.log.clone() }
}
