#include "client/etcd_client.h"

#include "net/event_loop.h"

namespace decree::client {

namespace {

bool only_reads(const etcdserverpb::TxnRequest& txn);

bool only_reads(const google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>& ops) {
  for (const etcdserverpb::RequestOp& op : ops) {
    if (op.has_request_put() || op.has_request_delete_range()) return false;
    if (op.has_request_txn() && !only_reads(op.request_txn())) return false;
  }
  return true;
}

bool only_reads(const etcdserverpb::TxnRequest& txn) {
  return only_reads(txn.success()) && only_reads(txn.failure());
}

template <class Response>
Answer<Response> typed(CallResult result) {
  Answer<Response> answer;
  answer.status = std::move(result.status);
  if (answer.status.ok() && !answer.value.ParseFromString(result.body)) {
    answer.status.code = Code::internal;
    answer.status.message = "the answer of " + answer.status.endpoint + " is not a valid message";
  }
  return answer;
}

}  // namespace

struct EtcdClient::Impl {
  Impl(std::vector<net::HostPort> endpoints, std::chrono::milliseconds timeout_in)
      : client(loop, std::move(endpoints)), timeout(timeout_in) {}

  net::EventLoop loop;
  Client client;
  std::chrono::milliseconds timeout;

  CallResult wait(CallSpec spec) {
    CallResult result;
    bool done = false;
    client.call(std::move(spec), [&](CallResult r) {
      result = std::move(r);
      done = true;
    });
    while (!done) turn();
    return result;
  }

  void turn() {
    loop.flush();
    loop.wait(std::chrono::seconds(1));
  }

  // Asks every endpoint at the same time.
  template <class Response>
  std::vector<Answer<Response>> ask_all(std::string_view path, const std::string& request) {
    const size_t count = client.endpoint_count();
    std::vector<Answer<Response>> answers(count);
    size_t missing = count;
    for (size_t i = 0; i < count; ++i) {
      client.call({path, request, CallKind::read, timeout, i}, [&answers, &missing, i](CallResult result) {
        answers[i] = typed<Response>(std::move(result));
        --missing;
      });
    }
    while (missing != 0) turn();
    return answers;
  }

  template <class Response, class Request>
  Answer<Response> call(std::string_view path, const Request& request, CallKind kind) {
    return typed<Response>(wait({path, request.SerializeAsString(), kind, timeout, {}}));
  }
};

EtcdClient::EtcdClient(std::vector<net::HostPort> endpoints, std::chrono::milliseconds timeout)
    : impl_(std::make_unique<Impl>(std::move(endpoints), timeout)) {}

EtcdClient::~EtcdClient() = default;

Answer<etcdserverpb::RangeResponse> EtcdClient::range(const etcdserverpb::RangeRequest& request) {
  return impl_->call<etcdserverpb::RangeResponse>("/etcdserverpb.KV/Range", request, CallKind::read);
}

Answer<etcdserverpb::PutResponse> EtcdClient::put(const etcdserverpb::PutRequest& request) {
  return impl_->call<etcdserverpb::PutResponse>("/etcdserverpb.KV/Put", request, CallKind::change);
}

Answer<etcdserverpb::DeleteRangeResponse> EtcdClient::delete_range(
    const etcdserverpb::DeleteRangeRequest& request) {
  return impl_->call<etcdserverpb::DeleteRangeResponse>("/etcdserverpb.KV/DeleteRange", request,
                                                        CallKind::change);
}

Answer<etcdserverpb::TxnResponse> EtcdClient::txn(const etcdserverpb::TxnRequest& request) {
  return impl_->call<etcdserverpb::TxnResponse>("/etcdserverpb.KV/Txn", request,
                                                only_reads(request) ? CallKind::read : CallKind::change);
}

Answer<etcdserverpb::CompactionResponse> EtcdClient::compact(const etcdserverpb::CompactionRequest& request) {
  return impl_->call<etcdserverpb::CompactionResponse>("/etcdserverpb.KV/Compact", request, CallKind::change);
}

Answer<etcdserverpb::MemberListResponse> EtcdClient::member_list() {
  etcdserverpb::MemberListRequest request;
  request.set_linearizable(true);
  return impl_->call<etcdserverpb::MemberListResponse>("/etcdserverpb.Cluster/MemberList", request,
                                                       CallKind::read);
}

Answer<etcdserverpb::MemberAddResponse> EtcdClient::member_add(
    const etcdserverpb::MemberAddRequest& request) {
  return impl_->call<etcdserverpb::MemberAddResponse>("/etcdserverpb.Cluster/MemberAdd", request,
                                                      CallKind::change);
}

Answer<etcdserverpb::MemberRemoveResponse> EtcdClient::member_remove(
    const etcdserverpb::MemberRemoveRequest& request) {
  return impl_->call<etcdserverpb::MemberRemoveResponse>("/etcdserverpb.Cluster/MemberRemove", request,
                                                         CallKind::change);
}

Answer<etcdserverpb::MemberUpdateResponse> EtcdClient::member_update(
    const etcdserverpb::MemberUpdateRequest& request) {
  return impl_->call<etcdserverpb::MemberUpdateResponse>("/etcdserverpb.Cluster/MemberUpdate", request,
                                                         CallKind::change);
}

Answer<etcdserverpb::MemberPromoteResponse> EtcdClient::member_promote(
    const etcdserverpb::MemberPromoteRequest& request) {
  return impl_->call<etcdserverpb::MemberPromoteResponse>("/etcdserverpb.Cluster/MemberPromote", request,
                                                          CallKind::change);
}

Answer<etcdserverpb::AlarmResponse> EtcdClient::alarm(const etcdserverpb::AlarmRequest& request) {
  const bool reads = request.action() == etcdserverpb::AlarmRequest::GET;
  return impl_->call<etcdserverpb::AlarmResponse>("/etcdserverpb.Maintenance/Alarm", request,
                                                  reads ? CallKind::read : CallKind::change);
}

Answer<etcdserverpb::MoveLeaderResponse> EtcdClient::move_leader(
    const etcdserverpb::MoveLeaderRequest& request, size_t endpoint) {
  return typed<etcdserverpb::MoveLeaderResponse>(
      impl_->wait({"/etcdserverpb.Maintenance/MoveLeader", request.SerializeAsString(), CallKind::change,
                   impl_->timeout, endpoint}));
}

std::vector<Answer<etcdserverpb::StatusResponse>> EtcdClient::status_of_all() {
  return impl_->ask_all<etcdserverpb::StatusResponse>("/etcdserverpb.Maintenance/Status",
                                                      etcdserverpb::StatusRequest().SerializeAsString());
}

std::vector<Answer<explain::SlotResponse>> EtcdClient::explain_of_all(const explain::SlotRequest& request) {
  return impl_->ask_all<explain::SlotResponse>("/decree.explain.Explain/Slot", request.SerializeAsString());
}

CallResult EtcdClient::unary(CallSpec spec) { return impl_->wait(std::move(spec)); }

std::string EtcdClient::endpoint_name(size_t index) const { return impl_->client.endpoint_name(index); }

}  // namespace decree::client
