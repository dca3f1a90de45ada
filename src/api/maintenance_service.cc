#include "api/maintenance_service.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/parse.h"
#include "api/version.h"
#include "etcd/rpc.pb.h"
#include "kv/command.h"

namespace decree::api {

namespace {

enum : uint32_t {
  method_alarm,
  method_status,
  method_defragment,
  method_hash,
  method_hash_kv,
  method_move_leader,
  method_snapshot
};

// Tags of waiting alarm lists: the alarm kind that was asked for.
constexpr uint32_t alarm_kinds = 3;
constexpr uint32_t tag_snapshot = 100;

}  // namespace

MaintenanceService::MaintenanceService(Context& context) : context_(context) {
  http::CallPort& server = context_.server;
  server.add_unary("/etcdserverpb.Maintenance/Alarm", this, method_alarm);
  server.add_unary("/etcdserverpb.Maintenance/Status", this, method_status);
  server.add_unary("/etcdserverpb.Maintenance/Defragment", this, method_defragment);
  server.add_unary("/etcdserverpb.Maintenance/Hash", this, method_hash);
  server.add_unary("/etcdserverpb.Maintenance/HashKV", this, method_hash_kv);
  server.add_unary("/etcdserverpb.Maintenance/MoveLeader", this, method_move_leader);
  server.add_streaming("/etcdserverpb.Maintenance/Snapshot", this, method_snapshot);
}

void MaintenanceService::on_unary(http::CallId call, uint32_t method, std::string_view message) {
  switch (method) {
    case method_alarm:
      return alarm(call, message);
    case method_status:
      return status(call);
    // Memory is given back when versions go; there is no file to rewrite.
    case method_defragment:
      return context_.server.reply(call, etcdserverpb::DefragmentResponse().SerializeAsString());
    case method_hash:
      return hash(call);
    case method_hash_kv:
      return hash_kv(call, message);
    default:
      return move_leader(call, message);
  }
}

void MaintenanceService::alarm(http::CallId call, std::string_view message) {
  etcdserverpb::AlarmRequest request;
  if (!parse(&request, message)) return send_error(context_.server, call, kMalformedRequest);
  if (request.action() == etcdserverpb::AlarmRequest::GET) {
    const auto kind = static_cast<uint32_t>(request.alarm());
    return context_.pending.read(call, this, kind < alarm_kinds ? kind : 0);
  }
  // Our own bytes, not the client's: unknown fields of any size have no business in the log.
  request.DiscardUnknownFields();
  context_.pending.propose(call, kv::encode_command(kv::CommandType::alarm, request.SerializeAsString(),
                                                    context_.options.quota_bytes));
}

// A backup holds everything acknowledged before it was asked for: this member catches up first.
// Begun when the client has said all it will: one stream for a call, whatever it sent.
void MaintenanceService::on_half_closed(http::CallId call, uint32_t /*method*/) {
  context_.pending.read(call, this, tag_snapshot);
}

void MaintenanceService::begin_snapshot(http::CallId call) {
  etcdserverpb::ResponseHeader header;
  context_.fill_header(&header);
  header.set_revision(context_.store.current_revision());
  context_.long_answers.add(call, std::make_unique<BackupSource>(context_.store.begin_snapshot()),
                            header.SerializeAsString(), context_.store.snapshot_bytes_estimate());
}

void MaintenanceService::on_read(http::CallId call, uint32_t tag) {
  if (tag == tag_snapshot) return begin_snapshot(call);
  etcdserverpb::AlarmRequest request;
  request.set_alarm(static_cast<etcdserverpb::AlarmType>(tag));
  send_reply(context_.server, call, context_.store.alarm_list(request, context_.term()));
}

void MaintenanceService::on_failed(http::CallId call, uint32_t /*tag*/, const EtcdError& error) {
  send_error(context_.server, call, error);
}

void MaintenanceService::status(http::CallId call) {
  const ConsensusStatus& now = context_.status();
  const kv::StoreSizes sizes = context_.store.sizes();
  etcdserverpb::StatusResponse response;
  context_.fill_header(response.mutable_header());
  response.mutable_header()->set_revision(context_.store.current_revision());
  response.set_version(kServerVersion);
  response.set_dbsize(static_cast<int64_t>(sizes.held_bytes));
  response.set_dbsizeinuse(static_cast<int64_t>(sizes.in_use_bytes));
  response.set_leader(now.leader_member_id);
  response.set_raftindex(now.replica.decided.value);
  response.set_raftappliedindex(now.replica.applied.value);
  response.set_raftterm(now.replica.term);
  response.set_storageversion(kStorageVersion);
  response.set_dbsizequota(static_cast<int64_t>(context_.options.quota_bytes));
  response.mutable_downgradeinfo();
  for (const PeerStatus& peer : now.members)
    if (peer.member.member_id == now.identity.member_id)
      response.set_islearner(peer.member.role == MemberRole::learner);
  if (now.leader_member_id == 0) response.add_errors(std::string(kNoLeader.text));
  for (const kv::Alarm& alarm : context_.store.alarms())
    response.add_errors(
        fmt::format("memberID:{} alarm:{} ", alarm.member_id,
                    etcdserverpb::AlarmType_Name(static_cast<etcdserverpb::AlarmType>(alarm.kind))));
  if (now.disk_full) response.add_errors("the disk of this member is full: free space on it");
  context_.server.reply(call, response.SerializeAsString());
}

// Not etcd's number (that is over its file's pages): only good for comparing our members at one applied
// index.
void MaintenanceService::hash(http::CallId call) {
  etcdserverpb::HashResponse response;
  context_.fill_header(response.mutable_header());
  response.mutable_header()->set_revision(context_.store.current_revision());
  response.set_hash(static_cast<uint32_t>(context_.store.digest().lo));
  context_.server.reply(call, response.SerializeAsString());
}

void MaintenanceService::hash_kv(http::CallId call, std::string_view message) {
  etcdserverpb::HashKVRequest request;
  if (!parse(&request, message)) return send_error(context_.server, call, kMalformedRequest);
  auto outcome = context_.store.start_hash_kv(request.revision(), context_.term());
  if (auto* reply = std::get_if<Reply>(&outcome))
    send_reply(context_.server, call, std::move(*reply));
  else
    context_.long_answers.add(call, std::move(std::get<std::unique_ptr<kv::HashJob>>(outcome)));
}

void MaintenanceService::move_leader(http::CallId call, std::string_view message) {
  etcdserverpb::MoveLeaderRequest request;
  if (!parse(&request, message)) return send_error(context_.server, call, kMalformedRequest);
  if (!context_.is_leader()) return send_error(context_.server, call, kNotLeader);
  const ConsensusStatus& now = context_.status();
  const auto target = std::find_if(now.members.begin(), now.members.end(), [&](const PeerStatus& peer) {
    return peer.member.member_id == request.targetid() && peer.member.role == MemberRole::voter;
  });
  if (target == now.members.end()) return send_error(context_.server, call, kBadTransferee);
  if (target->member.member_id == now.identity.member_id)
    return context_.server.reply(call, etcdserverpb::MoveLeaderResponse().SerializeAsString());
  transfers_.push_back({call, request.targetid(), context_.clock() + context_.options.request_timeout});
  context_.consensus.transfer_leadership(target->member.node);
}

void MaintenanceService::tick(net::SteadyTime now) {
  if (transfers_.empty()) return;
  const uint64_t leader = context_.status().leader_member_id;
  const auto over = [&](const Transfer& transfer) {
    if (leader == transfer.target)
      context_.server.reply(transfer.call, etcdserverpb::MoveLeaderResponse().SerializeAsString());
    else if (now > transfer.deadline)
      send_error(context_.server, transfer.call, kTransferTimeout);
    return !context_.server.open(transfer.call) || leader == transfer.target || now > transfer.deadline;
  };
  transfers_.erase(std::remove_if(transfers_.begin(), transfers_.end(), over), transfers_.end());
}

}  // namespace decree::api
