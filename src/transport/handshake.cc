#include "transport/handshake.h"

#include <algorithm>

#include <fmt/format.h>
#include "decree/peer.pb.h"

namespace decree::transport {
namespace {

constexpr size_t kTextMax = 256;

std::string printable(std::string_view text) {
  std::string out(text.substr(0, kTextMax));
  for (char& c : out)
    if (c < ' ' || c > '~') c = '?';
  return out;
}

const Member* find(const std::vector<Member>& members, NodeId node) {
  for (const Member& m : members)
    if (m.node == node) return &m;
  return nullptr;
}

}  // namespace

Hello make_hello(const Self& self, const Member& to, Purpose purpose) {
  Hello hello;
  hello.cluster = self.cluster;
  hello.from = self.node;
  hello.from_member_id = self.member_id;
  hello.from_incarnation = self.incarnation;
  hello.to = to.node;
  hello.to_member_id = to.member_id;
  hello.to_incarnation = to.incarnation;
  hello.purpose = purpose;
  hello.name = self.name;
  hello.release = self.release;
  hello.boot = self.boot;
  hello.disk_writes = self.disk_writes;
  hello.epoch = self.epoch;
  return hello;
}

std::string encode_hello(const Hello& hello) {
  peer::Hello wire;
  wire.set_format_version(hello.format);
  wire.set_format_version_min(hello.format_min);
  wire.set_cluster_id(hello.cluster.value);
  wire.set_from_node(hello.from.value);
  wire.set_from_member_id(hello.from_member_id);
  wire.set_from_incarnation(hello.from_incarnation.value);
  wire.set_to_node(hello.to.value);
  wire.set_to_member_id(hello.to_member_id);
  wire.set_to_incarnation(hello.to_incarnation.value);
  wire.set_purpose(static_cast<peer::Purpose>(hello.purpose));
  wire.set_name(printable(hello.name));
  wire.set_release(printable(hello.release));
  wire.set_boot(hello.boot);
  wire.set_disk_writes(hello.disk_writes);
  for (const std::string& url : hello.peer_urls) wire.add_peer_urls(printable(url));
  wire.set_membership(hello.membership);
  wire.set_epoch(hello.epoch);
  return wire.SerializeAsString();
}

std::optional<Hello> decode_hello(std::string_view bytes) {
  peer::Hello wire;
  if (!wire.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  if (wire.purpose() < peer::PURPOSE_MAIN || wire.purpose() > peer::PURPOSE_JOIN) return std::nullopt;
  Hello hello;
  hello.format = wire.format_version();
  hello.format_min = wire.format_version_min();
  hello.cluster = ClusterId(wire.cluster_id());
  hello.from = NodeId(wire.from_node());
  hello.from_member_id = wire.from_member_id();
  hello.from_incarnation = Incarnation(wire.from_incarnation());
  hello.to = NodeId(wire.to_node());
  hello.to_member_id = wire.to_member_id();
  hello.to_incarnation = Incarnation(wire.to_incarnation());
  hello.purpose = static_cast<Purpose>(wire.purpose());
  hello.name = printable(wire.name());
  hello.release = printable(wire.release());
  hello.boot = wire.boot();
  hello.disk_writes = wire.disk_writes();
  for (const std::string& url : wire.peer_urls()) hello.peer_urls.push_back(printable(url));
  hello.membership = wire.membership();
  hello.epoch = wire.epoch();
  return hello;
}

std::string encode_refusal(const Refusal& refusal) {
  peer::Refusal wire;
  wire.set_code(static_cast<uint32_t>(refusal.code));
  wire.set_reason(refusal.reason);
  return wire.SerializeAsString();
}

Refusal decode_refusal(std::string_view bytes) {
  peer::Refusal wire;
  if (!wire.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Refusal{RefusalCode::malformed, "an unreadable refusal"};
  const uint32_t code = std::clamp<uint32_t>(wire.code(), 1, static_cast<uint32_t>(RefusalCode::busy));
  std::string reason(wire.reason().substr(0, 2 * kTextMax));
  for (char& c : reason)
    if (c < ' ' || c > '~') c = '?';
  return Refusal{static_cast<RefusalCode>(code), std::move(reason)};
}

std::optional<Refusal> check_join(const Self& self, const std::vector<Member>& members, const Hello& hello) {
  for (const Member& m : members)
    for (const std::string& url : m.peer_urls)
      if (std::find(hello.peer_urls.begin(), hello.peer_urls.end(), url) != hello.peer_urls.end())
        return std::nullopt;
  return Refusal{
      RefusalCode::unknown_member,
      fmt::format("the cluster of member {} has no member at {}: add it first (etcdctl member add {} "
                  "--peer-urls={}), then start it",
                  self.name, fmt::join(hello.peer_urls, ","), hello.name, fmt::join(hello.peer_urls, ","))};
}

std::optional<Refusal> check_hello(const Self& self, const std::vector<Member>& members, const Hello& hello) {
  const auto no = [](RefusalCode code, std::string reason) { return Refusal{code, std::move(reason)}; };
  if (hello.format_min > kMessageFormat || hello.format < kMessageFormatMin)
    return no(RefusalCode::newer_format, fmt::format("member {} (release {}) speaks peer format {}..{}, you "
                                                     "need {}..{}: upgrade one release at a time",
                                                     self.name, self.release, kMessageFormatMin,
                                                     kMessageFormat, hello.format_min, hello.format));
  if (hello.cluster != self.cluster)
    return no(RefusalCode::other_cluster,
              fmt::format("member {} belongs to cluster {:x}, you to cluster {:x}: --initial-cluster and "
                          "--initial-cluster-token must be the same on all members, and the data directory "
                          "of the same cluster",
                          self.name, self.cluster.value, hello.cluster.value));
  if (hello.to != self.node || hello.to_member_id != self.member_id)
    return no(RefusalCode::wrong_member, fmt::format("this address belongs to member {} ({:x}), not to the "
                                                     "one you look for ({:x}): check the peer URLs "
                                                     "in --initial-cluster",
                                                     self.name, self.member_id, hello.to_member_id));
  const Member* from = find(members, hello.from);
  if (from == nullptr || from->member_id != hello.from_member_id)
    return no(RefusalCode::unknown_member,
              fmt::format("member {:x} ({}) is not in the cluster that member {} knows: it was "
                          "removed, or its data directory is of another member",
                          hello.from_member_id, hello.name, self.name));
  if (hello.from == self.node)
    return no(RefusalCode::unknown_member,
              fmt::format("two processes say they are member {} ({:x}): stop one of them", self.name,
                          self.member_id));
  if (hello.epoch >= self.epoch && hello.to_incarnation != Incarnation(0) &&
      hello.to_incarnation != self.incarnation)
    return no(RefusalCode::wrong_incarnation,
              fmt::format("you know member {} with another disk: its data directory was replaced; when the "
                          "old disk stays silent, the leader lets it in again by itself",
                          self.name));
  if (hello.epoch <= self.epoch && from->incarnation != Incarnation(0) &&
      from->incarnation != hello.from_incarnation)
    return no(RefusalCode::wrong_incarnation,
              fmt::format("member {} knows you with another disk: your data directory was emptied or "
                          "replaced, what you promised before is lost; when the old disk stays silent, the "
                          "leader lets you in again by itself, and you vote when you have caught up",
                          self.name));
  return std::nullopt;
}

}  // namespace decree::transport
