"""python3-etcd3 (grpc-core) as second client: put, get, delete, transactions. Prints what it sees, without ids."""
import sys

import etcd3


def show(name, *values):
    print(name, *values, flush=True)


def kv(pair):
    value, meta = pair
    if meta is None:
        return (value, None)
    return (value, meta.key, meta.create_revision, meta.mod_revision, meta.version, meta.lease_id)


def main():
    client = etcd3.client(host=sys.argv[1], port=int(sys.argv[2]), timeout=10)
    show("put", client.put("p/a", "1").header.revision)
    show("put prev", client.put("p/a", "2", prev_kv=True).prev_kv.value)
    show("get", kv(client.get("p/a")))
    show("get absent", kv(client.get("p/none")))
    show("get serializable", kv(client.get("p/a", serializable=True)))
    for i in range(5):
        client.put(f"p/{i}", f"value {4 - i}")
    show("prefix", [kv(p) for p in client.get_prefix("p/")])
    show("prefix by value", [kv(p) for p in client.get_prefix("p/", sort_order="descend", sort_target="value")])
    show("keys only", [kv(p) for p in client.get_prefix("p/", keys_only=True)])
    show("range", [kv(p) for p in client.get_range("p/1", "p/3")])
    response = client.get_response("p/0")
    show("response", response.count, response.more, len(response.kvs))
    show("not exists", client.put_if_not_exists("p/once", "first"), client.put_if_not_exists("p/once", "second"))
    show("replace", client.replace("p/once", "first", "third"), client.replace("p/once", "first", "fourth"))
    show("delete", client.delete("p/4"), client.delete("p/4"))
    show("delete prev", client.delete("p/3", prev_kv=True, return_response=True).prev_kvs[0].value)
    succeeded, answers = client.transaction(
        compare=[client.transactions.version("p/0") > 0, client.transactions.value("p/1") == "value 3",
                 client.transactions.create("p/none") == 0, client.transactions.mod("p/0") > 1],
        success=[client.transactions.put("p/txn", "yes"), client.transactions.get("p/txn"),
                 client.transactions.delete("p/2")],
        failure=[client.transactions.get("p/0")])
    show("txn", succeeded, len(answers), kv(answers[1][0]))
    succeeded, answers = client.transaction(
        compare=[client.transactions.value("p/1") == "something else"],
        success=[client.transactions.put("p/txn", "wrong")],
        failure=[client.transactions.get("p/txn")])
    show("txn else", succeeded, kv(answers[0][0]))
    show("delete prefix", client.delete_prefix("p/").deleted)
    show("all", [kv(p) for p in client.get_all()])
    show("members", len(list(client.members)))
    show("status has leader", client.status().leader is not None)
    try:
        client.put("", "v")
        show("empty key accepted")
    except Exception as error:  # the library wraps some codes and passes others on
        show("empty key", getattr(error, "code", lambda: type(error).__name__)())


main()
