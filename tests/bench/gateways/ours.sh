# Our gateway: native API in, Mitto provider out to the sink's HTTP side, SQLite with an fsync before every 202, the
# built-in limit on (each recipient is unique, so it never refuses, but it is checked and recorded every time).
# Sourced by the shared run.sh after lib.sh: $W, $SINK_HTTP, spawn, stop, pid, wait_port are its.
GW_MODES=${OURS_MODES:-"sqlite"}
GW_N=${OURS_N:-50000}
GW_BACKLOG_N=${OURS_BACKLOG_N:-10000}
OURS_LISTEN=127.0.0.1:24180
OURS_OPS=127.0.0.1:24181
OURS_KEY=sk_live_bench_0123456789abcdef0123456789abcdef
OURS_CONCURRENCY=${OURS_CONCURRENCY:-256} # requests to the provider at once; Kannel's window here is 4 x 500

gw_install() { [ -x "${OURS_BIN:-}" ]; }
gw_conf() {
  cat >"$W/ours.toml" <<C
[server]
listen = "$OURS_LISTEN"
ops = "$OURS_OPS"
[store]
url = "sqlite:$W/ours-data/gateway.db"
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
concurrency = $OURS_CONCURRENCY
[[routes]]
id = "default"
use = ["mitto"]
C
}
gw_up() {
  BENCH_STORE_KEY=$(printf '%032d' 0 | base64) BENCH_MITTO_KEY=bench_mitto_key_0123456789 \
    spawn ours "$OURS_BIN" serve --config "$W/ours.toml"
  wait_port "$OURS_LISTEN" 20 || return 1
  local i; for i in $(seq 100); do curl -fs "http://$OURS_OPS/readyz" >/dev/null && return 0; sleep 0.1; done
  log "ours is not ready"; return 1
}
gw_start() { rm -rf "$W/ours-data"; mkdir -p "$W/ours-data"; gw_conf; gw_up; }
gw_pids() { pid ours; }
gw_kill() { kill -9 "$(pid ours)"; sleep 1; }
gw_restart() { gw_up; }
gw_stop() { stop ours; }
gw_load() { # {to} is 4915 and nine digits: all of them valid German mobile numbers
  LOAD=(--ok 202 --url "http://$OURS_LISTEN/v1/messages" --method POST --header 'Content-Type: application/json'
    --header "Authorization: Bearer $OURS_KEY" --body '{"to":"+{to}","text":"{text}"}')
}
