#include "server/identity.h"

#include <random>
#include <string>

#include <xxhash.h>

namespace decree::server {
namespace {

// Lengths go in as well, so that no two lists of texts look alike.
class Hash {
 public:
  void add(const std::string& text) {
    bytes_ += std::to_string(text.size());
    bytes_ += ':';
    bytes_ += text;
  }
  uint64_t value() const {
    const uint64_t v = XXH3_64bits(bytes_.data(), bytes_.size());
    return v == 0 ? 1 : v;
  }

 private:
  std::string bytes_;
};

}  // namespace

Genesis make_genesis(const Config& config) {
  Genesis genesis;
  std::vector<decree::Member> members;
  Hash cluster;
  cluster.add(config.cluster_token);
  for (const InitialMember& initial : config.initial_cluster) {
    decree::Member m;
    m.node = NodeId(static_cast<uint32_t>(members.size() + 1));
    m.name = initial.name;
    m.peer_urls = initial.peer_urls;
    Hash id;
    id.add(config.cluster_token);
    id.add(initial.name);
    for (const std::string& url : initial.peer_urls) id.add(url);
    m.member_id = id.value();
    cluster.add(std::to_string(m.member_id));
    if (m.name == config.name) {
      genesis.identity.node = m.node;
      genesis.identity.member_id = m.member_id;
    }
    members.push_back(std::move(m));
  }
  genesis.identity.cluster = ClusterId(cluster.value());
  genesis.membership = make_membership(std::move(members));
  return genesis;
}

Incarnation draw_incarnation() {
  std::random_device device;
  uint64_t value = 0;
  while (value == 0) value = (static_cast<uint64_t>(device()) << 32) | device();
  return Incarnation(value);
}

uint64_t request_boot(Incarnation incarnation, uint64_t starts, uint32_t nonce) {
  return (incarnation.value & 0xfffff) << 44 | (starts & 0xfffff) << 24 | (nonce & 0xffffff);
}

uint32_t draw_nonce() { return std::random_device()(); }

}  // namespace decree::server
