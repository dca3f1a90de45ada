#include "api/cluster_service.h"

#include <algorithm>

#include "api/parse.h"
#include "etcd/rpc.pb.h"
#include "net/tcp.h"

namespace decree::api {

namespace {

constexpr uint32_t kAttemptsMax = 10;
constexpr size_t kMembersMax = 32;
constexpr size_t kLearnersMax = 1;  // as etcd's --max-learners

using http::GrpcCode;
constexpr EtcdError kBadUrls{GrpcCode::invalid_argument, "etcdserver: given member URLs are invalid"};
constexpr EtcdError kUrlExists{GrpcCode::failed_precondition, "etcdserver: Peer URLs already exists"};
constexpr EtcdError kNotFound{GrpcCode::not_found, "etcdserver: member not found"};
constexpr EtcdError kNotLearner{GrpcCode::failed_precondition,
                                "etcdserver: can only promote a learner member"};
constexpr EtcdError kLearnerNotReady{
    GrpcCode::failed_precondition,
    "etcdserver: can only promote a learner member which is in sync with leader"};
constexpr EtcdError kTooManyLearners{GrpcCode::failed_precondition,
                                     "etcdserver: too many learner members in cluster"};
constexpr EtcdError kNotEnoughStarted{
    GrpcCode::failed_precondition, "etcdserver: re-configuration failed due to not enough started members"};
constexpr EtcdError kUnhealthy{GrpcCode::unavailable, "etcdserver: unhealthy cluster"};

bool is_peer_url(const std::string& url) {
  constexpr std::string_view scheme = "http://";
  return url.rfind(scheme, 0) == 0 && net::parse_host_port(std::string_view(url).substr(scheme.size())).ok();
}

uint64_t make_member_id(ClusterId cluster, NodeId node, const std::vector<std::string>& urls) {
  Digest128 d{cluster.value, node.value};
  for (const std::string& url : urls)
    for (const char c : url) d = chain_link(d, Slot(static_cast<unsigned char>(c)), Digest128{url.size(), 1});
  return d.hi == 0 ? 1 : d.hi;
}

}  // namespace

ClusterService::ClusterService(Context& context) : context_(context) {
  context_.server.add_unary("/etcdserverpb.Cluster/MemberList", this, kList);
  context_.server.add_unary("/etcdserverpb.Cluster/MemberAdd", this, kAdd);
  context_.server.add_unary("/etcdserverpb.Cluster/MemberRemove", this, kRemove);
  context_.server.add_unary("/etcdserverpb.Cluster/MemberUpdate", this, kUpdate);
  context_.server.add_unary("/etcdserverpb.Cluster/MemberPromote", this, kPromote);
}

void ClusterService::on_unary(http::CallId call, uint32_t method, std::string_view message) {
  if (method == kList) {
    etcdserverpb::MemberListRequest request;
    if (!api::parse(&request, message)) return send_error(context_.server, call, kMalformedRequest);
    if (request.linearizable()) return context_.pending.read(call, this, 0);
    return list(call);
  }
  Change change;
  if (!parse(method, message, &change)) return send_error(context_.server, call, kMalformedRequest);
  const uint32_t tag = next_tag_++;
  changes_.emplace(tag, std::move(change));
  propose(call, tag);
}

bool ClusterService::parse(uint32_t method, std::string_view message, Change* change) const {
  change->method = static_cast<Method>(method);
  const auto take_urls = [&](const auto& urls) {
    for (std::string url : urls) {
      if (!url.empty() && url.back() == '/') url.pop_back();
      change->peer_urls.push_back(std::move(url));
    }
    std::sort(change->peer_urls.begin(), change->peer_urls.end());
  };
  if (method == kAdd) {
    etcdserverpb::MemberAddRequest request;
    if (!api::parse(&request, message)) return false;
    take_urls(request.peerurls());
    change->learner = request.islearner();
    return true;
  }
  if (method == kUpdate) {
    etcdserverpb::MemberUpdateRequest request;
    if (!api::parse(&request, message)) return false;
    change->id = request.id();
    take_urls(request.peerurls());
    return true;
  }
  if (method == kRemove) {
    etcdserverpb::MemberRemoveRequest request;
    if (!api::parse(&request, message)) return false;
    change->id = request.id();
    return true;
  }
  etcdserverpb::MemberPromoteRequest request;
  if (!api::parse(&request, message)) return false;
  change->id = request.id();
  return true;
}

void ClusterService::propose(http::CallId call, uint32_t tag) {
  Change& change = changes_.at(tag);
  ++change.attempts;
  context_.forget_status();
  const Membership& now = context_.consensus.membership();
  Membership next = now;
  ++next.epoch;
  if (const std::optional<EtcdError> error = edit(change, &next)) {
    changes_.erase(tag);
    return send_error(context_.server, call, *error);
  }
  // The names that members announced since: a member is added without one.
  for (Member& m : next.members) {
    const auto known = context_.store.members().find(m.member_id);
    if (m.name.empty() && known != context_.store.members().end()) m.name = known->second.name;
  }
  resize_quorums(now, &next);
  // The operator named the member: that he means it is as sure as it gets. What could not start is refused
  // by the leader all the same.
  context_.pending.change(call, std::move(next), true, this, tag);
}

std::optional<EtcdError> ClusterService::edit(Change& change, Membership* next) {
  for (const std::string& url : change.peer_urls)
    if (!is_peer_url(url)) return kBadUrls;
  if ((change.method == kAdd || change.method == kUpdate) && change.peer_urls.empty()) return kBadUrls;
  const auto member = std::find_if(next->members.begin(), next->members.end(),
                                   [&](const Member& m) { return m.member_id == change.id; });
  if (change.method != kAdd && member == next->members.end()) return kNotFound;
  for (const Member& m : next->members)
    for (const std::string& url : m.peer_urls)
      if ((change.method == kAdd || m.member_id != change.id) &&
          std::find(change.peer_urls.begin(), change.peer_urls.end(), url) != change.peer_urls.end())
        return kUrlExists;
  switch (change.method) {
    case kList:
      break;
    case kAdd:
      return edit_add(change, next);
    case kRemove:
      if (auto error = may_remove(*member)) return error;
      next->members.erase(member);
      break;
    case kUpdate:
      member->peer_urls = change.peer_urls;
      break;
    case kPromote:
      if (auto error = may_promote(*member)) return error;
      member->role = MemberRole::voter;
      break;
  }
  return std::nullopt;
}

std::optional<EtcdError> ClusterService::edit_add(Change& change, Membership* next) {
  size_t learners = 0;
  for (const Member& m : next->members)
    if (m.role == MemberRole::learner) ++learners;
  if (change.learner && learners >= kLearnersMax) return kTooManyLearners;
  if (next->members.size() >= kMembersMax) return kTooManyLearners;
  Member added;
  added.node = next_node(*next);
  added.peer_urls = change.peer_urls;
  added.member_id = make_member_id(context_.status().identity.cluster, added.node, change.peer_urls);
  added.role = change.learner ? MemberRole::learner : MemberRole::joining;
  change.id = added.member_id;
  next->members.push_back(std::move(added));
  return std::nullopt;
}

// etcd's --strict-reconfig-check: those who stay and are there must be a quorum of what stays.
std::optional<EtcdError> ClusterService::may_remove(const Member& member) {
  if (member.role != MemberRole::voter) return std::nullopt;
  uint32_t voters = 0;
  uint32_t there = 0;
  for (const PeerStatus& p : context_.status().members) {
    if (p.member.role != MemberRole::voter || p.member.member_id == member.member_id) continue;
    ++voters;
    if (p.connected) ++there;
  }
  if (voters == 0) return kNotEnoughStarted;
  if (there < voters / 2 + 1) return kUnhealthy;
  return std::nullopt;
}

std::optional<EtcdError> ClusterService::may_promote(const Member& member) {
  if (member.role == MemberRole::voter) return kNotLearner;
  const ConsensusStatus& now = context_.status();
  for (const PeerStatus& p : now.members) {
    if (p.member.node != member.node) continue;
    const bool ready = p.connected && p.progress.value >= now.replica.decided.value / 10 * 9 &&
                       p.progress.next() >= context_.consensus.membership().base;
    return ready ? std::nullopt : std::optional(kLearnerNotReady);
  }
  return kNotFound;
}

void ClusterService::on_applied(http::CallId call, uint32_t tag, Reply /*reply*/) {
  const auto it = changes_.find(tag);
  if (it == changes_.end()) return;
  const Change change = std::move(it->second);
  changes_.erase(it);
  context_.forget_status();
  answer(call, change);
}

void ClusterService::on_change_refused(http::CallId call, uint32_t tag, const ChangeRefused& why) {
  const auto it = changes_.find(tag);
  if (it == changes_.end()) return;
  // Another change came first: look at what the members are now, and ask once more.
  using Kind = ChangeRefused::Kind;
  if (why.kind == Kind::outdated && it->second.attempts < kAttemptsMax) return propose(call, tag);
  const Method method = it->second.method;
  changes_.erase(it);
  context_.log("change of members refused cause=\"" + why.sentence + "\"");
  if (why.kind == Kind::not_caught_up && method == kPromote)
    return send_error(context_.server, call, kLearnerNotReady);
  if (why.kind == Kind::unreachable) return send_error(context_.server, call, kUnhealthy);
  // etcd's text first, for programs; the reason behind it, for the operator.
  const std::string text = std::string(kNotEnoughStarted.text) + ": " + why.sentence;
  send_error(context_.server, call, EtcdError{kNotEnoughStarted.code, text});
}

void ClusterService::on_read(http::CallId call, uint32_t /*tag*/) { list(call); }

void ClusterService::on_failed(http::CallId call, uint32_t tag, const EtcdError& error) {
  changes_.erase(tag);
  send_error(context_.server, call, error);
}

namespace {

void fill_member(Context& context, const PeerStatus& peer, etcdserverpb::Member* member) {
  const ConsensusStatus& now = context.status();
  member->set_id(peer.member.member_id);
  for (const std::string& url : peer.member.peer_urls) member->add_peerurls(url);
  member->set_islearner(peer.member.role != MemberRole::voter);
  // A member without attributes has not started yet: etcd shows it without a name, and so do its tools.
  const auto& attributes = context.store.members();
  const auto known = attributes.find(peer.member.member_id);
  if (known != attributes.end()) {
    member->set_name(known->second.name);
    for (const std::string& url : known->second.client_urls) member->add_clienturls(url);
  } else if (peer.member.member_id == now.identity.member_id) {
    member->set_name(peer.member.name.empty() ? context.options.name : peer.member.name);
    for (const std::string& url : context.options.advertise_client_urls) member->add_clienturls(url);
  } else if (!peer.client_urls.empty()) {
    member->set_name(peer.member.name);
    for (const std::string& url : peer.client_urls) member->add_clienturls(url);
  }
}

template <class Response>
void fill(Context& context, Response* response) {
  context.fill_header(response->mutable_header());
  for (const PeerStatus& peer : context.status().members) fill_member(context, peer, response->add_members());
}

}  // namespace

void ClusterService::list(http::CallId call) {
  etcdserverpb::MemberListResponse response;
  fill(context_, &response);
  context_.server.reply(call, response.SerializeAsString());
}

void ClusterService::answer(http::CallId call, const Change& change) {
  if (change.method == kAdd) {
    etcdserverpb::MemberAddResponse response;
    fill(context_, &response);
    for (const PeerStatus& peer : context_.status().members)
      if (peer.member.member_id == change.id) fill_member(context_, peer, response.mutable_member());
    return context_.server.reply(call, response.SerializeAsString());
  }
  // The other three answers have the same fields.
  etcdserverpb::MemberRemoveResponse response;
  fill(context_, &response);
  context_.server.reply(call, response.SerializeAsString());
}

}  // namespace decree::api
