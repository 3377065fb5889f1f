//! The tables, and how older files become today's. A step, once released, never changes.

use rusqlite::Connection;

/// Version of a file that this build writes: the number of steps.
pub(super) const VERSION: i64 = 4;

/// Brings a file of version `from` to [`VERSION`], each step in a transaction of its own.
pub(super) fn migrate(connection: &Connection, from: i64) -> rusqlite::Result<()> {
    for (step, version) in STEPS.iter().zip(1_i64..).filter(|(_, version)| *version > from) {
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {step} PRAGMA user_version = {version}; COMMIT;"))?;
    }
    Ok(())
}

const STEPS: [&str; 4] = [FIRST, TOLD_BY_TENANT, SUMS, NUMBERS_BY_BLOCK];

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

/// Notices are found by tenant, so that one tenant's cannot stand in front of another's. A provider may name the parts
/// of a message; endpoints are remembered.
const TOLD_BY_TENANT: &str = "
ALTER TABLE notice RENAME TO old_notice;
DROP INDEX notice_due;
CREATE TABLE notice (
    row INTEGER PRIMARY KEY,
    message BLOB NOT NULL,
    tenant TEXT NOT NULL,
    status TEXT NOT NULL,
    at INTEGER NOT NULL,
    due INTEGER NOT NULL,
    attempt INTEGER NOT NULL
);
INSERT INTO notice SELECT n.row, n.message, m.tenant, n.status, n.at, n.due, n.attempt
    FROM old_notice n JOIN message m ON m.id = n.message;
DROP TABLE old_notice;
CREATE INDEX notice_due ON notice (tenant, due);
CREATE TABLE endpoint (
    tenant TEXT PRIMARY KEY,
    url BLOB NOT NULL,
    failing INTEGER,
    disabled INTEGER,
    why TEXT
) WITHOUT ROWID;
CREATE TABLE part (
    row INTEGER PRIMARY KEY,
    upstream_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    message BLOB NOT NULL,
    number INTEGER NOT NULL,
    parts INTEGER NOT NULL
);
CREATE INDEX part_upstream ON part (upstream_id, provider);
ALTER TABLE parked ADD COLUMN part INTEGER;
ALTER TABLE parked ADD COLUMN parts INTEGER;
";

/// Nothing but a new number: older versions would change pages past their sums, so they must refuse the file.
const SUMS: &str = "";

/// Hashes of numbers are random: in one index each new message would change a page of its own, anywhere in the file. By
/// blocks of 512 rows, all new ones go to the same few pages; whoever looks for a number looks into each block.
const NUMBERS_BY_BLOCK: &str = "
DROP INDEX message_to;
CREATE INDEX message_to ON message (row >> 9, to_hash, id);
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

    #[test]
    fn notices_of_the_first_version_get_their_tenants() {
        let connection = Connection::open_in_memory().unwrap();
        let first = format!("{FIRST} PRAGMA user_version = 1;");
        connection.execute_batch(&first).unwrap();
        connection
            .execute_batch(
                "INSERT INTO message (id, tenant, country, created, expires, notify, status, updated, lane, attempt, \
                 copies, key_id, to_hash, details_sealed, log) \
                 VALUES (x'01', 'acme', 'CH', 1, 2, 1, 'sent', 1, 'mitto', 1, 1, 1, x'00', x'00', ''); \
                 INSERT INTO notice (message, status, at, due, attempt) VALUES (x'01', 'sent', 5, 7, 3);",
            )
            .unwrap();
        migrate(&connection, 1).unwrap();
        let told: (String, i64, i64) = connection
            .query_row("SELECT tenant, due, attempt FROM notice", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap();
        assert_eq!(told, ("acme".to_owned(), 7, 3));
    }
}
