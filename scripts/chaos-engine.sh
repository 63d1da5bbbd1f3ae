#!/usr/bin/env bash
# A container engine for the chaos suite, on machines that have none and reach no image registry.
#
#   chaos-engine.sh run COMMAND...   starts what is missing, runs COMMAND, stops what it started
#   chaos-engine.sh start | stop     the two halves by hand; `run` works in between too
#
# The daemon lives in a network namespace of its own that has no link to the machine's: container
# traffic cannot leave the machine, and bridges and packet filter rules end with the daemon. COMMAND
# runs inside that namespace, so it reaches containers by their addresses, and no registry: whatever
# has to be fetched is fetched by `start`.
# Base images are a minimal Debian from the machine's own package mirror with Node (this package's
# own binary), and the same with Java and iptables. COXSWAIN_CHAOS_BASE and COXSWAIN_CHAOS_TOOLS name
# others and skip that.
# Where an engine answers already it is used as it is; stop then removes only the suite's containers.
# Where `start` fails it leaves nothing behind, and one line says why: "chaos engine: failed: …".
set -euo pipefail

script=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
root=$(dirname "$(dirname "$script")")
state=${TMPDIR:-/tmp}/coxswain-chaos-engine
cache=$root/.cache/chaos
suite=bookworm
base_packages=ca-certificates,libatomic1
tool_packages="iptables openjdk-17-jre-headless"
base=coxswain-chaos-base
tools=coxswain-chaos-tools
node=$root/node_modules/node/bin/node
label=coxswain.chaos
start_seconds=60
stop_seconds=30
build_size=2g

say() { printf 'chaos engine: %s\n' "$*" >&2; }
fail() { say "failed: $*"; exit 1; }

use_own_daemon() {
  [ -S "$state/docker.sock" ] && export DOCKER_HOST="unix://$state/docker.sock" || true
}

answers() { command -v docker >/dev/null && timeout 10 docker version >/dev/null 2>&1; }

need() { # command, package
  command -v "$1" >/dev/null && return
  command -v apt-get >/dev/null || fail "Expected the command $1, found none, and no apt-get to install it"
  if [ -z "${updated:-}" ]; then apt-get update -qq >/dev/null 2>&1 || true; updated=1; fi
  say "installing $2"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1 ||
    fail "$2 could not be installed"
}

start_daemon() {
  [ "$(id -u)" = 0 ] || fail "no engine answers, and only root can start one"
  need dockerd docker.io
  need iptables iptables
  need ip iproute2
  unshare --net -- true 2>/dev/null || fail "no engine answers, and the kernel allows no network namespace"
  mkdir -p "$state"
  export DOCKER_HOST="unix://$state/docker.sock"
  # unshare and sh exec in place: the pid of the job is the daemon's. A session of its own: an
  # interrupt from the keyboard reaches this script, which then stops it in order.
  setsid unshare --net -- sh -c 'ip link set lo up && exec dockerd "$@"' dockerd \
    --data-root "$state/data" --exec-root "$state/exec" --pidfile "$state/dockerd.pid" \
    --host "$DOCKER_HOST" >"$state/dockerd.log" 2>&1 </dev/null &
  local pid=$!
  echo "$pid" >"$state/pid"
  for _ in $(seq "$start_seconds"); do
    if answers; then
      say "daemon $pid answers"
      return
    fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 1
  done
  tail -n 5 "$state/dockerd.log" >&2
  fail "the daemon did not answer within $start_seconds s"
}

# The machine's own mirror where it has this suite; nothing leaves the choice to debootstrap.
mirror() {
  apt-get indextargets --format '$(REPO_URI)' "Codename: $suite" "Created-By: Packages" \
    "Component: main" 2>/dev/null | head -n 1
}

# Runs a command so that an interrupt reaches this script at once; `stop_all` then ends the command.
attend() { # signal, command...
  attended_signal=$1
  shift
  "$@" &
  attended=$!
  local code=0
  wait "$attended" || code=$?
  attended=
  return "$code"
}

build_base() {
  [ -x "$node" ] || fail "Expected $node, found none: run npm install"
  local key
  key=$({ echo "$suite $base_packages $tool_packages"; sha256sum <"$node"; } | sha256sum | cut -c1-16)
  if ! docker image inspect "$base:$key" "$tools:$key" >/dev/null 2>&1; then
    if [ ! -f "$cache/tools-$key.tar" ]; then
      need debootstrap debootstrap
      mkdir -p "$cache"
      say "building the base images' files (about a minute)"
      attend KILL unshare --mount --pid --kill-child --mount-proc -- \
        nice -n 19 bash "$script" files "$key" "$(mirror)" ||
        fail "the base images' files could not be built: $(tail -n 1 "$cache/files.log")"
    fi
    docker import "$cache/base-$key.tar" "$base:$key" >/dev/null
    docker import "$cache/tools-$key.tar" "$tools:$key" >/dev/null
  fi
  docker tag "$base:$key" "$base:latest"
  docker tag "$tools:$key" "$tools:latest"
  docker run --rm --network none --label "$label=probe" "$base:latest" node --version >/dev/null ||
    fail "the daemon answers, but containers do not run"
}

