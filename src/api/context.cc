#include "api/context.h"

#include "etcd/rpc.pb.h"
#include "kv/command.h"

namespace decree::api {

namespace {

// For proposals of the server itself, whose outcome shows in the store.
struct Nobody final : Finisher {
  void on_failed(http::CallId, uint32_t, const EtcdError&) override {}
};

}  // namespace

Context::Context(http::CallPort& server_in, Consensus& consensus_in, kv::Store& store_in,
                 const FrontOptions& options_in, const Outside& outside)
    : server(server_in),
      consensus(consensus_in),
      store(store_in),
      options(options_in),
      pending(server_in, consensus_in,
              {options_in.calls_in_flight_max, options_in.request_timeout, options_in.history_slots},
              outside.now),
      long_answers(server_in, outside.wake, outside.now),
      clock(outside.now),
      log(outside.log) {}

const ConsensusStatus& Context::status() {
  if (!status_known) {
    last_status = consensus.status();
    status_known = true;
  }
  return last_status;
}

void Context::fill_header(etcdserverpb::ResponseHeader* header) {
  const ConsensusStatus& now = status();
  header->set_cluster_id(now.identity.cluster.value);
  header->set_member_id(now.identity.member_id);
  header->set_raft_term(now.replica.term);
}

void Context::raise_no_space() {
  static Nobody nobody;
  const net::SteadyTime time = clock();
  if (store.has_alarm(kv::AlarmKind::no_space) || time - no_space_raised < std::chrono::seconds(1)) return;
  no_space_raised = time;
  etcdserverpb::AlarmRequest request;
  request.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
  request.set_memberid(status().identity.member_id);
  request.set_alarm(etcdserverpb::NOSPACE);
  log("the quota (--quota-backend-bytes) is used up: writes are refused until keys are deleted, compacted "
      "and the alarm "
      "is disarmed (etcdctl alarm disarm)");
  pending.propose({}, kv::encode_command(kv::CommandType::alarm, request.SerializeAsString()), &nobody);
}

}  // namespace decree::api
