#!/usr/bin/env bash
# What ./dev demo shows: three members, this machine's package index as keys, the leader killed in the middle of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DECREE_UP=build/demo DECREE_PORT="${DECREE_PORT:-23890}" ETCDCTL_API=3
cluster=examples/cluster.sh
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

rm -rf "$DECREE_UP"
mkdir -p "$DECREE_UP"
trap '$cluster down >/dev/null' EXIT
endpoints="$($cluster endpoints)"

say "1. Three members on loopback ($endpoints)"
$cluster up >/dev/null
etcdctl --endpoints="$endpoints" endpoint status -w table

say "2. Something real: this machine's package index"
packages="$DECREE_UP/packages"
{ apt-cache dumpavail 2>/dev/null || true; cat /var/lib/dpkg/status; } |
  awk -F': ' '/^Package: /{p=$2} /^Version: /{v=$2} /^Section: /{s=$2} /^Description(-en)?: /{sub(/^[^:]*: /, ""); d=$0}
    /^$/{ if (p != "" && !(p in seen)) { seen[p] = 1; printf "pkg/%s\t%s [%s] %s\n", p, v, s, d } p = v = s = d = "" }' >"$packages"
count="$(wc -l <"$packages")"
rate=$((count / 8 > 500 ? count / 8 : 500))
echo "$count packages, as keys pkg/<name>, $rate writes a second"

say "3. Loading, and SIGKILL for the leader in the middle of it"
: >"$DECREE_UP/journal"
build/release/decree-load put --endpoints "$endpoints" --rate "$rate" "$packages" --acknowledged "$DECREE_UP/journal" >"$DECREE_UP/load.out" &
loader=$!
half=$((count / 2))
while [ "$(wc -l <"$DECREE_UP/journal" 2>/dev/null || echo 0)" -lt "$((half / 2))" ] && kill -0 "$loader" 2>/dev/null; do
  read -r -t 0.05 <> <(:) || true
done
victim="$($cluster leader)"
pid="$($cluster pid "$victim")"
kill -KILL "$pid"
echo "killed member m$victim (process $pid), which led, at $(wc -l <"$DECREE_UP/journal") acknowledged writes"
wait "$loader" && loaded=0 || loaded=$?
tail -n 4 "$DECREE_UP/load.out"
[ "$loaded" = 0 ] || { echo "the load did not end well"; exit 1; }
echo "now leading: m$($cluster leader)"

say "4. Is everything that was acknowledged there? (read through the two that are left)"
rest="$(tr , '\n' <<<"$endpoints" | sed "${victim}d" | paste -sd,)"
build/release/decree-load verify --endpoints "$rest" "$DECREE_UP/journal"

say "5. A range over it, with etcdctl and with decree"
etcdctl --endpoints="$rest" get pkg/coreutils pkg/coreutils-z
echo "..."
build/release/decree --endpoints "$rest" get pkg/postgresql --prefix --limit 3

say "6. The killed member comes back and catches up"
$cluster start "$victim"
$cluster wait
one="$(tr , '\n' <<<"$endpoints" | sed -n "${victim}p")"
echo "m$victim holds $(etcdctl --endpoints="$one" get pkg/ --prefix --keys-only --consistency=s | grep -c . ) keys by its own account"
build/release/decree-load verify --endpoints "$one" "$DECREE_UP/journal"
etcdctl --endpoints="$endpoints" endpoint status -w table

say "Done. Nothing that was acknowledged is lost."
cat <<'NEXT'
What to try next:
  ./dev up                                      a cluster that stays; prints how to use it
  build/release/decree bench put --help         load, and what it costs
  build/release/decree-lab sim --seeds 1..500   the same code under simulated time, networks and disks
  ./dev test                                    all tests
NEXT
