//! Writes back what a batch changed: one statement for each table that it touched, all on their way at once with the
//! commit.

use sms_core::{MessageId, ProviderName};
use uuid::Uuid;

use super::Shared;
use super::pool::{Asked, Conn};
use super::rows::{self, clean, uuid};
use super::work::{Out, Work};
use crate::parked::delivery_text;
use crate::state::{State, Wait};
use crate::tables::Failure;

const UPDATE: &str = "UPDATE message m SET status = u.status, updated = u.updated, provider = u.provider, \
    upstream_id = u.upstream_id, lane = u.lane, wait = u.wait, attempt = u.attempt, copies = u.copies, \
    owner = u.owner, log = m.log || u.lines, body_sealed = CASE WHEN u.erases THEN NULL ELSE m.body_sealed END \
    FROM unnest($1::uuid[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::int4[], \
    $9::int4[], $10::int8[], $11::bytea[], $12::bool[]) \
    u(id, status, updated, provider, upstream_id, lane, wait, attempt, copies, owner, lines, erases) \
    WHERE m.id = u.id AND m.id = ANY($1) AND m.id >= $13 AND m.id <= $14";

const KEEP_JOBS: &str = "UPDATE job j SET lane = u.lane, status = u.status, due = u.due, owner = u.owner \
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int8[], $5::int8[]) u(id, lane, status, due, owner) \
    WHERE j.id = u.id AND j.id = ANY($1)";

const END_JOBS: &str = "DELETE FROM job WHERE id = ANY($1::uuid[])";

const UPSTREAM: &str = "INSERT INTO upstream (upstream_id, provider, message, number, parts) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::int4[], $5::int4[])";

const NOTICES: &str = "INSERT INTO notice (message, tenant, status, at, due, attempt) \
    SELECT u.*, 0 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int8[], $5::int8[]) u";

const PARK: &str = "INSERT INTO parked (provider, message, upstream_id, state, code, their_time, at, part, parts) \
    SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::int8[], $8::int4[], \
    $9::int4[])";

const UNPARK: &str = "DELETE FROM parked WHERE row = ANY($1::int8[])";

/// Writes everything and commits. What is open from now on is `owner`'s.
pub(super) async fn commit(shared: &Shared, conn: &mut Conn, work: &Work, owner: i64) -> Result<(), Failure> {
    let (changed, jobs, added) = (Changed::of(work, owner), Jobs::of(work, owner), Added::of(&work.out));
    let mut asked: Vec<Asked<'_>> = Vec::new();
    if !changed.ids.is_empty() {
        asked.push((UPDATE, changed.values()));
    }
    if !jobs.ended.is_empty() {
        asked.push((END_JOBS, vec![&jobs.ended]));
    }
    if !jobs.ids.is_empty() {
        asked.push((KEEP_JOBS, vec![&jobs.ids, &jobs.lanes, &jobs.statuses, &jobs.dues, &jobs.owners]));
    }
    asked.extend(added.asked());
    conn.commit("COMMIT", &asked).await?;
    shared.telling.add(work.out.notices.iter().map(|telling| &telling.tenant));
    Ok(())
}

/// Writes what is added, in whatever transaction is open.
pub(super) async fn write(conn: &mut Conn, work: &Work) -> Result<(), Failure> {
    for (sql, values) in Added::of(&work.out).asked() {
        conn.execute(sql, &values).await?;
    }
    Ok(())
}

/// What is in no row yet, or in none any more.
struct Added<'a> {
    upstream: Upstream<'a>,
    notices: Notices<'a>,
    parked: Parked<'a>,
    unparked: Vec<i64>,
}

impl<'a> Added<'a> {
    fn of(out: &'a Out) -> Self {
        let unparked = out.unparked.iter().copied().filter(|row| *row > 0).collect();
        Self { upstream: Upstream::of(out), notices: Notices::of(out), parked: Parked::of(out), unparked }
    }

    fn asked(&self) -> Vec<Asked<'_>> {
        let mut asked: Vec<Asked<'_>> = Vec::new();
        if !self.upstream.messages.is_empty() {
            let Upstream { ids, providers, messages, numbers, parts } = &self.upstream;
            asked.push((UPSTREAM, vec![ids, providers, messages, numbers, parts]));
        }
        if !self.notices.messages.is_empty() {
            let Notices { messages, tenants, statuses, ats, dues } = &self.notices;
            asked.push((NOTICES, vec![messages, tenants, statuses, ats, dues]));
        }
        if !self.parked.ats.is_empty() {
            asked.push((PARK, self.parked.values()));
        }
        if !self.unparked.is_empty() {
            asked.push((UNPARK, vec![&self.unparked]));
        }
        asked
    }
}

#[derive(Default)]
struct Changed<'a> {
    ids: Vec<Uuid>,
    statuses: Vec<&'static str>,
    updated: Vec<i64>,
    providers: Vec<Option<&'a str>>,
    upstream_ids: Vec<Option<String>>,
    lanes: Vec<&'a str>,
    waits: Vec<Option<i64>>,
    attempts: Vec<i32>,
    copies: Vec<i32>,
    owners: Vec<i64>,
    lines: Vec<&'a [u8]>,
    erases: Vec<bool>,
    /// The first id and the last.
    span: (Uuid, Uuid),
}

impl<'a> Changed<'a> {
    fn of(work: &'a Work, owner: i64) -> Self {
        let mut all = Self::default();
        for (id, (before, lines)) in &work.out.changed {
            let Some(state) = work.now(*id) else { continue };
            all.ids.push(uuid(*id));
            all.statuses.push(state.status.as_str());
            all.updated.push(state.updated.get());
            all.providers.push(state.provider.as_ref().map(ProviderName::as_str));
            all.upstream_ids.push(state.upstream_id.as_deref().map(clean));
            all.lanes.push(state.lane.as_str());
            all.waits.push(state.wait.column());
            all.attempts.push(i32::from(state.attempt));
            all.copies.push(i32::from(state.copies));
            all.owners.push(owner_of(work, *id, before, owner));
            all.lines.push(lines);
            all.erases.push(before.status.may_attempt() && !state.status.may_attempt());
        }
        all.span = rows::span(&all.ids);
        all
    }

