#!/usr/bin/env bash
# Checks what deploy/ ships: alert rules and their tests, the scrape configuration, every query of the dashboards,
# the unit's hardening, the image's file system. Installs nothing; a missing tool is a failure that says so.
#   tests/deploy/check.sh
#   GATEWAY_OPS_URL=http://127.0.0.1:9090 tests/deploy/check.sh    also a running gateway's /metrics
set -u
cd "$(dirname "$0")/../.." || exit 1
here=tests/deploy
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0

need() { # TOOL PACKAGE: without it nothing below may pass silently
  command -v "$1" >/dev/null && return
  echo "FAIL $1 is missing: apt-get install $2" >&2
  failed=$((failed + 1))
}
check() { # NAME COMMAND...: its output only when it fails
  local name=$1; shift
  if "$@" >"$scratch/out" 2>&1; then
    passed=$((passed + 1)); echo "PASS $name$(sed -n 's/^  \([0-9]\)/, \1/p' "$scratch/out" | tr -d '\n')"
  else
    failed=$((failed + 1)); echo "FAIL $name"; sed 's/^/     /' "$scratch/out"
  fi
}
dashboard_queries() { python3 $here/metrics.py rules "$scratch/dashboards.yml" && promtool check rules "$scratch/dashboards.yml"; }
alert_tests() { # promtool resolves rule_files beside the test file
  promtool check rules deploy/prometheus/alerts.yml && promtool test rules deploy/prometheus/alerts_test.yml
}
every_alert_is_tested() {
  local alert untested=0
  for alert in $(sed -n 's/^ *- alert: //p' deploy/prometheus/alerts.yml); do
    grep -A1 "alertname: $alert\$" deploy/prometheus/alerts_test.yml | grep -q 'exp_alerts:$' && continue
    echo "$alert never fires in alerts_test.yml"; untested=1
  done
  return $untested
}
exposure() { # --threshold counts tenths: 20 is 2.0
  systemd-analyze security --offline=true --no-pager --threshold=20 deploy/gateway.service >"$scratch/unit" || { tail -1 "$scratch/unit"; return 1; }
  sed -n 's/.*level for gateway.service: \([0-9.]*\).*/  \1 of at most 2.0/p' "$scratch/unit"
}
unit_parses() { # a unit names programs this machine does not have; every other complaint counts
  mkdir -p "$scratch/units"; cp deploy/gateway.service "$scratch/units/"
  systemd-analyze verify --man=no "$scratch/units/gateway.service" 2>&1 | grep -v 'is not executable: No such file' >"$scratch/verify"
  [ ! -s "$scratch/verify" ] || { cat "$scratch/verify"; return 1; }
}
image_root_runs() { # the layout of the image, with a program at hand in the gateway's place, in a chroot
  sh deploy/rootfs.sh "$(command -v env)" "$scratch/root" && test -s "$scratch/root/etc/ssl/certs/ca-certificates.crt" || return 1
  [ "$(id -u)" = 0 ] || { echo "  0 programs run in it: chroot needs root"; return 0; }
  chroot --userspec=65532:65532 "$scratch/root" /usr/bin/gateway PROBE=1 | grep -q PROBE=1 && echo "  1 program run in it"
}
balancer() { # names of the compose network are not known here
  sed 's/ gateway[0-9]:/ 127.0.0.1:/' deploy/cluster/haproxy.cfg >"$scratch/haproxy.cfg" && haproxy -c -f "$scratch/haproxy.cfg"
}
scripts_parse() { sh -n deploy/cluster/primary.sh && sh -n deploy/cluster/standby.sh && sh -n deploy/rootfs.sh; }
live_metrics() {
  curl -fsS "$GATEWAY_OPS_URL/metrics" >"$scratch/metrics" && python3 $here/metrics.py live "$scratch/metrics" &&
    promtool check metrics <"$scratch/metrics"
}

need promtool prometheus
need systemd-analyze systemd
need python3 python3
need haproxy haproxy
# Whichever Python has the module.
python=$(for python in python3 /usr/bin/python3; do "$python" -c 'import yaml' 2>/dev/null && echo "$python" && break; done)
[ -n "$python" ] || { echo "FAIL Python's yaml is missing: apt-get install python3-yaml" >&2; failed=$((failed + 1)); }
if [ $failed -eq 0 ]; then
  check "alert rules and their unit tests" alert_tests
  check "every alert fires in a test" every_alert_is_tested
  check "scrape configuration" promtool check config deploy/prometheus/prometheus.yml
  check "metric names, labels and runbooks" python3 $here/metrics.py names
  check "dashboard queries" dashboard_queries
  check "unit file parses" unit_parses
  check "unit exposure" exposure
  check "image file system" image_root_runs
  check "load balancer's configuration" balancer
  check "compose file of the cluster" "$python" $here/cluster.py
  check "scripts" scripts_parse
  [ -z "${GATEWAY_OPS_URL:-}" ] || check "running gateway's /metrics" live_metrics
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
