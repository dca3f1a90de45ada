// Who votes, and how many votes decide. Changed only by a stop sign: the last entry of an epoch, whose
// payload is the membership of the next one (docs/decisions/0014, attacks A3, A9, A11, A15, A17 of
// docs/protocol.md).
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "decree/types.h"

namespace decree {

// A joining member is a learner that the leader makes a voter, by itself, once it has caught up.
enum class MemberRole : uint8_t { voter = 0, learner = 1, joining = 2 };

struct Member {
  NodeId node;
  Incarnation incarnation;  // 0 = not known yet (before the first handshake)
  MemberRole role = MemberRole::voter;
  uint64_t member_id = 0;  // etcd's 64-bit id
  std::string name;
  std::vector<std::string> peer_urls;
  friend bool operator==(const Member&, const Member&) = default;
};

// Members sorted by node. election_quorum (q1) + bill_quorum (q2) > number of voters.
struct Membership {
  uint32_t epoch = 0;
  Slot base;  // first slot of the epoch; acceptors refuse slots below it in this epoch
  uint32_t election_quorum = 0;
  uint32_t bill_quorum = 0;
  std::vector<Member> members;
  NodeId first_leader;  // may lead the epoch by its initial ballot, without an Election; 0 = nobody (genesis)
  NodeId last_node;     // highest node number ever given, removed members included; 0 = the highest listed
  friend bool operator==(const Membership&, const Membership&) = default;

  uint32_t voter_count() const {
    return static_cast<uint32_t>(std::count_if(members.begin(), members.end(),
                                               [](const Member& m) { return m.role == MemberRole::voter; }));
  }
  const Member* find(NodeId node) const {
    for (const Member& m : members)
      if (m.node == node) return &m;
    return nullptr;
  }
  bool is_voter(NodeId node) const {
    const Member* m = find(node);
    return m != nullptr && m->role == MemberRole::voter;
  }
};

// Majorities: q1 = q2 = floor(N/2)+1.
Membership make_membership(std::vector<Member> members, uint32_t epoch = 0, Slot base = Slot(1));

// Empty when valid, else a sentence: no voters, duplicate nodes, q1 + q2 <= N, a quorum above N or of zero.
std::string membership_problem(const Membership& membership);

// How many voters may fail for good without stopping elections or writes.
uint32_t fault_tolerance(const Membership& membership);

// Sets the quorums of `next` for its number of voters: majorities where `current` has majorities, else the
// bill quorum stays as large as it fits and the election quorum is the smallest that meets it.
void resize_quorums(const Membership& current, Membership* next);

// The number the next added member gets.
NodeId next_node(const Membership& membership);

// The lowest ballot of the epoch, which needs no Election: nobody can have accepted anything below it. Only
// membership.first_leader may use it, and only in the boot that wrote the epoch record (attack A3).
Ballot initial_ballot(const Membership& membership);

// The membership that a stop sign names; epoch 0 when `entry` is none.
Membership stop_sign_membership(const Entry& entry);

// Deterministic binary form, for stop-sign payloads, epoch records and snapshots (format in
// docs/wal_format.md).
std::string encode_membership(const Membership& membership);
// False when the bytes are not a whole membership of a known version; `out` is then unspecified.
bool decode_membership(std::string_view bytes, Membership* out);

}  // namespace decree
