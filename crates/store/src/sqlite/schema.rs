//! The tables, and how older files become today's. A step, once released, never changes.

use rusqlite::Connection;

/// Version of a file that this build writes: the number of steps.
pub(super) const VERSION: i64 = 1;

/// Brings a file of version `from` to [`VERSION`], each step in a transaction of its own.
pub(super) fn migrate(connection: &Connection, from: i64) -> rusqlite::Result<()> {
    for (step, version) in STEPS.iter().zip(1_i64..).filter(|(_, version)| *version > from) {
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {step} PRAGMA user_version = {version}; COMMIT;"))?;
    }
    Ok(())
}

const STEPS: [&str; 1] = [FIRST];

/// `message` has hot small columns first and a numbered row, so that its other B-trees carry a short number and a row
/// stays in one page. `wait` is null when nothing is pending, -1 while an attempt is open, else the due time; its index
/// holds unsettled messages only and is what a start reads. `answer` and `charge` grow at their end and are purged
/// from their front.
const FIRST: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE message (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    country TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    notify INTEGER NOT NULL,
    status TEXT NOT NULL,
    updated INTEGER NOT NULL,
    provider TEXT,
    upstream_id TEXT,
    lane TEXT NOT NULL,
    wait INTEGER,
    attempt INTEGER NOT NULL,
    copies INTEGER NOT NULL,
    key_id INTEGER NOT NULL,
    client_id TEXT,
    to_hash BLOB NOT NULL,
    to_sealed BLOB,
    body_sealed BLOB,
    details_sealed BLOB NOT NULL,
    log TEXT NOT NULL
);
CREATE INDEX message_tenant ON message (tenant, id);
CREATE INDEX message_to ON message (to_hash, id);
CREATE INDEX message_upstream ON message (upstream_id, provider) WHERE upstream_id IS NOT NULL;
CREATE INDEX message_wait ON message (wait) WHERE wait IS NOT NULL;
CREATE TABLE answer (
    row INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    message BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    answer_sealed BLOB NOT NULL,
    until INTEGER NOT NULL
);
CREATE TABLE charge (row INTEGER PRIMARY KEY, at INTEGER NOT NULL, until INTEGER NOT NULL, keys BLOB NOT NULL);
CREATE TABLE parked (
    row INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    message BLOB,
    upstream_id TEXT NOT NULL,
    state TEXT NOT NULL,
    code TEXT,
    their_time INTEGER,
    at INTEGER NOT NULL
);
CREATE TABLE notice (
    row INTEGER PRIMARY KEY,
    message BLOB NOT NULL,
    status TEXT NOT NULL,
    at INTEGER NOT NULL,
    due INTEGER NOT NULL,
    attempt INTEGER NOT NULL
);
CREATE INDEX notice_due ON notice (due);
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrating_twice_changes_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        migrate(&connection, 0).unwrap();
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, VERSION);
        migrate(&connection, version).unwrap();
    }
}
