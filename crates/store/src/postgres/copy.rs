//! From a file to a database: everything, in one transaction, checked before it is committed. Neither may be in use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sms_core::{Ledger, MessageId, ProviderName, UnixMs};
use uuid::Uuid;

use super::PgError;
use super::pool::{Conn, Pool, Value};
use super::rows::{self, STORED_LEN, clean, stored_columns, uuid};
use super::work::{Out, Work};
use super::{flush, lanes, migrate, purge};
use crate::key::{Column, Hash16, Keys, StoreKey};
use crate::read;
use crate::sqlite::{Export, Exported, unreadable};
use crate::tables::{Failure, Stored};

/// How much was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Messages with their histories.
    pub messages: u64,
    /// Messages that still wait, or whose attempt is open.
    pub unsettled: u64,
    /// Idempotency records.
    pub answers: u64,
    /// Limits' keys with acceptances that still count.
    pub limits: u64,
    /// Status changes to tell, parked receipts, providers' ids of parts and endpoints.
    pub others: u64,
    /// Messages that were read back, opened and compared.
    pub compared: u64,
}

const MESSAGES: &str = "INSERT INTO message (id, tenant, country, created, expires, notify, status, updated, provider, \
    upstream_id, lane, wait, attempt, copies, owner, key_id, client_id, to_hash, to_sealed, body_sealed, details_sealed, log) \
    SELECT id, tenant, country, created, expires, notify, status, updated, provider, upstream_id, lane, wait, attempt, \
    copies, $23, key_id, client_id, to_hash, to_sealed, body, details, log FROM unnest($1::uuid[], $2::text[], $3::text[], \
    $4::int8[], $5::int8[], $6::bool[], $7::text[], $8::int8[], $9::text[], $10::text[], $11::text[], $12::int8[], \
    $13::int4[], $14::int4[], $15::int8[], $16::text[], $17::uuid[], $18::bytea[], $19::bytea[], $20::bytea[], \
    $21::bytea[], $22::bool[]) t(id, tenant, country, created, expires, notify, status, updated, provider, upstream_id, \
    lane, wait, attempt, copies, key_id, client_id, to_hash, to_sealed, body, details, log, brief)";

/// From the messages that are there by then.
const JOBS: &str = "INSERT INTO job (id, tenant, country, lane, status, created, expires, due, brief, owner) \
    SELECT id, tenant, country, lane, status, created, expires, wait, expires - created <= $1, owner FROM message \
    WHERE wait IS NOT NULL";

const UPSTREAM: &str = "INSERT INTO upstream (upstream_id, provider, message) SELECT upstream_id, provider, id FROM message \
    WHERE upstream_id IS NOT NULL AND provider IS NOT NULL AND length(upstream_id) <= 500";

const ANSWERS: &str = "INSERT INTO answer (key, message, fingerprint, answer_sealed, until) \
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bytea[], $5::int8[])";

const LIMITS: &str =
    "INSERT INTO allowance (key, log, until) SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int8[])";

const NOTICES: &str = "INSERT INTO notice (message, tenant, status, at, due, attempt) \
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int8[], $5::int8[], $6::int4[])";

/// Copies what the file `from` holds into the database at `to`, which must hold no message; both under `key`.
///
/// Open attempts become those of a node that died: the first gateway that starts adopts them.
///
/// # Errors
/// Nothing was copied: the file or the database cannot be used, has another key, is in use or holds messages, or what was
/// read back is not what was written.
pub async fn copy(from: &Path, to: &str, key: &StoreKey, now: UnixMs) -> Result<Copied, PgError> {
    let keys = Arc::new(Keys::derive(key));
    let file = Export::open(from, &keys, now).map_err(|error| PgError::Copy(error.to_string()))?;
    let pool = Pool::open(to).await?;
    migrate::run(&pool).await?;
    let done = fill(&pool, &file, &keys, now).await;
    pool.close();
    done.map_err(|failure| match failure {
        Trouble::Database(failure) => PgError::Copy(failure.error.to_string()),
        Trouble::File(error) => PgError::Copy(unreadable(from, &error).to_string()),
        Trouble::Refused(why) => PgError::Copy(why),
    })
}

enum Trouble {
    Database(Failure),
    File(rusqlite::Error),
    Refused(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Database(failure)
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::File(error)
    }
}

