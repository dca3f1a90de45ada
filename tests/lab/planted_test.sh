#!/bin/sh
# Every planted bug is found within its budget of seeds, with the default swarm, by a general check. $1 = decree-lab-planted
set -u
lab=$1
failed=0
for bug in forgotten_promise ack_before_durable lowest_ballot stale_accept small_quorum read_without_round \
           trust_old_ballot early_persisted; do
  out=$("$lab" sim --plant "$bug" --seeds 1..400 --twice 0)
  code=$?
  found=$(printf '%s\n' "$out" | grep -m1 BROKEN)
  if [ $code -eq 1 ] && [ -n "$found" ]; then
    echo "$bug: $found"
  else
    echo "$bug: NOT FOUND (exit code $code)"
    failed=1
  fi
done
# The same program without a bug switched on is clean.
"$lab" sim --seeds 1..20 --twice 0 >/dev/null || { echo "without a planted bug: not clean"; failed=1; }
exit $failed
