"""SIGSTOP the leader with reads queued in its sockets, let a new leader write, SIGCONT: no stale read.

The load goes on at all members, the stopped one included, so requests pile up in its sockets; when it wakes up it still
believes to lead. A linearizable read that it answers from its old state, after others acknowledged a newer write before the
read was sent, makes the history not linearizable.
"""
import json
import os
import random
import shutil
import signal
import time

from cluster import Cluster, Programs, Recorder, arguments_for, folder_of, poll, run_main, seed_of


def one_cluster(programs, arguments, rng, number, rounds):
    folder = folder_of(arguments, "pause")
    history = os.path.join(folder, "history.jsonl")
    elections = 0
    with Cluster(programs.server, folder, snapshot_count=2000, heartbeat_ms=arguments.heartbeat_ms,
                 election_ms=arguments.heartbeat_ms * 10) as cluster:
        cluster.start()
        cluster.wait_serving()
        # Few keys and many reads, so that a stale answer meets a newer write.
        recorder = Recorder(programs, cluster, history,
                            ["--rate", arguments.rate, "--seed", arguments.seed * 1000 + number, "--reads", 500, "--txns", 150,
                             "--keys", 20, "--hot-keys", 3, "--deadline-ms", 20000])
        try:
            poll("the first acknowledged writes", 30, recorder.acknowledged)
            for done in range(rounds):
                old = cluster.leader()
                old.signal(signal.SIGSTOP)
                stopped = time.monotonic()
                new = cluster.leader()
                elections += 1
                until = time.monotonic() + rng.uniform(0.0, arguments.stopped_seconds_max)
                poll("the new leader at work", 10, lambda: time.monotonic() >= until)
                old.signal(signal.SIGCONT)
                cluster.wait_serving()
                if done % 20 == 0 or done + 1 == rounds:
                    print(f"round {number + done + 1}: {old.name} stopped for {time.monotonic() - stopped:.2f} s, {new.name} led; "
                          f"{recorder.acknowledged()} writes acknowledged", flush=True)
            summary = recorder.finish()
        except BaseException:
            for m in cluster.members:
                m.signal(signal.SIGCONT)
            recorder.abandon()
            raise
        cluster.compare_states()
    verdict = programs.check_history(history)
    shutil.rmtree(folder, ignore_errors=True)
    return summary, verdict


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rounds-per-cluster", type=int, default=50)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--heartbeat-ms", type=int, default=30)
    parser.add_argument("--stopped-seconds-max", type=float, default=0.3)
    arguments = parser.parse_args()

    def body():
        programs = Programs(arguments)
        print(f"seed {seed_of(arguments)}; server {programs.server}", flush=True)
        rng = random.Random(arguments.seed)
        done = 0
        while done < arguments.rounds:
            rounds = min(arguments.rounds_per_cluster, arguments.rounds - done)
            summary, verdict = one_cluster(programs, arguments, rng, done, rounds)
            done += rounds
            print(f"{done}/{arguments.rounds} rounds: {verdict}; {json.dumps(summary)}", flush=True)

    run_main("pause", body)


main()
