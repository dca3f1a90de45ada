#!/bin/sh
# The claims of rows M11-M17 broken on purpose: with a fault inside the core, decree-lab synod has to notice, by its
# properties or invariants (BROKEN), or the core stops by itself naming an invariant. $1 = decree-lab-planted
set -u
lab=$1
failed=0
for twin in M11:R17-stale-accept M12:M03-forgotten-promise M13:M24-ack-before-durable M14:R01-trust-old-ballot \
            M15:R74-small-quorum M16:T44-lowest-ballot M17:R38-forgotten-acceptances; do
  row=${twin%%:*}
  bug=${twin#*:}
  out=$("$lab" synod --plant "$bug" --processes 3 --seeds 1..3000 2>&1)
  code=$?
  found=$(printf '%s\n' "$out" | grep -m1 -E '^BROKEN|broken invariant')
  if [ $code -ne 0 ] && [ $code -ne 2 ] && [ -n "$found" ]; then
    echo "$row $bug: $found"
  else
    echo "$row $bug: NOT NOTICED (exit code $code)"
    failed=1
  fi
done
"$lab" synod --seeds 1..200 >/dev/null || { echo "without a fault: not clean"; failed=1; }
exit $failed
