"""A data directory written by the first version that served etcdctl opens, holds what it held, and goes on.

tests/integration/first_version/data.tar.xz was written by that program (first_version/README.md has the commands) and left by SIGKILL: superblock, a snapshot of
slot 20, log entries behind it. expected.json is what the old program answered to `etcdctl get "" --from-key -w json`.
"""
import base64
import json
import os
import shutil
import tarfile

from cluster import Cluster, Failure, Programs, arguments_for, folder_of, poll, run_main

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "first_version")
REVISION = 30  # the store's when the old program was killed
COMPACTED = 10
HASH_KV = 170747927  # of the old program, at that revision


def key_values(cluster, *more):
    return json.loads(cluster.etcdctl("get", "", "--from-key", "-w", "json", *more).stdout)


def decoded(kvs):
    return [dict(kv, key=base64.b64decode(kv["key"]).decode(), value=base64.b64decode(kv.get("value", "")).decode()) for kv in kvs]


def expect(fine, what):
    if not fine:
        raise Failure(what)


def without_genesis(flags):
    """The directory knows its cluster; these two describe another, with this test's ports."""
    for name in ("--initial-cluster", "--initial-cluster-token"):
        at = flags.index(name)
        del flags[at:at + 2]
    return flags


def check_as_left(cluster):
    with open(os.path.join(HERE, "expected.json")) as f:
        expected = json.load(f)
    found = key_values(cluster)
    expect(found["header"]["revision"] == REVISION, f"revision {found['header']['revision']}, not {REVISION}")
    expect(found["kvs"] == expected, f"other keys than were left:\n{decoded(found['kvs'])}\n{decoded(expected)}")
    hashed = json.loads(cluster.etcdctl("endpoint", "hashkv", "-w", "json").stdout)[0]["HashKV"]
    expect((hashed["hash"], hashed["compact_revision"]) == (HASH_KV, COMPACTED), f"HashKV of the history differs: {hashed}")
    before = key_values(cluster, "--rev", "25")["kvs"]
    expect("key/3" in [kv["key"] for kv in decoded(before)], "revision 25 does not have the key that was deleted later")
    refused = cluster.etcdctl("get", "key/1", "--rev", "5", check=False)
    expect("required revision has been compacted" in refused.stderr, f"a compacted revision was answered: {refused.stdout}{refused.stderr}")


def main():
    arguments = arguments_for(__doc__).parse_args()

    def body():
        programs = Programs(arguments)
        folder = folder_of(arguments, "first_version")
        with Cluster(programs.server, folder, members=1) as cluster:
            member = cluster.members[0]
            flags_of_a_first_start = member.flags
            member.flags = lambda: without_genesis(flags_of_a_first_start())
            os.makedirs(member.folder)
            with tarfile.open(os.path.join(HERE, "data.tar.xz")) as archive:
                archive.extractall(member.folder)
            os.rename(os.path.join(member.folder, "first-version"), member.data_dir)
            for turn in range(2):  # the second start is on what the first one wrote
                cluster.start()
                cluster.wait_serving()
                if turn == 0:
                    check_as_left(cluster)
                    cluster.etcdctl("put", "after", "the first version")
                found = decoded(key_values(cluster)["kvs"])
                expect({"after": "the first version"}.items() <= {kv["key"]: kv["value"] for kv in found}.items(), f"the new write is missing: {found}")
                member.kill()
            member.start()
            # A cluster of one names its disk with its first change of members.
            cluster.wait_serving()
            cluster.etcdctl("member", "add", "m2", "--peer-urls=http://127.0.0.1:1")
            poll("the epoch with m2", 20, lambda: "members=2" in member.log_tail(20))
        shutil.rmtree(folder, ignore_errors=True)

    run_main("first_version", body)


main()
