// Checks of a request that need no state: done by the server BEFORE proposing, in etcd's order, with etcd's
// code and text.
#pragma once

#include <cstdint>

#include "kv/status.h"

namespace etcdserverpb {
class RangeRequest;
class PutRequest;
class DeleteRangeRequest;
class TxnRequest;
}  // namespace etcdserverpb

namespace decree::kv {

inline constexpr int64_t kTxnOpsMaxDefault = 128;             // etcd --max-txn-ops
inline constexpr int kTxnDepthMax = 8;                        // nested transactions; ours
inline constexpr uint64_t kRequestBytesMaxDefault = 1572864;  // etcd --max-request-bytes, of the log entry

Refusal check_range(const etcdserverpb::RangeRequest& request);
Refusal check_put(const etcdserverpb::PutRequest& request);
Refusal check_delete_range(const etcdserverpb::DeleteRangeRequest& request);
// Operation budget per level (children get what is left), depth, keys, then puts and deletes that collide.
Refusal check_txn(const etcdserverpb::TxnRequest& request, int64_t ops_max = kTxnOpsMaxDefault);

// Only ranges, no nested transaction: answered without the log.
bool txn_is_read_only(const etcdserverpb::TxnRequest& request);
// Read-only and every range serializable: answered from this member's state.
bool txn_is_serializable(const etcdserverpb::TxnRequest& request);
// A put anywhere in the tree, in either branch: refused while a NOSPACE alarm stands.
bool txn_has_put(const etcdserverpb::TxnRequest& request);

// What the quota charges before the write (etcd: 256 + key + value per put; dearest branch of a transaction).
uint64_t quota_cost_bytes(const etcdserverpb::PutRequest& request);
uint64_t quota_cost_bytes(const etcdserverpb::TxnRequest& request);

}  // namespace decree::kv
