"""One random history for etcd and for decreed; every answer must be the same, and HashKV must be the same number.

Run by tests/integration/differential_test.py. Needs Debian's python3-grpcio and python3-protobuf, and protoc.
Masked: cluster and member ids, raft_term, hash_revision (a field that 3.4 does not have). Accepted: a transaction that
both refuse may name another of its errors (etcd 3.4 looks at all puts before all ranges, 3.6 and decreed in order).
Not generated: ignore_value and ignore_lease inside transactions, where etcd stops itself when the transaction has
deleted the key before.
"""
import base64
import importlib
import json
import os
import random
import subprocess
import sys
import time

import grpc
from google.protobuf import json_format

METHODS = {
    "put": ("KV/Put", "PutRequest", "PutResponse"),
    "delete": ("KV/DeleteRange", "DeleteRangeRequest", "DeleteRangeResponse"),
    "txn": ("KV/Txn", "TxnRequest", "TxnResponse"),
    "range": ("KV/Range", "RangeRequest", "RangeResponse"),
    "compact": ("KV/Compact", "CompactionRequest", "CompactionResponse"),
    "hash": ("Maintenance/HashKV", "HashKVRequest", "HashKVResponse"),
}
PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")


def load_messages(directory):
    """The messages of our own proto files, as python."""
    files = [os.path.join(PROTO, "etcd", name) for name in ("kv.proto", "auth.proto", "rpc.proto")]
    subprocess.check_call(["protoc", f"--proto_path={PROTO}", f"--python_out={directory}", *files])
    sys.path.insert(0, directory)
    return importlib.import_module("etcd.rpc_pb2")


def b64(text):
    return base64.b64encode(text.encode("latin1")).decode()


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.revision = 1

    def chance(self, p):
        return self.random.random() < p

    def key(self):
        return b64(self.random.choice("abcdef") + self.random.choice(["", "x"]))

    def spread(self, request):
        end = self.random.choice([None, None, b64("\0"), self.key(), b64("z")])
        if end:
            request["range_end"] = end
        return request

    def some_revision(self):
        return str(self.random.randrange(-1, self.revision + 2))

    def value(self):
        return b64(str(self.random.randrange(12)))

    def put(self, in_txn=False):
        request = {"key": self.key()}
        if not in_txn and self.chance(0.1):
            request["ignore_value"] = True
        else:
            request["value"] = self.value()
        if self.chance(0.5):
            request["prev_kv"] = True
        if not in_txn and self.chance(0.05):
            request["ignore_lease"] = True
        elif self.chance(0.03):
            request["lease"] = "77"
        return request

    def delete(self):
        request = self.spread({"key": self.key()})
        if self.chance(0.5):
            request["prev_kv"] = True
        return request

    def range(self, in_txn=False):
        request = self.spread({"key": self.key()})
        if self.chance(0.3):
            request["limit"] = str(self.random.randrange(5))
        if self.chance(0.1 if in_txn else 0.3):
            request["revision"] = self.some_revision()
        if self.chance(0.5):
            request["sort_order"] = self.random.choice(["NONE", "ASCEND", "DESCEND"])
        if self.chance(0.5):  # only targets without ties: etcd leaves the order of equals open
            request["sort_target"] = self.random.choice(["KEY", "MOD", "KEY"])
        for flag, p in (("keys_only", 0.2), ("count_only", 0.1)):
            if self.chance(p):
                request[flag] = True
        for field in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"):
            if self.chance(0.15):
                request[field] = self.some_revision()
        return request

    def compare(self):
        target, field, operand = self.random.choice([
            ("VERSION", "version", str(self.random.randrange(3))),
            ("CREATE", "create_revision", self.some_revision()),
            ("MOD", "mod_revision", self.some_revision()),
            ("VALUE", "value", self.value()),
            ("LEASE", "lease", "0"),
        ])
        result = self.random.choice(["EQUAL", "GREATER", "LESS", "NOT_EQUAL"])
        compare = {"key": self.key(), "result": result, "target": target, field: operand}
        return self.spread(compare) if self.chance(0.25) else compare

    def txn(self, depth=1):
        request = {"compare": [], "success": [], "failure": []}
        while self.chance(0.5):
            request["compare"].append(self.compare())
        for branch in ("success", "failure"):
            while self.chance(0.6):
                kind = self.random.randrange(4 if depth < 3 else 3)
                request[branch].append([
                    lambda: {"request_put": self.put(in_txn=True)},
                    lambda: {"request_delete_range": self.delete()},
                    lambda: {"request_range": self.range(in_txn=True)},
                    lambda: {"request_txn": self.txn(depth + 1)},
                ][kind]())
        return request

    def next(self):
        kind = self.random.choices(["put", "delete", "txn", "range", "compact", "hash"], [30, 10, 30, 35, 2, 3])[0]
        if kind == "hash":
            return kind, {}
        if kind == "compact":
            return kind, {"revision": self.some_revision()}
        return kind, getattr(self, kind)()


