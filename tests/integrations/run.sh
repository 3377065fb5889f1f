#!/usr/bin/env bash
# Starts the real gateway on loopback with the mock provider and lets the platforms' own code drive it.
#   tests/integrations/run.sh            GATEWAY_BIN=target/release/gateway for another binary
# The last line is `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
bin=${GATEWAY_BIN:-$root/target/debug/gateway}
[ -x "$bin" ] || { echo "no gateway at $bin: cargo build, or set GATEWAY_BIN" >&2; exit 1; }
bin=$(cd "$(dirname "$bin")" && pwd)/$(basename "$bin")
for tool in node npm curl openssl; do
  command -v $tool >/dev/null || { echo "$tool is missing" >&2; exit 1; }
done
[ -d auth0/node_modules/auth0-ext-compilers ] || (cd auth0 && npm ci --silent)

scratch=$(mktemp -d)
gateway=
cleanup() {
  [ -z "$gateway" ] || { kill "$gateway" 2>/dev/null || true; wait "$gateway" 2>/dev/null || true; }
  rm -rf "$scratch"
}
trap cleanup EXIT

free_port() { node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }
listen=127.0.0.1:$(free_port) ops=127.0.0.1:$(free_port)
key=sk_live_harness_$(openssl rand -hex 16)
export HARNESS_KEY_HASH HARNESS_OPS_TOKEN HARNESS_STORE_KEY HARNESS_PASSWORDLESS_SECRET
HARNESS_KEY_HASH=sha256:$(printf %s "$key" | sha256sum | cut -d' ' -f1)
HARNESS_OPS_TOKEN=$(openssl rand -hex 16)
HARNESS_STORE_KEY=$(openssl rand -base64 32)
HARNESS_PASSWORDLESS_SECRET=MySecretToSignTheToken

config=$PWD/gateway.toml
(cd "$scratch" && GATEWAY__SERVER__LISTEN=$listen GATEWAY__SERVER__OPS=$ops exec "$bin" serve --config "$config") >"$scratch/log" 2>&1 &
gateway=$!
ready=
for _ in $(seq 100); do
  curl -fs "http://$ops/readyz" >/dev/null && { ready=1; break; }
  kill -0 $gateway 2>/dev/null || break
  sleep 0.1
done
[ -n "$ready" ] || { echo "the gateway did not become ready:" >&2; cat "$scratch/log" >&2; exit 1; }

status=0
GATEWAY_URL=http://$listen GATEWAY_KEY=$key GATEWAY_OPS_URL=http://$ops GATEWAY_OPS_TOKEN=$HARNESS_OPS_TOKEN \
  node auth0/run.js || status=$?
[ $status -eq 0 ] || { echo "--- the gateway's log:" >&2; tail -50 "$scratch/log" >&2; }
exit $status
