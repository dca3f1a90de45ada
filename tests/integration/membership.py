"""What an operator does to a cluster's members, with etcdctl: add, promote, remove, replace."""
import json
import shutil
import time

from cluster import Failure, Member, poll

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


class Replacer:
    """New members in, old ones out. `slots`: how many places with ports there are, for members old and new."""

    def __init__(self, cluster, rng, slots):
        self.cluster = cluster
        self.rng = rng
        self.next_number = len(cluster.members) + 1
        self.free_slots = list(range(len(cluster.members) + 1, slots + 1))
        self.leaving = []

    def add(self, promote_by_hand=False):
        """A new member on an empty disk; returns when it votes. A learner votes when the operator says so, others by themselves."""
        c = self.cluster
        if not self.free_slots:
            self.wait_gone()
        new = Member(c, self.next_number, slot=self.free_slots.pop(0), joins=list(c.members))
        self.next_number += 1
        shutil.rmtree(new.folder, ignore_errors=True)
        url = f"http://{new.peer}"
        words = ["member", "add", new.name, f"--peer-urls={url}"] + (["--learner"] if promote_by_hand else [])
        retry(f"add {new.name}", 30, lambda: c.etcdctl(*(words if url not in listed(c) else ["member", "list"]), check=False))
        new.start()
        c.members.append(new)
        if promote_by_hand:
            identity = f"{listed(c)[url]['ID']:x}"
            retry(f"promote {new.name}", 60,
                  lambda: c.etcdctl(*(["member", "list"] if is_voter(c, new) else ["member", "promote", identity]), check=False))
        poll(f"{new.name} votes", 60, lambda: (c.check_alive(), is_voter(c, new))[1], pause=0.05)
        return new

    def remove(self, old):
        """Removed when this returns; its process ends by itself soon after, see wait_gone()."""
        c = self.cluster
        url = f"http://{old.peer}"
        identity = f"{listed(c)[url]['ID']:x}"
        old.expected_end = True
        c.members.remove(old)
        c.former.append(old)
        self.leaving.append(old)
        retry(f"remove {old.name}", 30,
              lambda: c.etcdctl(*(["member", "remove", identity] if url in listed(c) else ["member", "list"]), check=False))

    def wait_gone(self):
        """Removed members end by themselves, with their exit code. Their disks are given back."""
        for old in self.leaving:
            poll(f"{old.name} ends by itself", 30, lambda m=old: not m.running())
            if old.process.returncode != REMOVED:
                raise Failure(f"{old.name} ended with code {old.process.returncode}:\n{old.log_tail()}")
            shutil.rmtree(old.folder)
            self.free_slots.append(old.slot)
        self.leaving.clear()
        self.cluster.check_alive()
