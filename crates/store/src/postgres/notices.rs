//! What tenants are to be told, and their endpoints. A node that asks for notices holds them for a minute, so that no two
//! tell the same; what a dead node held is told by another one then.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sms_core::store::{Endpoint, Notice, NoticeId, NoticeOutcome, NoticeWant};
use sms_core::{TenantId, UnixMs};
use uuid::Uuid;

use super::Shared;
use super::pool::{Asked, Conn};
use super::rows::{self, STORED_LEN, clean, limit, stored_columns};
use crate::read;
use crate::tables::{Failure, SHELVED};

const TENANTS: &str = "WITH RECURSIVE t AS ((SELECT tenant FROM notice WHERE due < $1 ORDER BY tenant LIMIT 1) \
    UNION ALL SELECT n.tenant FROM t CROSS JOIN LATERAL (SELECT tenant FROM notice \
    WHERE tenant > t.tenant AND due < $1 ORDER BY tenant LIMIT 1) n) SELECT tenant FROM t";

const DUE: &str = concat!(
    "WITH held AS (UPDATE notice SET holder = $4, held_until = clock_timestamp() + interval '1 min' WHERE row = ANY(ARRAY( \
        SELECT n.row FROM notice n WHERE n.tenant = $1 AND n.due <= $2 AND n.due < $5 \
            AND (n.holder = $4 OR n.held_until < clock_timestamp()) ORDER BY n.due, n.row LIMIT $3 \
            FOR UPDATE SKIP LOCKED)) RETURNING row, message, status, at, attempt, due) SELECT ",
    stored_columns!(),
    ", n.row, n.status, n.at, n.attempt FROM held n CROSS JOIN LATERAL (SELECT * FROM message WHERE id = n.message LIMIT 1) m ORDER BY n.due, n.row"
);

const END: &str = "DELETE FROM notice WHERE row = ANY($1::int8[])";

const SHELVE: &str = "UPDATE notice SET due = $2, held_until = '-infinity' WHERE row = ANY($1::int8[])";

const RETRY: &str = "UPDATE notice n SET due = u.due, attempt = least(n.attempt + 1, 65535), held_until = '-infinity' \
    FROM unnest($1::int8[], $2::int8[]) u(row, due) WHERE n.row = u.row AND n.row = ANY($1) AND n.due < $3";

const UNSHELVE: &str = "UPDATE notice SET due = $6, attempt = 0 WHERE row = ANY(ARRAY(SELECT row FROM notice \
    WHERE tenant = $1 AND due = $2 AND at >= $3 AND at < $4 ORDER BY row LIMIT $5))";

const SET_ENDPOINT: &str = "INSERT INTO endpoint (tenant, url, failing, disabled, why) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (tenant) DO UPDATE SET url = excluded.url, failing = excluded.failing, disabled = excluded.disabled, \
    why = excluded.why";

/// What this node remembers of whom to tell, so that nobody asks the database where nobody is told anything.
#[derive(Debug, Default)]
pub(super) struct Telling(Mutex<(BTreeSet<TenantId>, u64)>);

