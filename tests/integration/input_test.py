"""Bad input from every side: flags, addresses, data directories, full disks, bytes on both ports.

Each row: what is done, and what must be said. A refusal is one clear sentence and a non-zero exit code; garbage on a port
costs its connection and nothing else.
"""
import ctypes
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

from cluster import (Cluster, Failure, Programs, Recorder, Skip, arguments_for, folder_of, poll, run_main, seed_of,
                     take_ports)

BAD = []


def row(name, good, seen):
    print(f"{'ok  ' if good else 'BAD '} {name}: {' '.join(str(seen).split())[:230]}", flush=True)
    if not good:
        BAD.append(name)


# The table of docs/operations.md.
USAGE, ADDRESS, LOCKED, IDENTITY, PERMISSION, CORRUPT, NO_SPACE, FORMAT, LOG_FAILED, STOP_TIMEOUT = range(2, 12)


def refused(program, name, flags, pattern, code, env=None, cap=15, before=()):
    """The program must end by itself with the documented code and a sentence that matches."""
    try:
        result = subprocess.run([*before, program, *flags], capture_output=True, text=True, timeout=cap,
                                env=dict(os.environ, **(env or {})))
    except subprocess.TimeoutExpired as late:
        row(name, False, f"still runs after {cap} s: {(late.stderr or b'')[-200:]}")
        return
    said = (result.stderr + result.stdout).strip()
    sentence = next((line for line in said.splitlines() if re.search(pattern, line, re.I) and len(line) > 20), None)
    row(name, result.returncode == code and sentence is not None, f"exit {result.returncode}: {sentence or said[-200:]}")


def flags_for(folder, base, **changed):
    flags = {"--name": "m1", "--data-dir": os.path.join(folder, "data"), "--listen-client-urls": f"http://127.0.0.1:{base}",
             "--advertise-client-urls": f"http://127.0.0.1:{base}", "--listen-peer-urls": f"http://127.0.0.1:{base + 1}",
             "--initial-advertise-peer-urls": f"http://127.0.0.1:{base + 1}",
             "--initial-cluster": f"m1=http://127.0.0.1:{base + 1}"}
    for name, value in changed.items():
        flags["--" + name.replace("_", "-")] = value
    return [text for name, value in flags.items() if value is not None for text in (name, value)]


def bad_flags(program, folder, base):
    refused(program, "unknown flag", ["--no-such-flag", "1"], "no-such-flag", USAGE)
    refused(program, "flag without value", ["--name"], "name", USAGE)
    refused(program, "not a number", flags_for(folder, base, heartbeat_interval="soon"), "heartbeat-interval", USAGE)
    refused(program, "negative number", flags_for(folder, base, snapshot_count="-5"), "snapshot-count", USAGE)
    refused(program, "election below five heartbeats", flags_for(folder, base, heartbeat_interval="500", election_timeout="600"),
            "election-timeout", USAGE)
    refused(program, "URL without scheme", flags_for(folder, base, listen_client_urls="127.0.0.1:1"), "listen-client-urls|http://", USAGE)
    refused(program, "URL with a path", flags_for(folder, base, listen_peer_urls="http://127.0.0.1:1/x"), "listen-peer-urls|path", USAGE)
    refused(program, "port out of range", flags_for(folder, base, listen_client_urls="http://127.0.0.1:99999"), "99999", USAGE)
    refused(program, "TLS is not there yet", flags_for(folder, base, cert_file="x.pem"), "cert-file", USAGE)
    refused(program, "auth is not there yet", flags_for(folder, base, auth_token="jwt"), "auth-token", USAGE)
    refused(program, "open to the world", flags_for(folder, base, listen_client_urls=f"http://0.0.0.0:{base}"), "insecure", USAGE)
    refused(program, "name not in the cluster", flags_for(folder, base, name="other"), "other", USAGE)
    refused(program, "own URL not in the cluster", flags_for(folder, base, initial_cluster="m1=http://127.0.0.1:9"), "initial", USAGE)
    refused(program, "same name twice", flags_for(folder, base, initial_cluster=f"m1=http://127.0.0.1:{base + 1},m1=http://127.0.0.1:{base + 3}"),
            "m1|twice|initial-cluster", USAGE)
    refused(program, "bad environment", flags_for(folder, base), "ETCD_SNAPSHOT_COUNT|snapshot-count", USAGE, env={"ETCD_SNAPSHOT_COUNT": "many"})


