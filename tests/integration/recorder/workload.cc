#include "tests/integration/recorder/workload.h"

#include "etcd/rpc.pb.h"

namespace decree::recorder {
namespace {

using lab::CompareIs;
using lab::CompareTarget;
using lab::Operation;
using lab::OpKind;
using lab::SimpleAnswer;
using lab::SimpleRequest;

void fill(const SimpleRequest& from, bool serializable, etcdserverpb::RangeRequest* to) {
  to->set_key(from.key);
  to->set_range_end(from.range_end);
  to->set_limit(from.limit);
  to->set_revision(from.at_revision);
  to->set_serializable(serializable);
}

void fill(const SimpleRequest& from, etcdserverpb::RequestOp* to) {
  switch (from.kind) {
    case OpKind::put:
      to->mutable_request_put()->set_key(from.key);
      to->mutable_request_put()->set_value(from.value);
      break;
    case OpKind::remove:
      to->mutable_request_delete_range()->set_key(from.key);
      to->mutable_request_delete_range()->set_range_end(from.range_end);
      break;
    case OpKind::range:
    case OpKind::txn:
      fill(from, false, to->mutable_request_range());
      break;
  }
}

void fill(const lab::Comparison& from, etcdserverpb::Compare* to) {
  to->set_key(from.key);
  switch (from.is) {
    case CompareIs::equal:
      to->set_result(etcdserverpb::Compare::EQUAL);
      break;
    case CompareIs::not_equal:
      to->set_result(etcdserverpb::Compare::NOT_EQUAL);
      break;
    case CompareIs::less:
      to->set_result(etcdserverpb::Compare::LESS);
      break;
    case CompareIs::greater:
      to->set_result(etcdserverpb::Compare::GREATER);
      break;
  }
  switch (from.target) {
    case CompareTarget::version:
      to->set_target(etcdserverpb::Compare::VERSION);
      to->set_version(from.number);
      break;
    case CompareTarget::create:
      to->set_target(etcdserverpb::Compare::CREATE);
      to->set_create_revision(from.number);
      break;
    case CompareTarget::mod:
      to->set_target(etcdserverpb::Compare::MOD);
      to->set_mod_revision(from.number);
      break;
    case CompareTarget::value:
      to->set_target(etcdserverpb::Compare::VALUE);
      to->set_value(from.value);
      break;
  }
}

SimpleAnswer answer_of(const etcdserverpb::RangeResponse& from) {
  SimpleAnswer answer;
  answer.count = from.count();
  for (const auto& kv : from.kvs())
    answer.kvs.push_back({kv.key(), kv.value(), kv.create_revision(), kv.mod_revision(), kv.version()});
  return answer;
}

}  // namespace

std::string Workload::some_key() {
  const uint64_t number = random_() % 3 == 0 ? random_() % options_.hot_keys : random_() % options_.keys;
  char text[16];
  snprintf(text, sizeof(text), "k%06llu", static_cast<unsigned long long>(number));
  return text;
}

std::string Workload::new_value() {
  std::string value = "v" + std::to_string(++values_) + ".";
  if (value.size() < options_.value_bytes) value.resize(options_.value_bytes, 'x');
  return value;
}

void Workload::make_range(SimpleRequest* request) {
  request->kind = OpKind::range;
  request->key = some_key();
  if (random_() % 8 == 0) {
    request->range_end = request->key;
    request->range_end.back() = ':';  // behind the digits: up to ten keys
    request->limit = static_cast<int64_t>(random_() % 6);
  }
}

void Workload::make_txn(Operation* op) {
  op->kind = OpKind::txn;
  const std::string key = some_key();
  lab::Comparison comparison;
  comparison.key = key;
  const auto seen = last_mod_.find(key);
  const int64_t mod = seen == last_mod_.end() ? 0 : seen->second;
  switch (random_() % 4) {
    case 0:
      comparison.target = CompareTarget::create;
      comparison.is = CompareIs::not_equal;
      break;
    case 1:
      comparison.target = CompareTarget::version;
      comparison.is = CompareIs::less;
      comparison.number = 1 + static_cast<int64_t>(random_() % 64);
      break;
    default:  // compare and swap
      comparison.target = CompareTarget::mod;
      comparison.is = CompareIs::equal;
      comparison.number = mod;
  }
  op->compare.push_back(comparison);
  op->then_branch.push_back({OpKind::put, key, "", new_value(), 0, 0});
  const std::string second = some_key();
  if (random_() % 2 == 0 && second != key)
    op->then_branch.push_back({OpKind::put, second, "", new_value(), 0, 0});
  if (random_() % 2 == 0) {
    op->else_branch.push_back({OpKind::range, key, "", "", 0, 0});
  } else {
    // Writes in both branches: whatever the comparison says, the transaction takes a revision.
    op->else_branch.push_back({OpKind::put, second, "", new_value(), 0, 0});
    op->else_branch.push_back({OpKind::range, key, "", "", 0, 0});
  }
}

Operation Workload::next() {
  Operation op;
  uint64_t dice = random_() % 1000;
  const auto below = [&dice](uint64_t share) {
    if (dice < share) return true;
    dice -= share;
    return false;
  };
  if (below(options_.txns)) {
    make_txn(&op);
  } else if (below(options_.deletes)) {
    op.kind = OpKind::remove;
    op.request = {OpKind::remove, some_key(), "", "", 0, 0};
  } else if (below(options_.reads)) {
    op.kind = OpKind::range;
    make_range(&op.request);
  } else if (below(options_.serializable_reads)) {
    op.kind = OpKind::range;
    op.serializable = true;
    make_range(&op.request);
  } else {
    op.kind = OpKind::put;
    op.request = {OpKind::put, some_key(), "", new_value(), 0, 0};
  }
  return op;
}

void Workload::learn(const Operation& op) {
  if (op.kind == OpKind::put) last_mod_[op.request.key] = op.revision;
  for (const SimpleAnswer& answer : op.answers)
    for (const lab::SeenKv& kv : answer.kvs) last_mod_[kv.key] = kv.mod;
  if (op.kind == OpKind::txn && op.succeeded)
    for (const SimpleRequest& request : op.then_branch)
      if (request.kind == OpKind::put) last_mod_[request.key] = op.revision;
}

WireRequest to_wire(const Operation& op) {
  switch (op.kind) {
    case OpKind::put: {
      etcdserverpb::PutRequest request;
      request.set_key(op.request.key);
      request.set_value(op.request.value);
      return {"/etcdserverpb.KV/Put", request.SerializeAsString()};
    }
    case OpKind::remove: {
      etcdserverpb::DeleteRangeRequest request;
      request.set_key(op.request.key);
      request.set_range_end(op.request.range_end);
      return {"/etcdserverpb.KV/DeleteRange", request.SerializeAsString()};
    }
    case OpKind::range: {
      etcdserverpb::RangeRequest request;
      fill(op.request, op.serializable, &request);
      return {"/etcdserverpb.KV/Range", request.SerializeAsString()};
    }
    case OpKind::txn:
      break;
  }
  etcdserverpb::TxnRequest request;
  for (const lab::Comparison& comparison : op.compare) fill(comparison, request.add_compare());
  for (const SimpleRequest& branch : op.then_branch) fill(branch, request.add_success());
  for (const SimpleRequest& branch : op.else_branch) fill(branch, request.add_failure());
  return {"/etcdserverpb.KV/Txn", request.SerializeAsString()};
}

bool from_wire(std::string_view body, Operation* op) {
  const int size = static_cast<int>(body.size());
  switch (op->kind) {
    case OpKind::put: {
      etcdserverpb::PutResponse response;
      if (!response.ParseFromArray(body.data(), size)) return false;
      op->revision = response.header().revision();
      op->answers.emplace_back();
      return true;
    }
    case OpKind::remove: {
      etcdserverpb::DeleteRangeResponse response;
      if (!response.ParseFromArray(body.data(), size)) return false;
      op->revision = response.header().revision();
      op->answers.emplace_back().deleted = response.deleted();
      return true;
    }
    case OpKind::range: {
      etcdserverpb::RangeResponse response;
      if (!response.ParseFromArray(body.data(), size)) return false;
      op->revision = response.header().revision();
      op->answers.push_back(answer_of(response));
      return true;
    }
    case OpKind::txn:
      break;
  }
  etcdserverpb::TxnResponse response;
  if (!response.ParseFromArray(body.data(), size)) return false;
  op->revision = response.header().revision();
  op->succeeded = response.succeeded();
  for (const auto& part : response.responses()) {
    SimpleAnswer answer;
    if (part.has_response_range()) answer = answer_of(part.response_range());
    if (part.has_response_delete_range()) answer.deleted = part.response_delete_range().deleted();
    op->answers.push_back(answer);
  }
  return true;
}

}  // namespace decree::recorder
