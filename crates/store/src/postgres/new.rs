//! The rows of accepted messages: idempotency records, messages, their places in the lanes; for what nobody asked for before
//! also what is charged. One statement, whose end is durable. Decides nothing.

use sms_core::{MessageId, ProviderName, UnixMs};
use uuid::Uuid;

use super::lanes;
use super::limits::Charges;
use super::pool::{Conn, Value};
use super::rows::{self, clean, uuid};
use super::work::Inserted;
use crate::key::Hash16;
use crate::tables::{Failure, Kept};

macro_rules! new {
    () => {
        "WITH new AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int8[], $5::int8[], \
            $6::bool[], $7::text[], $8::text[], $9::text[], $10::int8[], $11::int4[], $12::int8[], $13::text[], $14::uuid[], \
            $15::bytea[], $16::bytea[], $17::bytea[], $18::bytea[], $19::bool[], $20::uuid[], $21::uuid[], $22::bytea[], \
            $23::int8[]) t(id, tenant, country, created, expires, notify, status, provider, lane, wait, attempt, key_id, \
            client_id, to_hash, to_sealed, body, details, log, brief, key, fingerprint, answer, until)), "
    };
}

/// Messages and jobs of `new` of which `$is_mine`; `$24` is the owner.
macro_rules! messages {
    ($is_mine:literal) => {
        concat!(
            "accepted AS (INSERT INTO message (id, tenant, country, created, expires, notify, status, updated, provider, \
                lane, wait, attempt, copies, owner, key_id, client_id, to_hash, to_sealed, body_sealed, details_sealed, log) \
            SELECT id, tenant, country, created, expires, notify, status, created, provider, lane, wait, attempt, 0, $24, \
                key_id, client_id, to_hash, to_sealed, body, details, log FROM new WHERE ",
            $is_mine,
            "), jobs AS (INSERT INTO job (id, tenant, country, lane, status, created, expires, due, brief, owner) \
            SELECT id, tenant, country, lane, status, created, expires, wait, brief, $24 \
            FROM new WHERE wait IS NOT NULL AND ",
            $is_mine,
            ") "
        )
    };
}

/// A key that another node took meanwhile accepts nothing here: its message is not inserted, and it is not returned.
const ACCEPT: &str = concat!(
    new!(),
    "kept AS (INSERT INTO answer (key, message, fingerprint, answer_sealed, until) \
        SELECT key, id, fingerprint, answer, until FROM new WHERE key IS NOT NULL ORDER BY key \
        ON CONFLICT (key) DO UPDATE SET message = excluded.message, fingerprint = excluded.fingerprint, \
            answer_sealed = excluded.answer_sealed, until = excluded.until WHERE answer.until <= $25 \
        RETURNING message), ",
    messages!("(key IS NULL OR id IN (SELECT message FROM kept))"),
    "SELECT message FROM kept"
);

/// Where no row of a limit or key exists yet, these are them, with the messages; else nothing is written. Where another
/// node makes one at this very moment, the division fails, and with it all.
const ACCEPT_FIRST: &str = concat!(
    new!(),
    "fresh AS MATERIALIZED (SELECT * FROM unnest($25::uuid[], $26::bytea[], $27::int8[]) t(key, log, until)), \
    clear AS MATERIALIZED (SELECT NOT EXISTS (SELECT 1 FROM allowance WHERE key = ANY($25)) \
        AND NOT EXISTS (SELECT 1 FROM answer WHERE key = ANY($20)) AS is_first), \
    charged AS (INSERT INTO allowance (key, log, until) SELECT key, log, until FROM fresh \
        WHERE (SELECT is_first FROM clear) ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING key), \
    kept AS (INSERT INTO answer (key, message, fingerprint, answer_sealed, until) \
        SELECT key, id, fingerprint, answer, until FROM new WHERE key IS NOT NULL AND (SELECT is_first FROM clear) \
        ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING key), ",
    messages!("(SELECT is_first FROM clear)"),
    "SELECT is_first, CASE WHEN is_first AND ((SELECT count(*) FROM charged) < cardinality($25::uuid[]) \
        OR (SELECT count(*) FROM kept) < (SELECT count(key) FROM new)) THEN 1 / (CASE WHEN is_first THEN 0 ELSE 1 END) END \
    FROM clear"
);

