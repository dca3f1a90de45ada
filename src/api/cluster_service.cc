#include "api/cluster_service.h"

#include "etcd/rpc.pb.h"

namespace decree::api {

ClusterService::ClusterService(Context& context) : context_(context) {
  context_.server.add_unary("/etcdserverpb.Cluster/MemberList", this, 0);
}

void ClusterService::on_unary(http::CallId call, uint32_t /*method*/, std::string_view message) {
  etcdserverpb::MemberListRequest request;
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size())))
    return send_error(context_.server, call, kMalformedRequest);
  if (request.linearizable()) return context_.pending.read(call, this, 0);
  list(call);
}

void ClusterService::on_read(http::CallId call, uint32_t /*tag*/) { list(call); }

void ClusterService::on_failed(http::CallId call, uint32_t /*tag*/, const EtcdError& error) {
  send_error(context_.server, call, error);
}

void ClusterService::list(http::CallId call) {
  etcdserverpb::MemberListResponse response;
  context_.fill_header(response.mutable_header());
  const ConsensusStatus& now = context_.status();
  const auto& attributes = context_.store.members();
  for (const PeerStatus& peer : now.members) {
    etcdserverpb::Member* member = response.add_members();
    member->set_id(peer.member.member_id);
    for (const std::string& url : peer.member.peer_urls) member->add_peerurls(url);
    member->set_islearner(peer.member.role == MemberRole::learner);
    // A member without attributes has not started yet: etcd shows it without a name, and so do its tools.
    const auto known = attributes.find(peer.member.member_id);
    if (known != attributes.end()) {
      member->set_name(known->second.name);
      for (const std::string& url : known->second.client_urls) member->add_clienturls(url);
    } else if (peer.member.member_id == now.identity.member_id) {
      member->set_name(peer.member.name);
      for (const std::string& url : context_.options.advertise_client_urls) member->add_clienturls(url);
    } else if (!peer.client_urls.empty()) {
      member->set_name(peer.member.name);
      for (const std::string& url : peer.client_urls) member->add_clienturls(url);
    }
  }
  context_.server.reply(call, response.SerializeAsString());
}

}  // namespace decree::api