impl Telling {
    /// A commit left something to tell.
    pub(super) fn add<'a>(&self, tenants: impl Iterator<Item = &'a TenantId>) {
        let mut all = self.lock();
        for tenant in tenants {
            all.1 += 1;
            if !all.0.contains(tenant) {
                all.0.insert(tenant.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, (BTreeSet<TenantId>, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tenants who are still to be told of something.
pub(super) async fn tenants(shared: &Arc<Shared>) -> Result<Vec<TenantId>, Failure> {
    if shared.telling.lock().0.is_empty() {
        return Ok(Vec::new());
    }
    refresh(shared).await
}

/// Looks whom to tell; what other nodes left to tell becomes known so.
pub(super) async fn refresh(shared: &Arc<Shared>) -> Result<Vec<TenantId>, Failure> {
    let told = shared.telling.lock().1;
    let mut conn = shared.pool.lend().await?;
    let found = conn.rows(TENANTS, &[&SHELVED.get()]).await?;
    conn.done();
    let seen = found.iter().map(|row| Ok(TenantId::new(row.try_get::<_, &str>(0)?)));
    let mut seen = seen.collect::<Result<BTreeSet<_>, Failure>>()?;
    let mut all = shared.telling.lock();
    if all.1 != told {
        seen.append(&mut all.0); // of what was committed meanwhile nothing may have been seen
    }
    all.0.clone_from(&seen);
    Ok(seen.into_iter().collect())
}

/// Notices that are due and that nobody else tells now, with their messages.
pub(super) async fn due(shared: &Arc<Shared>, wants: &[NoticeWant], now: UnixMs) -> Result<Vec<Notice>, Failure> {
    let mut conn = shared.pool.lend().await?;
    let (mut notices, me) = (Vec::new(), shared.node.id());
    for want in wants.iter().filter(|want| want.max > 0) {
        let tenant = want.tenant.as_str();
        let values: [super::pool::Value<'_>; 5] = [&tenant, &now.get(), &limit(want.max), &me, &SHELVED.get()];
        for row in conn.rows(DUE, &values).await? {
            let Ok(record) = read::record(&shared.keys, rows::stored(&row)?) else { continue };
            notices.push(Notice {
                id: NoticeId(row.try_get(STORED_LEN)?),
                record,
                status: rows::status(&row, STORED_LEN + 1)?,
                at: rows::at(&row, STORED_LEN + 2)?,
                attempt: u16::try_from(row.try_get::<_, i32>(STORED_LEN + 3)?).unwrap_or(u16::MAX),
            });
        }
    }
    conn.done();
    Ok(notices)
}

/// Records how telling went, in order.
pub(super) async fn settle(shared: &Arc<Shared>, batch: &[(NoticeId, NoticeOutcome)]) -> Result<(), Failure> {
    let rows = |wanted: fn(&NoticeOutcome) -> bool| -> Vec<i64> {
        batch.iter().filter(|(_, outcome)| wanted(outcome)).map(|(id, _)| id.0).collect()
    };
    let (done, shelved) = (
        rows(|outcome| matches!(outcome, NoticeOutcome::Done)),
        rows(|outcome| matches!(outcome, NoticeOutcome::Shelved)),
    );
    let again = batch.iter().filter_map(|(id, outcome)| match outcome {
        NoticeOutcome::Retry { due } => Some((id.0, due.get())),
        NoticeOutcome::Done | NoticeOutcome::Shelved => None,
    });
    let (again, dues): (Vec<i64>, Vec<i64>) = again.unzip();
    let mut conn = shared.pool.lend().await?;
    conn.begin("BEGIN", &[]).await?;
    let far = SHELVED.get();
    let asked: [Asked<'_>; 3] =
        [(RETRY, vec![&again, &dues, &far]), (SHELVE, vec![&shelved, &far]), (END, vec![&done])];
    conn.commit("COMMIT", &asked).await?;
    conn.done();
    Ok(())
}

/// Makes shelved notices of changes in a span due, as if they were new; says how many.
pub(super) async fn unshelve(
    shared: &Arc<Shared>,
    tenant: &TenantId,
    (since, until): (UnixMs, UnixMs),
    (max, now): (usize, UnixMs),
) -> Result<u64, Failure> {
    let mut conn = shared.pool.lend().await?;
    let (name, shelved, since, until) = (tenant.as_str(), SHELVED.get(), since.get(), until.get());
    let due = conn.execute(UNSHELVE, &[&name, &shelved, &since, &until, &limit(max), &now.get()]).await?;
    conn.done();
    if due > 0 {
        shared.telling.add(std::iter::once(tenant));
    }
    Ok(due)
}

/// What is known of tenants' endpoints.
pub(super) async fn endpoints(shared: &Arc<Shared>) -> Result<Vec<Endpoint>, Failure> {
    let mut conn = shared.pool.lend().await?;
    let found = conn.rows("SELECT tenant, url, failing, disabled, why FROM endpoint ORDER BY tenant", &[]).await?;
    conn.done();
    let time = |row: &tokio_postgres::Row, column: usize| -> Result<Option<UnixMs>, Failure> {
        Ok(row.try_get::<_, Option<i64>>(column)?.map(UnixMs::new))
    };
    let endpoint = |row: &tokio_postgres::Row| {
        let (tenant, url) = (TenantId::new(row.try_get::<_, &str>(0)?), rows::hash(row, 1)?);
        let (failing_since, disabled_since) = (time(row, 2)?, time(row, 3)?);
        Ok(Endpoint { tenant, url, failing_since, disabled_since, why: row.try_get(4)? })
    };
    found.iter().map(endpoint).collect()
}

/// Replaces what is known of a tenant's endpoint.
pub(super) async fn set_endpoint(shared: &Arc<Shared>, endpoint: &Endpoint) -> Result<(), Failure> {
    let mut conn = shared.pool.lend().await?;
    put_endpoint(&mut conn, endpoint).await?;
    conn.done();
    Ok(())
}

/// The same on a connection.
pub(super) async fn put_endpoint(conn: &mut Conn, endpoint: &Endpoint) -> Result<(), Failure> {
    let (tenant, url) = (endpoint.tenant.as_str(), Uuid::from_bytes(endpoint.url));
    let (failing, disabled) = (endpoint.failing_since.map(UnixMs::get), endpoint.disabled_since.map(UnixMs::get));
    let why = endpoint.why.as_deref().map(clean);
    conn.execute(SET_ENDPOINT, &[&tenant, &url, &failing, &disabled, &why]).await.map(drop)
}