/// New rows, as columns.
pub(super) struct Rows<'a> {
    ids: Vec<Uuid>,
    tenants: Vec<&'a str>,
    countries: Vec<&'a str>,
    created: Vec<i64>,
    expires: Vec<i64>,
    notify: Vec<bool>,
    statuses: Vec<&'static str>,
    providers: Vec<Option<&'a str>>,
    lanes: Vec<&'a str>,
    waits: Vec<Option<i64>>,
    attempts: Vec<i32>,
    key_ids: Vec<i64>,
    clients: Vec<Option<String>>,
    hashes: Vec<Uuid>,
    to: Vec<&'a [u8]>,
    bodies: Vec<Option<&'a [u8]>>,
    details: Vec<&'a [u8]>,
    logs: Vec<&'a [u8]>,
    briefs: Vec<bool>,
    keys: Vec<Option<Uuid>>,
    fingerprints: Vec<Option<Uuid>>,
    answers: Vec<Option<&'a [u8]>>,
    untils: Vec<Option<i64>>,
}

impl<'a> Rows<'a> {
    /// Messages, with the records of those that have one.
    pub(super) fn of(inserted: &'a [Inserted], records: &[Option<&'a (Hash16, Kept)>]) -> Self {
        let record = |at: usize| records.get(at).copied().flatten();
        macro_rules! column {
            ($new:ident => $value:expr) => {
                inserted.iter().map(|$new| $value).collect()
            };
        }
        macro_rules! kept {
            ($record:ident => $value:expr) => {
                (0..inserted.len()).map(|at| record(at).map(|$record| $value)).collect()
            };
        }
        Self {
            ids: column!(new => uuid(new.state.id)),
            tenants: column!(new => new.state.tenant.as_str()),
            countries: column!(new => new.state.country.as_str()),
            created: column!(new => new.state.created.get()),
            expires: column!(new => new.state.expires.get()),
            notify: column!(new => new.state.notify),
            statuses: column!(new => new.state.status.as_str()),
            providers: column!(new => new.state.provider.as_ref().map(ProviderName::as_str)),
            lanes: column!(new => new.state.lane.as_str()),
            waits: column!(new => new.state.wait.column()),
            attempts: column!(new => i32::from(new.state.attempt)),
            key_ids: column!(new => new.sealed.key_id),
            clients: column!(new => new.sealed.client_id.as_deref().map(clean)),
            hashes: column!(new => Uuid::from_bytes(new.sealed.to_hash)),
            to: column!(new => new.sealed.to.as_slice()),
            bodies: column!(new => new.sealed.body.as_deref()),
            details: column!(new => new.sealed.details.as_slice()),
            logs: column!(new => new.log.as_slice()),
            briefs: column!(new => lanes::is_brief(&new.state)),
            keys: kept!(record => Uuid::from_bytes(record.0)),
            fingerprints: kept!(record => Uuid::from_bytes(record.1.fingerprint)),
            answers: kept!(record => record.1.answer.as_slice()),
            untils: kept!(record => record.1.until.get()),
        }
    }

    /// Writes them; the messages whose keys are theirs.
    pub(super) async fn accept(&self, conn: &mut Conn, (now, owner): (UnixMs, i64)) -> Result<Vec<MessageId>, Failure> {
        let now = now.get();
        let mut values = self.values(&owner);
        values.push(&now);
        conn.rows(ACCEPT, &values).await?.iter().map(|row| rows::id(row, 0)).collect()
    }

    /// Writes them with what they are charged, where nothing was charged to the same limits before and no key is known; says
    /// whether that is so.
    pub(super) async fn accept_first(&self, conn: &mut Conn, charges: &Charges, owner: i64) -> Result<bool, Failure> {
        let mut values = self.values(&owner);
        values.extend(charges.values());
        let found = conn.rows(ACCEPT_FIRST, &values).await?;
        Ok(found.first().ok_or_else(|| rows::unreadable("answer"))?.try_get(0)?)
    }

    fn values<'v>(&'v self, owner: &'v i64) -> Vec<Value<'v>> {
        vec![
            &self.ids,
            &self.tenants,
            &self.countries,
            &self.created,
            &self.expires,
            &self.notify,
            &self.statuses,
            &self.providers,
            &self.lanes,
            &self.waits,
            &self.attempts,
            &self.key_ids,
            &self.clients,
            &self.hashes,
            &self.to,
            &self.bodies,
            &self.details,
            &self.logs,
            &self.briefs,
            &self.keys,
            &self.fingerprints,
            &self.answers,
            &self.untils,
            owner,
        ]
    }
}
