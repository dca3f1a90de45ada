#include "kv/txn.h"

#include <string_view>

#include "base/planted_bugs.h"
#include "decree/sometimes.h"
#include "etcd/rpc.pb.h"
#include "kv/encode.h"
#include "kv/range_query.h"
#include "kv/request_check.h"

namespace decree::kv {

using etcdserverpb::Compare;
using etcdserverpb::DeleteRangeRequest;
using etcdserverpb::PutRequest;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

namespace {

// What the compared record has; a missing key compares as all zero.
int compare_record(const Compare& compare, const Record* record) {
  const auto order = [](int64_t a, int64_t b) { return a < b ? -1 : (a > b ? 1 : 0); };
  // The union's member counts only when it is the target's own, else zero (as etcd).
  const auto given = [&](Compare::TargetUnionCase which, int64_t value) {
    return compare.target_union_case() == which ? value : 0;
  };
  switch (compare.target()) {
    case Compare::VERSION:
      return order(record ? record->version() : 0, given(Compare::kVersion, compare.version()));
    case Compare::CREATE:
      return order(record ? record->create() : 0, given(Compare::kCreateRevision, compare.create_revision()));
    case Compare::MOD:
      return order(record ? record->mod() : 0, given(Compare::kModRevision, compare.mod_revision()));
    case Compare::LEASE:
      return order(record ? record->lease() : 0, given(Compare::kLease, compare.lease()));
    case Compare::VALUE: {
      const std::string_view want = compare.target_union_case() == Compare::kValue
                                        ? std::string_view(compare.value())
                                        : std::string_view();
      return (record ? record->value() : std::string_view()).compare(want);
    }
    default:
      return 0;
  }
}

bool satisfies(const Compare& compare, const Record* record) {
  const int order = compare_record(compare, record);
  switch (compare.result()) {
    case Compare::EQUAL:
      return order == 0;
    case Compare::NOT_EQUAL:
      return order != 0;
    case Compare::GREATER:
      return order > 0;
    case Compare::LESS:
      return order < 0;
    default:
      return true;
  }
}

const google::protobuf::RepeatedPtrField<RequestOp>& branch_of(const TxnRequest& request, bool succeeded) {
  return succeeded ? request.success() : request.failure();
}

}  // namespace

Refusal Executor::check_put_state(const PutRequest& request) const {
  if ((request.ignore_value() || request.ignore_lease()) &&
      mvcc_.get(request.key(), mvcc_.read_revision()) == nullptr) {
    return kKeyNotFound;
  }
  return request.lease() != 0 ? kLeaseNotFound : kAccepted;
}

Refusal Executor::put(const PutRequest& request, std::string* body) {
  if (request.lease() != 0) return kLeaseNotFound;
  const Refusal refusal = check_put_state(request);
  if (!refusal.ok()) return refusal;
  header_.revision = mvcc_.revision() + 1;
  mvcc_.begin_write();
  run_put(request, header_, body);
  mvcc_.end_write();
  return kAccepted;
}

void Executor::run_put(const PutRequest& request, const HeaderFields& header, std::string* body) {
  std::string_view value = request.value();
  int64_t lease = request.lease();
  if (request.ignore_value() || request.ignore_lease()) {
    // Checked against the state before the transaction; no operation of it can have removed the key since.
    const Record* old = mvcc_.get(request.key(), mvcc_.read_revision());
    if (request.ignore_value()) value = old != nullptr ? old->value() : std::string_view();
    if (request.ignore_lease()) lease = old != nullptr ? old->lease() : 0;
  }
  const Record* previous = mvcc_.put(request.key(), value, lease);
  if (body == nullptr) return;
  put_header(body, header);
  if (request.prev_kv() && previous != nullptr) put_kv(body, 2, *previous);
}

Refusal Executor::delete_range(const DeleteRangeRequest& request, std::string* body) {
  mvcc_.begin_write();
  run_delete(request, header_, body);
  mvcc_.end_write();
  return kAccepted;
}

// The header's revision is that after the deletion.
void Executor::run_delete(const DeleteRangeRequest& request, HeaderFields header, std::string* body) {
  const KeyRange range{request.key(), request.range_end()};
  std::vector<const Record*> deleted;
  const bool wants_deleted = body != nullptr && request.prev_kv();
  const int64_t n = mvcc_.erase(range, wants_deleted ? &deleted : nullptr);
  if (body == nullptr) return;
  header.revision = mvcc_.read_revision();
  put_header(body, header);
  wire::put_int_field(body, 2, static_cast<uint64_t>(n));
  for (const Record* record : deleted) put_kv(body, 3, *record);
}

bool Executor::holds(const Compare& compare) const {
  const int64_t at = mvcc_.read_revision();
  const auto [first, last] = mvcc_.bounds({compare.key(), compare.range_end()});
  bool any = false;
  for (auto it = first; it != last; ++it) {
    const Record* record = mvcc_.visible(*it, at);
    if (record == nullptr) continue;
    if (!satisfies(compare, record)) return false;
    any = true;
  }
  if (any) return true;
  // A missing value is not an empty value: comparing it is false whatever the relation.
  return compare.target() != Compare::VALUE && satisfies(compare, nullptr);
}

void Executor::decide(const TxnRequest& request) {
  bool succeeded = true;
  for (const Compare& compare : request.compare()) {
    if (!holds(compare)) {
      succeeded = false;
      break;
    }
    if (planted(PlantedBug::first_compare_only)) break;
  }
  branches_.push_back(succeeded);
  for (const RequestOp& op : branch_of(request, succeeded)) {
    if (op.request_case() == RequestOp::kRequestTxn) decide(op.request_txn());
  }
}

Refusal Executor::check(const TxnRequest& request, size_t* branch) {
  for (const RequestOp& op : branch_of(request, branches_[(*branch)++])) {
    Refusal refusal = kAccepted;
    if (op.request_case() == RequestOp::kRequestRange) {
      const int64_t revision = op.request_range().revision();
      if (revision > mvcc_.revision()) {
        DECREE_SOMETIMES("a transaction reads the future", true);
        refusal = kFutureRevision;
      } else if (revision != 0 && revision < mvcc_.compacted()) {
        DECREE_SOMETIMES("a transaction reads what was compacted", true);
        refusal = kCompacted;
      }
    } else if (op.request_case() == RequestOp::kRequestPut) {
      refusal = check_put_state(op.request_put());
    } else if (op.request_case() == RequestOp::kRequestTxn) {
      refusal = check(op.request_txn(), branch);
    }
    if (!refusal.ok()) return refusal;
  }
  return kAccepted;
}

Refusal Executor::txn(const TxnRequest& request, std::string* body) {
  branches_.clear();
  decide(request);
  size_t branch = 0;
  const bool unasked = planted(PlantedBug::refusal_where_asked_only) && body == nullptr;
  const Refusal refusal = unasked ? kAccepted : check(request, &branch);
  if (!refusal.ok()) {
    if (planted(PlantedBug::half_a_transaction) && !txn_is_read_only(request)) {
      branch = 0;
      mvcc_.begin_write();
      run(request, &branch, nullptr, nullptr);
      mvcc_.end_write();
    }
    return refusal;
  }
  branch = 0;
  const bool writes = !txn_is_read_only(request);
  if (writes) mvcc_.begin_write();
  std::string answers;
  run(request, &branch, nullptr, body != nullptr ? &answers : nullptr);
  if (writes) mvcc_.end_write();
  if (body == nullptr) return kAccepted;
  header_.revision = mvcc_.revision();
  body->reserve(answers.size() + 48);
  put_header(body, header_);
  body->append(answers);
  return kAccepted;
}

// TxnResponse; the outermost one's header comes last to be known and is put in front by txn().
void Executor::run(const TxnRequest& request, size_t* branch, const HeaderFields* header, std::string* body) {
  const bool succeeded = branches_[(*branch)++];
  if (body != nullptr) {
    if (header != nullptr) put_header(body, *header);
    wire::put_int_field(body, 2, succeeded ? 1 : 0);
  }
  for (const RequestOp& op : branch_of(request, succeeded)) {
    if (body == nullptr) {
      run_op(op, branch, nullptr);
      continue;
    }
    std::string answer;
    run_op(op, branch, &answer);
    wire::put_message_field(body, 3, answer);
  }
}

// ResponseOp. Inner headers carry the revision alone, as etcd's do; a nested transaction's is empty.
void Executor::run_op(const RequestOp& op, size_t* branch, std::string* body) {
  std::string answer;
  std::string* inner = body != nullptr ? &answer : nullptr;
  uint32_t field = 0;
  switch (op.request_case()) {
    case RequestOp::kRequestRange: {
      if (body == nullptr) return;  // a read nobody waits for
      field = 1;
      const RangeQuery query(op.request_range());
      RangeAnswer found;
      evaluate_range(mvcc_, query, RangeBudget{}, &found);
      put_range_response(inner, HeaderFields{.revision = mvcc_.read_revision()}, query, found);
      break;
    }
    case RequestOp::kRequestPut:
      field = 2;
      run_put(op.request_put(), HeaderFields{.revision = mvcc_.revision() + 1}, inner);
      break;
    case RequestOp::kRequestDeleteRange:
      field = 3;
      run_delete(op.request_delete_range(), HeaderFields{}, inner);
      break;
    case RequestOp::kRequestTxn: {
      field = 4;
      const HeaderFields empty;
      run(op.request_txn(), branch, &empty, inner);
      break;
    }
    case RequestOp::REQUEST_NOT_SET:
      return;
  }
  if (body != nullptr) wire::put_message_field(body, field, answer);
}

}  // namespace decree::kv
