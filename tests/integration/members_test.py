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

REMOVED = 12  # exit code of a member that was removed


def listed(cluster):
    """The members as the cluster tells them, by peer URL."""
    r = cluster.etcdctl("member", "list", "-w", "json", timeout=5, check=False)
    if r.returncode != 0:
        return {}
    return {m["peerURLs"][0]: m for m in json.loads(r.stdout)["members"]}


def is_voter(cluster, member):
    m = listed(cluster).get(f"http://{member.peer}")
    return m is not None and not m.get("isLearner", False)


def retry(what, cap_seconds, ask):
    """An operator's command during a change of leader may have to be given again."""
    last = {}

    def once():
        r = ask()
        last["text"] = r.stdout + r.stderr
        return r.returncode == 0 and r
    try:
        return poll(what, cap_seconds, once, pause=0.2)
    except Failure as e:
        raise Failure(f"{e}; last answer: {last['text']}") from None


class Rounds:
    def __init__(self, programs, cluster, rng, slots):
        self.programs = programs
        self.cluster = cluster
        self.rng = rng
        self.next_number = len(cluster.members) + 1
        self.free_slots = list(range(len(cluster.members) + 1, slots + 1))

    def replace(self):
        """One new member in, one old one out; the old one may be the leader."""
        c = self.cluster
        leader = c.leader()
        old = leader if self.rng.random() < 0.4 else self.rng.choice(c.members)
        new = Member(c, self.next_number, slot=self.free_slots.pop(0), joins=list(c.members))
        self.next_number += 1
        shutil.rmtree(new.folder, ignore_errors=True)
        began = time.monotonic()
        urls = f"--peer-urls=http://{new.peer}"
        if f"http://{new.peer}" not in listed(c):
            retry(f"add {new.name}", 30, lambda: c.etcdctl("member", "add", new.name, urls, check=False)
                  if f"http://{new.peer}" not in listed(c) else c.etcdctl("member", "list", check=False))
        new.start()
        c.members.append(new)
        poll(f"{new.name} votes", 60, lambda: (c.check_alive(), is_voter(c, new))[1], pause=0.05)
        voted = time.monotonic()
        identity = f"{listed(c)[f'http://{old.peer}']['ID']:x}"
        old.expected_end = True
        c.members.remove(old)
        c.former.append(old)
        retry(f"remove {old.name}", 30, lambda: c.etcdctl("member", "remove", identity, check=False)
              if f"http://{old.peer}" in listed(c) else c.etcdctl("member", "list", check=False))
        poll(f"{old.name} ends by itself", 30, lambda: not old.running())
        if old.process.returncode != REMOVED:
            raise Failure(f"{old.name} ended with code {old.process.returncode}:\n{old.log_tail()}")
        self.free_slots.append(old.slot)
        c.check_alive()
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
            rounds = Rounds(programs, cluster, rng, slots)
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
        if not summary["writes_ok"]:
            raise Failure("no write was acknowledged at all")
        print(f"{verdict}; {json.dumps(summary)}; equal at {state}")
        shutil.rmtree(folder, ignore_errors=True)

    run_main("members", body)


main()
