//! Outcomes. What a node itself opened it remembers (`open`): the keeper decides on that, and one statement writes what
//! still is as remembered, with the rest of a message's rows. Everything else goes the long way: the rows are read in and
//! locked, decided on, written back.

use std::collections::HashSet;
use std::sync::Arc;

use sms_core::store::{Settle, Settled, StoreError, Then};
use sms_core::{MessageId, ProviderName};

use super::batch::Operation;
use super::pool::Value;
use super::rows::{self, clean, uuid};
use super::work::Work;
use super::{Shared, flush, follow, load};
use crate::keeper::Keeper;
use crate::parts;
use crate::state::{State, Wait};
use crate::tables::{Failure, Scope};

/// Ends attempts of `$1` where nothing happened since they were opened and no receipt waits for them; which ones.
const END: &str = "WITH u AS MATERIALIZED (SELECT * FROM unnest($2::uuid[], $3::text[], $4::int8[], $5::int4[], \
        $6::int4[], $7::text[], $8::int8[], $9::text[], $10::text[], $11::int4[], $12::bytea[], $13::bool[], $14::text[]) \
        t(id, was, seen, attempt, log_len, status, updated, provider, upstream_id, copies, lines, erases, tells)), \
    ended AS (UPDATE message m SET status = u.status, updated = u.updated, provider = u.provider, \
            upstream_id = u.upstream_id, wait = NULL, copies = u.copies, log = m.log || u.lines, \
            body_sealed = CASE WHEN u.erases THEN NULL ELSE m.body_sealed END \
        FROM u WHERE m.id = u.id AND m.id = ANY($2) AND m.id >= $15 AND m.id <= $16 \
            AND m.owner = $1 AND m.wait = -1 AND m.attempt = u.attempt AND m.status = u.was \
            AND m.updated = u.seen AND octet_length(m.log) = u.log_len AND m.upstream_id IS NULL \
            AND NOT EXISTS (SELECT 1 FROM parked p WHERE p.upstream_id = u.upstream_id) \
            AND NOT EXISTS (SELECT 1 FROM parked p WHERE p.message = u.id) RETURNING m.id), \
    jobs AS (DELETE FROM job WHERE id = ANY($2) AND id IN (SELECT id FROM ended)), \
    named AS (INSERT INTO upstream (upstream_id, provider, message) SELECT upstream_id, provider, id FROM u \
        WHERE upstream_id IS NOT NULL AND id IN (SELECT id FROM ended)), \
    told AS (INSERT INTO notice (message, tenant, status, at, due, attempt) \
        SELECT id, tells, status, updated, updated, 0 FROM u WHERE tells IS NOT NULL AND id IN (SELECT id FROM ended)) \
    SELECT id FROM ended";

/// Records outcomes.
#[derive(Debug)]
pub(super) struct Settling;

impl Operation for Settling {
    type Item = Settle;
    type Answer = Result<Settled, StoreError>;

    async fn run(shared: &Arc<Shared>, items: Vec<Settle>) -> Result<Vec<Self::Answer>, Failure> {
        let mut answers = known(shared, &items).await?;
        let open = items.iter().zip(&answers).filter(|(_, answer)| answer.is_none());
        let rest: Vec<Settle> = open.map(|(settle, _)| settle.clone()).collect();
        if !rest.is_empty() {
            let settled = match read(shared, &rest).await {
                Err(failure) if rest.len() == items.len() => return Err(failure),
                // The others are written down and have their answers.
                Err(failure) => vec![Err(failure.error); rest.len()],
                Ok(settled) => settled.into_iter().map(Ok).collect(),
            };
            let places = answers.iter_mut().filter(|answer| answer.is_none());
            places.zip(settled).for_each(|(place, answer)| *place = Some(answer));
        }
        let known = items.iter().zip(&answers).filter(|(_, answer)| matches!(answer, Some(Ok(_))));
        shared.sure(known.map(|(settle, _)| settle.id));
        Ok(answers.into_iter().flatten().collect())
    }

    fn opens(item: &Settle, answer: &Self::Answer) -> Option<(MessageId, u16)> {
        opens(item, answer.as_ref().ok()?)
    }
}

fn opens(item: &Settle, answer: &Settled) -> Option<(MessageId, u16)> {
    matches!(answer, Settled::Done { go: true, .. }).then(|| (item.id, item.attempt.saturating_add(1)))
}

/// Ends the attempts that this node remembers; `None` where another look is needed.
async fn known(
    shared: &Arc<Shared>,
    items: &[Settle],
) -> Result<Vec<Option<<Settling as Operation>::Answer>>, Failure> {
    let me = shared.node.id();
    let mut answers = vec![None; items.len()];
    let mut work = Work::default();
    let mut known = Vec::new();
    for (at, settle) in items.iter().enumerate().filter(|(_, settle)| is_last(&settle.then)) {
        let left = shared.open.take(settle.id, settle.attempt).filter(|left| left.state.upstream_id.is_none());
        if let Some(left) = left {
            work.messages.insert(settle.id, left.loaded(me));
            known.push((at, settle));
        }
    }
    if known.is_empty() {
        return Ok(answers);
    }
    let mut keeper = Keeper::brief(work, Arc::clone(&shared.keys));
    let settled = known.iter().map(|(_, settle)| keeper.settle_one(settle)).collect::<Result<Vec<_>, _>>()?;
    let ended = match end(shared, &keeper.tables, me).await {
        Ok(ended) => ended,
        // A row is refused: the long way finds out whose.
        Err(failure) if failure.scope == Scope::Operation => return Ok(answers),
        Err(failure) => return Err(failure),
    };
    for ((at, _), settled) in known.into_iter().zip(settled).filter(|((_, settle), _)| ended.contains(&settle.id)) {
        if let Some(place) = answers.get_mut(at) {
            *place = Some(Ok(settled));
        }
    }
    Ok(answers)
}

