#include "kv/request_check.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string_view>

#include "etcd/rpc.pb.h"
#include "kv/mvcc.h"

namespace decree::kv {

using etcdserverpb::Compare;
using etcdserverpb::DeleteRangeRequest;
using etcdserverpb::PutRequest;
using etcdserverpb::RangeRequest;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

namespace {

using Ops = google::protobuf::RepeatedPtrField<RequestOp>;

Refusal check_level(const TxnRequest& request, int64_t ops_max, int depth);

Refusal check_op(const RequestOp& op, int64_t ops_max, int depth) {
  switch (op.request_case()) {
    case RequestOp::kRequestRange:
      return check_range(op.request_range());
    case RequestOp::kRequestPut:
      return check_put(op.request_put());
    case RequestOp::kRequestDeleteRange:
      return check_delete_range(op.request_delete_range());
    case RequestOp::kRequestTxn:
      return check_level(op.request_txn(), ops_max, depth + 1);
    case RequestOp::REQUEST_NOT_SET:
      break;
  }
  return kKeyNotFound;
}

Refusal check_level(const TxnRequest& request, int64_t ops_max, int depth) {
  const int64_t ops = std::max({request.compare_size(), request.success_size(), request.failure_size()});
  if (ops > ops_max) return kTooManyOps;
  if (depth > kTxnDepthMax) return kNestedTooDeep;
  for (const Compare& compare : request.compare()) {
    if (compare.key().empty()) return kEmptyKey;
  }
  for (const Ops* branch : {&request.success(), &request.failure()}) {
    for (const RequestOp& op : *branch) {
      const Refusal refusal = check_op(op, ops_max - ops, depth);
      if (!refusal.ok()) return refusal;
    }
  }
  return kAccepted;
}

// Keys deleted by one branch: single keys, and ranges merged so that a look-up costs O(log n) whatever the
// request.
class DeletedKeys {
 public:
  void add(const KeyRange& range) {
    // As etcd compares them (measured on 3.4.23): "\0" is an end like any other here, so a deletion "from
    // this key on" ends before it begins and collides with nothing. Transactions may rely on it: delete
    // everything, then put.
    if (range.single()) {
      points_.insert(range.key);
    } else if (range.key < range.range_end) {
      add_interval(range.key, range.range_end);
    }
  }
  void add(const DeletedKeys& other) {
    points_.insert(other.points_.begin(), other.points_.end());
    for (const auto& [first, end] : other.intervals_) add_interval(first, end);
  }
  bool contains(std::string_view key) const {
    if (points_.count(key) != 0) return true;
    auto it = intervals_.upper_bound(key);
    return it != intervals_.begin() && key < (--it)->second;
  }

 private:
  void add_interval(std::string_view first, std::string_view end) {
    auto it = intervals_.upper_bound(first);
    if (it != intervals_.begin()) {
      const auto before = std::prev(it);
      if (before->second >= first) {
        first = before->first;
        end = std::max(end, before->second);
        intervals_.erase(before);
      }
    }
    while (it != intervals_.end() && it->first <= end) {
      end = std::max(end, it->second);
      it = intervals_.erase(it);
    }
    intervals_[first] = end;
  }

