"""Who leads, with real processes: directed transfer, hand-over on SIGTERM, a leader whose disk hangs, a member that would rather not
lead, and a learner that serves reads.
"""
import os
import shutil
import subprocess
import threading
import time

from cluster import Cluster, Failure, Member, Programs, Skip, arguments_for, folder_of, poll, run_main


def expect(condition, sentence):
    if not condition:
        raise Failure(sentence)


class Writer:
    """One write after the other through a given member; the longest gap between two acknowledgements."""

    def __init__(self, programs, endpoints):
        self.command = [programs.decree, "--endpoints", endpoints, "--timeout", "3s", "put", "gap"]
        self.gap = 0.0
        self.writes = 0
        self.refused = []
        self.going = True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        last = time.monotonic()
        while self.going:
            done = subprocess.run(self.command + [str(self.writes)], capture_output=True, text=True, timeout=30)
            now = time.monotonic()
            if done.returncode == 0:
                self.writes += 1
                self.gap = max(self.gap, now - last)
                last = now
            else:
                self.refused.append(done.stderr.strip())

    def finish(self):
        self.going = False
        self.thread.join()
        return self.gap


def transfer(programs, cluster):
    leader = cluster.leader()
    to = next(m for m in cluster.members if m is not leader)
    status = cluster.statuses()[to.number]
    cluster.etcdctl("move-leader", f"{status['header']['member_id']:x}")
    expect(cluster.leader() is to, "etcdctl move-leader did not move it")
    done = subprocess.run([programs.decree, "--endpoints", leader.client, "move-leader", leader.name], capture_output=True, text=True,
                          timeout=20)
    expect(done.returncode == 0, f"decree move-leader: {done.stdout}{done.stderr}")
    expect(cluster.leader() is leader, "decree move-leader did not move it")


def shutdown(programs, cluster):
    """A client of the leader that is stopped sees no failure but that it has to go elsewhere."""
    leader = cluster.leader()
    writer = Writer(programs, ",".join(m.client for m in cluster.members if m is not leader))
    poll("writes begin", 10, lambda: writer.writes > 3)
    code = leader.stop()
    expect(code == 0, f"SIGTERM ended with code {code}")
    poll("writes go on", 10, lambda: writer.writes > 8)
    before = writer.writes
    poll("and on", 10, lambda: writer.writes > before + 5)
    gap = writer.finish()
    expect(not writer.refused, f"writes through the others failed: {writer.refused[:3]}")
    expect(gap < cluster.election_ms / 1000, f"no write was acknowledged for {gap:.2f} s: leadership was not handed over")
    leader.start()
    cluster.wait_serving()
    return gap


def hung_disk(programs, cluster):
    """The others' disks decide its Bills; its own clients would wait for ever."""
    library = os.path.join(programs.tools, "libhung_sync.so")
    if not os.path.exists(library):
        raise Skip(f"{library} is not there")
    hangs = os.path.join(cluster.folder, "hangs")
    for m in cluster.members:
        m.stop()
        m.start(extra_env={"LD_PRELOAD": library, "SYNC_HANGS_WHILE": f"{hangs}-{m.name}"})
    cluster.wait_serving()
    leader = cluster.leader()
    writer = Writer(programs, ",".join(m.client for m in cluster.members if m is not leader))
    poll("writes begin", 10, lambda: writer.writes > 3)
    open(f"{hangs}-{leader.name}", "w").close()
    began = time.monotonic()
    poll("another member leads", 15, lambda: cluster.leader() is not leader)
    took = time.monotonic() - began
    before = writer.writes
    poll("writes go on", 10, lambda: writer.writes > before + 5)
    os.unlink(f"{hangs}-{leader.name}")
    poll("the one whose disk is back serves", 20,
         lambda: cluster.etcdctl("get", "gap", endpoints=leader.client, timeout=2, check=False).returncode == 0)
    gap = writer.finish()
    expect(took < 5 * cluster.election_ms / 1000, f"the hung leader was replaced after {took:.1f} s only")
    return took, gap


def preference(cluster):
    leader = cluster.leader()
    reluctant = next(m for m in cluster.members if m is not leader)
    reluctant.stop()
    cluster.extra_flags.append("--takeover-delay=3000")
    reluctant.start()
    cluster.extra_flags.pop()
    cluster.wait_serving()
    leader = cluster.leader()
    leader.kill()
    expect(cluster.leader() is not reluctant, "the one that should be the last to lead was the first")
    leader.start()
    cluster.wait_serving()


def learner(cluster):
    """etcd's learners refuse linearizable reads and writes; ours serve them (tests/compat/differences.md)."""
    new = Member(cluster, 4, joins=list(cluster.members))
    shutil.rmtree(new.folder, ignore_errors=True)
    cluster.etcdctl("member", "add", new.name, "--learner", f"--peer-urls=http://{new.peer}")
    new.start()
    cluster.former.append(new)  # ended with the others
    cluster.etcdctl("put", "seen", "by a learner")
    for consistency in ("l", "s"):
        poll(f"the learner serves a read ({consistency})", 20, lambda c=consistency: cluster.etcdctl(
            "get", "seen", f"--consistency={c}", "--print-value-only", endpoints=new.client, timeout=2,
            check=False).stdout.strip() == "by a learner")
    for i in range(20):
        cluster.etcdctl("put", "fresh", str(i), endpoints=cluster.members[i % 3].client)
        got = cluster.etcdctl("get", "fresh", "--print-value-only", endpoints=new.client).stdout.strip()
        expect(got == str(i), f"the learner answered {got} to a linearizable read after {i} was acknowledged")
    cluster.etcdctl("put", "written", "through a learner", endpoints=new.client)
    expect("true" in cluster.etcdctl("endpoint", "status", "-w", "json", endpoints=new.client).stdout, "isLearner is not told")
    moved = cluster.etcdctl("move-leader", f"{cluster_id(cluster, new):x}", check=False)
    expect(moved.returncode != 0 and "bad leader transferee" in moved.stderr, f"a learner was made leader: {moved.stderr}")


def cluster_id(cluster, member):
    import json
    found = json.loads(cluster.etcdctl("endpoint", "status", "-w", "json", endpoints=member.client).stdout)
    return found[0]["Status"]["header"]["member_id"]


def main():
    arguments = arguments_for(__doc__).parse_args()

    def body():
        programs = Programs(arguments)
        folder = folder_of(arguments, "leadership")
        with Cluster(programs.server, folder) as cluster:
            cluster.start()
            cluster.wait_serving()
            transfer(programs, cluster)
            handed_over = shutdown(programs, cluster)
            preference(cluster)
            took, gap = hung_disk(programs, cluster)
            learner(cluster)
            cluster.check_alive()
            print(f"SIGTERM of the leader: {1000 * handed_over:.0f} ms between two writes; a hung disk: another leader after {took:.1f} s, "
                  f"{gap:.1f} s between two writes", flush=True)
        shutil.rmtree(folder, ignore_errors=True)

    run_main("leadership", body)


main()
