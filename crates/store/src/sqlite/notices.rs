//! Rows of what tenants are to be told and of their endpoints. Nothing is decided here.

use rusqlite::{Connection, OptionalExtension as _, params};
use sms_core::store::{Endpoint, Notice, NoticeId, NoticeWant};
use sms_core::{Status, TenantId, UnixMs};

use super::rows::{self, Names, STORED_LEN, state_columns, stored_columns};
use crate::key::Keys;
use crate::notices::NoticeCounts;
use crate::read;
use crate::tables::{Failure, NewNotice, SHELVED};

/// What the writer remembers of the notices.
#[derive(Debug)]
pub(super) struct Notices {
    next: i64,
    pub(super) counts: NoticeCounts,
}

impl Notices {
    pub(super) fn open(connection: &Connection) -> rusqlite::Result<Self> {
        let newest: Option<i64> = connection.query_row("SELECT max(row) FROM notice", [], |row| row.get(0))?;
        let mut counts = NoticeCounts::default();
        let mut statement = connection.prepare("SELECT tenant, count(*) FROM notice WHERE due < ?1 GROUP BY tenant")?;
        let mut found = statement.query([SHELVED.get()])?;
        while let Some(row) = found.next()? {
            counts.add(&TenantId::new(row.get_ref(0)?.as_str()?), row.get::<_, i64>(1)?.unsigned_abs());
        }
        counts.commit();
        Ok(Self { next: newest.unwrap_or(0) + 1, counts })
    }

    pub(super) fn add(&mut self, connection: &Connection, notice: &NewNotice<'_>) -> rusqlite::Result<()> {
        let sql =
            "INSERT INTO notice (row, message, tenant, status, at, due, attempt) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)";
        let NewNotice { message, tenant, status, at, due } = notice;
        let values = params![self.next, message.as_bytes(), tenant.as_str(), status.as_str(), at.get(), due.get()];
        connection.prepare_cached(sql)?.execute(values)?;
        self.next += 1;
        self.counts.add(tenant, 1);
        Ok(())
    }

    pub(super) fn end(&mut self, connection: &Connection, id: NoticeId) -> rusqlite::Result<()> {
        let sql = "DELETE FROM notice WHERE row = ?1 RETURNING tenant, due";
        let mut statement = connection.prepare_cached(sql)?;
        let gone = statement.query_row([id.0], |row| Ok((tenant(row)?, row.get(1)?))).optional()?;
        self.forget(gone);
        Ok(())
    }

    pub(super) fn retry(connection: &Connection, id: NoticeId, due: UnixMs) -> rusqlite::Result<()> {
        let sql = "UPDATE notice SET due = ?2, attempt = min(attempt + 1, 65535) WHERE row = ?1 AND due < ?3";
        connection.prepare_cached(sql)?.execute(params![id.0, due.get(), SHELVED.get()])?;
        Ok(())
    }

    pub(super) fn shelve(&mut self, connection: &Connection, id: NoticeId) -> rusqlite::Result<()> {
        let sql = "UPDATE notice SET due = ?2 WHERE row = ?1 AND due < ?2 RETURNING tenant";
        let mut statement = connection.prepare_cached(sql)?;
        let shelved = statement.query_row(params![id.0, SHELVED.get()], tenant).optional()?;
        self.forget(shelved.map(|tenant| (tenant, 0)));
        Ok(())
    }

    pub(super) fn unshelve(
        &mut self,
        connection: &Connection,
        tenant: &TenantId,
        (since, until): (UnixMs, UnixMs),
        (max, now): (i64, UnixMs),
    ) -> rusqlite::Result<u64> {
        let sql = "UPDATE notice SET due = ?6, attempt = 0 WHERE row IN (SELECT row FROM notice \
            WHERE tenant = ?1 AND due = ?2 AND at >= ?3 AND at < ?4 ORDER BY row LIMIT ?5)";
        let values = params![tenant.as_str(), SHELVED.get(), since.get(), until.get(), max, now.get()];
        let due = connection.prepare_cached(sql)?.execute(values)? as u64;
        self.counts.add(tenant, due);
        Ok(due)
    }

    /// Forgets notices of forgotten messages, which nobody can read. The oldest come first, as with messages.
    pub(super) fn purge(&mut self, connection: &Connection, budget: i64) -> rusqlite::Result<()> {
        let sql = "DELETE FROM notice WHERE row IN (SELECT row FROM notice ORDER BY row LIMIT ?1) \
            AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = notice.message) RETURNING tenant, due";
        let mut statement = connection.prepare_cached(sql)?;
        let mut gone = statement.query([budget])?;
        while let Some(row) = gone.next()? {
            self.forget(Some((tenant(row)?, row.get(1)?)));
        }
        Ok(())
    }

    fn forget(&mut self, gone: Option<(TenantId, i64)>) {
        if let Some((tenant, _)) = gone.filter(|(_, due)| *due < SHELVED.get()) {
            self.counts.remove(&tenant, 1);
        }
    }
}

/// Notices that are due, with their messages.
pub(super) fn due(
    connection: &Connection,
    keys: &Keys,
    wants: &[NoticeWant],
    now: UnixMs,
) -> Result<Vec<Notice>, Failure> {
    let sql = concat!(
        "SELECT ",
        stored_columns!(),
        ", n.row, n.status, n.at, n.attempt FROM notice n JOIN message m ON m.id = n.message \
         WHERE n.tenant = ?1 AND n.due <= ?2 ORDER BY n.due, n.row LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(sql)?;
    let (mut notices, mut names) = (Vec::new(), Names::default());
    for want in wants {
        let max = i64::try_from(want.max).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![want.tenant.as_str(), now.get().min(SHELVED.get() - 1), max])?;
        while let Some(row) = rows.next()? {
            let status = row.get_ref(STORED_LEN + 1)?.as_str().map_err(rusqlite::Error::from)?;
            let Ok(record) = read::record(keys, rows::stored(row, &mut names)?) else { continue };
            notices.push(Notice {
                id: NoticeId(row.get(STORED_LEN)?),
                record,
                status: Status::parse(status).ok_or_else(|| rows::unreadable("status"))?,
                at: rows::at(row, STORED_LEN + 2)?,
                attempt: row.get(STORED_LEN + 3)?,
            });
        }
    }
    Ok(notices)
}

pub(super) fn endpoints(connection: &Connection) -> Result<Vec<Endpoint>, Failure> {
    let sql = "SELECT tenant, url, failing, disabled, why FROM endpoint ORDER BY tenant";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([], |row| {
        let time = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(UnixMs::new));
        Ok(Endpoint {
            tenant: tenant(row)?,
            url: rows::hash(row, 1)?,
            failing_since: time(2)?,
            disabled_since: time(3)?,
            why: row.get(4)?,
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn set_endpoint(connection: &Connection, endpoint: &Endpoint) -> rusqlite::Result<()> {
    let sql = "REPLACE INTO endpoint (tenant, url, failing, disabled, why) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        endpoint.tenant.as_str(),
        endpoint.url,
        endpoint.failing_since.map(UnixMs::get),
        endpoint.disabled_since.map(UnixMs::get),
        endpoint.why,
    ])?;
    Ok(())
}

fn tenant(row: &rusqlite::Row<'_>) -> rusqlite::Result<TenantId> {
    Ok(TenantId::new(row.get_ref(0)?.as_str()?))
}
