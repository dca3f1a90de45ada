"""What etcdctl 3.4 is asked, in order, on a fresh cluster: (arguments, standard input).

The same list runs against Debian's etcd and against decreed; exit code, standard output and standard error must be
the same after masking (compat_test.py). Revisions are not masked: both stores must count alike.
"""


def cases():
    yield from puts()
    yield from gets()
    yield from deletes()
    yield from txns()
    yield from compactions()
    yield from errors()
    yield from cluster()


def puts():
    yield ["put", "a", "1"], None
    yield ["put", "a", "2"], None
    yield ["put", "a", "3", "--prev-kv"], None
    yield ["put", "new", "x", "--prev-kv"], None
    yield ["put", "empty", ""], None
    yield ["put", "from-stdin"], "value from standard input"
    yield ["put", "multi\nline", "two\nlines"], None
    yield ["put", "bytes", "\u00e4\u20ac"], None
    yield ["put", "a", "--ignore-lease", "4"], None
    yield ["put", "a", "--ignore-value"], None
    yield ["put", "absent", "--ignore-value"], None
    yield ["put", "absent", "v", "--ignore-lease"], None
    yield ["put", "a", "v", "--lease=123456"], None
    for i in range(12):
        yield ["put", f"dir/{i:02d}", f"value {11 - i:02d}"], None
    yield ["put", "dir/03", "changed"], None
    yield ["put", "dir/03", "changed again"], None
    yield ["put", "dir/07", "changed", "--prev-kv", "-w", "json"], None
    yield ["put", "fields", "v", "-w", "fields"], None
    yield ["put", "fields", "w", "--prev-kv", "-w", "fields"], None
    yield ["put", "proto", "v", "-w", "protobuf", "--hex"], None
    yield ["put", "zz", "last"], None


def gets():
    yield ["get", "a"], None
    yield ["get", "a", "-w", "json"], None
    yield ["get", "a", "-w", "fields"], None
    yield ["get", "a", "--hex"], None
    yield ["get", "absent"], None
    yield ["get", "absent", "-w", "json"], None
    yield ["get", "empty", "-w", "json"], None
    yield ["get", "empty"], None
    yield ["get", "from-stdin"], None
    yield ["get", "multi\nline"], None
    yield ["get", "bytes", "-w", "json"], None
    yield ["get", "a", "--print-value-only"], None
    yield ["get", "dir/", "--prefix", "--print-value-only"], None
    yield ["get", "a", "--consistency=s"], None
    yield ["get", "a", "--consistency=l", "-w", "json"], None
    yield ["get", "dir/", "--prefix"], None
    yield ["get", "dir/", "--prefix", "-w", "json"], None
    yield ["get", "dir/", "--prefix", "--keys-only"], None
    yield ["get", "dir/", "--prefix", "--keys-only", "-w", "json"], None
    yield ["get", "dir/", "--prefix", "--limit=3"], None
    yield ["get", "dir/", "--prefix", "--limit=3", "-w", "json"], None
    yield ["get", "dir/", "--prefix", "--limit=12", "-w", "json"], None
    yield ["get", "dir/", "--prefix", "--limit=13", "-w", "json"], None
    yield ["get", "dir/02", "dir/05"], None
    yield ["get", "dir/05", "dir/02", "-w", "json"], None
    yield ["get", "dir/05", "dir/05", "-w", "json"], None
    yield ["get", "dir/08", "--from-key"], None
    yield ["get", "", "--from-key", "--keys-only"], None
    yield ["get", "", "--prefix", "-w", "json"], None
    yield ["get", "zz", "--from-key", "-w", "json"], None
    yield ["get", "zzz", "--from-key", "-w", "json"], None
    for sort in ("KEY", "CREATE", "MODIFY", "VALUE"):
        for order in ("ASCEND", "DESCEND"):
            yield ["get", "dir/", "--prefix", f"--sort-by={sort}", f"--order={order}", "-w", "json"], None
    # Ties in the order by version are etcd's choice (an unstable sort): only the ends are defined.
    yield ["get", "dir/", "--prefix", "--sort-by=VERSION", "--order=DESCEND", "--limit=2", "-w", "json"], None
    yield ["get", "dir/", "--prefix", "--order=DESCEND", "--limit=4", "-w", "json"], None
    yield ["get", "dir/", "--prefix", "--sort-by=VALUE", "--limit=4"], None
    yield ["get", "dir/", "--prefix", "--sort-by=nonsense"], None
    yield ["get", "dir/", "--prefix", "--order=nonsense"], None
    for revision in (1, 2, 3, 4, 9, 25):
        yield ["get", "a", f"--rev={revision}", "-w", "json"], None
    yield ["get", "", "--prefix", "--rev=12", "-w", "json"], None
    yield ["get", "dir/", "--prefix", "--rev=15", "--sort-by=VALUE", "--order=DESCEND", "--limit=2", "-w", "json"], None
    yield ["get", "a", "--rev=-1", "-w", "json"], None
    yield ["get", "a", "--rev=1000000"], None
    yield ["get", "dir/", "--prefix", "-w", "fields", "--limit=2"], None
    yield ["get", "a", "-w", "table"], None
    yield ["get", "a", "b", "--prefix"], None


def deletes():
    yield ["del", "absent"], None
    yield ["del", "new"], None
    yield ["del", "new"], None
    yield ["get", "new", "-w", "json"], None
    yield ["put", "new", "born again", "--prev-kv", "-w", "json"], None
    yield ["get", "new", "-w", "json"], None
    yield ["del", "new", "--prev-kv"], None
    yield ["del", "dir/10", "--prev-kv", "-w", "json"], None
    yield ["del", "dir/04", "dir/06", "--prev-kv"], None
    yield ["del", "dir/06", "dir/04"], None
    yield ["del", "dir/1", "--prefix", "-w", "json"], None
    yield ["del", "dir/1", "--prefix", "-w", "json"], None
    yield ["del", "zz", "--from-key", "--prev-kv"], None
    yield ["del", "zz", "-w", "fields"], None
    yield ["get", "", "--prefix", "-w", "json"], None