    fn values(&self) -> Vec<super::pool::Value<'_>> {
        vec![
            &self.ids,
            &self.statuses,
            &self.updated,
            &self.providers,
            &self.upstream_ids,
            &self.lanes,
            &self.waits,
            &self.attempts,
            &self.copies,
            &self.owners,
            &self.lines,
            &self.erases,
            &self.span.0,
            &self.span.1,
        ]
    }
}

/// An attempt that stays open stays with whose it is; one that this batch opened is ours.
fn owner_of(work: &Work, id: MessageId, before: &State, owner: i64) -> i64 {
    let stays = |loaded: &super::work::Loaded| {
        let state = &loaded.stored.state;
        before.wait == Wait::Open && state.wait == Wait::Open && before.attempt == state.attempt
    };
    work.messages.get(&id).filter(|loaded| stays(loaded)).map_or(owner, |loaded| loaded.owner)
}

#[derive(Default)]
struct Jobs<'a> {
    ended: Vec<Uuid>,
    ids: Vec<Uuid>,
    lanes: Vec<&'a str>,
    statuses: Vec<&'static str>,
    dues: Vec<i64>,
    owners: Vec<i64>,
}

impl<'a> Jobs<'a> {
    fn of(work: &'a Work, owner: i64) -> Self {
        let mut all = Self::default();
        for (id, (before, _)) in &work.out.changed {
            let Some(state) = work.now(*id) else { continue };
            let is_same = before.wait == state.wait
                && before.lane == state.lane
                && before.status == state.status
                && before.attempt == state.attempt;
            match state.wait.column() {
                None if before.wait == Wait::Idle => {}
                None => all.ended.push(uuid(*id)),
                Some(_) if is_same => {}
                Some(due) => {
                    all.ids.push(uuid(*id));
                    all.lanes.push(state.lane.as_str());
                    all.statuses.push(state.status.as_str());
                    all.dues.push(due);
                    all.owners.push(owner_of(work, *id, before, owner));
                }
            }
        }
        all
    }
}

#[derive(Default)]
struct Upstream<'a> {
    ids: Vec<String>,
    providers: Vec<&'a str>,
    messages: Vec<Uuid>,
    numbers: Vec<Option<i32>>,
    parts: Vec<Option<i32>>,
}

impl<'a> Upstream<'a> {
    fn of(out: &'a Out) -> Self {
        let mut all = Self::default();
        // An id that is longer than any real one is matched by nobody.
        for (upstream_id, provider, message, part) in out.upstream.iter().filter(|(id, ..)| id.len() <= ID_MAX) {
            all.ids.push(clean(upstream_id));
            all.providers.push(provider.as_str());
            all.messages.push(uuid(*message));
            all.numbers.push(part.map(|part| i32::from(part.number)));
            all.parts.push(part.map(|part| i32::from(part.of)));
        }
        all
    }
}

#[derive(Default)]
struct Notices<'a> {
    messages: Vec<Uuid>,
    tenants: Vec<&'a str>,
    statuses: Vec<&'static str>,
    ats: Vec<i64>,
    dues: Vec<i64>,
}

impl<'a> Notices<'a> {
    fn of(out: &'a Out) -> Self {
        let mut all = Self::default();
        for telling in &out.notices {
            all.messages.push(uuid(telling.message));
            all.tenants.push(telling.tenant.as_str());
            all.statuses.push(telling.status.as_str());
            all.ats.push(telling.at.get());
            all.dues.push(telling.due.get());
        }
        all
    }
}

#[derive(Default)]
struct Parked<'a> {
    providers: Vec<&'a str>,
    messages: Vec<Option<Uuid>>,
    upstream_ids: Vec<String>,
    states: Vec<String>,
    codes: Vec<Option<String>>,
    their_times: Vec<Option<i64>>,
    ats: Vec<i64>,
    numbers: Vec<Option<i32>>,
    parts: Vec<Option<i32>>,
}

impl<'a> Parked<'a> {
    fn of(out: &'a Out) -> Self {
        let mut all = Self::default();
        // A receipt that was parked and taken out again within the batch has a number that no row has.
        let stays = |place: usize| !out.unparked.contains(&-rows::limit(place + 1));
        for (_, received) in out.parked.iter().enumerate().filter(|(place, _)| stays(*place)) {
            let receipt = &received.receipt;
            all.providers.push(received.provider.as_str());
            all.messages.push(receipt.message.map(uuid));
            all.upstream_ids.push(clean(&receipt.upstream_id));
            all.states.push(clean(&delivery_text(&receipt.state)));
            all.codes.push(receipt.provider_code.as_deref().map(clean));
            all.their_times.push(receipt.at.map(sms_core::UnixMs::get));
            all.ats.push(received.at.get());
            all.numbers.push(receipt.part.map(|part| i32::from(part.number)));
            all.parts.push(receipt.part.map(|part| i32::from(part.of)));
        }
        all
    }

    fn values(&self) -> Vec<super::pool::Value<'_>> {
        vec![
            &self.providers,
            &self.messages,
            &self.upstream_ids,
            &self.states,
            &self.codes,
            &self.their_times,
            &self.ats,
            &self.numbers,
            &self.parts,
        ]
    }
}

/// Longest provider's id, or ids of parts, that an index takes.
pub(super) const ID_MAX: usize = 2_000;
