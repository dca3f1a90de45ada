"""The faults of `./dev chaos mixed`: each begins, lasts while the load goes on, and ends.

A fault takes what it needs (a member, or directed links) and gives it back at its end, so that no two of them meddle with
one thing, while any number of different ones may overlap: a paused leader behind a cut link with a full disk is wanted.
`begin` answers what it did, or None when there is nothing left for it to take.
"""
import os
import re
import signal

from cluster import Failure
from disks import Disk


class Fault:
    def __init__(self, world):
        self.world = world
        self.members = []
        self.links = []

    def take_members(self, count, leader_first):
        """Free members; the leader first when so drawn, for its loss is what hurts."""
        free = [m for m in self.world.members if m.number not in self.world.busy]
        if len(free) < count:
            return False
        self.world.rng.shuffle(free)
        if leader_first:
            leader = self.world.leader_guess()
            free.sort(key=lambda m: m is not leader)
        self.members = free[:count]
        self.world.busy.update(m.number for m in self.members)
        return True

    def take_links(self, links):
        if any(link in self.world.busy_links for link in links):
            return False
        self.links = links
        self.world.busy_links.update(links)
        return True

    def give_back(self):
        self.world.busy.difference_update(m.number for m in self.members)
        self.world.busy_links.difference_update(self.links)

    def names(self):
        return ",".join(m.name for m in self.members)

    def some_or_all(self):
        return self.world.rng.choice([1, 1, 1, 2, len(self.world.members)])


class Cut(Fault):
    """Links that swallow what is sent: one direction, one pair, one member's incoming, outgoing or all."""

    def begin(self):
        rng = self.world.rng
        numbers = [m.number for m in self.world.members]
        leader = self.world.leader_guess()
        a = leader.number if leader and rng.random() < 0.5 else rng.choice(numbers)
        others = [n for n in numbers if n != a]
        b = rng.choice(others)
        shape, links = rng.choice([
            ("one way", [(a, b)]), ("one way", [(b, a)]), ("pair", [(a, b), (b, a)]),
            ("outgoing", [(a, o) for o in others]), ("incoming", [(o, a) for o in others]),
            ("isolated", [link for o in others for link in ((a, o), (o, a))])])
        if not self.take_links(links):
            return None
        for link in links:
            self.world.network.cut(*link)
        return f"cut {shape} " + " ".join(f"m{i}>m{j}" for i, j in links)

    def end(self):
        for link in self.links:
            self.world.network.heal(*link)


class SlowLink(Fault):
    def begin(self):
        numbers = [m.number for m in self.world.members]
        a, b = self.world.rng.sample(numbers, 2)
        if not self.take_links([(a, b)]):
            return None
        kbit = self.world.rng.choice([256, 1000, 4000])
        self.world.network.slow(a, b, kbit)
        return f"slow link m{a}>m{b} {kbit} kbit/s"

    def end(self):
        self.world.network.unslow(*self.links[0])


class Pause(Fault):
    def begin(self):
        if not self.take_members(self.world.rng.choice([1, 1, 1, 2]), self.world.rng.random() < 0.6):
            return None
        for m in self.members:
            m.signal(signal.SIGSTOP)
        return f"pause {self.names()}"

    def end(self):
        for m in self.members:
            m.signal(signal.SIGCONT)


class Kill(Fault):
    def begin(self):
        if not self.take_members(self.some_or_all(), self.world.rng.random() < 0.5):
            return None
        for m in self.members:
            m.kill()
        return f"kill {self.names()}"

    def end(self):
        for m in self.members:
            self.world.start(m)


class Power(Fault):
    """The plugs of all its members pulled at one moment."""

    def begin(self):
        if not self.take_members(self.some_or_all(), self.world.rng.random() < 0.5):
            return None
        for m in self.members:
            m.expected_end = True  # it may see EIO before it is killed
        plugs = [self.world.disk(m).open_plug() for m in self.members]
        for plug in plugs:
            Disk.pull(plug)
        for m in self.members:
            m.kill()
        for plug in plugs:
            os.close(plug)
        return f"power {self.names()}"

    def end(self):
        for m in self.members:
            self.world.disk(m).unmount()
            self.world.disk(m).mount()
            self.world.start(m)


class FailedSync(Fault):
    """The n-th sync from now fails, with what it should have made durable. The member must say so and stop."""

    def begin(self):
        if not self.take_members(1, self.world.rng.random() < 0.5):
            return None
        member = self.members[0]
        member.expected_end = True
        n = self.world.rng.choice([1, 2, 3, 10, 40])
        with open(self.world.sync_fault_file(member) + ".new", "w") as f:
            f.write(str(n))
        os.rename(self.world.sync_fault_file(member) + ".new", self.world.sync_fault_file(member))
        return f"failing sync no. {n} at {member.name}"

    def end(self):
        member = self.members[0]
        code = member.process.poll()
        plug = self.world.disk(member).open_plug()
        Disk.pull(plug)
        os.close(plug)
        member.kill()
        os.unlink(self.world.sync_fault_file(member))
        if code is not None:
            self.world.count("syncs that failed")
            said = member.log_tail(40).rsplit("--- start", 1)[-1]
            if code <= 0 or not re.search("sync.*(error|failed)", said, re.I):
                raise Failure(f"{member.name} ended with code {code} after a failed sync, without a clear word:\n{said}")
        self.world.disk(member).unmount()
        self.world.disk(member).mount()
        self.world.start(member)


class FullDisk(Fault):
    """Restarted on a disk with little room: the log's reserve does not fit, soon its segment is full."""

    def begin(self):
        if not self.take_members(self.world.rng.choice([1, 1, 3]), self.world.rng.random() < 0.5):
            return None
        room = []
        for m in self.members:
            m.kill()
            mib = self.world.rng.choice([4, 9, 9, 10, 12])
            room.append(str(mib))
            disk = self.world.disk(m)
            with open(self.filler(m), "wb") as f:
                os.posix_fallocate(f.fileno(), 0, max(4096, disk.free_bytes() - (mib << 20)))
            self.world.start(m)
            m.expected_end = True  # with less than a segment's room it must refuse to start
        return f"full disk {self.names()} ({','.join(room)} MiB left)"

    @staticmethod
    def filler(member):
        return os.path.join(member.folder, "filler")

    def end(self):
        for m in self.members:
            os.unlink(self.filler(m))
            code = m.process.poll()
            if code is not None:
                self.world.count("starts refused for want of room")
                said = m.log_tail(20).rsplit("--- start", 1)[-1]
                if code <= 0 or not re.search("full|space", said, re.I):
                    raise Failure(f"{m.name} ended with code {code} on a full disk, without a clear word:\n{said}")
                self.world.start(m)
            m.expected_end = False


KINDS = {"cut": Cut, "slow": SlowLink, "pause": Pause, "kill": Kill, "power": Power, "sync": FailedSync, "full": FullDisk}
WEIGHTS = {"cut": 6, "slow": 1, "pause": 3, "kill": 2, "power": 2, "sync": 2, "full": 1}
