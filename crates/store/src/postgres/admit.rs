//! Acceptance. A batch in which nobody has asked for anything before takes one round trip. Any other takes at most four,
//! after that one where it was tried: what was accepted under the same keys before; the limits, locked; what is charged to
//! them; idempotency records, messages and their places in the lanes, in one durable statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sms_core::store::Verdict;
use sms_core::{MessageId, UnixMs};
use uuid::Uuid;

use super::batch::Operation;
use super::error::away;
use super::limits::{self, Locked};
use super::new::Rows;
use super::pool::Conn;
use super::rows;
use super::work::{Inserted, Work};
use super::{Shared, lanes};
use crate::keeper::Keeper;
use crate::key::Hash16;
use crate::read;
use crate::tables::{Failure, Kept, NewAdmit, NewBlocked, NewCharge, Scope};

const ANSWERS: &str = "SELECT key, message, fingerprint, answer_sealed, until FROM answer WHERE key = ANY($1::uuid[])";

/// Decides requests for acceptance.
#[derive(Debug)]
pub(super) struct Accepting;

impl Operation for Accepting {
    type Item = Arc<NewAdmit>;
    type Answer = Verdict;

    async fn run(shared: &Arc<Shared>, items: Vec<Arc<NewAdmit>>) -> Result<Vec<Verdict>, Failure> {
        let mut verdicts: Vec<Option<Verdict>> = vec![None; items.len()];
        for _ in 0..ROUNDS {
            let open: Vec<usize> = (0..items.len()).filter(|at| verdicts.get(*at) == Some(&None)).collect();
            if open.is_empty() {
                break;
            }
            let part: Vec<&NewAdmit> = open.iter().filter_map(|at| items.get(*at)).map(AsRef::as_ref).collect();
            let decided = round(shared, &part).await;
            if decided.is_err() {
                // What an earlier round accepted is told nobody.
                let told = items.iter().zip(&verdicts).filter_map(|(item, verdict)| opened(item, verdict.as_ref()?));
                shared.mend.release(told.collect());
            }
            for (at, verdict) in open.into_iter().zip(decided?) {
                if let Some(place) = verdicts.get_mut(at) {
                    *place = verdict;
                }
            }
        }
        verdicts.into_iter().map(|verdict| verdict.ok_or_else(|| away("others use the same keys"))).collect()
    }

    fn opens(item: &Arc<NewAdmit>, verdict: &Verdict) -> Option<(MessageId, u16)> {
        opened(item, verdict)
    }
}

fn opened(item: &NewAdmit, verdict: &Verdict) -> Option<(MessageId, u16)> {
    (item.begin && matches!(verdict, Verdict::Leased { .. })).then_some((item.state.id, 1))
}

/// Writes refused requests into the history.
pub(super) async fn block(shared: &Arc<Shared>, batch: Vec<NewBlocked>) -> Result<(), Failure> {
    let mut keeper = Keeper::brief(Work::default(), Arc::clone(&shared.keys));
    keeper.block(&batch)?;
    let mut conn = shared.pool.lend().await?;
    Rows::of(&keeper.tables.out.inserted, &[]).accept(&mut conn, (UnixMs::default(), 0)).await?;
    conn.done();
    Ok(())
}

/// One idempotency record.
pub(super) async fn answer(conn: &mut Conn, key: &Hash16) -> Result<Option<Kept>, Failure> {
    let found = conn.rows(ANSWERS, &[&vec![Uuid::from_bytes(*key)]]).await?;
    found.first().map(|row| rows::kept(row).map(|(_, kept)| kept)).transpose()
}

/// Decides each entry; `None` where another node took its key meanwhile: it has an answer when it is asked again.
async fn round(shared: &Arc<Shared>, batch: &[&NewAdmit]) -> Result<Vec<Option<Verdict>>, Failure> {
    shared.mend.room()?;
    let owner = shared.node.living()?;
    let now = shared.node.agreed(shared.clock.now());
    if shared.firsts.are_likely() {
        match first(shared, batch, (now, owner)).await? {
            Some(verdicts) => return Ok(verdicts.into_iter().map(Some).collect()),
            None => shared.firsts.pause(),
        }
    }
    let mut conn = shared.pool.lend().await?;
    let mut keeper = Keeper::brief(Work::default(), Arc::clone(&shared.keys));
    let keys: Vec<Uuid> = batch.iter().filter_map(|new| Some(Uuid::from_bytes(new.idempotency.as_ref()?.0))).collect();
    if !keys.is_empty() {
        for row in conn.rows(ANSWERS, &[&keys]).await? {
            let (key, kept) = rows::kept(&row)?;
            keeper.tables.answers.insert(key, kept);
        }
    }
    let is_known = |new: &NewAdmit| {
        let kept = new.idempotency.as_ref().and_then(|(key, _)| keeper.tables.answers.get(key));
        kept.is_some_and(|kept| read::answers(kept, now))
    };
    let charges: Vec<&NewCharge> = batch.iter().filter(|new| !is_known(new)).flat_map(|new| &new.charges).collect();
    let mut locked = Locked::default();
    if !charges.is_empty() {
        locked = limits::lock(&mut conn, &charges, now, &mut keeper.book).await?;
    }
    let verdicts = batch.iter().map(|new| keeper.admit_one(new, now)).collect::<Result<Vec<_>, _>>()?;
    if !charges.is_empty() {
        let changed = limits::charges(&locked, &mut keeper.book);
        limits::commit(&mut conn, &changed).await?;
    }
    let inserted = &keeper.tables.out.inserted;
    if inserted.is_empty() {
        conn.done();
        return Ok(verdicts.into_iter().map(Some).collect());
    }
    let doubt = || doubt(shared, batch, &verdicts, |new, verdict| charged(new, verdict, now));
    let records = records(batch, inserted);
    let accepted = Rows::of(inserted, &records).accept(&mut conn, (now, owner)).await;
    let kept = accepted.inspect_err(|_| doubt())?;
    conn.done();
    shared.node.living().inspect_err(|_| doubt())?; // a node that was taken for dead hands nothing out
    let is_kept = |new: &Inserted, record: &Option<_>| record.is_none() || kept.contains(&new.state.id);
    remember(shared, inserted.iter().zip(&records).filter(|(new, record)| is_kept(new, record)).map(|(new, _)| new));
    Ok(told(shared, batch, verdicts, (&kept, now)))
}

