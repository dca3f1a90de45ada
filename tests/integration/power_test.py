"""Power loss: every member on an ext4 of its own; all plugs pulled at one moment, under load, again and again.

SIGKILL leaves the page cache alive, so it cannot tell a store that syncs from one that does not; this can.
`--without-sync` runs the same rounds with fsync and fdatasync turned into nothing (tests/integration/no_sync.c, preloaded):
the test must then FAIL, and the run passes only if it did (`--expect-loss`).
"""
import json
import os
import random
import shutil
import threading
import time

from cluster import Cluster, Failure, Programs, Recorder, arguments_for, folder_of, poll, run_main, seed_of
from disks import Disk, enter_private_namespace


def rounds_on(programs, arguments, rng, number, rounds):
    folder = folder_of(arguments, "power")
    history = os.path.join(folder, "history.jsonl")
    environment = {"LD_PRELOAD": os.path.join(programs.tools, "libno_sync.so")} if arguments.without_sync else None
    disks = []
    try:
        with Cluster(programs.server, folder, snapshot_count=arguments.snapshot_count) as cluster:
            for m in cluster.members:
                os.makedirs(m.folder)
                disks.append(Disk(os.path.join(folder, f"{m.name}.img"), m.folder, arguments.disk_mib))
            for m in cluster.members:
                m.start(environment)
            cluster.wait_serving()
            recorder = Recorder(programs, cluster, history,
                                ["--rate", arguments.rate, "--seed", arguments.seed * 1000 + number, "--deadline-ms", 4000])
            with recorder:
                poll("the first acknowledged writes", 30, recorder.acknowledged)
                for done in range(rounds):
                    until = time.monotonic() + rng.uniform(0.5, 1.5)
                    poll("load", 60, lambda: time.monotonic() >= until)
                    plugs = [d.open_plug() for d in disks]
                    pullers = [threading.Thread(target=Disk.pull, args=(plug,)) for plug in plugs]
                    before = time.monotonic()
                    for puller in pullers:
                        puller.start()
                    for puller in pullers:
                        puller.join()
                    pulled = time.monotonic() - before
                    # A member may see EIO and stop by itself before the kill: that is right.
                    for m in cluster.members:
                        m.kill()
                    for plug in plugs:
                        os.close(plug)
                    for d in disks:
                        d.unmount()
                        d.mount()
                    back = time.monotonic()
                    for m in cluster.members:
                        m.start(environment)
                    cluster.wait_serving()
                    print(f"cut {number + done + 1}: three plugs within {pulled * 1000:.1f} ms, all serving "
                          f"{time.monotonic() - back:.2f} s after power was back, {recorder.acknowledged()} acknowledged so far",
                          flush=True)
                summary = recorder.finish()
            state = cluster.compare_states()
        verdict = programs.check_history(history)
    finally:
        for d in disks:
            d.unmount()
    shutil.rmtree(folder, ignore_errors=True)
    return summary, state, verdict


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rounds-per-cluster", type=int, default=10)
    parser.add_argument("--rate", type=int, default=3000)
    parser.add_argument("--snapshot-count", type=int, default=500)
    parser.add_argument("--disk-mib", type=int, default=1024)
    parser.add_argument("--without-sync", action="store_true")
    parser.add_argument("--expect-loss", action="store_true", help="pass only if the rounds failed")
    arguments = parser.parse_args()

    def body():
        enter_private_namespace()
        programs = Programs(arguments)
        print(f"seed {seed_of(arguments)}; server {programs.server}{' WITHOUT SYNC' if arguments.without_sync else ''}", flush=True)
        rng = random.Random(arguments.seed)
        done = 0
        try:
            while done < arguments.rounds:
                rounds = min(arguments.rounds_per_cluster, arguments.rounds - done)
                summary, state, verdict = rounds_on(programs, arguments, rng, done, rounds)
                done += rounds
                print(f"{done}/{arguments.rounds} cuts: {verdict}; {json.dumps(summary)}; equal at {state}", flush=True)
        except Failure as failure:
            if not arguments.expect_loss:
                raise
            print(f"as expected, the loss was noticed: {str(failure)[:600]}")
            return
        if arguments.expect_loss:
            raise Failure("writes without sync survived every power cut: this test would not notice a missing sync")

    run_main("power", body)


main()