def bad_places(program, folder, base):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", base + 4))
        taken.listen()
        refused(program, "port in use", flags_for(folder, base, listen_client_urls=f"http://127.0.0.1:{base + 4}"), f"{base + 4}.*in use", ADDRESS)
        refused(program, "peer port in use", flags_for(folder, base, listen_peer_urls=f"http://127.0.0.1:{base + 4}"),
                f"{base + 4}.*in use", ADDRESS)
    shutil.rmtree(os.path.join(folder, "data"), ignore_errors=True)
    refused(program, "address of another machine",
            [*flags_for(folder, base, listen_client_urls="http://192.0.2.1:7"), "--insecure"], "192.0.2.1", ADDRESS)
    shutil.rmtree(os.path.join(folder, "data"), ignore_errors=True)
    os.makedirs(os.path.join(folder, "foreign"))
    with open(os.path.join(folder, "foreign", "photos.zip"), "w") as f:
        f.write("not ours")
    refused(program, "data directory is a file", flags_for(folder, base, data_dir=os.path.join(folder, "foreign", "photos.zip")), "director", 1)
    refused(program, "data directory with somebody's files", flags_for(folder, base, data_dir=os.path.join(folder, "foreign")),
            "photos.zip", 1)
    refused(program, "parent does not exist and cannot", flags_for(folder, base, data_dir="/proc/none/data"), "/proc/none", 1)


def without_rights(program, base):
    """As root nothing is forbidden: the program is then started as nobody, from a place that nobody can reach."""
    place = tempfile.mkdtemp(prefix="decree-rights.")
    try:
        copy = shutil.copy(program, place)
        data = os.path.join(place, "data")
        os.chmod(place, 0o755)
        os.mkdir(data, 0o700 if os.geteuid() == 0 else 0)
        drop = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()
        refused(copy, "no rights", flags_for(place, base), "no right|permission", PERMISSION, before=drop)
    finally:
        shutil.rmtree(place)


def write_newer_format(path):
    """What a later release might leave: every copy of the superblock whole, with a higher format number."""
    xxhash = ctypes.CDLL("libxxhash.so.0").XXH3_64bits_withSeed
    xxhash.restype = ctypes.c_uint64
    xxhash.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64)
    with open(path, "r+b") as f:
        blocks = bytearray(f.read())
        for at in range(0, len(blocks), 4096):
            blocks[at + 8] += 100  # this release itself writes more than one
            blocks[at + 4088:at + 4096] = xxhash(bytes(blocks[at:at + 4088]), 4088, 0x7375706572626c6b).to_bytes(8, "little")
        f.seek(0)
        f.write(blocks)


