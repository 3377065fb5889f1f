#!/usr/bin/env bash
# Kannel, a bare relay and our gateway in one run: machine facts, the table, the marks. README.md says how to read it.
#   tests/bench/run.sh
#   RUNS=1 RATE=1000 CONC=64 KILLS=2       rounds of the throughput test; messages a second of the paced test; connections; kills
#   TESTS="throughput paced slow kill backlog"   GATEWAYS="kannel relay ours"
#   GATEWAYS="ours ours_pg"                ours on SQLite, and one to three nodes of it on PostgreSQL
#   BENCH_PROFILE=dist                     the profile that ships (thin LTO) instead of release
#   SHARED_BENCH=DIR                       the bench, by default ../shared/bench beside the repository
#   WORK=DIR                               scratch (builds, state, results), by default tests/bench/work
#   OURS_BIN=FILE                          a gateway that is built already
# Kannel is installed with apt-get when it is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
shared=${SHARED_BENCH:-$root/../shared/bench}
work=${WORK:-$here/work}
profile=${BENCH_PROFILE:-release}
export GATEWAYS=${GATEWAYS:-kannel relay ours} TESTS=${TESTS:-throughput paced} RATE=${RATE:-1000}
export RUNS=${RUNS:-3} KILLS=${KILLS:-2} CONC=${CONC:-64}
[ -f "$shared/run.sh" ] || { echo "no bench at $shared: set SHARED_BENCH" >&2; exit 1; }
has() { [[ " $GATEWAYS " == *" $1 "* ]]; }
# A sink or gateway that an interrupted run left behind would be measured instead of ours.
for port in 22775 28089 24180 24181 24190 24290 2427{1..3} 2428{1..3}; do
  ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "port $port is taken: stop what an earlier run left behind" >&2; exit 1; }
done

# Times are kept so that cargo builds the tools once; the originals may be read-only.
mkdir -p "$work"
work=$(cd "$work" && pwd)
cp -rf --preserve=timestamps "$shared" "$work/bench.new"
chmod -R u+w "$work/bench.new"
mkdir -p "$work/bench"
cp -rf --preserve=timestamps "$work/bench.new/." "$work/bench/"
rm -rf "$work/bench.new"
cp "$here"/gateways/*.sh "$work/bench/gateways/"

target=${CARGO_TARGET_DIR:-$root/target}/$profile
build() { (cd "$root" && cargo build --quiet --locked --profile "$profile" --package "$1"); }
if has relay; then build bench-relay; export RELAY_BIN=$target/bench-relay; fi
if has ours || has ours_pg; then
  [ -n "${OURS_BIN:-}" ] || build sms-gateway
  export OURS_BIN=${OURS_BIN:-$target/gateway}
  [ -x "$OURS_BIN" ] || { echo "no gateway at $OURS_BIN" >&2; exit 1; }
fi

# A machine's speed drifts. Each round has every gateway, so that all of them meet the same of it.
measure() {
  # The tools are a workspace of their own, built where run.sh looks for them.
  RUNS=1 TESTS=$1 env -u CARGO_TARGET_DIR bash "$work/bench/run.sh" >/dev/null
}
export W=$work/state OUT=$work/results.jsonl
rm -rf "$W" "$OUT"; mkdir -p "$W"
{
  W=$W PROFILE=$profile "$here/facts.sh"
  echo
  if [[ " $TESTS " == *" throughput "* ]]; then
    for _ in $(seq "$RUNS"); do measure throughput; done
  fi
  others=$(tr ' ' '\n' <<<"$TESTS" | { grep -vx throughput || true; } | tr '\n' ' ')
  [ -z "${others// /}" ] || measure "$others"
  bash "$work/bench/run.sh" table
  echo
  touch "$W/server.jsonl" # only PostgreSQL's runs write it
  python3 "$here/marks.py" "$OUT" "$W/server.jsonl"
} | tee "$work/report.md"
