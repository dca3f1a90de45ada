#include "api/announcer.h"

#include "api/version.h"
#include "etcd/rpc.pb.h"
#include "kv/command.h"

namespace decree::api {

// Looks a few times a second; says nothing when the store already holds what it would say. Not before the
// member has caught up: its old attributes may still be in the part of the log that it has not seen.
void Announcer::tick(net::SteadyTime now) {
  if (waiting_ || now < next_) return;
  next_ = now + std::chrono::milliseconds(200);
  const ConsensusStatus& status = context_.status();
  if (!status.replica.ready || status.leader_member_id == 0) return;
  kv::MemberAttributes own;
  for (const PeerStatus& peer : status.members)
    if (peer.member.member_id == status.identity.member_id) own.name = peer.member.name;
  if (own.name.empty()) own.name = context_.options.name;  // added by address only
  own.client_urls = context_.options.advertise_client_urls;
  const auto known = context_.store.members().find(status.identity.member_id);
  if (known == context_.store.members().end() || !(known->second == own)) {
    etcdserverpb::Member member;
    member.set_id(status.identity.member_id);
    member.set_name(own.name);
    for (const std::string& url : own.client_urls) member.add_clienturls(url);
    waiting_ = true;
    return context_.pending.propose(
        {}, kv::encode_command(kv::CommandType::member_attributes, member.SerializeAsString()), this);
  }
  if (context_.is_leader() && context_.store.cluster_version() != kClusterVersion) {
    waiting_ = true;
    context_.pending.propose({}, kv::encode_command(kv::CommandType::cluster_version, kClusterVersion), this);
  }
}

}  // namespace decree::api
