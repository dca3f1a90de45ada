// What one member remembers of a slot: who proposed what, and when this member learned what. For people to
// read (`decree explain`); nothing is ever decided by it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "decree/membership.h"
#include "decree/types.h"

namespace decree {

// When this leader heard that `node` holds the slot durably at the leader's ballot.
struct SlotAcknowledgement {
  NodeId node;
  uint64_t at_us = 0;
};

// Times are microseconds on this member's own monotonic clock, whose zero means nothing; 0 = did not happen
// here, or was not seen.
struct SlotHistory {
  Slot slot;
  // False: not in the bounded history (never seen, or overwritten); then only what the log on disk tells is
  // filled in, if `in_log`.
  bool in_history = false;
  bool in_log = false;

  EntryKind kind = EntryKind::noop;
  RequestId id;
  uint32_t payload_bytes = 0;
  uint8_t payload_type = 0;    // the state machine's own tag in the payload, as kv::CommandType; 0 = none
  Ballot ballot;               // at which the slot was last accepted here; none: only learned as a Law
  Ballot first_ballot;         // at which it was first accepted here
  uint32_t acceptances = 0;    // so often accepted here, each at another ballot
  bool value_changed = false;  // what was accepted first lost to another value
  bool proposed_here = false;  // this member leads `ballot`
  bool learned = false;        // came from a peer as decided
  uint64_t version = 0;        // of the state machine with this slot applied (etcd's revision)

  uint64_t taken_us = 0;     // handed in by a client of this member
  uint64_t accepted_us = 0;  // proposed or accepted here, in memory
  uint64_t durable_us = 0;
  uint64_t decided_us = 0;  // known to be decided
  uint64_t applied_us = 0;
  std::vector<SlotAcknowledgement> acknowledged;  // at the leader of `ballot`, in order of time

  // Who voted in the ballot's epoch, and how many of them decided; empty when that epoch is not remembered.
  std::vector<Member> voters;
  uint32_t bill_quorum = 0;

  // How far this member is, to tell "not yet" from "no longer".
  Slot oldest;  // oldest slot that the history may still hold
  Slot decided;
  Slot applied;
  uint64_t now_us = 0;
};

}  // namespace decree
