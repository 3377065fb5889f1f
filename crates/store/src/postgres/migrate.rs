//! The tables, and how older databases get today's: forward only, one node at a time. A step, once released, never
//! changes, and the version before it can go on with the tables that it leaves.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;

use super::error::PgError;
use super::pool::{Conn, Pool};
use crate::tables::Failure;

/// Where a database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The steps it has; 0 is an empty database.
    pub found: i32,
    /// The steps that this version knows.
    pub known: i32,
}

impl Migration {
    /// Whether this version can run on it as it is.
    pub fn is_usable(&self) -> bool {
        (self.known..=self.known + 1).contains(&self.found)
    }
}

/// Looks, and changes nothing.
///
/// # Errors
/// The database cannot be used; see [`PgError`].
pub async fn status(url: &str) -> Result<Migration, PgError> {
    let pool = Pool::open(url).await?;
    let found = look(&pool).await;
    pool.close();
    found
}

/// Takes every missing step, each in a transaction of its own; says where the database stood before. Others that migrate
/// at the same time wait.
///
/// # Errors
/// The database cannot be used, or a newer version made it; see [`PgError`].
pub async fn up(url: &str) -> Result<Migration, PgError> {
    let pool = Pool::open(url).await?;
    let done = run(&pool).await;
    pool.close();
    done
}

/// [`up`] on a pool that is open.
pub(super) async fn run(pool: &Arc<Pool>) -> Result<Migration, PgError> {
    let before = look(pool).await?;
    let mut found = before.found;
    while found < KNOWN {
        let mut conn = pool.lend().await.map_err(|failure| failure.error)?;
        conn.patience = Duration::from_mins(10); // for others that migrate, and for a large table
        found = step(&mut conn).await.map_err(|failure| failure.error)?;
        conn.done();
    }
    check(Migration { found, known: KNOWN })?;
    Ok(before)
}

/// Refuses what this version cannot run on.
pub(super) fn check(migration: Migration) -> Result<(), PgError> {
    let Migration { found, known } = migration;
    match () {
        () if migration.is_usable() => Ok(()),
        () if found < known => Err(PgError::Older { found, known }),
        () => Err(PgError::Newer { found, known }),
    }
}

/// Where a database of an open pool stands.
pub(super) async fn look(pool: &Arc<Pool>) -> Result<Migration, PgError> {
    let conn = pool.lend().await.map_err(|failure| failure.error)?;
    let found = version(&conn.client).await?;
    conn.done();
    Ok(Migration { found, known: KNOWN })
}

/// Takes one step where one is missing; the version that is there then.
async fn step(conn: &mut Conn) -> Result<i32, Failure> {
    let waiting = "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0";
    conn.batch(&format!("BEGIN; {waiting}; SELECT pg_advisory_xact_lock(7239411)")).await?;
    let found = version(&conn.client).await?;
    let Some(sql) = usize::try_from(found).ok().and_then(|found| STEPS.get(found)) else {
        conn.batch("ROLLBACK").await?;
        return Ok(found);
    };
    let version = found + 1;
    let note = "CREATE TABLE IF NOT EXISTS schema_version (version int4 PRIMARY KEY, at timestamptz NOT NULL)";
    let sql = format!("{note}; {sql}; INSERT INTO schema_version VALUES ({version}, now()); COMMIT");
    conn.batch(&sql).await?;
    Ok(version)
}

async fn version(client: &Client) -> Result<i32, tokio_postgres::Error> {
    // Read, not looked up by name: the name's absence may be remembered from before others made it.
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'schema_version' \
        AND relnamespace = current_schema()::regnamespace)";
    let there = client.query_one(sql, &[]).await?;
    if !there.get::<_, bool>(0) {
        return Ok(0);
    }
    Ok(client.query_one("SELECT coalesce(max(version), 0) FROM schema_version", &[]).await?.get(0))
}

const STEPS: [&str; 1] = [include_str!("migrations/0001.sql")];

/// The steps that this version knows.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a handful")]
const KNOWN: i32 = STEPS.len() as i32;
