#!/usr/bin/env bash
# Runs a real nginx whose configuration an agent keeps: a good release is applied, a broken one is
# refused with nginx's own message and the good one keeps serving. Everything listens on 127.0.0.1,
# lives in a temporary folder and is stopped at the end. Exit code 0: it went as described.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# The Node of the project first: the machine's own may be too old.
export PATH="$root/node_modules/.bin:$PATH:/usr/sbin:/sbin"
export COXSWAIN_API=http://127.0.0.1:17400
page=http://127.0.0.1:17480/

command -v nginx >/dev/null || {
  echo "nginx is not installed; on Debian: apt-get install --no-install-recommends nginx-light" >&2
  exit 69
}

coxswain() { node "$root/src/cli/main.ts" "$@"; }
say() { printf '\n== %s\n' "$*"; }
fail() {
  echo "FAILED: $*" >&2
  tail -n 20 "$work"/*.log >&2 || true
  exit 1
}
# Tries a command for ten seconds.
until_true() {
  for _ in $(seq 1 100); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  fail "not true after ten seconds: $*"
}
serves() { [ "$(curl -s "$page")" = "$1" ]; }
refused() { coxswain rollout show "$1" | grep -q 'unknown directive'; }

work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

say "nginx, with the configuration that the machine came with"
mkdir -p "$work/nginx/conf" "$work/nginx/temp"
# Workers of an nginx started by root run as another user.
chmod 755 "$work"
cp "$here/agent.yaml" "$work/"
cp "$here/starter.conf" "$work/nginx/conf/nginx.conf"
nginx -p "$work/nginx" -c conf/nginx.conf -e error.log -g 'daemon off;' &
pids+=("$!")
until_true serves "no config yet"
curl -s "$page"

say "one node with its own embedded store"
coxswain init --store embedded --store-dir "$work/store" --cluster example --partitions 64
node "$root/src/cli/main.ts" node --store embedded --store-dir "$work/store" \
  --api-port 17400 --fleet-port 17401 >"$work/node.log" 2>&1 &
pids+=("$!")
until_true curl -sf "$COXSWAIN_API/readyz"

say "the agent, and its host in the inventory"
node "$root/src/cli/main.ts" agent --config "$work/agent.yaml" >"$work/agent.log" 2>&1 &
pids+=("$!")
until_true curl -sf http://127.0.0.1:17500/healthz
coxswain hosts add web-1 http://127.0.0.1:17500 --label role=web

say "a good release"
rollout=$(coxswain --output json rollout start nginx.conf --file "$here/good.conf" -l role=web -y |
  node -e 'console.log(JSON.parse(require("fs").readFileSync(0, "utf8")).id)')
coxswain rollout wait "$rollout" --timeout 20s
until_true serves "served by the pushed config"
curl -s "$page"

say "a broken release"
broken=$(coxswain --output json rollout start nginx.conf --file "$here/broken.conf" -l role=web -y |
  node -e 'console.log(JSON.parse(require("fs").readFileSync(0, "utf8")).id)')
until_true refused "$broken"
coxswain rollout show "$broken"
echo "still served:"
serves "served by the pushed config" || fail "the good configuration no longer serves"
curl -s "$page"
cmp "$here/good.conf" "$work/nginx/conf/nginx.conf" || fail "nginx.conf is not the good release"

say "undone: the host holds what it should again"
undo=$(coxswain --output json rollout undo "$broken" |
  node -e 'console.log(JSON.parse(require("fs").readFileSync(0, "utf8")).id)')
coxswain rollout wait "$undo" --timeout 90s
coxswain hosts show web-1

say "as described"
