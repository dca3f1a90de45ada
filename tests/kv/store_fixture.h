// A Store driven by whole requests, for the tests of this folder.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "etcd/rpc.pb.h"
#include "gtest/gtest.h"
#include "kv/applier.h"
#include "kv/command.h"
#include "kv/mvcc.h"
#include "kv/request_check.h"

namespace decree::kv {

namespace pb = etcdserverpb;

inline const std::string kToEnd(1, '\0');

class Driver {
 public:
  Driver() : store({.cluster_id = 11, .member_id = 22}) {}

  Reply apply(CommandType type, const std::string& request, uint64_t quota = 0) {
    Reply reply = store.apply({.slot = Slot(++slot), .term = 7, .wants_reply = true},
                              encode_command(type, request, quota));
    const std::string broken = store.mvcc().broken_invariant();
    EXPECT_EQ(broken, "");
    return reply;
  }
  template <class Response>
  Response ok(const Reply& reply) {
    Response response;
    EXPECT_EQ(reply.code, 0) << reply.body;
    EXPECT_TRUE(response.ParseFromString(reply.body));
    return response;
  }
  Reply put_reply(const pb::PutRequest& request, uint64_t quota = 0) {
    return apply(CommandType::put, request.SerializeAsString(), quota);
  }
  pb::PutResponse put(const std::string& key, const std::string& value, bool prev_kv = false) {
    pb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    request.set_prev_kv(prev_kv);
    return ok<pb::PutResponse>(put_reply(request));
  }
  pb::DeleteRangeResponse del(const std::string& key, const std::string& end = "", bool prev_kv = false) {
    pb::DeleteRangeRequest request;
    request.set_key(key);
    request.set_range_end(end);
    request.set_prev_kv(prev_kv);
    return ok<pb::DeleteRangeResponse>(apply(CommandType::delete_range, request.SerializeAsString()));
  }
  Reply txn_reply(const pb::TxnRequest& request, uint64_t quota = 0) {
    return apply(CommandType::txn, request.SerializeAsString(), quota);
  }
  pb::TxnResponse txn(const pb::TxnRequest& request) { return ok<pb::TxnResponse>(txn_reply(request)); }
  Reply compact(int64_t revision) {
    pb::CompactionRequest request;
    request.set_revision(revision);
    return apply(CommandType::compact, request.SerializeAsString());
  }
  void sweep() {
    while (store.background_slice()) {
    }
    EXPECT_EQ(store.mvcc().broken_invariant(), "");
  }
  pb::AlarmResponse alarm(pb::AlarmRequest::AlarmAction action, uint64_t member, pb::AlarmType type) {
    pb::AlarmRequest request;
    request.set_action(action);
    request.set_memberid(member);
    request.set_alarm(type);
    return ok<pb::AlarmResponse>(apply(CommandType::alarm, request.SerializeAsString()));
  }
  Reply range_reply(const pb::RangeRequest& request) { return store.range_whole(request, 7); }
  pb::RangeResponse range(const pb::RangeRequest& request) {
    return ok<pb::RangeResponse>(range_reply(request));
  }
  pb::RangeResponse get(const std::string& key, const std::string& end = "", int64_t revision = 0) {
    pb::RangeRequest request;
    request.set_key(key);
    request.set_range_end(end);
    request.set_revision(revision);
    return range(request);
  }
  std::string value(const std::string& key, int64_t revision = 0) {
    const auto response = get(key, "", revision);
    return response.kvs_size() == 1 ? response.kvs(0).value() : "<none>";
  }

  Store store;
  uint64_t slot = 0;
};

inline std::vector<std::string> keys_of(const pb::RangeResponse& response) {
  std::vector<std::string> keys;
  for (const auto& kv : response.kvs()) keys.push_back(kv.key());
  return keys;
}

inline void expect_refusal(const Reply& reply, const Refusal& refusal) {
  EXPECT_EQ(reply.code, static_cast<int>(refusal.code));
  EXPECT_EQ(reply.body, refusal.text);
}

// Builders for transactions.
inline pb::RequestOp put_op(const std::string& key, const std::string& value) {
  pb::RequestOp op;
  op.mutable_request_put()->set_key(key);
  op.mutable_request_put()->set_value(value);
  return op;
}
inline pb::RequestOp get_op(const std::string& key, const std::string& end = "", int64_t revision = 0) {
  pb::RequestOp op;
  op.mutable_request_range()->set_key(key);
  op.mutable_request_range()->set_range_end(end);
  op.mutable_request_range()->set_revision(revision);
  return op;
}
inline pb::RequestOp del_op(const std::string& key, const std::string& end = "") {
  pb::RequestOp op;
  op.mutable_request_delete_range()->set_key(key);
  op.mutable_request_delete_range()->set_range_end(end);
  return op;
}
inline pb::RequestOp txn_op(const pb::TxnRequest& txn) {
  pb::RequestOp op;
  *op.mutable_request_txn() = txn;
  return op;
}
inline pb::Compare compare_int(const std::string& key, pb::Compare::CompareTarget target,
                               pb::Compare::CompareResult result, int64_t value) {
  pb::Compare c;
  c.set_key(key);
  c.set_target(target);
  c.set_result(result);
  switch (target) {
    case pb::Compare::VERSION:
      c.set_version(value);
      break;
    case pb::Compare::CREATE:
      c.set_create_revision(value);
      break;
    case pb::Compare::MOD:
      c.set_mod_revision(value);
      break;
    default:
      c.set_lease(value);
      break;
  }
  return c;
}
inline pb::Compare compare_value(const std::string& key, pb::Compare::CompareResult result,
                                 const std::string& value) {
  pb::Compare c;
  c.set_key(key);
  c.set_target(pb::Compare::VALUE);
  c.set_result(result);
  c.set_value(value);
  return c;
}

}  // namespace decree::kv