def damaged_directories(programs, folder):
    with Cluster(programs.server, os.path.join(folder, "one"), members=1) as cluster:
        member = cluster.members[0]
        member.start()
        cluster.wait_serving()
        for i in range(20):
            cluster.etcdctl("put", f"k{i}", "v" * 1000)
        second = subprocess.run([programs.server] + member.flags(), capture_output=True, text=True, timeout=20)
        row("second process on one directory", second.returncode == LOCKED, f"exit {second.returncode}: {second.stderr.strip().splitlines()[-1:]}")
        row("SIGTERM ends with 0", member.stop() == 0, "stopped")
        flags = member.flags()
        def changed(**values):
            values = {"--" + name.replace("_", "-"): value for name, value in values.items()}
            return [values.get(previous, flag) for previous, flag in zip([None, *flags], flags)]
        refused(programs.server, "directory of another member", changed(name="m2", initial_cluster=f"m2=http://{member.peer}"),
                "belongs to member m1", IDENTITY)
        refused(programs.server, "directory of another cluster", changed(initial_cluster_token="another"), "belongs to cluster", IDENTITY)
        superblock = os.path.join(member.data_dir, "superblock")
        kept = shutil.copy(superblock, os.path.join(folder, "superblock.kept"))
        write_newer_format(superblock)
        refused(programs.server, "written by a newer release", flags, "newer", FORMAT)
        shutil.copyfile(kept, superblock)
        before = sorted(os.listdir(member.data_dir))
        # The oldest segment has what was written; the newest one only waits to be used.
        segments = os.path.join(member.data_dir, "wal")
        damaged = os.path.join(segments, sorted(n for n in os.listdir(segments) if n.endswith(".wal"))[0])
        with open(damaged, "r+b") as f:
            # In the middle of a value that was acknowledged; bytes between batches are padding and mean nothing.
            f.seek(f.read().index(b"v" * 500) + 100)
            f.write(b"\xff" * 300)
        refused(programs.server, f"rot in {os.path.basename(damaged)}", flags, "damage|corrupt|checksum|rot", CORRUPT)
        row("nothing was thrown away", sorted(os.listdir(member.data_dir)) == before, before)


def talk(address, data, wait=2.0):
    """Sends bytes, reads until the other side closes or `wait` is over."""
    host, port = address.split(":")
    got = b""
    try:
        with socket.create_connection((host, int(port)), timeout=wait) as s:
            s.sendall(data)
            while len(got) < 1 << 20:
                part = s.recv(65536)
                if not part:
                    return got, "closed"
                got += part
    except socket.timeout:
        return got, "open"
    except OSError:
        return got, "closed"
    return got, "open"


def garbage(programs, arguments, folder):
    rng = random.Random(arguments.seed)
    with Cluster(programs.server, os.path.join(folder, "three")) as cluster:
        cluster.start()
        cluster.wait_serving()
        cluster.etcdctl("put", "before", "garbage")
        member = cluster.leader()
        rss = member.rss_kib()
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        shapes = {
            "random bytes": lambda: rng.randbytes(4096),
            "half a preface": lambda: preface[:rng.randrange(len(preface))],
            "preface and noise": lambda: preface + rng.randbytes(2000),
            "HTTP/1.1 garbage": lambda: b"GET /" + rng.randbytes(50).hex().encode() + b"\r\n\r\n",
            "endless header": lambda: b"GET / HTTP/1.1\r\nX: " + b"a" * 300000,
            "huge body announced": lambda: b"POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{}",
            "huge frame": lambda: preface + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 70000,
            "settings flood": lambda: preface + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 20000,
            "ping flood": lambda: preface + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + (b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"p" * 8) * 20000,
            "length 4 GiB": lambda: struct.pack("<I", 0xFFFFFFFF) + rng.randbytes(100),
            "zeroes": lambda: bytes(10000),
        }
        for name, make in shapes.items():
            for where, address in (("client port", member.client), ("peer port", member.peer)):
                for _ in range(5):
                    talk(address, make(), wait=0.05)
                cluster.check_alive()
        row("garbage on both ports", True, f"{len(shapes)} shapes, all members alive")
        row("still serves", cluster.etcdctl("get", "before").stdout == "before\ngarbage\n", "yes")
        grown = member.rss_kib() - rss
        row("memory after garbage", grown < 64 * 1024, f"{grown} KiB more")
        # A hundred connections that say nothing cost little and disturb nobody.
        idle = [socket.create_connection(tuple(member.client.split(":"))) for _ in range(100)]
        row("a hundred silent connections", cluster.etcdctl("put", "with", "idlers").stdout == "OK\n", "served")
        for s in idle:
            s.close()
        result = subprocess.run(["etcdctl", f"--endpoints={member.client}", "put", "big"], input="x" * (1 << 21) + "x", text=True,
                                capture_output=True, env=dict(os.environ, ETCDCTL_API="3"))
        row("request over the limit", result.returncode != 0 and "too large" in result.stderr + result.stdout or "larger than max" in result.stderr,
            result.stderr.strip().splitlines()[-1:])
        cluster.compare_states()


