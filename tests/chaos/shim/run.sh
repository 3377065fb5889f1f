#!/usr/bin/env bash
# A failing disk under the real binary; see README.md.
#   tests/chaos/shim/run.sh power|fsync|flips|keys [TIMES]     E2E_SEED and STORE_SEED repeat a run
# Ends with one line of figures; exit 1 when a promise was broken.
set -euo pipefail
cd "$(dirname "$0")/../../.."
what=${1:-} times=${2:-}
export GATEWAY_TESTS_STRICT=1
e2e() { cargo test --quiet --locked --package e2e --test e2e -- --exact --nocapture "disk_faults::$1"; }
[ -n "${GATEWAY_BIN:-}" ] || cargo build --quiet --locked --package sms-gateway --bin gateway
case $what in
  power) export E2E_POWER_CUTS=${times:-100}; run=(e2e a_power_cut_loses_nothing_that_was_accepted) figures='power cuts,' ;;
  fsync) export E2E_FSYNCS=${times:-20}; run=(e2e a_failed_fsync_stops_all_writes_until_the_restart) figures='failed fsyncs,' ;;
  keys) export E2E_KEYS=${times:-100}; run=(e2e a_key_survives_a_kill_between_accept_and_answer) figures='requests with a key' ;;
  flips)
    export STORE_DAMAGES=${times:-1000} figures='silent'
    run=(cargo test --quiet --locked --package sms-store --test damage -- --exact --nocapture one_flipped_bit_or_cut_tail_is_never_silent) ;;
  *) sed -n '3p' "$0" >&2; exit 2 ;;
esac
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"${run[@]}" >"$log" 2>&1 || { cat "$log"; echo "not ok $what"; exit 1; }
grep -E '^(E2E|STORE)_SEED=' "$log" || true
echo "ok $(grep -- "$figures" "$log" | tail -1)"
