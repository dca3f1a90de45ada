"""Every member replaced, again and again, under load: add with etcdctl, start, wait until it votes, remove the old one.

No acknowledged write may be lost, the history must be linearizable, the members equal at the end, and nothing but errors
that a client may retry be seen. With --wipe: a member loses its disk instead, is started again with its old flags, and
must vote again without an operator's word.
"""
import json
import os
import random
import shutil
import time

from cluster import Cluster, Failure, Member, Programs, Recorder, arguments_for, folder_of, poll, run_main, seed_of
from membership import Replacer, is_voter, listed

class Rounds:
    def __init__(self, cluster, rng, slots):
        self.cluster = cluster
        self.rng = rng
        self.replacer = Replacer(cluster, rng, slots)

    def replace(self):
        """One new member in, one old one out; the old one may be the leader."""
        c = self.cluster
        leader = c.leader()
        old = leader if self.rng.random() < 0.4 else self.rng.choice(c.members)
        began = time.monotonic()
        new = self.replacer.add()
        voted = time.monotonic()
        self.replacer.remove(old)
        self.replacer.wait_gone()
        return (f"{old.name}{' (leader)' if old is leader else ''} -> {new.name}: votes after {voted - began:.2f} s, "
                f"old one gone after {time.monotonic() - began:.2f} s")

    def wipe(self):
        c = self.cluster
        leader = c.leader()
        victim = leader if self.rng.random() < 0.4 else self.rng.choice(c.members)
        before = listed(c)[f"http://{victim.peer}"]["ID"]
        victim.kill()
        shutil.rmtree(victim.data_dir)
        began = time.monotonic()
        victim.start()
        poll(f"{victim.name} is let in as a learner", 60, lambda: (c.check_alive(), not is_voter(c, victim))[1], pause=0.02)
        admitted = time.monotonic()
        poll(f"{victim.name} votes again", 60, lambda: (c.check_alive(), is_voter(c, victim))[1], pause=0.05)
        if listed(c)[f"http://{victim.peer}"]["ID"] != before:
            raise Failure(f"{victim.name} came back as another member")
        c.wait_serving()
        return (f"{victim.name}{' (leader)' if victim is leader else ''} wiped: let in after {admitted - began:.2f} s, "
                f"votes after {time.monotonic() - began:.2f} s")


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--wipe", action="store_true")
    parser.add_argument("--snapshot-count", type=int, default=2000)
    arguments = parser.parse_args()

    def body():
        programs = Programs(arguments)
        seed = seed_of(arguments)
        print(f"seed {seed}; server {programs.server}", flush=True)
        rng = random.Random(seed)
        folder = folder_of(arguments, "members")
        history = os.path.join(folder, "history.jsonl")
        slots = arguments.members + (0 if arguments.wipe else 2)
        with Cluster(programs.server, folder, members=arguments.members, snapshot_count=arguments.snapshot_count) as cluster:
            cluster.start()
            cluster.wait_serving()
            rounds = Rounds(cluster, rng, slots)
            # The load knows all ports that a member will ever have.
            everywhere = [Member(cluster, n) for n in range(1, slots + 1)]
            recorder = Recorder(programs, cluster, history, ["--rate", arguments.rate, "--seed", seed, "--deadline-ms", 5000,
                                                             "--members-change"], everywhere)
            with recorder:
                poll("the first acknowledged writes", 30, recorder.acknowledged)
                for done in range(arguments.rounds):
                    before = recorder.acknowledged()
                    text = rounds.wipe() if arguments.wipe else rounds.replace()
                    print(f"round {done + 1}/{arguments.rounds}: {text}, {recorder.acknowledged() - before} writes "
                          f"acknowledged meanwhile", flush=True)
                summary = recorder.finish()
            cluster.wait_serving()
            state = cluster.compare_states()
        verdict = programs.check_history(history)
        print(f"{verdict}; {json.dumps(summary)}; equal at {state}")
        shutil.rmtree(folder, ignore_errors=True)

    run_main("members", body)


main()
