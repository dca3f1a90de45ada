"""kill -9 of the leader, a follower or all members, again and again, under open-loop load at all members.

No acknowledged write may be lost, the recorded history must be linearizable, the members must be equal at the end.
Every `--rounds-per-cluster` rounds the history is judged and a new cluster takes over, so that a campaign of any
length needs bounded memory.
"""
import json
import os
import random
import shutil
import time

from cluster import Cluster, Programs, Recorder, arguments_for, folder_of, poll, run_main, seed_of


def one_cluster(programs, arguments, rng, rounds, number):
    folder = folder_of(arguments, "kill")
    history = os.path.join(folder, "history.jsonl")
    report = {"kills": {"leader": 0, "follower": 0, "all": 0}, "gaps_ms": []}
    with Cluster(programs.server, folder, snapshot_count=arguments.snapshot_count) as cluster:
        cluster.start()
        cluster.wait_serving()
        recorder = Recorder(programs, cluster, history, ["--rate", arguments.rate, "--seed", arguments.seed * 1000 + number,
                                                         "--deadline-ms", 5000])
        with recorder:
            poll("the first acknowledged writes", 30, recorder.acknowledged)
            for done in range(rounds):
                until = time.monotonic() + arguments.calm_seconds
                poll("calm", 60, lambda: time.monotonic() >= until)
                kind = rng.choice(["leader", "leader", "follower", "all"])
                leader = cluster.leader()
                victims = {"leader": [leader], "all": list(cluster.members),
                           "follower": [rng.choice([m for m in cluster.members if m is not leader])]}[kind]
                before = recorder.acknowledged()
                rng.shuffle(victims)
                for victim in victims:
                    victim.kill()
                killed_at = time.monotonic()
                down = rng.uniform(0.0, arguments.down_seconds_max)
                poll("down time", 60, lambda: time.monotonic() >= killed_at + down)
                for victim in victims:
                    victim.start()
                cluster.wait_serving()
                cluster.check_alive()
                report["kills"][kind] += 1
                print(f"round {done + 1}/{rounds}: killed {kind} ({','.join(v.name for v in victims)}) for {down:.2f} s, "
                      f"all serving {time.monotonic() - killed_at:.2f} s after the kill, "
                      f"{recorder.acknowledged() - before} writes acknowledged meanwhile", flush=True)
            summary = recorder.finish()
        report["state"] = cluster.compare_states()
        report["summary"] = summary
    report["verdict"] = programs.check_history(history)
    rate = summary["writes_ok"] / max(1e-9, sum(1 for _ in recorder.lines) - 1)
    report["acknowledged_writes_per_s"] = round(rate)
    shutil.rmtree(folder, ignore_errors=True)
    return report


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rounds-per-cluster", type=int, default=10)
    parser.add_argument("--rate", type=int, default=6500, help="operations a second; four of five change something")
    parser.add_argument("--snapshot-count", type=int, default=500)
    parser.add_argument("--calm-seconds", type=float, default=1.0)
    parser.add_argument("--down-seconds-max", type=float, default=1.5)
    arguments = parser.parse_args()

    def body():
        programs = Programs(arguments)
        seed = seed_of(arguments)
        print(f"seed {seed}; server {programs.server}", flush=True)
        rng = random.Random(seed)
        done = 0
        totals = {"acknowledged": 0, "unknown": 0, "kills": {}}
        while done < arguments.rounds:
            rounds = min(arguments.rounds_per_cluster, arguments.rounds - done)
            report = one_cluster(programs, arguments, rng, rounds, done)
            done += rounds
            totals["acknowledged"] += report["summary"]["writes_ok"]
            totals["unknown"] += report["summary"]["unknown"]
            for kind, count in report["kills"].items():
                totals["kills"][kind] = totals["kills"].get(kind, 0) + count
            print(f"{done}/{arguments.rounds} rounds: {report['verdict']}; {json.dumps(report['summary'])}; "
                  f"{report['acknowledged_writes_per_s']} acknowledged writes/s; equal at {report['state']}", flush=True)
        print(json.dumps({"rounds": done, **totals}))

    run_main("kill", body)


main()
