//! Waiting messages: whose turn it is, claims, moves, expiry, and what dead nodes left open.
//!
//! Rows say who waits; the order among them is the same as elsewhere (`queue`), decided here over the candidates that the
//! index gives: of each tenant and country the first ones, locked, so that no two nodes take the same.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sms_core::store::{Change, LaneWant, Leased, Waiting};
use sms_core::{Class, Country, MessageId, ProviderName, TenantId, UnixMs};
use tokio_postgres::Row;

use super::batch::Handed;
use super::pool::Value;
use super::rows::{self, limit, uuid};
use super::{Shared, flush, load};
use crate::keeper::Keeper;
use crate::queue::{Job, Queue, Room};
use crate::state::{State, Wait};
use crate::tables::Failure;

/// The first ones of each tenant and country that are due: the youngest of those that live for minutes, the oldest of the
/// others. `$3`: at most so many of each.
macro_rules! candidates {
    ($lock:literal) => {
        concat!(
            "WITH RECURSIVE pair AS ((SELECT tenant, country FROM job WHERE lane = $1 AND due >= 0 \
                ORDER BY tenant, country LIMIT 1) \
            UNION ALL SELECT n.tenant, n.country FROM pair p CROSS JOIN LATERAL (SELECT tenant, country FROM job \
                WHERE lane = $1 AND due >= 0 AND (tenant, country) > (p.tenant, p.country) \
                ORDER BY tenant, country LIMIT 1) n) \
            SELECT j.id, j.tenant, j.country, j.due, j.expires FROM pair p CROSS JOIN LATERAL ( \
                SELECT * FROM (SELECT id, tenant, country, due, expires FROM job WHERE lane = $1 AND due >= 0 \
                    AND tenant = p.tenant AND country = p.country AND brief AND due <= $2 AND expires > $2 \
                    ORDER BY id DESC LIMIT $3 ",
            $lock,
            ") a UNION ALL SELECT * FROM (SELECT id, tenant, country, due, expires FROM job WHERE lane = $1 AND due >= 0 \
                    AND tenant = p.tenant AND country = p.country AND NOT brief AND due <= $2 AND expires > $2 \
                    ORDER BY id LIMIT $3 ",
            $lock,
            ") b) j"
        )
    };
}

const CLAIMABLE: &str = candidates!("FOR UPDATE SKIP LOCKED");
const VISIBLE: &str = candidates!("");

/// The lanes with the earliest due time of each.
const LANES: &str = "WITH RECURSIVE l AS ((SELECT lane, due FROM job WHERE due >= 0 ORDER BY lane, due LIMIT 1) \
    UNION ALL SELECT n.lane, n.due FROM l CROSS JOIN LATERAL (SELECT lane, due FROM job WHERE due >= 0 AND lane > l.lane \
    ORDER BY lane, due LIMIT 1) n) SELECT lane, due FROM l";

const EXPIRED: &str =
    "SELECT id FROM job WHERE due >= 0 AND expires <= $1 ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED";

const LEFT_OPEN: &str = "SELECT id FROM job WHERE due = -1 AND owner = ANY($1::int8[]) ORDER BY id LIMIT $2 \
    FOR UPDATE SKIP LOCKED";

const PUT_OFF: &str =
    "SELECT id FROM job WHERE due >= expires AND owner = ANY($1::int8[]) LIMIT $2 FOR UPDATE SKIP LOCKED";

const TAKE_OVER: &str = "UPDATE message m SET owner = $2 FROM unnest($1::uuid[]) u(id) \
    WHERE m.id = u.id AND m.id = ANY($1)";
const TAKE_JOBS: &str = "UPDATE job SET owner = $2 WHERE id = ANY($1::uuid[])";

/// What this node remembers of the lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// The earliest due time of each lane, as last seen and as told since.
    due: Mutex<Due>,
    /// The candidates of each lane as last seen, with whose turn it was.
    turns: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    queue: Queue,
    known: HashMap<ProviderName, HashMap<MessageId, Job>>,
}

#[derive(Debug, Default)]
struct Due {
    lanes: BTreeMap<ProviderName, UnixMs>,
    told: u64,
}

impl Lanes {
    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything may be due.
    pub(super) fn is_due(&self, want: &LaneWant, now: UnixMs) -> bool {
        want.max > 0 && self.due().lanes.get(&want.lane).is_some_and(|due| *due <= now)
    }

    /// Of the candidates, those whose turn it is; they stay or they go.
    fn choose(&self, want: &LaneWant, now: UnixMs, found: Vec<Job>, goes: bool) -> Vec<MessageId> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let Turns { queue, known } = &mut *turns;
        let known = known.entry(want.lane.clone()).or_default();
        let found: HashMap<MessageId, Job> = found.into_iter().map(|job| (job.id, job)).collect();
        known.retain(|id, job| {
            let stays = found.get(id) == Some(job);
            if !stays {
                queue.remove(job.clone());
            }
            stays
        });
        for (id, job) in found {
            known.entry(id).or_insert_with(|| {
                queue.add(job.clone());
                job
            });
        }
        let room = Room { countries: &want.room, others: want.others };
        let ids = if goes {
            queue.pick(&want.lane, now, want.max, &room)
        } else {
            queue.look(&want.lane, now, want.max, &room)
        };
        if goes {
            known.retain(|id, _| !ids.contains(id));
        }
        queue.commit();
        ids
    }
}

