#!/bin/sh
# The model checker runs the core's own object files: an edit of the acceptor or of the value choice changes its
# verdict. The edits are those of src/base/planted_bugs.h. $1 = decree-lab-planted
set -u
lab=$1
failed=0
broken() {  # bug, configuration that holds without it
  out=$("$lab" model --config "$2" --plant "$1")
  code=$?
  found=$(printf '%s\n' "$out" | grep -m1 'BROKEN')
  if [ $code -eq 1 ] && [ -n "$found" ]; then
    echo "$1:$found"
  else
    echo "$1: NOT FOUND in $2 (exit code $code)"
    failed=1
  fi
}
broken R17-stale-accept 3x2x1
broken T44-lowest-ballot quorums_3_2_2
broken M03-forgotten-promise 3x2x1_crash
broken M24-ack-before-durable 3x1x1_crash
for config in 3x2x1 quorums_3_2_2 3x2x1_crash 3x1x1_crash; do
  "$lab" model --config $config >/dev/null || { echo "$config: not clean without a planted bug"; failed=1; }
done
exit $failed
