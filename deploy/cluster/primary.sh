#!/bin/sh
# Run once by the postgres image when it makes the primary's data: the standby may follow, over a slot so that no log it
# still needs is removed. From the next start on, a commit is answered when both have it on disk; without the standby nothing
# is accepted: rather no answer than one that a crash takes back. cluster.md says how to go on without it.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$REPLICATION_PASSWORD" -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
CREATE ROLE replication WITH REPLICATION LOGIN PASSWORD :'password';
SELECT pg_create_physical_replication_slot('standby');
ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby)';
SQL
echo "host replication replication all scram-sha-256" >>"$PGDATA/pg_hba.conf"
