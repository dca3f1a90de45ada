"""A member that was away during many puts comes back under load.

Its own memory and the others' must stay bounded, the others' p99 may at most double while it catches up, and afterwards
all members hold the same.
"""
import json
import os
import shutil
import statistics
import time

from cluster import Cluster, Failure, Programs, Recorder, arguments_for, folder_of, poll, run_main


def p99(recorder, first, last):
    """Of writes between two moments, in ms: the median of the per-second p99, and the worst second's."""
    values = [line["p99_ms"] for at, line in recorder.lines if first <= at <= last and line.get("writes_ok")]
    return (statistics.median(values), max(values)) if values else (None, None)


def fill(programs, cluster, arguments):
    """Puts until so many were acknowledged; how many that were. A slow machine takes longer, not fewer."""
    done = 0
    end = time.monotonic() + 1200
    while done < arguments.puts:
        seconds = max(1, (arguments.puts - done) / arguments.fill_rate)
        filler = Recorder(programs, cluster, None,
                          ["--no-finish", "--rate", arguments.fill_rate, "--seconds", seconds, "--txns", 0, "--deletes", 0,
                           "--reads", 0, "--serializable-reads", 0, "--keys", arguments.keys, "--value-bytes", 128,
                           "--deadline-ms", 30000])
        done += filler.wait(seconds + 60)["writes_ok"]
        if time.monotonic() > end:
            raise Failure(f"only {done} of {arguments.puts} puts were acknowledged in 20 minutes")
    return done


def revision(cluster, member):
    result = cluster.etcdctl("get", "!", "-w", "json", "--consistency=s", endpoints=member.client, check=False, timeout=3)
    return json.loads(result.stdout)["header"]["revision"] if result.returncode == 0 else 0


def body_for(arguments):
    programs = Programs(arguments)
    folder = folder_of(arguments, "laggard")
    with Cluster(programs.server, folder, snapshot_count=arguments.snapshot_count) as cluster:
        cluster.start()
        cluster.wait_serving()
        leader = cluster.leader()
        laggard = next(m for m in cluster.members if m is not leader)
        others = [m for m in cluster.members if m is not laggard]
        laggard.kill()
        began = time.monotonic()
        filled = fill(programs, cluster, arguments)
        print(f"{filled} puts while {laggard.name} was away, in {time.monotonic() - began:.0f} s", flush=True)
        before = {m.name: m.rss_kib() for m in others}

        # At the others: theirs is the time that must not suffer; who asks the laggard waits for it.
        recorder = Recorder(programs, cluster, None, ["--rate", arguments.rate, "--no-finish", "--keys", arguments.keys,
                                                      "--value-bytes", 128], members=others)
        with recorder:
            start = time.monotonic()
            poll("base line", 60, lambda: time.monotonic() >= start + arguments.base_seconds)
            laggard.start()
            back = time.monotonic()
            peak = {m.name: m.rss_kib() for m in cluster.members}

            def caught_up():
                cluster.check_alive()
                for m in cluster.members:
                    peak[m.name] = max(peak[m.name], m.rss_kib())
                return revision(cluster, laggard) >= revision(cluster, others[0]) - 5000
            poll("the laggard has caught up", arguments.cap_seconds, caught_up, pause=0.2)
            caught = time.monotonic()
            # At least three whole seconds of figures, even when catching up was quicker.
            poll("figures", 60, lambda: time.monotonic() >= max(caught + 1, back + 4))
            caught_up()
            during, during_worst = p99(recorder, back + 1, time.monotonic())
            base, base_worst = p99(recorder, start + 1, back)
            summary = recorder.finish()
        cluster.wait_serving()
        state = cluster.compare_states()
        report = {"puts_away": filled, "caught_up_s": round(caught - back, 2), "p99_base_ms": base,
                  "p99_during_ms": during, "worst_second_p99_ms": {"base": base_worst, "during": during_worst},
                  "rss_mib_before": {k: v // 1024 for k, v in before.items()},
                  "rss_mib_peak": {k: v // 1024 for k, v in peak.items()}, "rate": arguments.rate,
                  "writes_during_load": summary["writes_ok"], "equal_at": state}
        print(json.dumps(report))
        bound = max(before.values()) * 2 + 256 * 1024
        if max(peak.values()) > bound:
            raise Failure(f"memory: {max(peak.values())} KiB, more than {bound} KiB")
        # On a busy two-core machine a p99 of a few ms doubles by itself; judged only above 20 ms or by the campaign.
        if base is not None and during is not None and during > max(2 * base, arguments.p99_floor_ms):
            raise Failure(f"the others' p99 went from {base} ms to {during} ms")
    shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--puts", type=int, default=1000000, help="while the member is away")
    parser.add_argument("--fill-rate", type=int, default=15000, help="puts a second meanwhile")
    parser.add_argument("--keys", type=int, default=100000)
    parser.add_argument("--rate", type=int, default=3000, help="operations a second while it comes back")
    parser.add_argument("--base-seconds", type=float, default=8)
    parser.add_argument("--cap-seconds", type=float, default=300)
    parser.add_argument("--snapshot-count", type=int, default=10000)
    parser.add_argument("--p99-floor-ms", type=float, default=20)
    arguments = parser.parse_args()
    run_main("laggard", lambda: body_for(arguments))


main()