async fn fill(pool: &Arc<Pool>, file: &Export, keys: &Keys, now: UnixMs) -> Result<Copied, Trouble> {
    let mut conn = pool.lend().await?;
    conn.patience = Duration::from_hours(2); // one statement of it may read every message
    conn.batch("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0").await?;
    if !purge::check_key(&mut conn, &keys.check()).await? {
        return Err(Trouble::Refused(PgError::WrongKey.to_string()));
    }
    if !conn.rows("SELECT 1 FROM message LIMIT 1", &[]).await?.is_empty() {
        return Err(Trouble::Refused("the database holds messages already".to_owned()));
    }
    purge::days(&mut conn, now).await?;
    conn.batch("BEGIN; LOCK TABLE message IN EXCLUSIVE MODE").await?;
    let node = "INSERT INTO node (name, lease_until, gone) VALUES ('copy', clock_timestamp(), true) RETURNING id";
    let owner: i64 = conn.rows(node, &[]).await?.first().map_or(0, |row| row.get(0));
    let mut copied = Copied { compared: messages(&mut conn, file, keys, owner).await?, ..Copied::default() };
    let brief = i64::try_from(sms_core::Class::Otp.ttl_max().as_millis()).unwrap_or(i64::MAX);
    copied.unsettled = conn.execute(JOBS, &[&brief]).await?;
    conn.execute(UPSTREAM, &[]).await?;
    copied.answers = answers(&mut conn, file).await?;
    copied.limits = limits(&mut conn, file, now).await?;
    copied.others = others(&mut conn, file).await?;
    for (theirs, ours) in [("message", "message"), ("answer", "answer"), ("notice", "notice"), ("parked", "parked")] {
        let sql = format!("SELECT count(*) FROM {ours}");
        let row = conn.client.query_one(&sql, &[]).await.map_err(Failure::from)?;
        let (count, wanted) = (row.get::<_, i64>(0), file.count(theirs)?);
        if count != wanted {
            return Err(Trouble::Refused(format!(
                "`{theirs}` has {wanted} rows in the file and {count} in the database"
            )));
        }
        if ours == "message" {
            copied.messages = count.unsigned_abs();
        }
    }
    conn.batch("COMMIT; ANALYZE").await?;
    Ok(copied)
}

/// Every message; of every hundredth what was written is read back. Says of how many.
async fn messages(conn: &mut Conn, file: &Export, keys: &Keys, owner: i64) -> Result<u64, Trouble> {
    let (mut after, mut compared) = (0, 0);
    loop {
        let batch = file.messages(after, BATCH)?;
        let Some(last) = batch.last() else { return Ok(compared) };
        after = last.row;
        insert(conn, &batch, owner).await?;
        for message in batch.iter().step_by(SAMPLE) {
            compare(conn, message, keys).await?;
            compared += 1;
        }
    }
}

async fn insert(conn: &mut Conn, batch: &[Exported], owner: i64) -> Result<(), Failure> {
    macro_rules! column {
        ($m:ident => $value:expr) => {
            batch.iter().map(|$m| $value).collect::<Vec<_>>()
        };
    }
    let ids = column!(m => uuid(m.state.id));
    let (tenants, countries) = (column!(m => m.state.tenant.as_str()), column!(m => m.state.country.as_str()));
    let (created, expires) = (column!(m => m.state.created.get()), column!(m => m.state.expires.get()));
    let (notify, statuses) = (column!(m => m.state.notify), column!(m => m.state.status.as_str()));
    let updated = column!(m => m.state.updated.get());
    let providers = column!(m => m.state.provider.as_ref().map(ProviderName::as_str));
    let upstream = column!(m => m.state.upstream_id.as_deref().map(clean));
    let (lanes, waits) = (column!(m => m.state.lane.as_str()), column!(m => m.state.wait.column()));
    let (attempts, copies) = (column!(m => i32::from(m.state.attempt)), column!(m => i32::from(m.state.copies)));
    let (key_ids, clients) = (column!(m => m.sealed.key_id), column!(m => m.sealed.client_id.as_deref().map(clean)));
    let hashes = column!(m => Uuid::from_bytes(m.sealed.to_hash));
    let (to, body) = (column!(m => m.to.as_deref()), column!(m => m.sealed.body.as_deref()));
    let (details, logs) = (column!(m => m.sealed.details.as_slice()), column!(m => m.log.as_slice()));
    let briefs = column!(m => lanes::is_brief(&m.state));
    let values: [Value<'_>; 23] = [
        &ids, &tenants, &countries, &created, &expires, &notify, &statuses, &updated, &providers, &upstream, &lanes,
        &waits, &attempts, &copies, &key_ids, &clients, &hashes, &to, &body, &details, &logs, &briefs, &owner,
    ];
    conn.execute(MESSAGES, &values).await.map(drop)
}

/// Opens both and compares them.
async fn compare(conn: &mut Conn, message: &Exported, keys: &Keys) -> Result<(), Trouble> {
    let id = message.state.id;
    let sql = concat!("SELECT ", stored_columns!(), ", m.body_sealed FROM message m WHERE m.id = $1");
    let found = conn.rows(sql, &[&uuid(id)]).await?;
    let row = found.first().ok_or_else(|| Trouble::Refused(format!("message {id} is missing")))?;
    let body: Option<Vec<u8>> = row.try_get(STORED_LEN).map_err(Failure::from)?;
    let Exported { to, state, log, sealed, .. } = message;
    let (to, details, log) = (to.clone(), sealed.details.clone(), log.clone());
    let theirs = read::record(keys, Stored { state: state.clone(), to, details, log });
    let ours = read::record(keys, rows::stored(row)?);
    let open = |sealed: Option<&Vec<u8>>| sealed.and_then(|sealed| keys.open(id, Column::Body, sealed));
    let is_same = match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => theirs == ours && open(sealed.body.as_ref()) == open(body.as_ref()),
        (Err(_), _) => true, // it was damaged before
        (Ok(_), Err(_)) => false,
    };
    if is_same { Ok(()) } else { Err(Trouble::Refused(format!("message {id} is not what it was"))) }
}

