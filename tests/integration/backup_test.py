"""Backup under load with `decree` and with etcdctl, the whole cluster lost, restored into a new one: everything acknowledged before
the backup began is there, and no revision of the old cluster comes again.
"""
import json
import os
import shutil
import subprocess

from cluster import Cluster, Failure, Programs, Recorder, arguments_for, folder_of, poll, run_main, seed_of


def decree(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Failure(f"decree {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def expect(condition, sentence):
    if not condition:
        raise Failure(sentence)


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--keys", type=int, default=3000)
    arguments = parser.parse_args()

    def body():
        programs = Programs(arguments)
        client = os.path.join(os.path.dirname(programs.server), "decree")
        print(f"seed {seed_of(arguments)}; server {programs.server}", flush=True)
        folder = folder_of(arguments, "backup")
        file = os.path.join(folder, "backup.decree")
        with Cluster(programs.server, folder) as cluster:
            cluster.start()
            cluster.wait_serving()
            endpoints = ["--endpoints", cluster.endpoints]
            decree(client, *endpoints, "bench", "put", "--prefill", str(arguments.keys), "--keys", str(arguments.keys),
                   "--clients", "16", "--duration", "1s")
            recorder = Recorder(programs, cluster, os.path.join(folder, "history.jsonl"),
                                ["--rate", 500, "--seed", arguments.seed])
            poll("the first acknowledged writes", 30, recorder.acknowledged)
            decree(client, *endpoints, "put", "before", "the backup")
            saved = json.loads(decree(client, *endpoints, "-w", "json", "snapshot", "save", file))
            cluster.etcdctl("snapshot", "save", file + ".etcdctl", endpoints=cluster.members[0].client)
            recorder.finish()
            for m in cluster.members:
                m.kill()
            again = json.loads(decree(client, "-w", "json", "snapshot", "status", file))
            expect(saved | {"file": ""} == again | {"file": ""}, f"save said {saved}, status says {again}")
            by_etcdctl = json.loads(decree(client, "-w", "json", "snapshot", "status", file + ".etcdctl"))
            expect(by_etcdctl["revision"] >= saved["revision"], "etcdctl's backup is older than the one before it")
            initial = ",".join(f"{m.name}=http://{m.peer}" for m in cluster.members)
            for m in cluster.members:
                shutil.rmtree(m.data_dir)
                decree(client, "snapshot", "restore", file, "--name", m.name, "--data-dir", m.data_dir,
                       "--initial-cluster", initial, "--initial-advertise-peer-urls", f"http://{m.peer}",
                       "--initial-cluster-token", cluster.token)
            cluster.start()
            cluster.wait_serving()
            got = json.loads(decree(client, *endpoints, "-w", "json", "get", "before"))
            expect(int(got["header"]["revision"]) > saved["revision"] + 1_000_000,
                   f"revisions did not move on: {got['header']} after a backup at {saved['revision']}")
            expect(got.get("count") == "1", "the key put before the backup is not there")
            count = json.loads(decree(client, *endpoints, "-w", "json", "get", "bench/", "--prefix", "--count-only"))
            expect(int(count["count"]) == arguments.keys, f"{count} of {arguments.keys} keys came back")
            decree(client, *endpoints, "put", "after", "the fire")
            cluster.compare_states()
            print(f"{saved['totalKey']} keys, {saved['bytes']} bytes restored; revisions went on from {saved['revision']} at "
                  f"{got['header']['revision']}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)

    run_main("backup", body)


main()