def peers_of_another_cluster(programs, folder):
    """A member of another cluster, started with an address of ours in its list, is refused by name and harms nobody."""
    with Cluster(programs.server, os.path.join(folder, "ours")) as ours, \
            Cluster(programs.server, os.path.join(folder, "theirs"), token="another-token") as theirs:
        ours.start()
        ours.wait_serving()
        stranger = theirs.members[0]
        theirs.members[1].peer = ours.members[1].peer
        theirs.members[2].peer = ours.members[2].peer
        stranger.start()
        poll("the stranger is told that it is one", 15,
             lambda: re.search(r"cluster", stranger.log_tail(60), re.I) and re.search(r"another|different|refus|mismatch|other cluster", stranger.log_tail(60), re.I))
        ours.check_alive()
        row("peer of another cluster", ours.etcdctl("put", "still", "ours").stdout == "OK\n",
            [l for l in stranger.log_tail(60).splitlines() if re.search("another|different|refus|mismatch|other cluster", l, re.I)][-1:])


def a_sync_fails_while_snapshots_are_written(programs, arguments, folder):
    """The process says so and ends with its code, whatever its worker threads are at."""
    codes = []
    for number in range(8):
        with Cluster(programs.server, os.path.join(folder, "sync"), members=1, snapshot_count=20) as cluster:
            member = cluster.members[0]
            fault = os.path.join(cluster.folder, "fault")
            member.start({"LD_PRELOAD": os.path.join(programs.tools, "libfaulty_sync.so"), "SYNC_FAULT_FILE": fault})
            cluster.wait_serving()
            load = Recorder(programs, cluster, None, ["--no-finish", "--rate", 600, "--value-bytes", 8192, "--seed",
                                                      arguments.seed + number])
            with load:
                poll("enough for snapshots that take a while", 60, lambda: load.acknowledged() > 500)
                with open(fault, "w") as f:
                    f.write("1")
                poll("the member ends", 20, lambda: not member.running())
                codes.append(member.process.returncode)
            said = member.log_tail(5)
    row("a failed sync while snapshots are written ends with 10", codes == [10] * len(codes) and "sync" in said, codes)