/// Whether it lives for minutes: the youngest of those go first.
pub(super) fn is_brief(state: &State) -> bool {
    state.expires.since(state.id.created()) <= Class::Otp.ttl_max()
}

/// Remembers that a message waits, where it does.
pub(super) fn waits(shared: &Shared, state: &State) {
    if let Wait::Until(due) = state.wait {
        let mut all = shared.lanes.due();
        let known = all.lanes.entry(state.lane.clone()).or_insert(due);
        *known = due.min(*known);
        all.told += 1;
    }
}

/// Looks where anything waits.
pub(super) async fn refresh(shared: &Arc<Shared>) -> Result<(), Failure> {
    let told = shared.lanes.due().told;
    let mut seen = lanes(shared).await?;
    let mut all = shared.lanes.due();
    if all.told != told {
        for (lane, due) in &all.lanes {
            let known = seen.entry(lane.clone()).or_insert(*due);
            *known = (*known).min(*due);
        }
    }
    all.lanes = seen;
    Ok(())
}

/// The lanes that hold waiting messages.
pub(super) async fn lanes(shared: &Arc<Shared>) -> Result<BTreeMap<ProviderName, UnixMs>, Failure> {
    let mut conn = shared.pool.lend().await?;
    let found = conn.rows(LANES, &[]).await?;
    conn.done();
    found.iter().map(|row| Ok((ProviderName::new(row.try_get::<_, &str>(0)?), rows::at(row, 1)?))).collect()
}

/// Takes due messages out of the lanes, with the intent of their next attempt.
pub(super) async fn claim(
    shared: Arc<Shared>,
    wants: Vec<LaneWant>,
    now: UnixMs,
) -> Result<Handed<Vec<Leased>>, Failure> {
    let mut claimed = Vec::new();
    let mut attempts = Vec::new();
    for want in wants.iter().filter(|want| shared.lanes.is_due(want, now)) {
        let leased = match claim_one(&shared, want, now).await {
            Ok(leased) => leased,
            Err(failure) => {
                shared.mend.release(attempts);
                return Err(failure);
            }
        };
        attempts.extend(leased.iter().map(|leased| (leased.id, leased.attempt)));
        claimed.extend(leased);
    }
    Ok(Handed::new(&shared, claimed, attempts))
}

async fn claim_one(shared: &Arc<Shared>, want: &LaneWant, now: UnixMs) -> Result<Vec<Leased>, Failure> {
    shared.mend.room()?;
    let owner = shared.node.living()?;
    let mut conn = shared.pool.lend().await?;
    let (at, max) = (now.get(), limit(want.max));
    let lane = want.lane.as_str();
    let values: Vec<Value<'_>> = vec![&lane, &at, &max];
    let found = conn.begin("BEGIN", &[(CLAIMABLE, values)]).await?;
    let jobs = found.iter().flatten().map(|row| job(row, &want.lane)).collect::<Result<Vec<_>, _>>()?;
    let is_dry = jobs.is_empty();
    let ids = shared.lanes.choose(want, now, jobs, true);
    if ids.is_empty() {
        conn.batch("ROLLBACK").await?;
        conn.done();
        if is_dry {
            refresh(shared).await?; // when it is worth while to ask again
        }
        return Ok(Vec::new());
    }
    let mut work = super::work::Work::default();
    load::more(&mut conn, &mut work, ids.iter().copied()).await?;
    let mut keeper = Keeper::brief(work, Arc::clone(&shared.keys));
    let mut leased = Vec::new();
    for id in ids {
        let waits = |state: &State| matches!(state.wait, Wait::Until(_)) && state.lane == want.lane;
        if keeper.tables.now(id).is_some_and(waits) {
            leased.extend(keeper.claim_one(id, now)?);
        }
    }
    let attempts = || leased.iter().map(|leased| (leased.id, leased.attempt)).collect();
    flush::commit(shared, &mut conn, &keeper.tables, owner).await.inspect_err(|_| shared.mend.release(attempts()))?;
    conn.done();
    shared.node.living()?; // whoever takes this node for dead adopts them
    for loaded in keeper.tables.messages.values() {
        shared.open.put(&loaded.stored.state, &loaded.stored.log);
    }
    Ok(leased)
}