def txn(compares, success, failure):
    return "\n".join(compares) + "\n\n" + "\n".join(success) + "\n\n" + "\n".join(failure) + "\n\n"


def txns():
    yield ["put", "t", "value"], None
    yield ["put", "t", "second"], None
    hit, miss = ['put hit "yes"', "get t"], ['put miss "no"', "get hit"]
    for target, number in (("version", 2), ("ver", 2), ("create", 0), ("c", 1), ("mod", 5), ("m", 0)):
        for sign in ("=", "!=", "<", ">"):
            yield ["txn"], txn([f'{target}("t") {sign} "{number}"'], hit, miss)
    for value in ("second", "other", "a", "z", ""):
        for sign in ("=", "!=", "<", ">"):
            yield ["txn"], txn([f'value("t") {sign} "{value}"'], hit, miss)
    # No comparison of leases: etcdctl 3.4.23 itself panics on it. grpc_client.cc has it.
    for target in ("version", "create", "mod"):
        for sign in ("=", "!=", "<", ">"):
            yield ["txn"], txn([f'{target}("not-there") {sign} "0"'], hit, miss)
    for sign in ("=", "!=", "<", ">"):
        yield ["txn"], txn([f'value("not-there") {sign} "x"'], hit, miss)
    yield ["txn", "-w", "json"], txn(['version("t") > "0"', 'version("not-there") = "0"'], hit, miss)
    yield ["txn", "-w", "json"], txn(['version("t") > "0"', 'version("not-there") > "0"'], hit, miss)
    yield ["txn", "-w", "json"], txn([], ['put both "1"', "get both", "del both", "get both"], [])
    yield ["txn", "-w", "json"], txn([], ["get t", "get dir/ --prefix --limit=2", "get not-there"], [])
    yield ["txn", "-w", "json"], txn([], ["del not-there"], [])
    yield ["txn", "-w", "json"], txn([], ["del dir/0 --prefix --prev-kv", "get dir/ --prefix"], [])
    yield ["txn", "-w", "json"], txn([], [], [])
    yield ["txn", "-w", "json"], txn(['value("t") = "no such value"'], ["put x 1"], [])
    yield ["txn", "-w", "fields"], txn([], ["put t third", "get t"], [])
    yield ["txn"], txn([], ["put dup 1", "put dup 2"], [])
    yield ["txn"], txn([], ["put dup/1 1", "del dup/ --prefix"], [])
    yield ["txn"], txn([], ["del a", "del a"], [])
    yield ["txn"], txn([], [f"put many/{i} {i}" for i in range(128)], [])
    yield ["txn"], txn([], [f"put many/{i} {i}" for i in range(129)], [])
    yield ["txn"], txn([], ["get t --rev=1000000"], [])
    yield ["txn"], txn([], ["put never 1", "get t --rev=1000000"], [])
    yield ["get", "never", "-w", "json"], None
    yield ["txn"], txn([], ["put absent2 --ignore-value"], [])
    yield ["txn"], txn(['nonsense("t") = "1"'], ["get t"], [])
    yield ["get", "", "--prefix", "-w", "json"], None


def compactions():
    yield ["compaction", "20"], None
    yield ["compaction", "20"], None
    yield ["compaction", "10"], None
    yield ["compaction", "1000000"], None
    yield ["compaction", "0"], None
    yield ["compaction", "nonsense"], None
    yield ["get", "a", "--rev=19"], None
    yield ["get", "a", "--rev=20", "-w", "json"], None
    yield ["get", "a", "--rev=21", "-w", "json"], None
    yield ["get", "", "--prefix", "--rev=30", "-w", "json"], None
    yield ["txn"], txn([], ["get a --rev=3"], [])
    yield ["compaction", "30", "--physical"], None
    yield ["get", "", "--prefix", "--rev=29", "-w", "json"], None
    yield ["get", "", "--prefix", "--rev=30", "-w", "json"], None
    yield ["get", "", "--prefix", "-w", "json"], None
    yield ["put", "after", "compaction", "-w", "json"], None


def errors():
    yield ["put", "", "v"], None
    yield ["get", ""], None
    yield ["del", ""], None
    yield ["get"], None
    yield ["put", "only-key"], ""
    yield ["put", "large"], "x" * (1536 * 1024 - 200)
    yield ["get", "large", "--keys-only", "-w", "json"], None
    yield ["put", "too-large"], "x" * (1536 * 1024 + 200)
    yield ["put", "far-too-large"], "x" * (3 * 1024 * 1024)
    yield ["get", "too-large", "-w", "json"], None
    yield ["del", "large"], None
    yield ["get", "a", "-w", "nonsense"], None
    yield ["no-such-command"], None


def cluster():
    yield ["endpoint", "health"], None
    yield ["endpoint", "health", "-w", "json"], None
    yield ["endpoint", "health", "--cluster"], None
    yield ["endpoint", "status"], None
    yield ["endpoint", "status", "-w", "json"], None
    yield ["endpoint", "status", "-w", "table"], None
    yield ["endpoint", "status", "-w", "fields"], None
    yield ["endpoint", "hashkv"], None
    yield ["member", "list"], None
    yield ["member", "list", "-w", "json"], None
    yield ["member", "list", "-w", "table"], None
    yield ["member", "list", "-w", "fields"], None
    yield ["alarm", "list"], None
    yield ["alarm", "disarm"], None
    yield ["alarm", "list", "-w", "json"], None
