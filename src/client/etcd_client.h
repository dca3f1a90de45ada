// The etcd v3 API for programs that simply wait for each answer (the command line, tests, scripts).
// Typed over Client; owns its loop. One thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "decree/explain.pb.h"
#include "etcd/rpc.pb.h"

namespace decree::client {

template <class T>
struct Answer {
  Status status;
  T value;
  bool ok() const { return status.ok(); }
};

class EtcdClient {
 public:
  EtcdClient(std::vector<net::HostPort> endpoints, std::chrono::milliseconds timeout);
  ~EtcdClient();

  Answer<etcdserverpb::RangeResponse> range(const etcdserverpb::RangeRequest& request);
  Answer<etcdserverpb::PutResponse> put(const etcdserverpb::PutRequest& request);
  Answer<etcdserverpb::DeleteRangeResponse> delete_range(const etcdserverpb::DeleteRangeRequest& request);
  // A transaction without puts and deletes counts as a read.
  Answer<etcdserverpb::TxnResponse> txn(const etcdserverpb::TxnRequest& request);
  Answer<etcdserverpb::CompactionResponse> compact(const etcdserverpb::CompactionRequest& request);
  Answer<etcdserverpb::MemberListResponse> member_list();
  Answer<etcdserverpb::MemberAddResponse> member_add(const etcdserverpb::MemberAddRequest& request);
  Answer<etcdserverpb::MemberRemoveResponse> member_remove(const etcdserverpb::MemberRemoveRequest& request);
  Answer<etcdserverpb::MemberUpdateResponse> member_update(const etcdserverpb::MemberUpdateRequest& request);
  Answer<etcdserverpb::MemberPromoteResponse> member_promote(
      const etcdserverpb::MemberPromoteRequest& request);
  Answer<etcdserverpb::AlarmResponse> alarm(const etcdserverpb::AlarmRequest& request);
  // Only the leader does it: `endpoint` is its.
  Answer<etcdserverpb::MoveLeaderResponse> move_leader(const etcdserverpb::MoveLeaderRequest& request,
                                                       size_t endpoint);
  // Asks every endpoint at the same time; the answers come in the order of the endpoints.
  std::vector<Answer<etcdserverpb::StatusResponse>> status_of_all();

  // What each member remembers of a slot; as status_of_all().
  std::vector<Answer<explain::SlotResponse>> explain_of_all(const explain::SlotRequest& request);

  // Any unary method: serialised request in, serialised response out.
  CallResult unary(CallSpec spec);
  std::string endpoint_name(size_t index) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree::client
