#!/usr/bin/env bash
# Idle memory of `serve` and the time `dev` needs to be ready, each as the median of RUNS fresh starts.
#   tests/bench/rss.sh             OURS_BIN=FILE (default: target/release/gateway, built here), RUNS=5
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
runs=${RUNS:-5}
if [ -z "${OURS_BIN:-}" ]; then
  (cd "$root" && cargo build --quiet --locked --release --package sms-gateway)
  OURS_BIN=${CARGO_TARGET_DIR:-$root/target}/release/gateway
fi
[ -x "$OURS_BIN" ] || { echo "no gateway at $OURS_BIN" >&2; exit 1; }
OURS_BIN=$(realpath "$OURS_BIN")
W=$(mktemp -d)
child=
finish() { [ -z "$child" ] || { kill "$child" 2>/dev/null; wait "$child" || true; child=; }; }
trap 'finish; rm -rf "$W"' EXIT

# What the gateway file needs of the shared lib.sh.
SINK_HTTP=127.0.0.1:28089 # never called: nothing is sent
log() { echo "$*" >&2; }
spawn() { shift; "$@" >>"$W/log" 2>&1 & child=$!; }
wait_port() { # HOST:PORT SECONDS
  local i; for i in $(seq $(($2 * 10))); do (exec 3<>"/dev/tcp/${1%:*}/${1#*:}") 2>/dev/null && return 0; sleep 0.1; done; return 1; }
. "$here/gateways/ours.sh"

missed=0
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
mark() { # NAME FILE UNIT MARK
  local value; value=$(median "$2")
  if awk -v v="$value" -v m="$4" 'BEGIN { exit !(v <= m) }'; then echo "ok $1: $value $3, mark $4"; else echo "not ok $1: $value $3, mark $4"; missed=1; fi
}

for _ in $(seq "$runs"); do
  gw_start || { cat "$W/log" >&2; exit 1; }
  sleep 3
  awk '/^VmRSS/ { printf "%.1f\n", $2 / 1024 }' "/proc/$child/status" >>"$W/rss"
  finish
done
mark "idle RSS of serve" "$W/rss" MiB 40

for n in $(seq "$runs"); do
  mkdir "$W/dev$n"; cd "$W/dev$n"
  began=$(date +%s%N)
  "$OURS_BIN" dev --listen 127.0.0.1:0 --ops 127.0.0.1:0 >out 2>&1 & child=$!
  for _ in $(seq 500); do grep -q 'ready in' out && break; sleep 0.01; done
  ended=$(date +%s%N)
  sed -n 's/.*ready in \([0-9.]*\) *ms.*/\1/p' out | head -1 | grep . >>"$W/ready" || { echo "not ok dev never said that it is ready"; cat out >&2; exit 1; }
  echo $(((ended - began) / 1000000)) >>"$W/ready-outside"
  finish
done
mark "dev ready, as it says" "$W/ready" ms 300
mark "dev ready, seen from outside (10 ms steps)" "$W/ready-outside" ms 300
exit $missed