/// No attempt follows, and one id at most names the message.
fn is_last(then: &Then) -> bool {
    match then {
        Then::End(_) => true,
        Then::Sent { upstream_id } => parts::ids(upstream_id).is_none() && upstream_id.len() <= flush::ID_MAX,
        Then::Again { .. } | Then::Later { .. } => false,
    }
}

/// Writes what the keeper decided; which messages were still as remembered.
async fn end(shared: &Arc<Shared>, work: &Work, me: i64) -> Result<HashSet<MessageId>, Failure> {
    let changed: Vec<(&State, &State, &[u8])> = work
        .out
        .changed
        .iter()
        .filter_map(|(id, (before, lines))| Some((before, work.now(*id)?, lines.as_slice())))
        .collect();
    macro_rules! column {
        (($before:ident, $now:ident, $lines:ident) => $value:expr) => {
            changed.iter().map(|($before, $now, $lines)| $value).collect::<Vec<_>>()
        };
    }
    let told: HashSet<MessageId> = work.out.notices.iter().map(|telling| telling.message).collect();
    let ids = column!((_b, now, _l) => uuid(now.id));
    let was = column!((before, _n, _l) => before.status.as_str());
    let seen = column!((before, _n, _l) => before.updated.get());
    let attempts = column!((before, _n, _l) => i32::from(before.attempt));
    let lengths = column!((before, _n, _l) => i32::try_from(before.log_len).unwrap_or(i32::MAX));
    let statuses = column!((_b, now, _l) => now.status.as_str());
    let updated = column!((_b, now, _l) => now.updated.get());
    let providers = column!((_b, now, _l) => now.provider.as_ref().map(ProviderName::as_str));
    let upstream_ids = column!((_b, now, _l) => now.upstream_id.as_deref().map(clean));
    let copies = column!((_b, now, _l) => i32::from(now.copies));
    let lines = column!((_b, _n, lines) => *lines);
    let erases = column!((before, now, _l) => before.status.may_attempt() && !now.status.may_attempt());
    let tells = column!((_b, now, _l) => told.contains(&now.id).then(|| now.tenant.as_str()));
    let (first, last) = rows::span(&ids);
    let values: [Value<'_>; 16] = [
        &me,
        &ids,
        &was,
        &seen,
        &attempts,
        &lengths,
        &statuses,
        &updated,
        &providers,
        &upstream_ids,
        &copies,
        &lines,
        &erases,
        &tells,
        &first,
        &last,
    ];
    let mut conn = shared.pool.lend().await?;
    let ended = conn.rows(END, &values).await?.iter().map(|row| rows::id(row, 0)).collect();
    conn.done();
    shared.telling.add(work.out.notices.iter().map(|telling| &telling.tenant));
    ended
}

/// Reads rows in, decides, writes them back.
async fn read(shared: &Arc<Shared>, items: &[Settle]) -> Result<Vec<Settled>, Failure> {
    let mut conn = shared.pool.lend().await?;
    let me = shared.node.id();
    let (work, parked) = load::settled(&mut conn, items.iter().map(|settle| settle.id), &upstream_ids(items)).await?;
    let foreign = work.foreign(me);
    let mut keeper = Keeper::brief(work, Arc::clone(&shared.keys));
    for (row, received) in parked {
        keeper.parked.add(row, received);
    }
    let mut settled = Vec::with_capacity(items.len());
    for settle in items {
        // Another node took it over: whatever its number, this is not the attempt that counts.
        let is_ours = !foreign.contains(&settle.id);
        let one = if is_ours { again(shared, &keeper.tables, settle) } else { Some(Settled::Fenced) };
        settled.push(match one {
            Some(known) => known,
            None => keeper.settle_one(settle)?,
        });
    }
    if let Err(failure) = flush::commit(shared, &mut conn, &keeper.tables, me).await {
        shared.unsure(opened(items, &settled));
        return Err(failure);
    }
    conn.done();
    if !opened(items, &settled).is_empty() {
        shared.node.living()?; // whoever takes this node for dead adopts them
    }
    follow::wait(shared, &keeper.tables);
    Ok(settled)
}

/// The attempts that a batch opens.
fn opened(items: &[Settle], settled: &[Settled]) -> Vec<(MessageId, u16)> {
    items.iter().zip(settled).filter_map(|(item, answer)| opens(item, answer)).collect()
}

/// The answer to the repetition of what was committed although nobody was told: its next attempt is open.
fn again(shared: &Shared, work: &Work, settle: &Settle) -> Option<Settled> {
    let state = work.now(settle.id)?;
    let next = settle.attempt.saturating_add(1);
    let is_open = state.wait == Wait::Open && state.attempt == next && matches!(settle.then, Then::Again { .. });
    let go = is_open && shared.was_unsure(settle.id, next);
    go.then(|| Settled::Done { change: crate::keeper::unchanged(state), go })
}

fn upstream_ids(items: &[Settle]) -> Vec<String> {
    let sent = items.iter().filter_map(|settle| match &settle.then {
        Then::Sent { upstream_id } if !upstream_id.is_empty() => Some(upstream_id.as_str()),
        Then::Again { .. } | Then::End(_) | Then::Later { .. } | Then::Sent { .. } => None,
    });
    let ids = sent.flat_map(|ids| parts::ids(ids).unwrap_or_else(|| vec![ids]));
    ids.map(clean).collect::<HashSet<_>>().into_iter().collect()
}
