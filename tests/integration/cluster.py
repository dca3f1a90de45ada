"""Clusters of real processes on loopback: Debian's etcd or decreed, started with the same flags.

Standard library only. Processes are ended by the ids of the Popen objects made here and by nothing else.
Waiting is polling with a cap; when the cap is reached that is a failure, with what was seen last.
"""
import argparse
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Failure(Exception):
    """The system under test did something wrong; the message says what."""


class Skip(Exception):
    """This machine cannot run the test; the message says why."""


def poll(what, cap_seconds, ask, pause=0.01):
    """Asks until the answer is true. The cap is a failure, not a retry."""
    end = time.monotonic() + cap_seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failure(f"not within {cap_seconds} s: {what}")
        time.sleep(pause)


def port_is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# Each running test holds a lock file on its block of ports, so that parallel tests do not meet.
FIRST_PORT, LAST_PORT, BLOCK = 24000, 25990, 20
_held = []


def take_ports():
    # One place for the whole machine: another checkout may be testing, too.
    folder = os.path.join(tempfile.gettempdir(), f"decree-test-ports-{os.getuid()}")
    os.makedirs(folder, exist_ok=True)
    for first in range(FIRST_PORT, LAST_PORT, BLOCK):
        lock = open(os.path.join(folder, str(first)), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        if all(port_is_free(p) for p in range(first, first + BLOCK)):
            _held.append(lock)
            return first
        lock.close()
    raise Skip(f"no free block of ports between {FIRST_PORT} and {LAST_PORT}")


class Member:
    def __init__(self, cluster, number, slot=None, joins=None):
        """`slot`: whose ports it takes (its own number's by default); `joins`: the members of the running cluster."""
        self.cluster = cluster
        self.number = number
        self.name = f"m{number}"
        self.slot = slot or number
        self.joins = joins
        base = cluster.first_port + (self.slot - 1) * 2
        host = cluster.network.address(self.slot) if cluster.network else "127.0.0.1"
        self.client = f"{host}:{base}"
        self.peer = f"{host}:{base + 1}"
        self.folder = os.path.join(cluster.folder, self.name)
        self.data_dir = os.path.join(self.folder, "data")
        self.log_path = os.path.join(cluster.folder, f"{self.name}.log")
        self.process = None
        self.paused = False
        self.expected_end = False
        self.program = None  # another than the cluster's

    def flags(self):
        c = self.cluster
        listed = c.members if self.joins is None else [*self.joins, self]
        initial = ",".join(f"{m.name}=http://{m.peer}" for m in listed)
        return ["--name", self.name, "--data-dir", self.data_dir,
                "--listen-client-urls", f"http://{self.client}", "--advertise-client-urls", f"http://{self.client}",
                "--listen-peer-urls", f"http://{self.peer}", "--initial-advertise-peer-urls", f"http://{self.peer}",
                "--initial-cluster", initial, "--initial-cluster-state", "new" if self.joins is None else "existing",
                "--initial-cluster-token", c.token,
                "--heartbeat-interval", str(c.heartbeat_ms), "--election-timeout", str(c.election_ms),
                "--snapshot-count", str(c.snapshot_count)] + c.extra_flags

    def start(self, extra_env=None):
        os.makedirs(self.folder, exist_ok=True)
        env = dict(os.environ, **(extra_env or {}))
        for name in list(env):
            if name.startswith(("ETCD_", "DECREE_", "ETCDCTL_")):
                del env[name]
        with open(self.log_path, "ab") as log:
            log.write(f"--- start {time.time():.3f}\n".encode())
            log.flush()
            place = self.cluster.network.prefix(self.number) if self.cluster.network else []
            self.process = subprocess.Popen([*place, self.program or self.cluster.program] + self.flags(), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT, env=env)
        self.paused = False
        self.expected_end = False

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.running():
            self.process.send_signal(number)
            if number == signal.SIGSTOP:
                self.paused = True
            if number == signal.SIGCONT:
                self.paused = False

    def kill(self):
        """SIGKILL, and gone when this returns."""
        self.expected_end = True
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.paused = False

    def stop(self, cap_seconds=20):
        """SIGTERM; the exit code."""
        self.expected_end = True
        self.signal(signal.SIGCONT)
        self.process.terminate()
        try:
            return self.process.wait(cap_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} did not stop within {cap_seconds} s of SIGTERM") from None

    def log_tail(self, lines=15):
        try:
            with open(self.log_path, errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except FileNotFoundError:
            return ""

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Cluster:
    def __init__(self, program, folder, members=3, snapshot_count=500, heartbeat_ms=100, election_ms=1000,
                 extra_flags=(), token="integration", network=None):
        self.program = program
        self.network = network  # network.Network, or None: everything on loopback
        self.folder = folder
        self.snapshot_count = snapshot_count
        self.heartbeat_ms = heartbeat_ms
        self.election_ms = election_ms
        self.extra_flags = list(extra_flags) + (["--insecure"] if network else [])
        self.token = token
        self.first_port = take_ports()
        self.members = []
        self.former = []  # removed from the cluster; their processes are ended with the others
        for number in range(1, members + 1):
            self.members.append(Member(self, number))

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        return self

    def __exit__(self, kind, error, _):
        for m in self.members + self.former:
            if m.running():
                m.process.send_signal(signal.SIGCONT)
                m.process.kill()
                m.process.wait()
        if kind is not None:
            for m in self.members:
                sys.stderr.write(f"---- end of {m.log_path}\n{m.log_tail()}")
        return False

    @property
    def endpoints(self):
        return ",".join(m.client for m in self.members)

    def start(self):
        for m in self.members:
            m.start()

    def check_alive(self):
        """A member that ended without being told to is a failure, whatever else works."""
        for m in self.members:
            if m.process is not None and not m.expected_end and m.process.poll() is not None:
                raise Failure(f"{m.name} ended by itself with code {m.process.returncode}:\n{m.log_tail()}")

    def reachable(self):
        return [m for m in self.members if m.running() and not m.paused]

    def etcdctl(self, *arguments, endpoints=None, timeout=10, check=True):
        command = ["etcdctl", f"--endpoints={endpoints or self.endpoints}", "--dial-timeout=1s",
                   f"--command-timeout={timeout}s", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout + 15,
                                env=dict(os.environ, ETCDCTL_API="3"))
        if check and result.returncode != 0:
            raise Failure(f"{' '.join(command)}: code {result.returncode}: {result.stdout}{result.stderr}")
        return result

    def statuses(self):
        """Status by member, of those that answer."""
        found = {}
        for m in self.reachable():
            result = self.etcdctl("endpoint", "status", "-w", "json", endpoints=m.client, timeout=2, check=False)
            if result.returncode == 0 and result.stdout.strip():
                status = json.loads(result.stdout)[0]["Status"]
                # Kept as Python integers; a JSON number may exceed what a float holds, json.loads keeps it whole.
                found[m.number] = status
        return found

    def leader(self, cap_seconds=30):
        """The member that a majority calls leader."""
        def ask():
            self.check_alive()
            statuses = self.statuses()
            ids = {s["header"]["member_id"]: number for number, s in statuses.items()}
            votes = {}
            for status in statuses.values():
                leader = status.get("leader", 0)
                votes[leader] = votes.get(leader, 0) + 1
            for leader, count in votes.items():
                if leader in ids and count * 2 > len(self.members):
                    return next((m for m in self.members if m.number == ids[leader]), None)
            return None
        return poll("a leader that a majority knows and that answers", cap_seconds, ask)

    def wait_serving(self, cap_seconds=60):
        """Every running member answers a linearizable read."""
        for m in self.reachable():
            def ask(member=m):
                self.check_alive()
                r = self.etcdctl("get", "!", endpoints=member.client, timeout=2, check=False)
                ask.last = r.stderr.strip()
                return r.returncode == 0
            ask.last = "none"
            try:
                poll(f"{m.name} answers a linearizable read", cap_seconds, ask)
            except Failure as e:
                raise Failure(f"{e}; last answer: {ask.last}") from None

    def compare_states(self, cap_seconds=30):
        """The whole store, read at every member, must be the same at the same revision. Then HashKV, where it is there."""
        import hashlib
        seen = {}
        for m in self.members:
            result = self.etcdctl("get", "", "--from-key", "-w", "json", endpoints=m.client, timeout=30)
            answer = json.loads(result.stdout)
            kvs = json.dumps(answer.get("kvs", []), sort_keys=True).encode()
            seen[m.name] = (answer["header"]["revision"], len(answer.get("kvs", [])), hashlib.sha256(kvs).hexdigest())
        if len(set(seen.values())) != 1:
            raise Failure(f"members differ (revision, keys, sha256 of all keys): {seen}")
        result = self.etcdctl("endpoint", "hashkv", "-w", "json", timeout=30, check=False)
        hashes = None
        if result.returncode == 0:
            hashes = {entry["Endpoint"]: entry["HashKV"]["hash"] for entry in json.loads(result.stdout)}
            if len(set(hashes.values())) != 1:
                raise Failure(f"HashKV differs: {hashes}")
        revision, keys, digest = next(iter(seen.values()))
        return {"revision": revision, "keys": keys, "digest": digest[:16], "hashkv": hashes and next(iter(hashes.values()))}


class Recorder:
    """The load generator, outside the servers. See tests/integration/recorder."""

    def __init__(self, programs, cluster, out=None, options=(), members=None):
        endpoints = ",".join(m.client for m in members) if members else cluster.endpoints
        command = [programs.recorder, "--endpoints", endpoints, *map(str, options)]
        if out:
            command += ["--out", out]
        else:
            command += ["--no-history"]
        self.out = out
        self.lines = []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        import threading
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), json.loads(line)))

    def acknowledged(self):
        return sum(l["writes_ok"] for _, l in self.lines if "summary" not in l)

    def started_well(self):
        if self.process.poll() is not None:
            raise Failure(f"the recorder ended with code {self.process.returncode} (its message is above)")
        return self.acknowledged() > 0

    def finish(self, cap_seconds=180):
        """Ends the load; the summary. A load without any acknowledged write shows nothing, and is a failure."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        summary = self.wait(cap_seconds)
        if not summary["writes_ok"]:
            raise Failure("no write was acknowledged at all")
        return summary

    def wait(self, cap_seconds):
        try:
            code = self.process.wait(cap_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f"the recorder's final reads did not end within {cap_seconds} s") from None
        self.reader.join()
        if code != 0:
            raise Failure(f"the recorder ended with code {code} (its message is above)")
        return self.lines[-1][1]

    def abandon(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    # `with recorder:` leaves no process behind, whatever the test does; finish() is the test's own.
    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.abandon()


class Programs:
    def __init__(self, arguments):
        self.release = os.path.abspath(arguments.programs)
        self.tools = os.path.abspath(arguments.tools)
        self.recorder = os.path.join(self.tools, "recorder")
        self.decreed = os.path.join(self.release, "decreed")
        self.decree = os.path.join(self.release, "decree")
        self.lab = os.path.join(self.release, "decree-lab")
        self.etcd = os.environ.get("DECREE_ETCD") or shutil.which("etcd") or os.path.join(ROOT, "build/etcd/usr/bin/etcd")
        self.server = self.etcd if arguments.server == "etcd" else self.decreed
        for path in (self.server, self.recorder):
            if not os.path.exists(path):
                raise Skip(f"{path} is not there")

    def check_history(self, path, also_keys=False):
        """The verdict of the checker of whole stores; anything but good is a failure.

        The second checker (per key, blind to revisions) is exponential at worst and made for short histories; there it may
        answer "undecided", but not "BAD".
        """
        if not os.path.exists(self.lab):
            raise Skip(f"{self.lab} is not there, the history is not judged")
        result = subprocess.run([self.lab, "check-history", *(["--keys", "--key-steps", "20000"] if also_keys else ["--no-keys"]), path], capture_output=True, text=True)
        if result.returncode != 0:
            raise Failure(f"decree-lab check-history {path}: code {result.returncode}\n{result.stdout}{result.stderr}")
        verdicts = result.stdout.strip().splitlines()[1:]
        if not verdicts or ": good" not in verdicts[0] or (also_keys and len(verdicts) != 2):
            raise Failure(f"the checker did not say good: {result.stdout!r} ({path})")
        return "; ".join(verdicts)


def arguments_for(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--programs", default=os.path.join(ROOT, "build/release"), help="folder with decreed, decree-lab")
    parser.add_argument("--tools", default=os.path.join(ROOT, "build/release"), help="folder with recorder")
    parser.add_argument("--server", choices=["decreed", "etcd"], default="decreed")
    parser.add_argument("--seed", type=int, default=None, help="of the choices made; printed by every run")
    parser.add_argument("--folder", default=None, help="where the members live; kept after a failure")
    return parser


def seed_of(arguments):
    if arguments.seed is None:
        arguments.seed = int.from_bytes(os.urandom(4), "little")
    return arguments.seed


def folder_of(arguments, name):
    return os.path.abspath(arguments.folder or os.path.join(ROOT, "build", "integration", f"{name}-{os.getpid()}"))


def run_main(name, body):
    """Exit codes as ctest reads them: 0 passed, 77 skipped, 1 failed."""
    again = "again: python3 " + " ".join(sys.argv)
    try:
        body()
    except Skip as skip:
        print(f"SKIPPED {name}: {skip}")
        sys.exit(77)
    except Failure as failure:
        print(f"FAILED {name}: {failure}\n{again}")
        sys.exit(1)
    print(f"PASSED {name}")
    sys.exit(0)