def full_disk(programs, folder):
    """A disk that fills up stops writes with a clear message; reads go on; space brings writes back; nothing is lost."""
    from disks import Disk, enter_private_namespace
    enter_private_namespace()
    disk = None
    try:
        with Cluster(programs.server, os.path.join(folder, "full"), members=1, snapshot_count=100000) as cluster:
            member = cluster.members[0]
            os.makedirs(member.folder)
            disk = Disk(os.path.join(folder, "full", "m1.img"), member.folder, 400)
            member.start()
            cluster.wait_serving()
            filler = os.path.join(member.folder, "filler")
            with open(filler, "wb") as f:
                os.posix_fallocate(f.fileno(), 0, max(0, disk.free_bytes() - (1 << 20)))
            acknowledged, refusal = 0, ""
            for i in range(2000):
                result = subprocess.run(["etcdctl", f"--endpoints={member.client}", "--command-timeout=5s", "put", f"full/{i:04d}"],
                                        input="x" * 1000000, text=True, capture_output=True, env=dict(os.environ, ETCDCTL_API="3"))
                if result.returncode != 0:
                    refusal = result.stderr.strip().splitlines()[-1]
                    break
                acknowledged += 1
            row("full disk refuses writes", bool(refusal) and member.running(),
                f"after {acknowledged} MB: {refusal}" +
                ("" if member.running() else f"; the member ended with code {member.process.returncode}: {member.log_tail(5)}"))
            read = cluster.etcdctl("get", "full/0000", "--print-value-only", check=False, timeout=5)
            row("full disk serves reads", read.returncode == 0 and len(read.stdout) >= 1000000, f"exit {read.returncode} {read.stderr.strip()[-150:]}")
            os.unlink(filler)
            if not member.running():
                member.start()
            poll("writes after space came back", 30, lambda: cluster.etcdctl("put", "space", "again", check=False, timeout=3).returncode == 0)
            count = len(cluster.etcdctl("get", "full/", "--prefix", "--keys-only").stdout.split())
            row("nothing lost on a full disk", count in (acknowledged, acknowledged + 1), f"{acknowledged} acknowledged, {count} there")
            member.kill()
            member.start()
            cluster.wait_serving()
            count = len(cluster.etcdctl("get", "full/", "--prefix", "--keys-only").stdout.split())
            row("nothing lost after a restart", count in (acknowledged, acknowledged + 1), f"{count} there")
    finally:
        if disk:
            disk.unmount()


def failing_disks(programs, folder):
    """A device that goes away while running; a sync that never returns while stopping."""
    from disks import Disk
    gone = None
    try:
        with Cluster(programs.server, os.path.join(folder, "gone"), members=1) as cluster:
            member = cluster.members[0]
            os.makedirs(member.folder)
            gone = Disk(os.path.join(folder, "gone", "m1.img"), member.folder, 400)
            plug = gone.open_plug()
            member.start()
            cluster.wait_serving()
            cluster.etcdctl("put", "a", "1")
            gone.pull(plug)
            os.close(plug)
            asked = cluster.etcdctl("put", "b", "2", check=False, timeout=5)
            member.expected_end = True
            code = member.process.wait(timeout=20)
            row("the disk goes away", code == LOG_FAILED and asked.returncode != 0, f"exit {code}; the write was answered: {asked.stderr.strip()[-80:]}")
    finally:
        if gone:
            gone.unmount()
    hung = os.path.join(folder, "sync-hangs")
    with Cluster(programs.server, os.path.join(folder, "hung"), members=1) as cluster:
        member = cluster.members[0]
        member.start({"LD_PRELOAD": os.path.join(programs.tools, "libhung_sync.so"), "SYNC_HANGS_WHILE": hung})
        cluster.wait_serving()
        open(hung, "w").close()
        asked = cluster.etcdctl("put", "never", "durable", check=False, timeout=3)
        member.expected_end = True
        member.signal(signal.SIGTERM)
        code = member.process.wait(timeout=40)
        row("a sync that never returns", code == STOP_TIMEOUT and asked.returncode != 0, f"exit {code}")
        os.unlink(hung)


def main():
    arguments = arguments_for(__doc__).parse_args()

    def body():
        programs = Programs(arguments)
        print(f"seed {seed_of(arguments)}; server {programs.server}", flush=True)
        folder = folder_of(arguments, "input")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        try:
            full_disk(programs, folder)  # first: it may run the whole script again in a mount namespace
            failing_disks(programs, folder)
        except Skip as skip:
            print(f"SKIPPED the full disk: {skip}")
        base = take_ports()
        bad_flags(programs.server, folder, base)
        bad_places(programs.server, folder, base)
        without_rights(programs.server, base)
        damaged_directories(programs, folder)
        a_sync_fails_while_snapshots_are_written(programs, arguments, folder)
        garbage(programs, arguments, folder)
        peers_of_another_cluster(programs, folder)
        if BAD:
            raise Failure(f"{len(BAD)} rows: {BAD}")
        shutil.rmtree(folder, ignore_errors=True)

    run_main("input", body)


main()
