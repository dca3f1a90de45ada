// Identifiers and values of the protocol. Standard library only.
//
// Every id is its own type, so that a slot can never be passed where a tick is meant. Values are
// immutable and shared: an Entry may sit in the log, in a frame and in the state machine at once.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace decree {

// A number with a meaning. Ordered, hashable, never converted silently.
template <class Tag, class Rep>
struct StrongId {
  Rep value{};
  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep v) : value(v) {}
  constexpr auto operator<=>(const StrongId&) const = default;
};

using NodeId =
    StrongId<struct NodeIdTag, uint32_t>;  // short node number, given once, never reused; 0 = nobody
using Incarnation = StrongId<struct IncarnationTag, uint64_t>;  // random, new with every new disk
using ClusterId = StrongId<struct ClusterIdTag, uint64_t>;
using Tick = StrongId<struct TickTag, uint64_t>;  // logical time, handed in by the host
using LogToken = StrongId<struct LogTokenTag,
                          uint64_t>;  // names a record handed out for persisting; monotone within one boot

// Position in the replicated log. The first slot ever used is 1; 0 means "none".
struct Slot : StrongId<struct SlotTag, uint64_t> {
  using StrongId::StrongId;
  constexpr Slot next() const { return Slot(value + 1); }
  constexpr Slot prev() const { return Slot(value - 1); }
  constexpr Slot operator+(uint64_t n) const { return Slot(value + n); }
  constexpr uint64_t operator-(Slot other) const { return value - other.value; }
};

// Half-open: first <= s < end.
struct SlotRange {
  Slot first;
  Slot end;
  constexpr bool empty() const { return end <= first; }
  constexpr uint64_t size() const { return empty() ? 0 : end.value - first.value; }
  constexpr bool contains(Slot s) const { return first <= s && s < end; }
  constexpr auto operator<=>(const SlotRange&) const = default;
};

// Paxos ballot, lexicographic, unique because the node is in it; all zero = "none" (protocol 2.2).
// The epoch comes first: nothing of an old epoch can outrank a ballot of the new one.
struct Ballot {
  uint32_t epoch = 0;
  uint32_t round = 0;
  uint16_t priority = 0;
  NodeId node;
  constexpr auto operator<=>(const Ballot&) const = default;
  constexpr bool is_none() const { return *this == Ballot{}; }
  // etcd's raft_term: monotone, the same meaning on all members.
  constexpr uint64_t term() const { return (static_cast<uint64_t>(epoch) << 32) | round; }
};

struct Digest128 {
  uint64_t hi = 0;
  uint64_t lo = 0;
  constexpr auto operator<=>(const Digest128&) const = default;
};

// Next link of the chain over slots: chain(s) = mix(chain(s-1), s, digest of the entry at s).
// Non-linear, so that neighbouring entries cannot cancel out. Not cryptographic: the members trust one
// another.
Digest128 chain_link(Digest128 previous, Slot slot, Digest128 entry);

// Names a client's proposal. Never reused: `boot` counts the starts of the node on its disk.
struct RequestId {
  NodeId node;
  uint64_t boot = 0;
  uint64_t seq = 0;
  constexpr auto operator<=>(const RequestId&) const = default;
};

enum class EntryKind : uint8_t {
  noop = 0,       // fills a slot that nobody claimed
  command = 1,    // a client's command for the state machine
  barrier = 2,    // first entry of a new leader in its own ballot; reads wait for it
  stop_sign = 3,  // last entry of an epoch; payload = encoded Membership of the next
};

// One value of the log. Payload is shared and immutable; null means empty.
struct Entry {
  EntryKind kind = EntryKind::noop;
  RequestId id;
  Digest128 digest;  // of kind, id and payload, computed by whoever created the entry, checked by hosts
  std::shared_ptr<const std::string> payload;

  std::string_view bytes() const { return payload ? std::string_view(*payload) : std::string_view(); }
  // Same value: a digest only helps to say no quickly, bytes decide (attack A6).
  friend bool operator==(const Entry& a, const Entry& b) {
    return a.kind == b.kind && a.id == b.id && a.digest == b.digest &&
           (a.payload == b.payload || a.bytes() == b.bytes());
  }
  uint64_t weight_bytes() const { return 64 + bytes().size(); }
};

// What an acceptor holds at a slot. A Law (`law`) is known chosen and stays one (protocol 2.7).
struct AcceptedEntry {
  Ballot ballot;
  bool law = false;
  Entry entry;
  friend bool operator==(const AcceptedEntry&, const AcceptedEntry&) = default;
};

// Not for digests or traces: only for look-up tables inside one process.
struct IdHash {
  size_t operator()(const RequestId& id) const {
    uint64_t h = (static_cast<uint64_t>(id.node.value) << 48) ^ (id.boot << 32) ^ id.seq;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdULL;
    return static_cast<size_t>(h ^ (h >> 33));
  }
};

}  // namespace decree
