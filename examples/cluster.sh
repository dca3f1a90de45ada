#!/usr/bin/env bash
# A three-member cluster on loopback: cluster.sh up|down|kill-leader|start N, state below $DECREE_UP (build/up).
# Ends processes by the ids it wrote down, after looking that they are still ours.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
place="${DECREE_UP:-build/up}"
base="${DECREE_PORT:-23790}"
program="${DECREED:-build/release/decreed}"

client() { echo "127.0.0.1:$((base + $1 - 1))"; }
peer() { echo "127.0.0.1:$((base + 10 + $1 - 1))"; }
endpoints() { echo "$(client 1),$(client 2),$(client 3)"; }

pid_of() {  # the id of member N if it still runs and is our program
  local pid
  pid="$(cat "$place/m$1.pid" 2>/dev/null)" || return 1
  [ -n "$pid" ] && [[ "$(readlink "/proc/$pid/exe" 2>/dev/null)" == "$(readlink -f "$program")"* ]] || return 1
  echo "$pid"
}

start() {
  mkdir -p "$place"
  pid_of "$1" >/dev/null && { echo "m$1 runs already"; return 0; }
  local initial="m1=http://$(peer 1),m2=http://$(peer 2),m3=http://$(peer 3)"
  "$program" --name "m$1" --data-dir "$place/m$1.decree" \
    --listen-client-urls "http://$(client "$1")" --advertise-client-urls "http://$(client "$1")" \
    --listen-peer-urls "http://$(peer "$1")" --initial-advertise-peer-urls "http://$(peer "$1")" \
    --initial-cluster "$initial" --initial-cluster-token "$place" >>"$place/m$1.log" 2>&1 </dev/null &
  echo $! >"$place/m$1.pid"
  disown
}

wait_serving() {
  local end=$((SECONDS + 30)) n
  for n in 1 2 3; do
    until ETCDCTL_API=3 etcdctl --endpoints="$(client "$n")" --dial-timeout=1s --command-timeout=2s get ready >/dev/null 2>&1; do
      pid_of "$n" >/dev/null || { echo "member m$n ended:" >&2; tail -n 5 "$place/m$n.log" >&2; return 1; }
      [ $SECONDS -lt $end ] || { echo "m$n does not serve after 30 s; see $place/m$n.log" >&2; return 1; }
    done
  done
}

stop() {
  local n pid pids=()
  for n in 1 2 3; do
    pid="$(pid_of "$n")" && { kill -TERM "$pid" 2>/dev/null || true; pids+=("$pid"); }
  done
  for pid in "${pids[@]}"; do
    local end=$((SECONDS + 20))
    while [ -e "/proc/$pid" ] && [ $SECONDS -lt $end ]; do read -r -t 0.05 <> <(:) || true; done
    [ -e "/proc/$pid" ] && { echo "process $pid does not stop; ending it" >&2; kill -KILL "$pid" || true; }
  done
  rm -f "$place"/m?.pid
}

leader() {  # the number of the member that leads
  ETCDCTL_API=3 etcdctl --endpoints="$(endpoints)" endpoint status 2>/dev/null |
    awk -F', ' '$5 == "true" {print $1}' | sed -E 's/.*:([0-9]+)$/\1/' | awk -v base="$base" '{print $1 - base + 1; exit}'
}

case "${1:-}" in
  up)
    for n in 1 2 3; do start $n; done
    wait_serving
    echo "three members below $place; try:"
    echo "  export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=$(endpoints)"
    echo "  etcdctl put greeting hello && etcdctl get greeting && etcdctl endpoint status -w table"
    echo "  build/release/decree --endpoints $(endpoints) status"
    echo "  ./dev down"
    ;;
  down) stop; echo "stopped; the data stay below $place" ;;
  endpoints) endpoints ;;
  leader) leader ;;
  pid) pid_of "$2" ;;
  start) start "$2" ;;
  wait) wait_serving ;;
  *) echo "usage: cluster.sh up|down|endpoints|leader|pid N|start N|wait" >&2; exit 2 ;;
esac
