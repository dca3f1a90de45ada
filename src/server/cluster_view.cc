#include "server/cluster_view.h"

#include <utility>

#include "etcd/rpc.pb.h"
#include "kv/command.h"

namespace decree::server {

ClusterView::ClusterView(runtime::Node& node, const kv::Store& store, const transport::Transport& transport, Own own)
    : node_(node), store_(store), transport_(transport), own_(std::move(own)) {
  node_.set_sink(this);
}

void ClusterView::announce() {
  const ReplicaStatus replica = node_.replica().status();
  if (!replica.ready || replica.leader.is_none()) return;
  const auto known = store_.members().find(own_.member_id);
  const bool told = known != store_.members().end() && known->second.name == own_.name &&
                    known->second.client_urls == own_.client_urls;
  if (!told && member_proposal_ == 0) {
    etcdserverpb::Member member;
    member.set_id(own_.member_id);
    member.set_name(own_.name);
    for (const std::string& url : own_.client_urls) member.add_clienturls(url);
    member_proposal_ = node_.propose(kv::encode_command(kv::CommandType::member_attributes, member.SerializeAsString()));
  }
  if (replica.role == Role::leader && store_.cluster_version() != own_.cluster_version && version_proposal_ == 0)
    version_proposal_ = node_.propose(kv::encode_command(kv::CommandType::cluster_version, own_.cluster_version));
}

ConsensusStatus ClusterView::status() const {
  ConsensusStatus status = node_.status();
  for (PeerStatus& peer : status.members) {
    const auto known = store_.members().find(peer.member.member_id);
    if (known != store_.members().end()) peer.client_urls = known->second.client_urls;
    peer.round_trip_us = transport_.round_trip_us(peer.member.node);
  }
  return status;
}

bool ClusterView::take(uint64_t seq) {
  for (uint64_t* own : {&member_proposal_, &version_proposal_}) {
    if (*own != seq) continue;
    *own = 0;  // announce() looks whether it has to be said again
    return true;
  }
  return false;
}

void ClusterView::on_applied(uint64_t seq, Reply reply) {
  if (take(seq)) return;
  if (sink_ != nullptr) sink_->on_applied(seq, std::move(reply));
}

void ClusterView::on_outcome(uint64_t seq, Outcome outcome) {
  if (take(seq)) return;
  if (sink_ != nullptr) sink_->on_outcome(seq, outcome);
}

void ClusterView::on_read(uint64_t seq, bool ok) {
  if (sink_ != nullptr) sink_->on_read(seq, ok);
}

}  // namespace decree::server
