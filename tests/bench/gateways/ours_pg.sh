# Our gateway on PostgreSQL: one, two or three nodes (modes pg1 to pg3) that share one server of this run's own, with an
# fsync before every 202. The server's processor time is written to $W/server.jsonl, apart from the gateways'.
# Sourced by the shared run.sh after lib.sh: $W, $SINK_HTTP, spawn, stop, pid, wait_port, log are its.
GW_MODES=${OURS_PG_MODES:-"pg1 pg2 pg3"}
GW_N=${OURS_N:-50000}
GW_BACKLOG_N=0
OURS_KEY=sk_live_bench_0123456789abcdef0123456789abcdef
PG_PORT=24290
PG_BIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)

gw_install() { # the package alone: its own server is neither started nor used
  [ -x "${OURS_BIN:-}" ] || return 1
  [ -n "$PG_BIN" ] || { apt-get install -qq -y --no-install-recommends postgresql >/dev/null && PG_BIN=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1); }
}
pg_as() { (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"); } # it refuses root
pg_up() {
  PG_DATA=$(mktemp -d /tmp/bench-pg.XXXXXX) && chown postgres "$PG_DATA" || return 1
  pg_as "$PG_BIN/initdb" -D "$PG_DATA/data" -U gateway -A trust -E UTF8 --no-sync >>"$W/pg.log" 2>&1 || return 1
  spawn pg setpriv --reuid=postgres --regid=postgres --clear-groups -- "$PG_BIN/postgres" -D "$PG_DATA/data" -h 127.0.0.1 -p $PG_PORT \
    -c unix_socket_directories= -c shared_buffers=512MB -c max_connections=200 -c max_wal_size=4GB
  wait_port 127.0.0.1:$PG_PORT 20 || return 1
  for _ in $(seq 100); do "$PG_BIN/pg_isready" -q -h 127.0.0.1 -p $PG_PORT && break; sleep 0.1; done
  "$PG_BIN/createdb" -h 127.0.0.1 -p $PG_PORT -U gateway gateway
}
# Of the server with all its processes, the ended ones too, in clock ticks.
pg_ticks() {
  local postmaster; postmaster=$(pid pg)
  awk '{ sub(/.*\) /, ""); sum += $12 + $13; if (NR == 1) sum += $14 + $15 } END { print sum }' \
    <(cat "/proc/$postmaster/stat"; for child in $(pgrep -P "$postmaster"); do cat "/proc/$child/stat" 2>/dev/null; done)
}
gw_conf() { # NODE
  cat >"$W/ours$1.toml" <<C
[server]
listen = "127.0.0.1:2428$1"
ops = "127.0.0.1:2427$1"
[store]
url = { env = "BENCH_DATABASE_URL" }
key = { env = "BENCH_STORE_KEY" }
[log]
level = "warn"
[tenants.bench]
keys = ["sha256:$(printf %s "$OURS_KEY" | sha256sum | cut -d' ' -f1)"]
senders = ["Bench"]
[providers.mitto]
kind = "mitto"
base_url = "http://$SINK_HTTP"
api_key = { env = "BENCH_MITTO_KEY" }
timeout = "5s"
concurrency = ${OURS_CONCURRENCY:-256}
[[routes]]
id = "default"
use = ["mitto"]
C
}
gw_node() { # NODE
  gw_conf "$1"
  BENCH_STORE_KEY=$(printf '%032d' 0 | base64) BENCH_MITTO_KEY=bench_mitto_key_0123456789 \
    BENCH_DATABASE_URL="postgres://gateway@127.0.0.1:$PG_PORT/gateway?sslmode=disable" \
    spawn "ours$1" "$OURS_BIN" serve --config "$W/ours$1.toml"
  local i; for i in $(seq 200); do curl -fs "http://127.0.0.1:2427$1/readyz" >/dev/null && return 0; sleep 0.1; done
  log "node $1 is not ready"; return 1
}
gw_start() { # MODE
  NODES=${1#pg} MODE=$1
  pg_up || { log "PostgreSQL did not start; see $W/pg.log"; return 1; }
  local node; for node in $(seq "$NODES"); do gw_node "$node" || return 1; done
  PG_BEFORE=$(pg_ticks)
}
gw_pids() { local node all=; for node in $(seq "$NODES"); do all+=,$(pid "ours$node"); done; echo "${all#,}"; }
gw_stop() {
  [ -z "${PG_BEFORE:-}" ] || printf '{"mode":"%s","cpu_s":%s}\n' "$MODE" \
    "$(awk -v a="$PG_BEFORE" -v b="$(pg_ticks)" -v hz="$(getconf CLK_TCK)" 'BEGIN { print (b - a) / hz }')" >>"$W/server.jsonl"
  PG_BEFORE=
  local node; for node in $(seq "$NODES"); do stop "ours$node"; done
  stop pg INT
  rm -rf "$PG_DATA"
}
gw_load() { # connections are spread over the nodes
  LOAD=(--ok 202 --method POST --header 'Content-Type: application/json' --header "Authorization: Bearer $OURS_KEY"
    --body '{"to":"+{to}","text":"{text}"}')
  local node; for node in $(seq "$NODES"); do LOAD+=(--url "http://127.0.0.1:2428$node/v1/messages"); done
}