async fn answers(conn: &mut Conn, file: &Export) -> Result<u64, Trouble> {
    let (mut after, mut count) = (0, 0);
    loop {
        let batch = file.answers(after, BATCH)?;
        let Some((last, ..)) = batch.last() else { return Ok(count) };
        after = *last;
        let keys: Vec<Uuid> = batch.iter().map(|(_, key, _)| Uuid::from_bytes(*key)).collect();
        let messages: Vec<Uuid> = batch.iter().map(|(.., kept)| uuid(kept.message)).collect();
        let fingerprints: Vec<Uuid> = batch.iter().map(|(.., kept)| Uuid::from_bytes(kept.fingerprint)).collect();
        let answers: Vec<&[u8]> = batch.iter().map(|(.., kept)| kept.answer.as_slice()).collect();
        let untils: Vec<i64> = batch.iter().map(|(.., kept)| kept.until.get()).collect();
        count += conn.execute(ANSWERS, &[&keys, &messages, &fingerprints, &answers, &untils]).await?;
    }
}

async fn limits(conn: &mut Conn, file: &Export, now: UnixMs) -> Result<u64, Trouble> {
    let mut book: BTreeMap<Hash16, (Ledger, UnixMs)> = BTreeMap::new();
    for (key, at, until) in file.charges(now)? {
        let (ledger, last) = book.entry(key).or_default();
        ledger.restore(at);
        *last = until.max(*last);
    }
    let all: Vec<_> = book.into_iter().collect();
    let mut count = 0;
    for batch in all.chunks(usize::try_from(BATCH).unwrap_or(1)) {
        let keys: Vec<Uuid> = batch.iter().map(|(key, _)| Uuid::from_bytes(*key)).collect();
        let logs: Vec<Vec<u8>> = batch.iter().map(|(_, (ledger, _))| ledger.pack()).collect();
        let untils: Vec<i64> = batch.iter().map(|(_, (_, until))| until.get()).collect();
        count += conn.execute(LIMITS, &[&keys, &logs, &untils]).await?;
    }
    Ok(count)
}

/// Notices, parked receipts, parts, endpoints, and how far numbers were erased.
async fn others(conn: &mut Conn, file: &Export) -> Result<u64, Trouble> {
    let mut count = 0;
    let mut after = 0;
    loop {
        let batch = file.notices(after, BATCH)?;
        let Some((last, _)) = batch.last() else { break };
        after = *last;
        let messages: Vec<Uuid> = batch.iter().map(|(_, notice)| uuid(notice.message)).collect();
        let (tenants, statuses): (Vec<&str>, Vec<&str>) =
            batch.iter().map(|(_, notice)| (notice.tenant.as_str(), notice.status.as_str())).unzip();
        let (ats, dues): (Vec<i64>, Vec<i64>) =
            batch.iter().map(|(_, notice)| (notice.numbers.0, notice.numbers.1)).unzip();
        let attempts: Vec<i32> = batch.iter().map(|(_, notice)| notice.numbers.2).collect();
        count += conn.execute(NOTICES, &[&messages, &tenants, &statuses, &ats, &dues, &attempts]).await?;
    }
    let mut out = Out { parked: file.parked(), ..Out::default() };
    count += out.parked.len() as u64;
    let mut after = 0;
    loop {
        let batch = file.parts(after, BATCH)?;
        let Some((last, ..)) = batch.last() else { break };
        after = *last;
        count += batch.len() as u64;
        let part = |(_, id, provider, message, number, of): (i64, String, String, MessageId, i32, i32)| {
            (id, ProviderName::new(provider), message, Some(rows::part(number, of)))
        };
        out.upstream.extend(batch.into_iter().map(part));
    }
    flush::write(conn, &Work { out, ..Work::default() }).await?;
    let mut tenants = BTreeSet::new();
    for endpoint in file.endpoints()? {
        super::notices::put_endpoint(conn, &endpoint).await?;
        tenants.insert(endpoint.tenant);
    }
    if let Some(done) = file.numbers_done()? {
        purge::set_numbers_done(conn, &done).await?;
    }
    Ok(count + tenants.len() as u64)
}

/// Messages at once.
const BATCH: i64 = 1_000;

/// Every how many messages one is read back.
const SAMPLE: usize = 100;