  std::set<std::string_view> points_;
  std::map<std::string_view, std::string_view> intervals_;  // first to end; disjoint, not touching
};

// What one branch writes, nested transactions included (both of their branches).
struct BranchWrites {
  std::set<std::string_view> puts;
  DeletedKeys deletes;
};

bool add_child(const BranchWrites& child, const BranchWrites* sibling, BranchWrites* all) {
  for (const std::string_view key : child.puts) {
    const bool twice = all->puts.count(key) != 0 && (sibling == nullptr || sibling->puts.count(key) == 0);
    if (twice || all->deletes.contains(key)) return false;
    all->puts.insert(key);
  }
  return true;
}

// False: some key is put twice, or put and deleted, by operations that may both run. Deletes first, then
// nested transactions in order, then this level's puts; a nested one's two branches never both run, so they
// may overlap.
bool collect_writes(const Ops& ops, BranchWrites* all) {
  for (const RequestOp& op : ops) {
    if (op.request_case() != RequestOp::kRequestDeleteRange) continue;
    all->deletes.add(KeyRange{op.request_delete_range().key(), op.request_delete_range().range_end()});
  }
  for (const RequestOp& op : ops) {
    if (op.request_case() != RequestOp::kRequestTxn) continue;
    BranchWrites then_writes;
    BranchWrites else_writes;
    if (!collect_writes(op.request_txn().success(), &then_writes)) return false;
    if (!collect_writes(op.request_txn().failure(), &else_writes)) return false;
    if (!add_child(then_writes, nullptr, all)) return false;
    if (!add_child(else_writes, &then_writes, all)) return false;
    all->deletes.add(then_writes.deletes);
    all->deletes.add(else_writes.deletes);
  }
  for (const RequestOp& op : ops) {
    if (op.request_case() != RequestOp::kRequestPut) continue;
    const std::string_view key = op.request_put().key();
    if (all->deletes.contains(key) || !all->puts.insert(key).second) return false;
  }
  return true;
}

}  // namespace

Refusal check_range(const RangeRequest& request) {
  if (request.key().empty()) return kEmptyKey;
  if (!RangeRequest::SortOrder_IsValid(request.sort_order()) ||
      !RangeRequest::SortTarget_IsValid(request.sort_target())) {
    return kInvalidSortOption;
  }
  return kAccepted;
}

Refusal check_put(const PutRequest& request) {
  if (request.key().empty()) return kEmptyKey;
  if (request.ignore_value() && !request.value().empty()) return kValueProvided;
  if (request.ignore_lease() && request.lease() != 0) return kLeaseProvided;
  return kAccepted;
}

Refusal check_delete_range(const DeleteRangeRequest& request) {
  return request.key().empty() ? kEmptyKey : kAccepted;
}

Refusal check_txn(const TxnRequest& request, int64_t ops_max) {
  const Refusal refusal = check_level(request, ops_max, 1);
  if (!refusal.ok()) return refusal;
  for (const Ops* branch : {&request.success(), &request.failure()}) {
    BranchWrites writes;
    if (!collect_writes(*branch, &writes)) return kDuplicateKey;
  }
  return kAccepted;
}

namespace {
template <class Test>
bool every_op(const TxnRequest& request, const Test& test) {
  return std::all_of(request.success().begin(), request.success().end(), test) &&
         std::all_of(request.failure().begin(), request.failure().end(), test);
}
}  // namespace

bool txn_is_read_only(const TxnRequest& request) {
  return every_op(request, [](const RequestOp& op) { return op.request_case() == RequestOp::kRequestRange; });
}

bool txn_is_serializable(const TxnRequest& request) {
  return every_op(request, [](const RequestOp& op) {
    return op.request_case() == RequestOp::kRequestRange && op.request_range().serializable();
  });
}

bool txn_has_put(const TxnRequest& request) {
  return !every_op(request, [](const RequestOp& op) {
    if (op.request_case() == RequestOp::kRequestTxn) return !txn_has_put(op.request_txn());
    return op.request_case() != RequestOp::kRequestPut;
  });
}

uint64_t quota_cost_bytes(const PutRequest& request) {
  return 256 + request.key().size() + request.value().size();
}

uint64_t quota_cost_bytes(const TxnRequest& request) {
  const auto branch_cost = [](const Ops& ops) {
    uint64_t cost = 0;
    for (const RequestOp& op : ops) {
      if (op.request_case() == RequestOp::kRequestPut) cost += quota_cost_bytes(op.request_put());
      if (op.request_case() == RequestOp::kRequestTxn) cost += quota_cost_bytes(op.request_txn());
    }
    return cost;
  };
  return std::max(branch_cost(request.success()), branch_cost(request.failure()));
}

}  // namespace decree::kv
