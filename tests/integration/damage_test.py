"""Damaged and old disks repair themselves under load: rot in the log, a lost superblock, an old image of the disk put back.

Each time one of three members is killed, its disk is changed, and it is started again with its old flags. It must come back
without an operator's word, vote again, keep what was damaged as evidence, and no acknowledged write may be lost. With
--damaged-data=refuse it must refuse instead and touch nothing.
"""
import json
import os
import random
import re
import shutil
import time

from cluster import Cluster, Failure, Programs, Recorder, arguments_for, folder_of, poll, run_main, seed_of

CORRUPT = 7


def listed(cluster):
    r = cluster.etcdctl("member", "list", "-w", "json", timeout=5, check=False)
    return {m["peerURLs"][0]: m for m in json.loads(r.stdout)["members"]} if r.returncode == 0 else {}


def votes(cluster, member):
    m = listed(cluster).get(f"http://{member.peer}")
    return m is not None and not m.get("isLearner", False)


def log_since_start(member):
    with open(member.log_path, errors="replace") as f:
        return f.read().rsplit("--- start", 1)[-1]


def segments(member):
    folder = os.path.join(member.data_dir, "wal")
    return sorted(os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(".wal"))


def rot_a_batch(member, rng):
    """Changes bytes of one batch of entries in the middle of the log; batches begin at blocks of 4096 bytes."""
    for path in reversed(segments(member)):
        with open(path, "r+b") as f:
            content = f.read()
            batches = [at for at in range(4096, len(content), 4096) if content[at:at + 4] == b"DBAT"]
            if len(batches) < 20:
                continue
            at = rng.choice(batches[len(batches) // 2:-5])
            f.seek(at + 200)
            f.write(b"\xff" * 64)
            return f"{os.path.basename(path)} at {at}"
    raise Failure(f"no segment of {member.name} has enough batches")


class Damages:
    def __init__(self, cluster, rng):
        self.cluster = cluster
        self.rng = rng

    def victim(self):
        leader = self.cluster.leader()
        return leader if self.rng.random() < 0.3 else self.rng.choice(self.cluster.members)

    def back(self, member, began, must_say):
        poll(f"{member.name} says {must_say!r}", 40, lambda: (self.cluster.check_alive(), must_say in log_since_start(member))[1],
             pause=0.05)
        # Two epochs: it is listed as joining, and as a voter when it has caught up. Before the first, the list shows its old disk.
        told = re.search(r"coming back with a new disk.* epoch=(\d+)", log_since_start(member))
        if told:
            voter_again = f"members changed epoch={int(told[1]) + 2} "
            poll(f"{member.name} says {voter_again!r}", 60,
                 lambda: (self.cluster.check_alive(), voter_again in log_since_start(member))[1], pause=0.05)
        poll(f"{member.name} votes again", 60, lambda: (self.cluster.check_alive(), votes(self.cluster, member))[1], pause=0.05)
        self.cluster.wait_serving()
        return f"votes after {time.monotonic() - began:.2f} s"

    def evidence(self, member):
        kept = [n for n in os.listdir(member.data_dir) if n.startswith("superblock.damaged-")]
        if not kept:
            raise Failure(f"{member.name} kept no evidence: {os.listdir(member.data_dir)}")

    def rot(self):
        """Read over: the slot is unknown until it is fetched; the member keeps its vote and its disk."""
        member = self.victim()
        member.kill()
        where = rot_a_batch(member, self.rng)
        began = time.monotonic()
        member.start()
        text = self.back(member, began, "damaged slots")
        if "coming back with a new disk" in log_since_start(member):
            raise Failure(f"{member.name} gave its disk up for one damaged batch")
        return f"rot in {member.name}, {where}: {text}"

    def superblock(self):
        member = self.victim()
        member.kill()
        path = os.path.join(member.data_dir, "superblock")
        with open(path, "r+b") as f:
            f.write(b"\0" * os.path.getsize(path))
        began = time.monotonic()
        member.start()
        text = self.back(member, began, "coming back with a new disk")
        self.evidence(member)
        return f"superblock of {member.name} lost: {text}"

    def refuse(self):
        """The operator wants to be asked first."""
        member = self.victim()
        member.kill()
        path = os.path.join(member.data_dir, "superblock")
        kept = shutil.copy(path, path + ".test")
        os.rename(kept, os.path.join(member.folder, "superblock.test"))
        with open(path, "r+b") as f:
            f.write(b"\0" * os.path.getsize(path))
        before = sorted(os.listdir(member.data_dir))
        self.cluster.extra_flags.append("--damaged-data=refuse")
        try:
            member.start()
            member.expected_end = True
            poll(f"{member.name} refuses", 20, lambda: not member.running())
        finally:
            self.cluster.extra_flags.pop()
        if member.process.returncode != CORRUPT or sorted(os.listdir(member.data_dir)) != before:
            raise Failure(f"{member.name} ended with {member.process.returncode}, not {CORRUPT}:\n{member.log_tail()}")
        shutil.copy(os.path.join(member.folder, "superblock.test"), path)
        member.start()
        self.cluster.wait_serving()
        return f"{member.name} refused a lost superblock and took it back whole"

    def old_image(self):
        """What a backup of the disk, or a snapshot of the virtual machine, does when it is put back."""
        member = self.victim()
        member.kill()
        image = os.path.join(member.folder, "image")
        shutil.rmtree(image, ignore_errors=True)
        shutil.copytree(member.data_dir, image)
        member.start()
        self.cluster.wait_serving()
        # The load goes on; a beat tells everybody how far the disk has got, every 100 ms.
        beats = time.monotonic() + 0.5
        poll("a few beats", 5, lambda: time.monotonic() > beats)
        member.kill()
        shutil.rmtree(member.data_dir)
        shutil.move(image, member.data_dir)
        began = time.monotonic()
        member.start()
        text = self.back(member, began, "coming back with a new disk")
        if "older than what this member has acknowledged" not in log_since_start(member):
            raise Failure(f"{member.name} does not say why:\n{member.log_tail()}")
        self.evidence(member)
        return f"old image of {member.name}: {text}"


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rate", type=int, default=500)
    arguments = parser.parse_args()

    def body():
        programs = Programs(arguments)
        seed = seed_of(arguments)
        print(f"seed {seed}; server {programs.server}", flush=True)
        rng = random.Random(seed)
        folder = folder_of(arguments, "damage")
        history = os.path.join(folder, "history.jsonl")
        with Cluster(programs.server, folder, members=3, snapshot_count=20000) as cluster:
            cluster.start()
            cluster.wait_serving()
            recorder = Recorder(programs, cluster, history, ["--rate", arguments.rate, "--seed", seed, "--deadline-ms", 5000,
                                                             "--members-change"])
            with recorder:
                poll("the first acknowledged writes", 30, recorder.acknowledged)
                # The disks are named by an epoch soon after the first start; before, none is given up.
                poll("the disks are named", 20, lambda: all("members changed" in m.log_tail(500) for m in cluster.members))
                damages = Damages(cluster, rng)
                for done in range(arguments.rounds):
                    for damage in (damages.rot, damages.superblock, damages.old_image, damages.refuse):
                        print(f"round {done + 1}/{arguments.rounds}: {damage()}", flush=True)
                summary = recorder.finish()
            cluster.wait_serving()
            state = cluster.compare_states()
        verdict = programs.check_history(history)
        print(f"{verdict}; {json.dumps(summary)}; equal at {state}")
        shutil.rmtree(folder, ignore_errors=True)

    run_main("damage", body)


main()
