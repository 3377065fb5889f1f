//! What happens to accepted messages beside their outcomes (`settle`): the rows are read in and locked, the keeper decides,
//! everything is written back in one commit.

use std::sync::Arc;

use sms_core::store::{CancelOutcome, Entry, Receipted, ReceivedReceipt, Reroute, Retelling};
use sms_core::{MessageId, TenantId, UnixMs};

use super::batch::Operation;
use super::work::Work;
use super::{Shared, flush, lanes, load};
use crate::keeper::Keeper;
use crate::tables::{Failure, Stored};

/// Matches receipts, or parks them.
#[derive(Debug)]
pub(super) struct Receiving;

impl Operation for Receiving {
    type Item = ReceivedReceipt;
    type Answer = Receipted;

    async fn run(shared: &Arc<Shared>, items: Vec<ReceivedReceipt>) -> Result<Vec<Receipted>, Failure> {
        let mut conn = shared.pool.lend().await?;
        let work = load::receipted(&mut conn, &items).await?;
        let mut keeper = Keeper::brief(work, Arc::clone(&shared.keys));
        let receipted = keeper.receipts(&items, shared.clock.now())?;
        flush::commit(shared, &mut conn, &keeper.tables, shared.node.id()).await?;
        conn.done();
        Ok(receipted)
    }

    fn opens(_item: &ReceivedReceipt, _answer: &Receipted) -> Option<(MessageId, u16)> {
        None
    }
}

/// Cancels a message to which nothing happened yet.
pub(super) async fn cancel(
    shared: &Arc<Shared>,
    tenant: &TenantId,
    id: MessageId,
    now: UnixMs,
) -> Result<CancelOutcome, Failure> {
    alone(shared, id, |keeper| keeper.cancel(tenant, id, now)).await
}

/// Appends to a message's history.
pub(super) async fn note(
    shared: &Arc<Shared>,
    tenant: &TenantId,
    id: MessageId,
    entry: Entry,
) -> Result<Option<Stored>, Failure> {
    alone(shared, id, |keeper| keeper.note(tenant, id, &entry)).await
}

/// Has a tenant told of one message once more.
pub(super) async fn retell(
    shared: &Arc<Shared>,
    tenant: &TenantId,
    id: MessageId,
    now: UnixMs,
) -> Result<u64, Failure> {
    alone(shared, id, |keeper| keeper.retell(tenant, &Retelling::Message(id), now)).await
}

/// Has waiting messages wait elsewhere.
pub(super) async fn reroute(shared: &Arc<Shared>, batch: &[Reroute]) -> Result<Vec<bool>, Failure> {
    let mut conn = shared.pool.lend().await?;
    let work = load::messages(&mut conn, batch.iter().map(|reroute| reroute.id)).await?;
    let mut keeper = Keeper::brief(work, Arc::clone(&shared.keys));
    let moved = keeper.reroute(batch)?;
    flush::commit(shared, &mut conn, &keeper.tables, shared.node.id()).await?;
    conn.done();
    wait(shared, &keeper.tables);
    Ok(moved)
}

async fn alone<R>(
    shared: &Arc<Shared>,
    id: MessageId,
    decide: impl FnOnce(&mut Keeper<Work>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let mut conn = shared.pool.lend().await?;
    let work = load::messages(&mut conn, [id]).await?;
    let mut keeper = Keeper::brief(work, Arc::clone(&shared.keys));
    let done = decide(&mut keeper)?;
    flush::commit(shared, &mut conn, &keeper.tables, shared.node.id()).await?;
    conn.done();
    Ok(done)
}

/// Remembers who waits from now on.
pub(super) fn wait(shared: &Shared, work: &Work) {
    work.out.changed.keys().filter_map(|id| work.now(*id)).for_each(|state| lanes::waits(shared, state));
}

/// Takes up parked receipts whose message became known at the same moment: neither saw the other.
pub(super) async fn rematch(shared: &Arc<Shared>) -> Result<(), Failure> {
    let mut conn = shared.pool.lend().await?;
    let found = conn.rows(REMATCH, &[]).await?;
    let received = found.iter().map(super::rows::parked).collect::<Result<Vec<_>, _>>()?;
    if !received.is_empty() {
        let (rows, received): (Vec<i64>, Vec<ReceivedReceipt>) = received.into_iter().unzip();
        Receiving::run(shared, received).await?; // told twice is harmless, lost is not
        conn.execute("DELETE FROM parked WHERE row = ANY($1::int8[])", &[&rows]).await?;
    }
    conn.done();
    Ok(())
}

const REMATCH: &str = "SELECT p.row, p.provider, p.message, p.upstream_id, p.state, p.code, p.their_time, p.at, p.part, \
    p.parts FROM parked p CROSS JOIN LATERAL (SELECT 1 FROM upstream u WHERE u.upstream_id = p.upstream_id \
    AND u.provider = p.provider LIMIT 1) u ORDER BY p.row LIMIT 256";