# In namespaces of its own, and in memory: nothing has to be ended, unmounted or removed, whenever
# this stops, and dpkg's syncs cost nothing.
make_files() { # key, mirror
  local work
  exec >"$cache/files.log" 2>&1 </dev/null
  work=$cache/files
  mkdir -p "$work"
  mount -t tmpfs -o "size=$build_size,mode=755" chaos "$work"
  # Word splitting is wanted: no mirror is no argument.
  # shellcheck disable=SC2086
  debootstrap --variant=minbase "--include=$base_packages" "$suite" "$work/root" ${2:-}
  install -m 755 "$node" "$work/root/usr/local/bin/node"
  pack "$work/root" "base-$1.tar"
  mount -t proc proc "$work/root/proc"
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive chroot "$work/root" apt-get install -y -qq --no-install-recommends $tool_packages
  umount "$work/root/proc"
  pack "$work/root" "tools-$1.tar"
}

# The machine's mirror and resolver are its own business, not the image's.
pack() { # folder, name
  tar -C "$1" --numeric-owner -cf "$cache/$2.part" \
    --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./var/log/*' \
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
    --exclude=./etc/apt/sources.list --exclude=./etc/resolv.conf --exclude=./etc/hostname .
  mv "$cache/$2.part" "$cache/$2"
}

# npm and the packages of the lock file's production part, for npm inside the image's build.
fetch_packages() {
  local key work program
  key=$(sha256sum <"$root/package-lock.json" | cut -c1-16)
  [ -d "$cache/npm-$key" ] && return
  say "fetching the product's packages"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/fetch-XXXXXX")
  cp "$root/package.json" "$root/package-lock.json" "$work"
  attend TERM nice -n 19 npm install --prefix "$work" --cache "$work/npm/cache" --omit=dev --no-save \
    --ignore-scripts --no-audit --no-fund >"$cache/fetch.log" 2>&1 ||
    { rm -rf "$work"; fail "the product's packages could not be fetched: $(tail -n 1 "$cache/fetch.log")"; }
  program=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
  cp -r "$program" "$work/npm/program"
  mv "$work/npm" "$cache/npm-$key"
  rm -rf "$work"
}

start() {
  use_own_daemon
  if answers; then say "using the engine that answers"; else start_daemon; fi
  [ -n "${COXSWAIN_CHAOS_BASE:-}" ] || build_base
  [ -n "${COXSWAIN_CHAOS_BASE:-}" ] || fetch_packages
  [ -n "${COXSWAIN_CHAOS_STORE:-}" ] || "$node" "$root/scripts/fetch-dynamodb-local.ts" >/dev/null ||
    fail "DynamoDB Local could not be fetched"
}

remove_containers() {
  local ids
  ids=$(docker ps -aq --filter "label=$label")
  # shellcheck disable=SC2086
  [ -z "$ids" ] || docker rm -fv $ids >/dev/null
  ids=$(docker network ls -q --filter "label=$label")
  # shellcheck disable=SC2086
  [ -z "$ids" ] || docker network rm $ids >/dev/null
  ids=$(docker volume ls -q --filter "label=$label")
  # shellcheck disable=SC2086
  [ -z "$ids" ] || docker volume rm $ids >/dev/null
}

stop() {
  use_own_daemon
  if answers; then remove_containers || say "some containers are left"; fi
  [ -f "$state/pid" ] || return 0
  local pid
  pid=$(cat "$state/pid")
  kill -TERM "$pid" 2>/dev/null || true
  for _ in $(seq $((stop_seconds * 10))); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  if kill -KILL "$pid" 2>/dev/null; then say "daemon $pid had to be killed"; fi
  findmnt -rno TARGET | grep "^$state/" | sort -r | xargs -r umount || true
  rm -rf "$state"
  say "daemon $pid has ended"
}

# Whatever ends this script: what it attends to ends first, then what it started.
stop_all() {
  trap - EXIT INT TERM
  if [ -n "${attended:-}" ]; then
    kill "-$attended_signal" "$attended" 2>/dev/null || true
    wait "$attended" || true
  fi
  [ -n "$was_running" ] || stop
}

was_running=
[ ! -f "$state/pid" ] || was_running=1
stop_on_exit() {
  trap stop_all EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# The reaper image would have to be pulled; containers are removed by label instead.
export TESTCONTAINERS_RYUK_DISABLED=true

# COMMAND inside the namespace of the daemon that this script started, else here.
inside() {
  if [ -f "$state/pid" ]; then
    attend TERM nsenter "--net=/proc/$(cat "$state/pid")/ns/net" -- "$@"
  else
    attend TERM "$@"
  fi
}

case "${1:-}" in
  start)
    stop_on_exit
    start
    trap - EXIT
    ;;
  stop) stop ;;
  run)
    shift
    stop_on_exit
    start
    inside "$@"
    ;;
  files) make_files "$2" "$3" ;;
  *) fail "Expected start, stop or run COMMAND, got ${1:-nothing}" ;;
esac