/// Shows messages that wait in a lane.
pub(super) async fn stranded(shared: &Arc<Shared>, want: &LaneWant, now: UnixMs) -> Result<Vec<Waiting>, Failure> {
    if !shared.lanes.is_due(want, now) {
        return Ok(Vec::new());
    }
    let mut conn = shared.pool.lend().await?;
    let lane = want.lane.as_str();
    let found = conn.rows(VISIBLE, &[&lane, &now.get(), &SHOWN_MAX]).await?;
    let jobs = found.iter().map(|row| job(row, &want.lane)).collect::<Result<Vec<_>, _>>()?;
    let ids = shared.lanes.choose(want, now, jobs, false);
    let work = load::messages(&mut conn, ids.iter().copied()).await?;
    let mut keeper = Keeper::brief(work, Arc::clone(&shared.keys));
    let mut shown = Vec::new();
    for id in ids {
        let waits = |state: &State| matches!(state.wait, Wait::Until(_)) && state.lane == want.lane;
        if keeper.tables.now(id).is_some_and(waits) {
            shown.extend(keeper.show(id, now)?);
        }
    }
    flush::commit(shared, &mut conn, &keeper.tables, shared.node.id()).await?;
    conn.done();
    Ok(shown)
}

/// Ends waiting messages whose time to live has passed.
pub(super) async fn sweep(shared: &Arc<Shared>, now: UnixMs, max: usize) -> Result<Vec<Change>, Failure> {
    let mut conn = shared.pool.lend().await?;
    let found = conn.begin("BEGIN", &[(EXPIRED, vec![&now.get(), &limit(max)])]).await?;
    let ids = ids(found.first())?;
    let mut work = super::work::Work::default();
    load::more(&mut conn, &mut work, ids.iter().copied()).await?;
    let mut keeper = Keeper::brief(work, Arc::clone(&shared.keys));
    let mut changes = Vec::new();
    for id in ids {
        if keeper.tables.now(id).is_some_and(|state| matches!(state.wait, Wait::Until(_))) {
            changes.extend(keeper.end(id, now)?);
        }
    }
    flush::commit(shared, &mut conn, &keeper.tables, shared.node.id()).await?;
    conn.done();
    Ok(changes)
}

/// Takes over what dead nodes left open.
pub(super) async fn adopt(shared: &Arc<Shared>, now: UnixMs) -> Result<Vec<Leased>, Failure> {
    let mut conn = shared.pool.lend().await?;
    let dead = shared.node.dead(&mut conn).await?;
    if dead.is_empty() {
        conn.done();
        return Ok(Vec::new());
    }
    let owner = shared.node.living()?;
    let bounds = || vec![&dead as Value<'_>, &ADOPTED_MAX];
    let found = conn.begin("BEGIN", &[(LEFT_OPEN, bounds()), (PUT_OFF, bounds())]).await?;
    let (left, put_off) = (ids(found.first())?, ids(found.get(1))?);
    let mut work = super::work::Work::default();
    load::more(&mut conn, &mut work, left.iter().chain(&put_off).copied()).await?;
    let is_left =
        |loaded: &&super::work::Loaded| loaded.stored.state.wait == Wait::Open && dead.contains(&loaded.owner);
    let open: Vec<_> = work.messages.values().filter(is_left).map(|loaded| &loaded.stored.state).collect();
    let open: Vec<(MessageId, u16)> = open.into_iter().map(|state| (state.id, state.attempt)).collect();
    let mine: Vec<_> = open.iter().map(|(id, _)| uuid(*id)).collect();
    let jobs: Vec<_> = mine.iter().copied().chain(put_off.iter().map(|id| uuid(*id))).collect();
    let mut keeper = Keeper::brief(work, Arc::clone(&shared.keys));
    (keeper.orphans, keeper.put_off) = (open, put_off);
    let adopted = keeper.orphans(now)?;
    conn.execute(TAKE_OVER, &[&mine, &owner]).await?;
    conn.execute(TAKE_JOBS, &[&jobs, &owner]).await?;
    flush::commit(shared, &mut conn, &keeper.tables, owner).await?;
    conn.done();
    keeper.put_off.iter().filter_map(|id| keeper.tables.now(*id)).for_each(|state| waits(shared, state));
    if !adopted.is_empty() {
        tracing::warn!("node `{}` takes over {} open attempts of nodes that died", shared.node.name(), adopted.len());
    }
    Ok(adopted)
}

fn job(row: &Row, lane: &ProviderName) -> Result<Job, Failure> {
    Ok(Job {
        id: rows::id(row, 0)?,
        tenant: TenantId::new(row.try_get::<_, &str>(1)?),
        country: Country::parse(row.try_get(2)?).ok_or_else(|| rows::unreadable("country"))?,
        lane: lane.clone(),
        // It is due; a pause that is over is kept by nobody.
        due: rows::id(row, 0)?.created(),
        expires: rows::at(row, 4)?,
    })
}

fn ids(found: Option<&Vec<Row>>) -> Result<Vec<MessageId>, Failure> {
    let ids: Result<HashSet<_>, Failure> = found.into_iter().flatten().map(|row| rows::id(row, 0)).collect();
    let mut ids: Vec<_> = ids?.into_iter().collect();
    ids.sort();
    Ok(ids)
}

/// Messages that are looked at in one lane, of each tenant and country.
const SHOWN_MAX: i64 = 1_000;

/// Attempts that are taken over at once.
const ADOPTED_MAX: i64 = 256;
