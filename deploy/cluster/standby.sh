#!/bin/sh
# Runs in place of the postgres image's entry point: copies the primary once, then follows it.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  until PGPASSWORD=$REPLICATION_PASSWORD pg_basebackup -D "$PGDATA" -R -X stream -c fast -S standby \
    -d "host=$PRIMARY_HOST port=${PRIMARY_PORT:-5432} user=replication application_name=standby"; do
    echo "the primary is not ready to be copied yet" >&2
    find "$PGDATA" -mindepth 1 -delete
    sleep 2
  done
  # pg_basebackup leaves passwords that came by the environment out of what it writes.
  echo "primary_conninfo = 'host=$PRIMARY_HOST port=${PRIMARY_PORT:-5432} user=replication password=$REPLICATION_PASSWORD application_name=standby'" \
    >>"$PGDATA/postgresql.auto.conf"
  chmod 0700 "$PGDATA"
fi
exec postgres "$@"
