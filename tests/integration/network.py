"""A network of its own for every member, with links that can be cut one way, silently.

Each member lives in a network namespace; every two are joined by a pair of virtual Ethernet cards, and each is joined to
the namespace of the test, where the clients are. A direction is cut by addressing its packets to a card that does not
exist: they vanish without a word to either side, as in a broken switch. Everything ends with this process.
"""
import os
import subprocess
import sys

from cluster import Skip, poll

IN_NAMESPACE = "DECREE_TEST_NETWORK_NAMESPACE"


def enter_private_network():
    """Runs the whole script again with mounts and a network that nobody else sees and that end with it."""
    if os.environ.get(IN_NAMESPACE):
        return
    if os.geteuid() != 0:
        raise Skip("network namespaces and loop mounts need root")
    enter = ["unshare", "--mount", "--net", "--propagation", "private"]
    probe = subprocess.run([*enter, "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    if probe.returncode != 0:
        raise Skip(f"this machine cannot make network namespaces: {probe.stderr.strip()}")
    os.environ[IN_NAMESPACE] = "1"
    os.execvp(enter[0], [*enter, sys.executable, *sys.argv])


class Network:
    CLIENTS = 0  # the number of the test's own namespace

    def __init__(self, members):
        self.numbers = list(range(1, members + 1))
        self.holders = {}
        self.cut_links = set()
        self.slow_links = set()
        self._run(["ip", "link", "set", "lo", "up"])
        self._run(["ip", "address", "replace", f"{self.address(0)}/32", "dev", "lo"])
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        for n in self.numbers:
            # Ends by itself when this process does: its standard input closes.
            self.holders[n] = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE,
                                               stdout=subprocess.DEVNULL)
        own = os.readlink("/proc/self/ns/net")
        for n, holder in self.holders.items():
            poll("a network namespace", 5, lambda h=holder: os.readlink(f"/proc/{h.pid}/ns/net") != own)
            self._in(n, "ip", "link", "set", "lo", "up")
            self._in(n, "ip", "address", "add", f"{self.address(n)}/32", "dev", "lo")
        ends = [self.CLIENTS, *self.numbers]
        for i in ends:
            for j in ends:
                if i < j:
                    self._join(i, j)

    def _join(self, i, j):
        def end(of, to):
            place = ["netns", str(self.holders[of].pid)] if of in self.holders else []
            return ["name", f"to{to}", "address", self.card(of, to), *place]
        self._run(["ip", "link", "add", *end(i, j), "type", "veth", "peer", *end(j, i)])
        for a, b in ((i, j), (j, i)):
            self._in(a, "ip", "link", "set", f"to{b}", "up")
            self._in(a, "ip", "route", "add", f"{self.address(b)}/32", "dev", f"to{b}", "src", self.address(a))
            self._address_to(a, b, self.card(b, a))

    @staticmethod
    def address(number):
        return f"10.77.0.{number + 1}"

    @staticmethod
    def card(of, to):
        return f"02:00:00:00:{of + 1:02x}:{to + 1:02x}"

    def prefix(self, number):
        """Put before a command, it runs at that member's place; the process id stays the command's own."""
        return ["nsenter", f"--net=/proc/{self.holders[number].pid}/ns/net", "--"]

    def _in(self, number, *command):
        self._run([*(self.prefix(number) if number in self.holders else []), *command])

    @staticmethod
    def _run(command):
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise Skip(f"this machine cannot do it: {' '.join(command)}: {result.stderr.strip()}")

    def _address_to(self, a, b, card):
        self._in(a, "ip", "neighbour", "replace", self.address(b), "lladdr", card, "dev", f"to{b}", "nud", "permanent")

    def cut(self, a, b):
        """Nothing that a sends reaches b any more."""
        self._address_to(a, b, "02:00:00:00:ff:ff")
        self.cut_links.add((a, b))

    def heal(self, a, b):
        self._address_to(a, b, self.card(b, a))
        self.cut_links.discard((a, b))

    def slow(self, a, b, kbit):
        self._in(a, "tc", "qdisc", "replace", "dev", f"to{b}", "root", "tbf", "rate", f"{kbit}kbit", "burst", "16k",
                 "latency", "200ms")
        self.slow_links.add((a, b))

    def unslow(self, a, b):
        self._in(a, "tc", "qdisc", "del", "dev", f"to{b}", "root")
        self.slow_links.discard((a, b))

    def heal_all(self):
        for a, b in list(self.cut_links):
            self.heal(a, b)
        for a, b in list(self.slow_links):
            self.unslow(a, b)

    def close(self):
        for holder in self.holders.values():
            holder.stdin.close()
            holder.wait()
        self.holders = {}
