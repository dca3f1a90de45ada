#include "api/context.h"

#include <algorithm>

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
  const net::SteadyTime time = clock();
  if (store.has_alarm(kv::AlarmKind::no_space) || time - no_space_raised < std::chrono::seconds(1)) return;
  no_space_raised = time;
  log("the quota (--quota-backend-bytes) is used up: writes are refused until keys are deleted, compacted "
      "and the alarm "
      "is disarmed (etcdctl alarm disarm)");
  raise(etcdserverpb::NOSPACE);
}

// Each side of a dispute raises its own: the list of alarms names who disagrees.
void Context::raise_corrupt() {
  const kv::Alarm own{status().identity.member_id, kv::AlarmKind::corrupt};
  const std::vector<kv::Alarm> alarms = store.alarms();
  const net::SteadyTime time = clock();
  if (std::find(alarms.begin(), alarms.end(), own) != alarms.end() ||
      time - corrupt_raised < std::chrono::seconds(1))
    return;
  corrupt_raised = time;
  log("this member's state differs from others' and no majority says which is right: writes are refused "
      "until "
      "the wrong members are replaced and the alarm is disarmed (etcdctl alarm disarm)");
  raise(etcdserverpb::CORRUPT);
}

void Context::raise(int alarm) {
  static Nobody nobody;
  etcdserverpb::AlarmRequest request;
  request.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
  request.set_memberid(status().identity.member_id);
  request.set_alarm(static_cast<etcdserverpb::AlarmType>(alarm));
  pending.propose({}, kv::encode_command(kv::CommandType::alarm, request.SerializeAsString()), &nobody);
}

}  // namespace decree::api
