// What nobody in the cluster knows, but is true: which values are chosen, since when, and what every member
// ever promised and acknowledged. Fed by the simulator at every send, every sync and every start; compares
// all members with it (invariants I1-I10, I16, I17 of docs/invariants.md). Independent of src/paxos: it only
// reads messages and records.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "decree/message.h"
#include "decree/record.h"
#include "decree/replica.h"

namespace decree::lab {

struct Breach {
  std::string invariant;  // "I7"
  std::string sentence;
  explicit operator bool() const { return !invariant.empty(); }
};

struct ChosenSlot {
  bool chosen = false;
  Ballot ballot;       // at which it first became chosen
  uint64_t value = 0;  // value_hash of the entry
  Digest128 digest;
  EntryKind kind = EntryKind::noop;
  RequestId id;
};

class Ghost {
 public:
  // Members are nodes 1..members, all voters in epoch 0; later epochs are learned from the records that open
  // them.
  Ghost(uint32_t members, uint32_t election_quorum, uint32_t bill_quorum);

  // A message leaves `from`.
  void on_send(NodeId from, uint64_t boot, const Message& message);
  // A member hands records to its log, in this order.
  void on_handed_out(NodeId member, std::span<const PersistedRecord> records);
  // They are durable.
  void on_durable(NodeId member, std::span<const PersistedRecord> records);
  // A start found this. All of it is durable.
  void on_start(NodeId member, const RecoveredState& recovered);
  // The member is about to start from an old image of its disk. Whatever it does until it is found out counts
  // nowhere: if somebody counted it, what follows is no choice here and breaks I6, I7 or I8.
  void on_old_image(NodeId member) { of(member).old_image = true; }
  // After a step of the member.
  void on_step(NodeId member, const Replica& replica);
  // A snapshot file at this slot is durable on the member's disk.
  void on_snapshot(NodeId member, Slot index);
  // The member has applied everything up to here.
  void on_applied(NodeId member, Slot applied, Digest128 chain);
  // The state machine's digest after slot; equal at every member (I17).
  void on_state(NodeId member, Slot slot, Digest128 digest);
  // Null: nobody has told it.
  const Digest128* state_after(Slot slot) const;
  // A client was told that its request is surely not done (I16, 2.17).
  void on_definitely_not(RequestId id);

  // What a crash of `member` would leave must cover every acknowledgement (I10); called with a really crashed
  // fork.
  void check_fork(NodeId member, const RecoveredState& found);

  // Slots are added here at the instant they become chosen.
  void set_choice_log(std::vector<Slot>* log) { choice_log_ = log; }

  const Breach& breach() const { return breach_; }
  const ChosenSlot* chosen(Slot slot) const;
  Slot chosen_prefix() const { return Slot(chain_.size() - 1); }
  Slot chosen_max() const { return chosen_max_; }
  uint64_t ballots_seen() const { return ballots_.size(); }
  // Folded into trace hashes.
  uint64_t fingerprint() const;

  static uint64_t value_hash(const Entry& entry);

 private:
  struct Proposal {  // one value at one (ballot, slot)
    Ballot ballot;
    uint64_t value = 0;
    uint32_t durable_at = 0;  // bit per member
    bool proposed = false;    // seen in an Accept (else only on a disk)
    Digest128 digest;
    EntryKind kind = EntryKind::noop;
    RequestId id;
  };
  struct SlotGhost {
    std::vector<Proposal> proposals;
    ChosenSlot chosen;
    bool has_state = false;
    Digest128 state;
  };
  struct Report {  // one Promise, all chunks of its capture
    NodeId from;
    Slot covered;  // everything up to here is known chosen to the reporter
    std::vector<PromiseRun> runs;
    std::vector<UnknownSlot> unknown = {};
  };
  struct BallotGhost {
    uint64_t boot = 0;
    Slot first;  // of its Prepare
    Slot base;   // of its Accepts
    std::vector<Report> reports;
  };
  struct Held {  // one member's newest durable record of a slot
    Ballot ballot;
    bool law = false;
    uint64_t value = 0;
  };
  struct MemberGhost {
    Ballot promised;         // in memory, as last seen
    Ballot promised_handed;  // by the records handed out
    Ballot sent_max;         // highest ballot ever answered with Promise or Accepted, or used
    Slot decided;            // this boot
    Slot applied;
    Slot snapshot;                     // durable
    std::vector<Held> durable;         // index = slot
    std::vector<Ballot> handed;        // index = slot: newest ballot accepted in memory
    std::vector<Ballot> acknowledged;  // index = slot: highest ballot ever acknowledged
    Ballot accepted_ballot;            // cursor of Accepted: checked through `accepted_upto` at this ballot
    Slot accepted_upto;
    uint64_t capture = 0;  // Promise under way
    Report report;
    bool old_image = false;
    std::map<Slot, Ballot> unknown;  // damaged by a fault, as its last start found it
  };

  MemberGhost& of(NodeId node) { return members_[node.value]; }
  SlotGhost& at(Slot slot);
  void fail(const char* invariant, std::string sentence);
  void own_ballot(NodeId from, uint64_t boot, const Ballot& ballot, const char* message);
  Proposal* find_or_add(Slot slot, const Ballot& ballot, const Entry& entry, const char* where);
  void on_accept(NodeId from, uint64_t boot, const Accept& accept);
  void on_accepted(NodeId from, const Accepted& accepted);
  void on_promise(NodeId from, const Promise& promise);
  void check_promise(NodeId from, const Promise& promise, const Report& report);
  void check_proposal(NodeId from, Slot slot, const Proposal& proposal);
  void hold(NodeId member, Slot slot, const Ballot& ballot, bool law, const Entry& entry);
  void choose(Slot slot, const Proposal& proposal);
  bool is_void(const Ballot& reported, Slot slot) const;
  Report own_report(NodeId node, Slot first);
  void on_epoch(NodeId member, const Membership& membership);
  struct EpochGhost {
    Membership membership;
    uint32_t voters = 0;  // bit per member
    uint32_t election_quorum = 0;
    uint32_t bill_quorum = 0;
    Slot stop;  // where its stop sign is chosen
    bool chose_something = false;
  };
  bool may_vote(NodeId node, const Ballot& ballot) const;
  uint32_t holders_of(Slot slot, uint64_t value, const EpochGhost& epoch) const;
  void check_succession(uint32_t epoch);
  bool covers(const RecoveredState& found, Slot slot, const Ballot& ballot) const;
  void check_holders(NodeId member);

  uint32_t count_;
  std::map<uint32_t, EpochGhost> epochs_;
  std::vector<MemberGhost> members_;
  std::vector<SlotGhost> slots_;
  std::map<Ballot, BallotGhost> ballots_;
  std::map<Ballot, Slot> barriers_;                         // where the leader of a ballot put its barrier
  std::vector<Digest128> chain_{Digest128{}};               // chain over the chosen prefix; index = slot
  std::unordered_map<RequestId, Slot, IdHash> chosen_ids_;  // look-up only
  std::unordered_map<RequestId, bool, IdHash> refused_ids_;
  Slot chosen_max_;
  std::vector<Slot>* choice_log_ = nullptr;
  Breach breach_;
};

std::string show(const Ballot& ballot);
std::string show(const RequestId& id);

}  // namespace decree::lab