/// Decides a batch as if nobody had asked for any of it before, which is so for most, in one round trip; `None` where it is
/// not so, and nothing was written.
async fn first(
    shared: &Arc<Shared>,
    batch: &[&NewAdmit],
    (now, owner): (UnixMs, i64),
) -> Result<Option<Vec<Verdict>>, Failure> {
    let mut keeper = Keeper::brief(Work::default(), Arc::clone(&shared.keys));
    let verdicts = batch.iter().map(|new| keeper.admit_one(new, now)).collect::<Result<Vec<_>, _>>()?;
    let charges = limits::charges(&Locked::default(), &mut keeper.book);
    let inserted = &keeper.tables.out.inserted;
    if inserted.is_empty() {
        return Ok(None);
    }
    // What is charged is charged with the message or not at all.
    let doubt = || doubt(shared, batch, &verdicts, |_, _| Vec::new());
    let rows_of = records(batch, inserted);
    let mut conn = shared.pool.lend().await?;
    match Rows::of(inserted, &rows_of).accept_first(&mut conn, &charges, owner).await {
        Ok(true) => conn.done(),
        Ok(false) => {
            conn.done();
            return Ok(None);
        }
        Err(failure) if failure.scope == Scope::Operation => return Ok(None),
        Err(failure) => {
            doubt();
            return Err(failure);
        }
    }
    shared.node.living().inspect_err(|_| doubt())?;
    remember(shared, inserted.iter());
    Ok(Some(verdicts))
}

/// Whether batches are tried as first ones: not for a while after one was not.
#[derive(Debug, Default)]
pub(super) struct Firsts(AtomicU32);

impl Firsts {
    fn are_likely(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }

    fn pause(&self) {
        self.0.store(FIRSTS_PAUSE, Ordering::Relaxed);
    }
}

/// The idempotency record of each accepted entry.
fn records<'a>(batch: &[&'a NewAdmit], inserted: &[Inserted]) -> Vec<Option<&'a (Hash16, Kept)>> {
    let by_id: HashMap<MessageId, &NewAdmit> = batch.iter().map(|new| (new.state.id, *new)).collect();
    inserted.iter().map(|inserted| by_id.get(&inserted.state.id)?.idempotency.as_ref()).collect()
}

/// Has it looked into later which entries of a commit that nobody saw were accepted.
fn doubt(
    shared: &Shared,
    batch: &[&NewAdmit],
    verdicts: &[Verdict],
    charged: impl Fn(&NewAdmit, &Verdict) -> Vec<(Hash16, UnixMs)>,
) {
    let lost = batch.iter().zip(verdicts).filter(|(_, verdict)| matches!(verdict, Verdict::Leased { .. }));
    lost.for_each(|(new, verdict)| shared.mend.doubt(new, charged(new, verdict)));
}

/// Remembers what waits and which attempts are open.
fn remember<'a>(shared: &Shared, inserted: impl Iterator<Item = &'a Inserted>) {
    for new in inserted {
        lanes::waits(shared, &new.state);
        shared.open.put(&new.state, &new.log);
    }
}

/// Takes the verdicts back whose keys others took, and what was charged for them.
fn told(
    shared: &Arc<Shared>,
    batch: &[&NewAdmit],
    verdicts: Vec<Verdict>,
    (kept, now): (&[MessageId], UnixMs),
) -> Vec<Option<Verdict>> {
    let lost = |new: &NewAdmit, verdict: &Verdict| {
        matches!(verdict, Verdict::Leased { .. }) && new.idempotency.is_some() && !kept.contains(&new.state.id)
    };
    let gone: Vec<MessageId> =
        batch.iter().zip(&verdicts).filter(|(new, verdict)| lost(new, verdict)).map(|(new, _)| new.state.id).collect();
    if gone.is_empty() {
        return verdicts.into_iter().map(Some).collect();
    }
    let tell = |(new, verdict): (&&NewAdmit, Verdict)| {
        let of_gone =
            matches!(&verdict, Verdict::Replayed { id, .. } if gone.contains(id)) || verdict == Verdict::KeyReuse;
        if lost(new, &verdict) {
            shared.mend.refund(charged(new, &verdict, now));
            return None;
        }
        (!of_gone).then_some(verdict)
    };
    batch.iter().zip(verdicts).map(tell).collect()
}

/// What was charged for an accepted entry.
fn charged(new: &NewAdmit, verdict: &Verdict, now: UnixMs) -> Vec<(Hash16, UnixMs)> {
    let Verdict::Leased { shadowed } = verdict else { return Vec::new() };
    new.charges.iter().filter(|charge| !shadowed.contains(&charge.limit)).map(|charge| (charge.key, now)).collect()
}

/// How often keys that others took are asked for again.
const ROUNDS: usize = 4;

/// Batches that take the long way after one that was not the first of its kind.
const FIRSTS_PAUSE: u32 = 7;
