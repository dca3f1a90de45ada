// kv::Store, spoken to as the server does: etcd's requests in, etcd's responses out.
#include "etcd/rpc.pb.h"
#include "kv/applier.h"
#include "kv/command.h"
#include "lab/sim/store.h"

namespace decree::lab {

namespace {

namespace pb = etcdserverpb;

void fill(const SimpleRequest& r, pb::PutRequest* out) {
  out->set_key(r.key);
  out->set_value(r.value);
}
void fill(const SimpleRequest& r, pb::DeleteRangeRequest* out) {
  out->set_key(r.key);
  out->set_range_end(r.range_end);
}
void fill(const SimpleRequest& r, pb::RangeRequest* out) {
  out->set_key(r.key);
  out->set_range_end(r.range_end);
  out->set_limit(r.limit);
  out->set_revision(r.at_revision);
}
void fill(const SimpleRequest& r, pb::RequestOp* out) {
  if (r.kind == OpKind::put) fill(r, out->mutable_request_put());
  if (r.kind == OpKind::remove) fill(r, out->mutable_request_delete_range());
  if (r.kind == OpKind::range) fill(r, out->mutable_request_range());
}
void fill(const Comparison& c, pb::Compare* out) {
  out->set_key(c.key);
  switch (c.is) {
    case CompareIs::equal:
      out->set_result(pb::Compare::EQUAL);
      break;
    case CompareIs::not_equal:
      out->set_result(pb::Compare::NOT_EQUAL);
      break;
    case CompareIs::less:
      out->set_result(pb::Compare::LESS);
      break;
    case CompareIs::greater:
      out->set_result(pb::Compare::GREATER);
      break;
  }
  switch (c.target) {
    case CompareTarget::version:
      out->set_target(pb::Compare::VERSION);
      out->set_version(c.number);
      break;
    case CompareTarget::create:
      out->set_target(pb::Compare::CREATE);
      out->set_create_revision(c.number);
      break;
    case CompareTarget::mod:
      out->set_target(pb::Compare::MOD);
      out->set_mod_revision(c.number);
      break;
    case CompareTarget::value:
      out->set_target(pb::Compare::VALUE);
      out->set_value(c.value);
      break;
  }
}

SimpleAnswer answer(const pb::RangeResponse& r) {
  SimpleAnswer a;
  a.count = r.count();
  for (const auto& kv : r.kvs())
    a.kvs.push_back({kv.key(), kv.value(), kv.create_revision(), kv.mod_revision(), kv.version()});
  return a;
}
SimpleAnswer answer(const pb::DeleteRangeResponse& r) {
  SimpleAnswer a;
  a.deleted = r.deleted();
  return a;
}

class KvStore final : public StoreUnderTest {
 public:
  KvStore() : store_(kv::StoreConfig{}) {}
  StateMachine& machine() override { return store_; }
  int64_t revision() const override { return store_.current_revision(); }

  std::string encode(const Operation& op) const override {
    std::string_view method;
    const std::string request = encode_request(op, &method);
    const kv::CommandType type = op.kind == OpKind::put      ? kv::CommandType::put
                                 : op.kind == OpKind::remove ? kv::CommandType::delete_range
                                                             : kv::CommandType::txn;
    return kv::encode_command(type, request);
  }

  kv::Store* kv() override { return &store_; }

  std::string encode_request(const Operation& op, std::string_view* method) const override {
    switch (op.kind) {
      case OpKind::put: {
        pb::PutRequest r;
        fill(op.request, &r);
        *method = "Put";
        return r.SerializeAsString();
      }
      case OpKind::remove: {
        pb::DeleteRangeRequest r;
        fill(op.request, &r);
        *method = "DeleteRange";
        return r.SerializeAsString();
      }
      case OpKind::range: {
        pb::RangeRequest r;
        fill(op.request, &r);
        r.set_serializable(op.serializable);
        *method = "Range";
        return r.SerializeAsString();
      }
      default: {
        pb::TxnRequest r;
        for (const Comparison& c : op.compare) fill(c, r.add_compare());
        for (const SimpleRequest& branch : op.then_branch) fill(branch, r.add_success());
        for (const SimpleRequest& branch : op.else_branch) fill(branch, r.add_failure());
        *method = "Txn";
        return r.SerializeAsString();
      }
    }
  }

  std::string encode_compaction(int64_t revision, bool physical) const override {
    pb::CompactionRequest r;
    r.set_revision(revision);
    r.set_physical(physical);
    return r.SerializeAsString();
  }

  bool decode_answer(const std::string& bytes, Operation* op) const override {
    if (op->kind != OpKind::range) return decode(Reply{0, bytes}, op);
    pb::RangeResponse r;
    if (!r.ParseFromString(bytes)) return false;
    op->answers.assign(1, answer(r));
    op->revision = r.header().revision();
    return true;
  }

  bool decode(const Reply& reply, Operation* op) const override {
    if (reply.code != 0) return false;
    if (op->kind == OpKind::put) {
      pb::PutResponse r;
      if (!r.ParseFromString(reply.body)) return false;
      op->answers.assign(1, SimpleAnswer{});
      op->revision = r.header().revision();
      return true;
    }
    if (op->kind == OpKind::remove) {
      pb::DeleteRangeResponse r;
      if (!r.ParseFromString(reply.body)) return false;
      op->answers.assign(1, answer(r));
      op->revision = r.header().revision();
      return true;
    }
    pb::TxnResponse r;
    if (!r.ParseFromString(reply.body)) return false;
    op->succeeded = r.succeeded();
    op->revision = r.header().revision();
    op->answers.clear();
    for (const auto& one : r.responses()) {
      if (one.has_response_range())
        op->answers.push_back(answer(one.response_range()));
      else if (one.has_response_delete_range())
        op->answers.push_back(answer(one.response_delete_range()));
      else
        op->answers.push_back({});
    }
    return true;
  }

  bool read(Operation* op) const override {
    pb::RangeRequest request;
    fill(op->request, &request);
    const Reply reply = store_.range_whole(request, 1);
    return reply.code == 0 && decode_answer(reply.body, op);
  }

 private:
  kv::Store store_;
};

}  // namespace

std::unique_ptr<StoreUnderTest> make_kv_store() { return std::make_unique<KvStore>(); }

}  // namespace decree::lab
