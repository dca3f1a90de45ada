"""The same scripts against Debian's etcd and against decreed; what they print must be the same.

Clients: etcdctl 3.4 (grpc-go), python3-etcd3 (grpc-core, python), a grpc++ client built from the same .proto files.
Masked differences are listed in tests/compat/differences.md.
"""
import base64
import difflib
import json
import os
import re
import subprocess
import sys
import urllib.request

from cluster import ROOT, Cluster, Failure, Programs, Skip, arguments_for, folder_of, run_main

sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))
from etcdctl_cases import cases  # noqa: E402

# Accepted differences, each explained in tests/compat/differences.md.
ACCEPTED = {"alarm list -w json"}

MASKED = {"cluster_id", "member_id", "raft_term", "raftTerm", "raftIndex", "raftAppliedIndex", "leader", "dbSize",
          "dbSizeInUse", "version", "took", "ID", "peerURLs", "clientURLs", "Endpoint", "endpoint"}


def mask_json(value, inside_status=False):
    if isinstance(value, dict):
        # "version" of a key-value pair counts puts and stays.
        keep_version = "create_revision" in value or "mod_revision" in value
        return {k: ("#" if k in MASKED and not (k == "version" and keep_version) else mask_json(v))
                for k, v in value.items()}
    if isinstance(value, list):
        masked = [mask_json(v) for v in value]
        # Members come in the order of their ids.
        named = masked and all(isinstance(v, dict) and "name" in v for v in masked)
        return sorted(masked, key=lambda v: v["name"]) if named else masked
    return value


def mask_text(text, arguments):
    text = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", text)
    text = re.sub(r'"ts":"[^"]*"|"target":"[^"]*"|"caller":"[^"]*"', '"#"', text)
    text = re.sub(r"\d+(\.\d+)?(ms|µs|us|s)\b", "TIME", text)
    if arguments[0] in ("endpoint", "member", "alarm"):
        text = re.sub(r"\b[0-9a-f]{12,16}\b", "ID", text)
        text = re.sub(r"\b\d+\.\d+\.\d+[-\w]*\b", "VERSION", text)
        text = re.sub(r"\b\d+(\.\d+)? [kM]?B\b", "SIZE", text)
        text = re.sub(r"\b\d+\b", "N", text)
        text = re.sub(r"\b(true|false)\b", "BOOL", text) if arguments[1] == "status" else text
        # Table columns are as wide as their contents.
        text = re.sub(r"[-+]{3,}", "---", re.sub(r" +", " ", text))
        text = "\n".join(sorted(text.splitlines()))
    if "-w" in arguments and "fields" in arguments:
        text = re.sub(r'("(?:ClusterID|MemberID|RaftTerm|Leader|RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse)" :) \d+', r"\1 #", text)
    return text


def mask(arguments, result):
    out = result.stdout.decode(errors="surrogateescape")
    if "json" in arguments and out.strip():
        try:
            masked = [json.dumps(mask_json(json.loads(line)), sort_keys=True) for line in out.strip().splitlines()]
            out = "\n".join(sorted(masked))
        except ValueError:
            out = "NOT JSON: " + out
    elif "protobuf" in arguments:
        out = f"{'some' if out.strip() else 'no'} bytes"
    else:
        out = mask_text(out, arguments)
    return f"exit {result.returncode}\n{out}\n{mask_text(result.stderr.decode(errors='replace'), arguments)}"


def run_etcdctl(cluster):
    answers = []
    endpoint = cluster.members[0].client
    for arguments, stdin in cases():
        # An etcdctl that is given one endpoint asks the others only for --cluster.
        result = subprocess.run(["etcdctl", f"--endpoints={endpoint}", *arguments], input=(stdin or "").encode(),
                                capture_output=True, timeout=30, env=dict(os.environ, ETCDCTL_API="3"))
        answers.append((arguments, stdin, mask(arguments, result)))
    return answers


def run_client(command):
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if result.returncode != 0:
        raise Failure(f"{' '.join(command)}: code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def run_http(cluster):
    answers = {}
    for path in ("/health", "/version", "/no-such-page"):
        try:
            with urllib.request.urlopen(f"http://{cluster.members[0].client}{path}", timeout=10) as answer:
                body = answer.read().decode()
                code = answer.status
        except urllib.error.HTTPError as error:
            code, body = error.code, ""
        if path == "/health":
            answers[path] = (code, json.loads(body).get("health"))
        elif path == "/version":
            answers[path] = (code, sorted(set(json.loads(body)) & {"etcdserver", "etcdcluster"}))
        else:
            answers[path] = code
    with urllib.request.urlopen(f"http://{cluster.members[0].client}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    for name in ("etcd_server_has_leader", "etcd_server_is_leader", "etcd_server_proposals_applied_total",
                 "etcd_disk_wal_fsync_duration_seconds"):
        answers["metric " + name] = re.search(rf"^# TYPE {name} (\w+)", text, re.M) is not None
    return answers


def everything(program, programs, arguments, name):
    found = {}
    folder = folder_of(arguments, f"compat-{name}")
    for client in ("etcdctl", "python3-etcd3", "grpc++", "http"):
        with Cluster(program, folder, snapshot_count=10000) as cluster:
            cluster.start()
            cluster.wait_serving()
            host, port = cluster.members[0].client.split(":")
            if client == "etcdctl":
                found[client] = run_etcdctl(cluster)
            elif client == "python3-etcd3":
                found[client] = run_client(["/usr/bin/python3", os.path.join(ROOT, "tests/compat/python_client.py"), host, port])
            elif client == "grpc++":
                found[client] = run_client([os.path.join(programs.tools, "grpc_client"), f"{host}:{port}"])
            else:
                found[client] = run_http(cluster)
            cluster.check_alive()
    return found


def compare(ours, theirs):
    different = 0
    for (arguments, stdin, a), (_, _, b) in zip(theirs["etcdctl"], ours["etcdctl"]):
        if a != b and " ".join(arguments) not in ACCEPTED:
            different += 1
            print(f"\netcdctl {' '.join(arguments)[:200]}" + (f"\n<<<\n{stdin[:300]}" if stdin else ""))
            print("\n".join(list(difflib.unified_diff(a.splitlines(), b.splitlines(), "etcd", "decreed", lineterm="", n=0))[:12])[:1500])
    print(f"etcdctl: {len(ours['etcdctl'])} commands, {different} different")
    for client in ("python3-etcd3", "grpc++"):
        if ours[client] != theirs[client]:
            different += 1
            print("\n".join(difflib.unified_diff(theirs[client].splitlines(), ours[client].splitlines(), "etcd", "decreed", lineterm="", n=1)))
        print(f"{client}: {len(ours[client].splitlines())} answers, {'same' if ours[client] == theirs[client] else 'DIFFERENT'}")
    for what, answer in theirs["http"].items():
        if ours["http"].get(what) != answer:
            different += 1
            print(f"http {what}: etcd {answer}, decreed {ours['http'].get(what)}")
    print(f"http: {len(theirs['http'])} answers")
    if different:
        raise Failure(f"{different} differences")


def main():
    arguments = arguments_for(__doc__).parse_args()

    def body():
        programs = Programs(arguments)
        for path in (programs.etcd, os.path.join(programs.tools, "grpc_client")):
            if not os.path.exists(path):
                raise Skip(f"{path} is not there")
        theirs = everything(programs.etcd, programs, arguments, "etcd")
        ours = everything(programs.server, programs, arguments, "decreed")
        compare(ours, theirs)

    run_main("compat", body)


main()