class Server:
    def __init__(self, program, directory, messages, port):
        client, peer = port, port + 1
        url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        self.log = open(os.path.join(directory, "log"), "w")
        self.process = subprocess.Popen(
            [program, "--data-dir", os.path.join(directory, "data"), "--listen-client-urls", url,
             "--advertise-client-urls", url, "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
             "--initial-cluster", f"default={peer_url}"], stdout=self.log, stderr=self.log)
        self.messages = messages
        self.channel = grpc.insecure_channel(f"127.0.0.1:{client}")
        try:
            grpc.channel_ready_future(self.channel).result(timeout=20)
        except grpc.FutureTimeoutError:
            self.stop()
            raise RuntimeError(f"{program} does not answer; its log is {self.log.name}") from None

    def ask(self, kind, request):
        method, asked, answered = METHODS[kind]
        call = self.channel.unary_unary(
            f"/etcdserverpb.{method}", request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(self.messages, answered).FromString)
        message = json_format.ParseDict(request, getattr(self.messages, asked)())
        try:
            return json_format.MessageToDict(call(message, timeout=20), preserving_proto_field_name=True)
        except grpc.RpcError as error:
            return {"code": error.code().name, "message": error.details()}

    def stop(self):
        self.channel.close()
        self.process.kill()
        self.process.wait()
        self.log.close()


def masked(value, outermost=True):
    if isinstance(value, list):
        return [masked(v, False) for v in value]
    if not isinstance(value, dict):
        return value if isinstance(value, bool) else str(value)
    value = dict(value)
    value.pop("hash_revision", None)
    if outermost and "header" in value:
        value["header"] = {k: v for k, v in value["header"].items() if k == "revision"}
    return {k: masked(v, False) for k, v in value.items()}


def same_hash(etcd, decreed):
    """etcd sweeps behind a compaction in the background: its number may need a moment to settle."""
    deadline = time.monotonic() + 5
    while True:
        theirs, ours = masked(etcd.ask("hash", {})), masked(decreed.ask("hash", {}))
        if theirs == ours or time.monotonic() > deadline:
            return theirs, ours
        time.sleep(0.05)


def run(etcd, decreed, generator, steps):
    counts = {}
    for step in range(steps):
        kind, request = generator.next()
        if kind == "hash":
            theirs, ours = same_hash(etcd, decreed)
        else:
            theirs, ours = masked(etcd.ask(kind, request)), masked(decreed.ask(kind, request))
        counts[kind] = counts.get(kind, 0) + 1
        generator.revision = int(theirs.get("header", {}).get("revision", generator.revision))
        both_refuse = kind == "txn" and "code" in theirs and "code" in ours
        if theirs != ours and not both_refuse:
            print(f"step {step}: {kind} {json.dumps(request)}")
            print(f"  etcd    {json.dumps(theirs)}\n  decreed {json.dumps(ours)}")
            return False
    print(f"same answers to {counts}, revision {generator.revision}")
    return True
