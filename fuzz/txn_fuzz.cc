// Arbitrary bytes as a transaction: parsed, checked, applied on a small store, with and without a waiting
// client. Whatever comes in, invariants hold, both stores agree, answers parse, and a refusal changes
// nothing.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "etcd/rpc.pb.h"
#include "kv/applier.h"
#include "kv/command.h"
#include "kv/mvcc.h"
#include "kv/request_check.h"

namespace {

using namespace decree;      // NOLINT
using namespace decree::kv;  // NOLINT

void require(bool holds) {
  if (!holds) std::abort();
}

std::string put_entry(const std::string& key, const std::string& value) {
  etcdserverpb::PutRequest put;
  put.set_key(key);
  put.set_value(value);
  return encode_command(CommandType::put, put.SerializeAsString());
}

void prepare(Store* store) {
  for (const char* key : {"a", "b", "c", "a", "aa", "b"})
    store->apply({.slot = Slot(1)}, put_entry(key, key));
  etcdserverpb::CompactionRequest compact;
  compact.set_revision(4);
  store->apply({.slot = Slot(1)}, encode_command(CommandType::compact, compact.SerializeAsString()));
}

// Applied although unchecked: a decided entry is applied whatever it says.
void apply_both(const std::string& entry, Store* answering, Store* silent) {
  const Digest128 before = answering->digest();
  const int64_t revision = answering->current_revision();
  const Reply reply = answering->apply({.slot = Slot(2), .term = 3, .wants_reply = true}, entry);
  const Reply other = silent->apply({.slot = Slot(2), .term = 3, .wants_reply = false}, entry);
  require(reply.code == other.code);
  require(answering->digest() == silent->digest());
  require(answering->mvcc().broken_invariant().empty());
  if (reply.code != 0) {
    require(answering->digest() == before && answering->current_revision() == revision);
    return;
  }
  etcdserverpb::TxnResponse response;
  require(response.ParseFromString(reply.body));
  require(response.header().revision() == answering->current_revision());
  require(answering->current_revision() - revision <= 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  etcdserverpb::TxnRequest request;
  if (!request.ParseFromString(bytes)) return 0;
  const Refusal refusal = check_txn(request);
  require(refusal.ok() == refusal.text.empty());
  Store answering({.cluster_id = 1, .member_id = 2});
  Store silent({.cluster_id = 1, .member_id = 3});
  prepare(&answering);
  prepare(&silent);
  if (refusal.ok() && txn_is_read_only(request)) {
    const Digest128 before = answering.digest();
    answering.read_txn(request, 3);
    require(answering.digest() == before);
  }
  const std::string entry = encode_command(CommandType::txn, bytes, 100000);
  apply_both(entry, &answering, &silent);
  apply_both(entry, &answering, &silent);
  while (silent.background_slice()) {
  }
  require(silent.mvcc().broken_invariant().empty());
  // What is left survives a snapshot.
  std::string snapshot;
  const auto source = answering.begin_snapshot();
  while (source->next(64, &snapshot)) {
  }
  const auto sink = silent.begin_restore();
  require(sink->write(snapshot).ok() && sink->finish().ok());
  require(silent.digest() == answering.digest());
  require(silent.hash_kv(0, 3).body.size() == answering.hash_kv(0, 3).body.size());
  return 0;
}
