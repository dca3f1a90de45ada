// The replica: one member's part of the protocol, without clock, thread, socket or file.
//
// Deterministic: the same recovered state, options and inputs give the same effects, byte for byte.
// Not thread-safe; one thread owns it. docs/protocol.md tells the protocol, src/paxos/replica.cc is its table
// of contents.
#pragma once

#include <memory>
#include <string>

#include "decree/effects.h"
#include "decree/options.h"
#include "decree/record.h"

namespace decree {

enum class Role : uint8_t { follower, candidate, leader };

struct ReplicaStatus {
  Role role = Role::follower;
  Ballot promised;
  Ballot leader;  // ballot followed or led; none = no leader known
  Slot decided;   // c
  Slot applied;   // handed out in Effects::decided
  Slot last_accepted;
  Slot snapshot_index;
  Slot log_first;   // oldest slot held in memory
  Digest128 chain;  // chain(applied)
  uint64_t term = 0;
  uint64_t elections = 0;       // started here
  uint64_t leader_changes = 0;  // seen here
  size_t proposals_pending = 0;
  bool voting = false;       // this member, with this disk, votes in the present epoch
  bool removed = false;      // the present epoch does not know this member
  bool disowned = false;     // a peer knows of writes that this disk has lost: it does not vote with it
  size_t unknown_slots = 0;  // damaged here and not yet repaired: Promises say Unknown
  bool ready = false;        // caught up once since the start: may answer serializable reads (attack A10)
};

class Replica {
 public:
  // A fresh directory: `recovered.has_membership` false and `genesis` given; the genesis record leaves with
  // the first step.
  Replica(RecoveredState recovered, const Membership& genesis, const Options& options);
  ~Replica();
  Replica(Replica&&) noexcept;
  Replica& operator=(Replica&&) noexcept;

  // The only door. Appends to `effects`; the host clears it. Deterministic, O(size of the input).
  void step(const Input& input, Effects& effects);

  // Call once after all inputs of a turn were stepped: forms the batch (one Accept per peer, one Law).
  // Equal inputs in equal turns give equal effects.
  void end_turn(Effects& effects);

  ReplicaStatus status() const;
  const Membership& membership() const;
  // Members of the last epoch that the present one does not list, and that may not know it yet.
  std::vector<Member> former_members() const;
  // How far `node` is known to have got: min of durable and decided; slot 0 when nothing is known.
  Slot progress_of(NodeId node) const;
  // The most durable writes that `node`'s disk was heard to hold (RecoveredState::disk_writes); 0: nothing
  // known.
  uint64_t disk_writes_of(NodeId node) const;
  NodeId self() const;

  // Empty when all of I1-I10 that one member can see hold, else the id and a sentence.
  std::string broken_invariant() const;

  // The safety kernel's state, for checkers (src/paxos/acceptor.h).
  const class Acceptor& acceptor() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree
