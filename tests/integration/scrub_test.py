"""Bits rot under a running member: one in a closed segment of its log, one in its snapshot. The background reading finds and repairs both.

Nobody restarts anything and no request touches what is damaged. The member must say what it found and where, write a new snapshot, and be rid of the damaged file;
started again afterwards it must find nothing wrong. Under load; no acknowledged write may be lost.
"""
import json
import os
import random
import re
import shutil
import time

from cluster import Cluster, Failure, Programs, Recorder, arguments_for, folder_of, poll, run_main, seed_of

FOUND = "damage on the disk, taking a new snapshot to be rid of it"
FIRST_SEGMENT = "0000000000000001.wal"


def log_of(member):
    with open(member.log_path, errors="replace") as f:
        return f.read()


def flip(path, at, bit):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ (1 << bit)]))


def log_batches(path):
    with open(path, "rb") as f:
        content = f.read()
    return [at for at in range(4096, len(content), 4096) if content[at:at + 4] == b"DBAT"]


def snapshots(member):
    folder = os.path.join(member.data_dir, "snapshots")
    return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".snap"))


class Rot:
    def __init__(self, cluster, member, rng):
        self.cluster, self.member, self.rng = cluster, member, rng
        self.said = 0

    def found(self, path):
        """The member says that it found this one, and the file is gone."""
        began = time.monotonic()

        def told():
            self.cluster.check_alive()
            return log_of(self.member).count(FOUND) > self.said
        poll(f"{self.member.name} finds the damage", 30, told, pause=0.05)
        self.said += 1
        line = [l for l in log_of(self.member).splitlines() if FOUND in l][-1]
        cause = re.search(r'cause="(.*)"', line)[1]
        if os.path.basename(path) not in cause:
            raise Failure(f"{self.member.name} does not name the damaged file {path}: {line}")
        seconds = time.monotonic() - began
        poll(f"{self.member.name} is rid of {path}", 30, lambda: (self.cluster.check_alive(), not os.path.exists(path))[1], pause=0.05)
        return f"{self.member.name}: found after {seconds:.2f} s, gone after {time.monotonic() - began:.2f} s: {cause}"

    def segment(self):
        path = os.path.join(self.member.data_dir, "wal", FIRST_SEGMENT)
        at = self.rng.choice(log_batches(path)) + 200
        flip(path, at, self.rng.randrange(8))
        return self.found(path)

    def snapshot(self):
        path = snapshots(self.member)[-1]
        flip(path, self.rng.randrange(os.path.getsize(path) // 4, os.path.getsize(path) // 2), self.rng.randrange(8))
        return self.found(path)


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--rate", type=int, default=60)
    arguments = parser.parse_args()

    def body():
        programs = Programs(arguments)
        seed = seed_of(arguments)
        print(f"seed {seed}; server {programs.server}", flush=True)
        rng = random.Random(seed)
        folder = folder_of(arguments, "scrub")
        history = os.path.join(folder, "history.jsonl")
        # No snapshot is taken for the log's sake; the background reading has no pace to keep.
        with Cluster(programs.server, folder, snapshot_count=1000000, election_ms=3000, extra_flags=["--scrub-rate", str(1 << 30)]) as cluster:
            cluster.start()
            cluster.wait_serving()
            recorder = Recorder(programs, cluster, history, ["--rate", arguments.rate, "--seed", seed, "--deadline-ms", 5000,
                                                             "--value-bytes", 16384, "--keys", 50])
            with recorder:
                poll("the first acknowledged writes", 30, recorder.started_well)
                third = [os.path.join(m.data_dir, "wal", "0000000000000003.wal") for m in cluster.members]
                poll("the first segment is closed", 60, lambda: (cluster.check_alive(), all(map(os.path.exists, third)))[1])
                leader = cluster.leader()
                for member in (leader, rng.choice([m for m in cluster.members if m is not leader])):
                    rot = Rot(cluster, member, rng)
                    print(rot.segment(), flush=True)
                    print(rot.snapshot(), flush=True)
                    member.kill()
                    member.start()
                    cluster.wait_serving()
                    again = log_of(member).rsplit("--- start", 1)[-1]
                    if "damage" in again:
                        raise Failure(f"{member.name} was not rid of the damage:\n{again}")
                summary = recorder.finish()
            cluster.wait_serving()
            state = cluster.compare_states()
        verdict = programs.check_history(history)
        print(f"{verdict}; {json.dumps(summary)}; equal at {state}")
        shutil.rmtree(folder, ignore_errors=True)

    run_main("scrub", body)


main()
