//! Acceptance, in at most four round trips a batch: what was accepted under the same keys before; the limits, locked; what
//! is charged to them; idempotency records, messages and their places in the lanes, in one durable statement. Where all of
//! a batch's limits are new, the last two are one.

use std::sync::Arc;

use sms_core::store::Verdict;
use sms_core::{MessageId, ProviderName, UnixMs};
use uuid::Uuid;

use super::batch::Operation;
use super::error::away;
use super::limits::{self, Locked};
use super::pool::{Conn, Value};
use super::rows::{self, clean, uuid};
use super::work::{Inserted, Work};
use super::{Shared, lanes};
use crate::keeper::Keeper;
use crate::key::Hash16;
use crate::read;
use crate::tables::{Failure, Kept, NewAdmit, NewBlocked, NewCharge};

const ANSWERS: &str = "SELECT key, message, fingerprint, answer_sealed, until FROM answer WHERE key = ANY($1::uuid[])";

/// A key that another node took meanwhile accepts nothing here: its message is not inserted, and it is not returned.
const ACCEPT: &str = "WITH new AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int8[], \
    $5::int8[], $6::bool[], $7::text[], $8::text[], $9::text[], $10::int8[], $11::int4[], $12::int8[], $13::text[], \
    $14::uuid[], $15::bytea[], $16::bytea[], $17::bytea[], $18::bytea[], $19::bool[], $20::uuid[], $21::uuid[], \
    $22::bytea[], $23::int8[]) t(id, tenant, country, created, expires, notify, status, provider, lane, wait, attempt, \
    key_id, client_id, to_hash, to_sealed, body, details, log, brief, key, fingerprint, answer, until)), \
    kept AS (INSERT INTO answer (key, message, fingerprint, answer_sealed, until) \
        SELECT key, id, fingerprint, answer, until FROM new WHERE key IS NOT NULL ORDER BY key \
        ON CONFLICT (key) DO UPDATE SET message = excluded.message, fingerprint = excluded.fingerprint, \
            answer_sealed = excluded.answer_sealed, until = excluded.until WHERE answer.until <= $24 \
        RETURNING message), \
    accepted AS (INSERT INTO message (id, tenant, country, created, expires, notify, status, updated, provider, lane, \
            wait, attempt, copies, owner, key_id, client_id, to_hash, to_sealed, body_sealed, details_sealed, log) \
        SELECT id, tenant, country, created, expires, notify, status, created, provider, lane, wait, attempt, 0, $25, \
            key_id, client_id, to_hash, to_sealed, body, details, log \
        FROM new WHERE key IS NULL OR id IN (SELECT message FROM kept)), \
    jobs AS (INSERT INTO job (id, tenant, country, lane, status, created, expires, due, brief, owner) \
        SELECT id, tenant, country, lane, status, created, expires, wait, brief, $25 \
        FROM new WHERE wait IS NOT NULL AND (key IS NULL OR id IN (SELECT message FROM kept))) \
    SELECT message FROM kept";

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
    accept(&mut conn, (&keeper.tables.out.inserted, false), &[], (UnixMs::default(), 0)).await?;
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
    let changed = limits::charges(&locked, &mut keeper.book);
    let inserted = &keeper.tables.out.inserted;
    // Charges and messages in one transaction, where nobody else can wait for the rows.
    let is_one = !charges.is_empty() && changed.is_empty() && !inserted.is_empty();
    if !charges.is_empty() && !is_one {
        limits::commit(&mut conn, &changed).await?;
    }
    if inserted.is_empty() {
        conn.done();
        return Ok(verdicts.into_iter().map(Some).collect());
    }
    let new = |id: MessageId| batch.iter().find(|new| new.state.id == id);
    let records: Vec<_> =
        inserted.iter().map(|inserted| new(inserted.state.id).and_then(|new| new.idempotency.as_ref())).collect();
    let doubt = |is_charged: bool| {
        let lost = batch.iter().zip(&verdicts).filter(|(_, verdict)| matches!(verdict, Verdict::Leased { .. }));
        for (new, verdict) in lost {
            shared.mend.doubt(new, if is_charged { charged(new, verdict, now) } else { Vec::new() });
        }
    };
    let accepted = accept(&mut conn, (inserted, is_one), &records, (now, owner)).await;
    let kept = accepted.inspect_err(|_| doubt(!is_one))?;
    conn.done();
    shared.node.living().inspect_err(|_| doubt(true))?; // a node that was taken for dead hands nothing out
    for (new, record) in inserted.iter().zip(&records) {
        lanes::waits(shared, &new.state);
        if record.is_none() || kept.contains(&new.state.id) {
            shared.open.put(&new.state, &new.log);
        }
    }
    Ok(told(shared, batch, verdicts, (&kept, now)))
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

