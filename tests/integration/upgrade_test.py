"""A rolling change from the first version of decreed that served etcdctl to the present one, on a running cluster under load.

The old program is built here, from its commit, into build/first-version (a few minutes the first time; needs the repository's history). Each member is
stopped and started again with the new program on the directory that the old one wrote; in between, the cluster of both runs for a while and loses its leader
by SIGKILL. No acknowledged write may be lost, the history must be linearizable, the members equal at the end. Then the cluster does what the old version could
not: it names its disks and replaces a member. Change of members is refused with a sentence while an old member is there.
"""
import json
import os
import random
import shutil
import subprocess
import time

from cluster import ROOT, Cluster, Failure, Member, Programs, Recorder, Skip, arguments_for, folder_of, poll, run_main, seed_of
from membership import Replacer

FIRST = "11534c146cad639d97a0f5eaf82b3633d773cf8c"  # the first commit whose decreed served etcdctl

NEWER_RELEASE = 9  # exit code: the directory was written by a newer release


def build_first_version(folder):
    program = os.path.join(folder, "build/release/decreed")
    if os.path.exists(program):
        return program
    os.makedirs(folder, exist_ok=True)
    archive = subprocess.run(["git", "-C", ROOT, "archive", FIRST], capture_output=True)
    if archive.returncode != 0:
        raise Skip(f"the repository's history is not here (git archive {FIRST}: {archive.stderr.decode().strip()})")
    subprocess.run(["tar", "x", "-C", folder], input=archive.stdout, check=True)
    print(f"building the first version in {folder}", flush=True)
    for command in (["cmake", "--preset", "release"], ["ninja", "-C", "build/release", "decreed"]):
        built = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if built.returncode != 0:
            raise Failure(f"{' '.join(command)} in {folder}: {built.stdout[-3000:]}{built.stderr[-1000:]}")
    return program


class Roll:
    def __init__(self, cluster, rng, new_program):
        self.cluster, self.rng, self.new_program = cluster, rng, new_program

    def calm(self, seconds):
        until = time.monotonic() + seconds
        poll("some time under load", seconds + 10, lambda: (self.cluster.check_alive(), time.monotonic() >= until)[1])

    def change(self, member, by_kill):
        """The member goes on with the new program on its directory."""
        began = time.monotonic()
        if by_kill:
            member.kill()
        else:
            code = member.stop()
            if code != 0:
                raise Failure(f"{member.name} ended with code {code} after SIGTERM:\n{member.log_tail()}")
        member.program = self.new_program
        member.start()
        self.cluster.wait_serving()
        return f"{member.name} changed ({'SIGKILL' if by_kill else 'SIGTERM'}), all serving after {time.monotonic() - began:.2f} s"

    def lose_leader(self):
        leader = self.cluster.leader()
        began = time.monotonic()
        leader.kill()
        self.cluster.leader()
        led = time.monotonic() - began
        leader.start()
        self.cluster.wait_serving()
        return f"leader {leader.name} killed: another after {led:.2f} s"

    def refuses_new_members(self):
        """An old member could not follow into another epoch."""
        new = Member(self.cluster, 99, slot=9)
        said = ""
        for m in self.cluster.members:
            r = self.cluster.etcdctl("member", "add", new.name, f"--peer-urls=http://{new.peer}", endpoints=m.client, check=False)
            if r.returncode == 0:
                raise Failure(f"{m.name} added a member while an old release takes part")
            if m.program:  # the old ones know no such call
                said = r.stderr.strip().splitlines()[-1]
        if "cannot follow a change of members" not in said:
            raise Failure(f"a change of members that an old member cannot follow is not refused with its reason: {said}")
        return f"member add refused: {said}"

    def cannot_go_back(self, old_program):
        """Once an epoch began, the old program must refuse the directory and leave it as it is."""
        member = self.rng.choice(self.cluster.members)
        member.stop()
        member.program = old_program
        member.start()
        member.expected_end = True
        poll("the old program refuses", 20, lambda: not member.running())
        said, code = member.log_tail(3), member.process.returncode
        if code != NEWER_RELEASE:
            raise Failure(f"the old program ended with code {code}, not {NEWER_RELEASE}, on a directory of the present one:\n{said}")
        member.program = self.new_program
        member.start()
        self.cluster.wait_serving()
        return f"the old program refuses the directory (code {code}): {said.strip().splitlines()[-2]}"


def named(cluster):
    return all("members changed" in m.log_tail(1000) for m in cluster.members)


def campaign(programs, arguments, rng, folder, old_program):
    history = os.path.join(folder, "history.jsonl")
    with Cluster(old_program, folder, members=arguments.members, snapshot_count=arguments.snapshot_count) as cluster:
        cluster.start()
        cluster.wait_serving()
        roll = Roll(cluster, rng, programs.decreed)
        everywhere = [Member(cluster, n) for n in range(1, arguments.members + 3)]
        recorder = Recorder(programs, cluster, history, ["--rate", arguments.rate, "--seed", arguments.seed, "--deadline-ms", 5000, "--members-change"],
                            everywhere)
        with recorder:
            poll("the first acknowledged writes", 30, recorder.started_well)
            roll.calm(arguments.calm_seconds)
            order = rng.sample(cluster.members, len(cluster.members))
            for i, member in enumerate(order):
                before = recorder.acknowledged()
                print(roll.change(member, by_kill=rng.random() < 0.5), flush=True)
                if i + 1 < len(order):
                    print(roll.lose_leader(), flush=True)
                    print(roll.refuses_new_members(), flush=True)
                    roll.calm(arguments.calm_seconds)
                    print(f"{i + 1} of {len(order)} changed, {recorder.acknowledged() - before} writes acknowledged meanwhile", flush=True)
            poll("the disks are named by an epoch", 30, lambda: named(cluster))
            cluster.program = programs.decreed
            replacer = Replacer(cluster, rng, arguments.members + 2)
            old = rng.choice(cluster.members)
            new = replacer.add()
            replacer.remove(old)
            replacer.wait_gone()
            print(f"{old.name} replaced by {new.name}", flush=True)
            print(roll.cannot_go_back(old_program), flush=True)
            summary = recorder.finish()
        cluster.wait_serving()
        state = cluster.compare_states()
    verdict = programs.check_history(history)
    print(f"{verdict}; {json.dumps(summary)}; equal at {state}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--snapshot-count", type=int, default=1000)
    parser.add_argument("--calm-seconds", type=float, default=3.0)
    parser.add_argument("--old", default=None, help="the old decreed, when it is built already")
    arguments = parser.parse_args()

    def body():
        programs = Programs(arguments)
        seed = seed_of(arguments)
        print(f"seed {seed}; server {programs.server}", flush=True)
        old_program = arguments.old or build_first_version(os.path.join(ROOT, "build", "first-version"))
        rng = random.Random(seed)
        for done in range(arguments.rounds):
            arguments.seed = seed + done
            campaign(programs, arguments, rng, folder_of(arguments, "upgrade"), old_program)
            print(f"round {done + 1}/{arguments.rounds} done", flush=True)

    run_main("upgrade", body)


main()
