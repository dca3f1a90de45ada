"""A quorum is lost for good: `decree recover` shows what the surviving data directories hold, acts only when told to, and the
cluster goes on from one member, to which another is added. The commands are those of docs/operations.md.
"""
import os
import shutil
import subprocess

from cluster import Cluster, Failure, Member, Programs, arguments_for, folder_of, poll, run_main

KEYS = 120


def expect(condition, sentence):
    if not condition:
        raise Failure(sentence)


def main():
    parser = arguments_for(__doc__)
    arguments = parser.parse_args()

    def body():
        programs = Programs(arguments)
        client = os.path.join(os.path.dirname(programs.server), "decree")
        folder = folder_of(arguments, "recover")

        def recover(*flags):
            return subprocess.run([client, "recover", *flags], capture_output=True, text=True, timeout=60)

        with Cluster(programs.server, folder, snapshot_count=50) as cluster:
            cluster.start()
            cluster.wait_serving()
            for i in range(KEYS):
                cluster.etcdctl("put", f"k{i:03}", f"v{i}")
            a, b, c = cluster.members
            running = recover(b.data_dir)
            expect(running.returncode == 6 and "process" in running.stderr, f"a running member's directory was taken: {running}")
            for m in cluster.members:
                m.kill()
            shutil.rmtree(a.data_dir)
            shutil.copytree(b.data_dir, os.path.join(folder, "b.kept"))

            one = recover(c.data_dir)
            expect(one.returncode == 1 and "MAY BE LOST" in one.stdout, f"one of three is not enough to be sure: {one}")
            two = recover(b.data_dir, c.data_dir)
            expect(two.returncode == 1 and "no acknowledged write is missing" in two.stdout, f"two of three are: {two}")
            expect("Nothing was changed" in two.stdout, f"it acted without being told: {two}")
            print(two.stdout, flush=True)

            fresh = Member(cluster, 4, joins=[])
            os.makedirs(fresh.folder, exist_ok=True)
            cluster.token = "after-the-flood"
            missing = recover(b.data_dir, c.data_dir, "--yes-lose-what-is-missing")
            expect(missing.returncode == 2, f"flags are missing and it says: {missing}")
            done = recover(b.data_dir, c.data_dir, "--yes-lose-what-is-missing", "--name", fresh.name, "--data-dir", fresh.data_dir,
                           "--initial-advertise-peer-urls", f"http://{fresh.peer}", "--initial-cluster-token", cluster.token)
            expect(done.returncode == 0, f"recover failed: {done}")

            cluster.members = [fresh]
            fresh.joins = None  # the first start of a new cluster
            fresh.start()
            cluster.wait_serving()
            kept = cluster.etcdctl("get", "k", "--prefix", "--keys-only").stdout.split()
            expect(len(kept) == KEYS, f"{KEYS - len(kept)} keys are gone")
            values = cluster.etcdctl("get", "k", "--prefix", "--print-value-only").stdout.split()
            expect(values == [f"v{i}" for i in range(KEYS)], "values differ")
            cluster.etcdctl("put", "after", "the flood")

            second = Member(cluster, 5, joins=[fresh])
            cluster.etcdctl("member", "add", second.name, f"--peer-urls=http://{second.peer}")
            second.start()
            cluster.members = [fresh, second]
            poll("the second member has it all", 60, lambda: cluster.etcdctl(
                "get", "after", "--print-value-only", endpoints=second.client, check=False).stdout.strip() == "the flood", pause=0.1)
            print(f"{KEYS} keys came through, a second member was added")
        shutil.rmtree(folder, ignore_errors=True)

    run_main("recover", body)


main()