/// Writes everything in one commit, which ends the transaction that is open where one `is_open`; the messages whose keys are
/// theirs.
async fn accept(
    conn: &mut Conn,
    (inserted, is_open): (&[Inserted], bool),
    records: &[Option<&(Hash16, Kept)>],
    (now, owner): (UnixMs, i64),
) -> Result<Vec<MessageId>, Failure> {
    let record = |at: usize| records.get(at).copied().flatten();
    macro_rules! column {
        ($new:ident => $value:expr) => {
            inserted.iter().map(|$new| $value).collect::<Vec<_>>()
        };
    }
    macro_rules! kept {
        ($record:ident => $value:expr) => {
            (0..inserted.len()).map(|at| record(at).map(|$record| $value)).collect::<Vec<_>>()
        };
    }
    let ids = column!(new => uuid(new.state.id));
    let (tenants, countries) = (column!(new => new.state.tenant.as_str()), column!(new => new.state.country.as_str()));
    let (created, expires) = (column!(new => new.state.created.get()), column!(new => new.state.expires.get()));
    let (notify, statuses) = (column!(new => new.state.notify), column!(new => new.state.status.as_str()));
    let providers = column!(new => new.state.provider.as_ref().map(ProviderName::as_str));
    let (lanes, waits) = (column!(new => new.state.lane.as_str()), column!(new => new.state.wait.column()));
    let (attempts, key_ids) = (column!(new => i32::from(new.state.attempt)), column!(new => new.sealed.key_id));
    let clients = column!(new => new.sealed.client_id.as_deref().map(clean));
    let hashes = column!(new => Uuid::from_bytes(new.sealed.to_hash));
    let (to, body) = (column!(new => new.sealed.to.as_slice()), column!(new => new.sealed.body.as_deref()));
    let (details, logs) = (column!(new => new.sealed.details.as_slice()), column!(new => new.log.as_slice()));
    let briefs = column!(new => lanes::is_brief(&new.state));
    let (keys, fingerprints) =
        (kept!(record => Uuid::from_bytes(record.0)), kept!(record => Uuid::from_bytes(record.1.fingerprint)));
    let (answers, untils) = (kept!(record => record.1.answer.as_slice()), kept!(record => record.1.until.get()));
    let now = now.get();
    let values: [Value<'_>; 25] = [
        &ids,
        &tenants,
        &countries,
        &created,
        &expires,
        &notify,
        &statuses,
        &providers,
        &lanes,
        &waits,
        &attempts,
        &key_ids,
        &clients,
        &hashes,
        &to,
        &body,
        &details,
        &logs,
        &briefs,
        &keys,
        &fingerprints,
        &answers,
        &untils,
        &now,
        &owner,
    ];
    let found = if is_open {
        conn.commit("COMMIT", &[(ACCEPT, values.to_vec())]).await?.pop().unwrap_or_default()
    } else {
        conn.rows(ACCEPT, &values).await?
    };
    found.iter().map(|row| rows::id(row, 0)).collect()
}

/// How often keys that others took are asked for again.
const ROUNDS: usize = 4;
