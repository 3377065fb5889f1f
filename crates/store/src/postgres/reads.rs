//! Questions: one message, lists, gauges.

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{Counts, Filter, Page};
use sms_core::{MessageId, ProviderName, Status, TenantId, UnixMs};
use uuid::Uuid;

use super::Shared;
use super::pool::Value;
use super::rows::{self, limit, stored_columns, uuid};
use crate::read;
use crate::tables::{Failure, Stored, span};

const ONE: &str = concat!("SELECT ", stored_columns!(), " FROM message m WHERE m.id = $1");

const COUNTS: &str = "SELECT count(*) FILTER (WHERE status = 'queued'), count(*) FILTER (WHERE status = 'sending'), \
    min(created) FILTER (WHERE status = 'queued') FROM job";

/// One message.
pub(super) async fn record(shared: &Arc<Shared>, id: MessageId) -> Result<Option<Stored>, Failure> {
    let mut conn = shared.pool.lend().await?;
    let found = conn.rows(ONE, &[&uuid(id)]).await?;
    conn.done();
    found.first().map(rows::stored).transpose()
}

/// One page of messages, newest first. Looks at [`SCAN_MAX`] of them at most.
pub(super) async fn search(shared: &Arc<Shared>, filter: &Filter) -> Result<Page, Failure> {
    let (since, end) = span(filter);
    if since >= end {
        return Ok(Page::default());
    }
    let (since, end) = (uuid(since), uuid(end));
    let to = filter.to.map(|to| Uuid::from_bytes(shared.keys.number(to)));
    let (tenant, provider) =
        (filter.tenant.as_ref().map(TenantId::as_str), filter.provider.as_ref().map(ProviderName::as_str));
    let (status, client) = (filter.status.map(Status::as_str), filter.client_id.as_deref());
    let wanted = limit(filter.limit.saturating_add(1));
    let mut values: Vec<Value<'_>> = vec![&since, &end];
    let (mut window, mut also) = (String::from("m.id >= $1 AND m.id < $2"), String::from("true"));
    if let Some(tenant) = &tenant {
        values.push(tenant);
        window = format!("{window} AND m.tenant = ${}", values.len());
    }
    if let Some(to) = &to {
        values.push(to);
        window = format!("{window} AND m.to_hash = ${}", values.len());
    }
    for (column, value) in [("status", &status), ("client_id", &client), ("provider", &provider)] {
        if let Some(value) = value {
            values.push(value);
            also = format!("{also} AND m.{column} = ${}", values.len());
        }
    }
    let conn = shared.pool.lend().await?;
    let inner = format!("SELECT * FROM message m WHERE {window} ORDER BY m.id DESC LIMIT {SCAN_MAX}");
    let columns = stored_columns!();
    let sql = format!("SELECT {columns} FROM ({inner}) m WHERE {also} ORDER BY m.id DESC LIMIT {wanted}");
    let found = conn.client.query(&sql, &values).await?;
    let mut page = Page::default();
    for row in found.iter().take(filter.limit) {
        let stored = rows::stored(row)?;
        page.next = Some(stored.state.id);
        page.records.extend(read::record(&shared.keys, stored).ok()); // one that is damaged must not hide the others
    }
    if found.len() <= filter.limit {
        // Nothing more among those that were looked at; the next page begins behind them.
        let sql = format!("SELECT m.id FROM message m WHERE {window} ORDER BY m.id DESC OFFSET {SCAN_MAX} - 1 LIMIT 1");
        values.truncate(2 + usize::from(tenant.is_some()) + usize::from(to.is_some()));
        let last = conn.client.query(&sql, &values).await?;
        page.next = last.first().map(|row| rows::id(row, 0)).transpose()?;
    }
    conn.done();
    Ok(page)
}

/// How many messages stand where.
pub(super) async fn counts(shared: &Arc<Shared>, now: UnixMs) -> Result<Counts, Failure> {
    let mut conn = shared.pool.lend().await?;
    let found = conn.rows(COUNTS, &[]).await?;
    conn.done();
    let row = found.first().ok_or_else(|| rows::unreadable("count"))?;
    let count = |column| Ok::<u64, Failure>(row.try_get::<_, i64>(column)?.unsigned_abs());
    let oldest: Option<Duration> = row.try_get::<_, Option<i64>>(2)?.map(|at| now.since(UnixMs::new(at)));
    Ok(Counts { queued: count(0)?, sending: count(1)?, oldest_queued: oldest })
}

/// Rows one question may look at; a page may therefore hold fewer records than asked for and still have a next.
const SCAN_MAX: usize = 20_000;
