// Put, delete and transactions against the multi-version map: the part of applying that knows etcd's rules.
#pragma once

#include <string>
#include <vector>

#include "kv/mvcc.h"
#include "kv/range.h"
#include "kv/status.h"

namespace etcdserverpb {
class Compare;
class DeleteRangeRequest;
class PutRequest;
class RequestOp;
class TxnRequest;
}  // namespace etcdserverpb

namespace decree::kv {

// One command's execution. `body` null: nobody waits for the answer, none is built. On a refusal nothing has
// changed.
class Executor {
 public:
  // `header.revision` is ignored: filled from the state.
  Executor(Mvcc& mvcc, const HeaderFields& header) : mvcc_(mvcc), header_(header) {}

  Refusal put(const etcdserverpb::PutRequest& request, std::string* body);
  Refusal delete_range(const etcdserverpb::DeleteRangeRequest& request, std::string* body);
  // Also read-only ones: those take no revision.
  Refusal txn(const etcdserverpb::TxnRequest& request, std::string* body);

 private:
  bool holds(const etcdserverpb::Compare& compare) const;
  // Decides every branch of the tree against the state before the transaction, in the order of execution.
  void decide(const etcdserverpb::TxnRequest& request);
  Refusal check(const etcdserverpb::TxnRequest& request, size_t* branch);
  Refusal check_put_state(const etcdserverpb::PutRequest& request) const;
  void run(const etcdserverpb::TxnRequest& request, size_t* branch, const HeaderFields* header,
           std::string* body);
  void run_op(const etcdserverpb::RequestOp& op, size_t* branch, std::string* body);
  void run_put(const etcdserverpb::PutRequest& request, const HeaderFields& header, std::string* body);
  void run_delete(const etcdserverpb::DeleteRangeRequest& request, HeaderFields header, std::string* body);

  Mvcc& mvcc_;
  HeaderFields header_;
  std::vector<bool> branches_;
};

}  // namespace decree::kv
