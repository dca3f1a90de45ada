"""A member whose memory went bad: a byte of a stored value is changed in the running process, through /proc/PID/mem, as a bad memory
chip would. When the key is written again its state is not the majority's any more: the member must notice, take no part, keep its
directory as evidence, begin anew from the others without an operator, and serve what they serve.
"""
import json
import os
import re
import shutil
import time

from cluster import Cluster, Failure, Programs, Skip, arguments_for, folder_of, poll, run_main, seed_of

MARK = b"the value that rots "


def rot(pid, text):
    """Changes the last byte of `text` wherever the process holds it in writable memory; how often."""
    changed = 0
    try:
        maps = open(f"/proc/{pid}/maps").read()
        memory = open(f"/proc/{pid}/mem", "r+b", buffering=0)
    except PermissionError as e:
        raise Skip(f"the memory of another process cannot be written here: {e}") from None
    with memory:
        for line in maps.splitlines():
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not m or "[v" in line:
                continue
            first, end = int(m[1], 16), int(m[2], 16)
            try:
                memory.seek(first)
                content = memory.read(end - first)
            except OSError:
                continue
            at = content.find(text)
            while at >= 0:
                memory.seek(first + at + len(text) - 1)
                memory.write(bytes([content[at + len(text) - 1] ^ 1]))
                changed += 1
                at = content.find(text, at + 1)
    return changed


def epoch(cluster, but):
    """As the others tell it: the upper half of the term."""
    return max((s["raftTerm"] >> 32 for number, s in cluster.statuses().items() if number != but.number), default=0)


def main():
    arguments = arguments_for(__doc__).parse_args()

    def body():
        programs = Programs(arguments)
        print(f"seed {seed_of(arguments)}", flush=True)
        folder = folder_of(arguments, "divergence")
        with Cluster(programs.server, folder) as cluster:
            cluster.start()
            cluster.wait_serving()
            leader = cluster.leader()
            # The leader as well as a follower may be the one: by seed.
            wrong = leader if arguments.seed % 2 == 0 else next(m for m in cluster.members if m is not leader)
            value = MARK + os.urandom(8).hex().encode()
            cluster.etcdctl("put", "rotten", value.decode())
            cluster.etcdctl("put", "other", "untouched")
            cluster.wait_serving()
            old_disk = wrong.process.pid, os.stat(wrong.data_dir).st_ino
            before = epoch(cluster, wrong)
            changed = rot(wrong.process.pid, value)
            if changed == 0:
                raise Failure("the value was not found in the member's memory")
            seen = cluster.etcdctl("get", "rotten", "--consistency=s", "--print-value-only", endpoints=wrong.client).stdout.strip()
            if seen == value.decode():
                raise Skip("the store's copy of the value was not hit")
            cluster.etcdctl("put", "rotten", "written again")
            began = time.monotonic()

            def set_aside():
                return [name for name in os.listdir(wrong.folder) if ".diverged-" in name]
            poll("the member sets its directory aside", 20, set_aside)
            noticed = time.monotonic() - began
            report = open(os.path.join(wrong.folder, set_aside()[0], "divergence.txt")).read()
            if "is not what the majority has" not in report or report.count("state=") < 3:
                raise Failure(f"the report does not say who has what: {report}")

            def votes_again():
                others = ",".join(m.client for m in cluster.members if m is not wrong)
                r = cluster.etcdctl("member", "list", "-w", "json", endpoints=others, check=False, timeout=3)
                if r.returncode != 0:
                    return False
                member = next(m for m in json.loads(r.stdout)["members"] if m.get("name") == wrong.name)
                return not member.get("isLearner", False)
            # One epoch lets it in as a learner, another makes it a voter.
            poll("two more epochs", 30, lambda: epoch(cluster, wrong) >= before + 2)
            poll("it votes again, by itself", 30, votes_again)
            back = time.monotonic() - began
            cluster.wait_serving()
            cluster.check_alive()
            if wrong.process.pid != old_disk[0] or os.stat(wrong.data_dir).st_ino == old_disk[1]:
                raise Failure("it was not the same process on another directory")
            for m in cluster.members:
                got = cluster.etcdctl("get", "", "--from-key", "--print-value-only", endpoints=m.client).stdout.split("\n")
                if got[:2] != ["untouched", "written again"]:
                    raise Failure(f"{m.name} serves {got}")
            cluster.compare_states()
            print(f"{'leader' if wrong is leader else 'follower'} {wrong.name}, {changed} copies changed: set aside after "
                  f"{noticed:.1f} s, votes again after {back:.1f} s", flush=True)
        shutil.rmtree(folder, ignore_errors=True)

    run_main("divergence", body)


main()
