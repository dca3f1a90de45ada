// How a service sees consensus: propose, read, status. Implemented by runtime/node and by test doubles.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "decree/effects.h"
#include "decree/history.h"
#include "decree/replica.h"
#include "decree/state_machine.h"

namespace decree {

struct PeerStatus {
  Member member;
  bool connected = false;
  uint64_t round_trip_us = 0;
  Slot progress;                         // decided and durable there, as far as this member heard
  std::vector<std::string> client_urls;  // as the member announced them; empty until then
};

struct ConsensusStatus {
  ReplicaStatus replica;
  Identity identity;
  std::vector<PeerStatus> members;  // sorted by node, self included
  uint64_t leader_member_id = 0;    // 0 = none
  bool disk_full = false;
  // Members' states differ and no majority says which is right (docs/decisions/0016).
  bool state_disputed = false;
  uint64_t log_bytes = 0;
};

// Called from the loop's thread, never from inside propose() or read().
class ConsensusSink {
 public:
  virtual ~ConsensusSink() = default;
  // The command with this number was applied here.
  virtual void on_applied(uint64_t seq, Reply reply) = 0;
  // Chosen is told by on_applied; this tells the other two.
  virtual void on_outcome(uint64_t seq, Outcome outcome) = 0;
  // Definitely not, because its leader went before it could propose the command; the next one may take it.
  virtual void on_leader_gone(uint64_t seq) { on_outcome(seq, Outcome::definitely_not); }
  // A change of members was refused and will never happen.
  virtual void on_change_refused(uint64_t seq, const ChangeRefused& /*why*/) {
    on_outcome(seq, Outcome::definitely_not);
  }
  // ok: everything acknowledged before the read was asked is applied here.
  virtual void on_read(uint64_t seq, bool ok) = 0;
};

class Consensus {
 public:
  virtual ~Consensus() = default;
  virtual void set_sink(ConsensusSink* sink) = 0;
  // Numbers are never reused within a boot. Never blocks; when queues are full the outcome is definitely_not.
  // The command is shared, not copied: whoever keeps it can submit it again (on_leader_gone).
  virtual uint64_t propose(std::shared_ptr<const std::string> command) = 0;
  uint64_t propose(std::string command) {
    return propose(std::make_shared<const std::string>(std::move(command)));
  }
  virtual uint64_t read() = 0;
  virtual ConsensusStatus status() const = 0;
  virtual void transfer_leadership(NodeId to) = 0;
  virtual const Membership& membership() const = 0;
  // Begins the next epoch with the members, roles and quorums of `next` (its epoch: the present one + 1).
  // Told by on_applied() with an empty reply when the new epoch has decided its first entry, and by
  // on_change_refused() or on_outcome() else.
  virtual uint64_t change_members(Membership next, bool forced) = 0;

  // What this member knows of a slot. `done` comes at once, or later from the loop's thread when the log on
  // disk has to be asked.
  using ExplainDone = std::function<void(const SlotHistory&)>;
  virtual void explain(Slot slot, const ExplainDone& done) {
    SlotHistory nothing;
    nothing.slot = slot;
    done(nothing);
  }
  // Where StateMachine::version() became `version`: one slot when the history still knows, else the narrowest
  // range known, empty when it lies in the future.
  virtual SlotRange slots_of_version(uint64_t /*version*/) const { return {}; }
};

}  // namespace decree
