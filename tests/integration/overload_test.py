"""Open loop at twice the capacity: what is refused must cost little, what is taken must be done.

The peak is measured first, closed loop. Then twice as many requests as that are begun every second, whatever the answers do.
Goodput (acknowledged puts a second) must stay above a share of the peak, the leader must not change, and every member's memory
must stay under the cap: its memory before, what the puts that were done are worth, and the bounds of docs/operations.md.
"""
import json
import shutil
import subprocess
import time

from cluster import Cluster, Failure, Programs, arguments_for, folder_of, poll, run_main

# docs/operations.md: calls and output of clients 512 MiB, proposals 64, records for the disk 128, messages of peers 128, output to
# two peers 2 x 64; a snapshot being written is a copy of nothing (versions are shared), but its file passes through memory.
QUEUES_MIB = 512 + 64 + 128 + 128 + 2 * 64


def bench(programs, cluster, *options):
    command = [programs.decree, "--endpoints", cluster.endpoints, "-w", "json", "bench", "put", "--value-size", "256",
               "--keys", "10000", "--connections", "30", *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result_of(process):
    out, err = process.communicate()
    if not out.strip():
        raise Failure(f"decree bench said nothing (code {process.returncode}): {err[-500:]}")
    return json.loads(out)


def terms(cluster):
    return {s["header"]["raft_term"] for s in cluster.statuses().values()}


def compact(cluster):
    """As a user of etcd does every few minutes: otherwise every version ever written is kept, by contract."""
    revision = json.loads(cluster.etcdctl("get", "!", "-w", "json", "--consistency=s", timeout=30).stdout)["header"]["revision"]
    cluster.etcdctl("compaction", str(revision), timeout=30, check=False)


def body_for(arguments):
    programs = Programs(arguments)
    folder = folder_of(arguments, "overload")
    with Cluster(programs.server, folder, snapshot_count=100000,
                 extra_flags=["--quota-backend-bytes", str(8 << 30)]) as cluster:
        cluster.start()
        cluster.wait_serving()
        leader = cluster.leader()
        peaks = [result_of(bench(programs, cluster, "--clients", clients, "--duration", f"{arguments.peak_seconds}s"))["throughput"]
                 for clients in (256, 1000)]
        peak = max(peaks)
        print(f"peak, closed loop at 256 and 1000 clients: {peaks[0]:.0f} and {peaks[1]:.0f} puts/s", flush=True)
        compact(cluster)
        term_before = terms(cluster)
        rss_before = {m.name: m.rss_kib() // 1024 for m in cluster.members}
        rss_peak = dict(rss_before)
        rate = round(peak * arguments.times)
        load = bench(programs, cluster, "--rate", rate, "--clients", arguments.inflight, "--duration", f"{arguments.minutes * 60:.0f}s",
                     "--warmup", "2s")
        began = compacted = time.monotonic()

        def ended():
            nonlocal compacted
            cluster.check_alive()
            for m in cluster.members:
                rss_peak[m.name] = max(rss_peak[m.name], m.rss_kib() // 1024)
            if time.monotonic() - compacted > 20:
                compacted = time.monotonic()
                compact(cluster)
                print(f"{compacted - began:.0f} s: {rss_peak} MiB at most so far", flush=True)
            return load.poll() is not None
        poll("the load ends", arguments.minutes * 60 + 120, ended, pause=0.5)
        seen = result_of(load)
        cluster.wait_serving()
        term_after = terms(cluster)
        goodput = seen["throughput"]
        report = {"peak_per_s": round(peak), "offered_per_s": rate, "goodput_per_s": round(goodput), "share": round(goodput / peak, 3),
                  "seconds": round(seen["seconds"]), "failed": seen["failed"], "never_sent": seen["never_sent"],
                  "latency_ms": seen["latency_ms"], "terms": [sorted(term_before), sorted(term_after)],
                  "leader": [leader.name, cluster.leader().name], "rss_mib_before": rss_before, "rss_mib_peak": rss_peak}
        print(json.dumps(report))
        if term_before != term_after:
            raise Failure(f"the leader changed: terms {term_before} before, {term_after} after")
        cap = max(rss_before.values()) + QUEUES_MIB + arguments.data_mib
        if max(rss_peak.values()) > cap:
            raise Failure(f"memory: {rss_peak} MiB, the cap is {cap} MiB")
        if goodput < arguments.share * peak:
            raise Failure(f"goodput {goodput:.0f}/s is {goodput / peak:.0%} of the peak {peak:.0f}/s")
        cluster.compare_states()
    shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--times", type=float, default=2, help="the peak")
    parser.add_argument("--share", type=float, default=0.8, help="of the peak that the goodput must reach")
    parser.add_argument("--peak-seconds", type=int, default=15)
    parser.add_argument("--inflight", type=int, default=30000, help="requests under way at most; beyond, they are not sent")
    parser.add_argument("--data-mib", type=int, default=768, help="for versions between two compactions")
    arguments = parser.parse_args()
    run_main("overload", lambda: body_for(arguments))


main()
