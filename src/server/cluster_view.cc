#include "server/cluster_view.h"

namespace decree::server {

ConsensusStatus ClusterView::status() const {
  ConsensusStatus status = node_.status();
  for (PeerStatus& peer : status.members) {
    const auto known = store_.members().find(peer.member.member_id);
    if (known != store_.members().end()) peer.client_urls = known->second.client_urls;
    peer.round_trip_us = transport_.round_trip_us(peer.member.node);
  }
  return status;
}

}  // namespace decree::server
