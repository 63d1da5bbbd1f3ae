#!/usr/bin/env bash
# A container engine for the chaos suite, on machines that have none and reach no image registry.
#
#   chaos-engine.sh run COMMAND...   starts what is missing, runs COMMAND, stops what it started
#   chaos-engine.sh start | stop     the two halves by hand; `run` works in between too
#
# The daemon lives in a network namespace of its own that has no link to the machine's: container
# traffic cannot leave the machine, and bridges and packet filter rules end with the daemon. COMMAND
# runs inside that namespace, so it reaches containers by their addresses.
# The base image is a minimal Debian from the machine's own package mirror with Node (this package's
# own binary), Java and iptables. COXSWAIN_CHAOS_BASE names another base and skips that.
# Where an engine answers already it is used as it is; stop then removes only the suite's containers.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
state=${TMPDIR:-/tmp}/coxswain-chaos-engine
cache=$root/.cache/chaos
suite=bookworm
packages=ca-certificates,libatomic1,iptables,openjdk-17-jre-headless
image=coxswain-chaos-base
node=$root/node_modules/node/bin/node
label=coxswain.chaos
start_seconds=60
stop_seconds=30

say() { printf 'chaos engine: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

use_own_daemon() {
  [ -S "$state/docker.sock" ] && export DOCKER_HOST="unix://$state/docker.sock" || true
}

answers() { command -v docker >/dev/null && timeout 10 docker version >/dev/null 2>&1; }

need() { # command, package
  command -v "$1" >/dev/null && return
  command -v apt-get >/dev/null || fail "Expected the command $1, found none, and no apt-get to install it"
  if [ -z "${updated:-}" ]; then apt-get update -qq; updated=1; fi
  say "installing $2"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1 ||
    fail "$2 could not be installed"
}

start_daemon() {
  [ "$(id -u)" = 0 ] || fail "no engine answers, and only root can start one"
  need dockerd docker.io
  need iptables iptables
  need ip iproute2
  mkdir -p "$state"
  export DOCKER_HOST="unix://$state/docker.sock"
  # unshare and sh exec in place: the pid of the job is the daemon's.
  unshare --net -- sh -c 'ip link set lo up && exec dockerd "$@"' dockerd \
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
  stop
  fail "the daemon did not answer within $start_seconds s"
}

# The machine's own mirror where it has this suite; nothing leaves the choice to debootstrap.
mirror() {
  apt-get indextargets --format '$(REPO_URI)' "Codename: $suite" "Created-By: Packages" \
    "Component: main" 2>/dev/null | head -n 1
}

build_base() {
  [ -x "$node" ] || fail "Expected $node, found none: run npm install"
  local key tarball
  key=$({ echo "$suite $packages"; sha256sum <"$node"; } | sha256sum | cut -c1-16)
  if ! docker image inspect "$image:$key" >/dev/null 2>&1; then
    tarball=$cache/base-$key.tar
    [ -f "$tarball" ] || make_rootfs "$tarball"
    docker import "$tarball" "$image:$key" >/dev/null
  fi
  docker tag "$image:$key" "$image:latest"
}

make_rootfs() { # tarball
  need debootstrap debootstrap
  mkdir -p "$cache"
  local work
  work=$(mktemp -d "$cache/rootfs-XXXXXX")
  say "building the base image's files (about a minute)"
  # Word splitting is wanted: no mirror is no argument.
  # shellcheck disable=SC2046
  if ! debootstrap --variant=minbase "--include=$packages" "$suite" "$work/root" $(mirror) >"$work/log" 2>&1; then
    tail -n 5 "$work/log" >&2
    rm -rf "$work"
    fail "debootstrap failed"
  fi
  install -m 755 "$node" "$work/root/usr/local/bin/node"
  rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/* "$work"/root/usr/share/{doc,man,locale}/*
  # The machine's mirror and resolver are its own business, not the image's.
  : >"$work/root/etc/apt/sources.list"
  rm -f "$work/root/etc/resolv.conf" "$work/root/etc/hostname"
  tar -C "$work/root" --numeric-owner -cf "$work/base.tar" .
  mv "$work/base.tar" "$1"
  rm -rf "$work"
}

start() {
  use_own_daemon
  if answers; then say "using the engine that answers"; else start_daemon; fi
  [ -n "${COXSWAIN_CHAOS_BASE:-}" ] || build_base
}

remove_containers() {
  local ids
  ids=$(docker ps -aq --filter "label=$label")
  # shellcheck disable=SC2086
  [ -z "$ids" ] || docker rm -fv $ids >/dev/null
  ids=$(docker network ls -q --filter "label=$label")
  # shellcheck disable=SC2086
  [ -z "$ids" ] || docker network rm $ids >/dev/null
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

# The reaper image would have to be pulled; containers are removed by label instead.
export TESTCONTAINERS_RYUK_DISABLED=true

# COMMAND inside the namespace of the daemon that this script started, else here.
inside() {
  if [ -f "$state/pid" ]; then
    nsenter "--net=/proc/$(cat "$state/pid")/ns/net" -- "$@"
  else
    "$@"
  fi
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  run)
    shift
    [ -f "$state/pid" ] || trap stop EXIT
    start
    inside "$@"
    ;;
  *) fail "Expected start, stop or run COMMAND, got ${1:-nothing}" ;;
esac
