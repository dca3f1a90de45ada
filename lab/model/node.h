// One member as the model sees it: the real safety kernel, a disk that loses what was not synced, and the
// thin part of the proposer that the kernel's rules do not hold.
//
// All steps here are functions of one member's state and one message: the search runs each once and
// remembers the result.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "decree/record.h"
#include "decree/replica.h"
#include "lab/model/config.h"
#include "lab/model/tables.h"
#include "paxos/acceptor.h"
#include "paxos/value_choice.h"

namespace decree::lab::model {

// What a member has said, or what became true of it. The network never loses a note and delivers it as often
// and as late as the search likes: so a note that is never delivered is a lost one. Who said it is not in it.
struct Note {
  enum class Kind : uint8_t { prepare, promise, accept, law, chosen, accepted, voted, applied };
  Kind kind = Kind::prepare;
  Ballot ballot;
  Slot slot;      // prepare: f; accept: first; law, accepted, applied: upto; chosen: decided; voted: the slot
  Slot base;      // accept, accepted: base of the ballot; chosen: first slot held by value
  Slot decided;   // promise
  Slot snapshot;  // promise
  Slot damaged;   // promise: slot it cannot tell about, with a bound; 0 = none
  Ballot bound;
  std::vector<PromiseRun>
      runs;                    // accepted: what was known to be chosen, and is on the disk at a lower ballot
  std::vector<Entry> entries;  // promise: one per slot of the runs (the Fetch that follows is folded in)
  Digest128 chain;             // chosen
  uint64_t term = 0;           // chosen
  bool operator==(const Note&) const = default;
};

struct Pending {
  LogToken token;
  Record record;
  bool done = false;
  friend bool operator==(const Pending&, const Pending&) = default;
};

struct Deferred {
  LogToken token;
  uint32_t note = 0;
  friend bool operator==(const Deferred&, const Deferred&) = default;
};

struct Node {
  Acceptor acceptor;
  RecoveredState disk;             // what a crash leaves
  std::vector<Record> log;         // only with rots: the durable records behind `disk`
  std::vector<Pending> queue;      // handed to the disk, in order
  std::vector<Deferred> deferred;  // notes that wait for the disk
  LogToken next_token = LogToken(1);
  Role role = Role::follower;
  Ballot ballot;  // own, while candidate or leader
  Slot asked_from;
  uint32_t boot = 1;
  bool mute = false;  // its disk was lost: no vote in this epoch
  Slot heard;         // only with a4
  Ballot owed;        // only with a13: a Promise not sent yet
};
bool operator==(const Node& a, const Node& b);

struct HashNote {
  uint64_t operator()(const Note& note) const;
};
struct HashNode {
  uint64_t operator()(const Node& node) const;
};

// What the search has seen so far, numbered.
struct Tables {
  Interner<Note, HashNote> notes;
  Interner<Node, HashNode> nodes;
  Sets sets;  // of note numbers
};

// One step of one member. `said` and `breach` are its results besides the changed node.
class NodeStep {
 public:
  NodeStep(const Config& config, const Membership& membership, Ballot initial, Tables& tables, bool synced)
      : config_(config), membership_(membership), initial_(initial), tables_(tables), synced_(synced) {}

  static Node fresh(const Membership& membership, const RecoveredState& disk);

  void deliver(Node& node, const Note& note);
  void install(Node& node, const Note& chosen);  // as a snapshot
  void start_election(Node& node, Ballot ballot);
  // `promises`: one of each member of an election quorum. False: cannot lead with these (yet).
  bool lead(Node& node, std::span<const uint32_t> promises);
  bool lead_initial(Node& node);
  bool propose(Node& node, EntryKind kind);
  void decide(Node& node, Slot upto);
  bool sync_next(Node& node);
  bool sync_superblock(Node& node);  // ahead of older log records
  enum class Loss : uint8_t { plain, keep_hint, rot };
  bool restart(Node& node, Loss loss);
  void wipe(Node& node);
  void sync_all(Node& node);
  // After each of the above: everything that may leave leaves.
  void end_turn(Node& node);

  std::vector<uint32_t> said;  // numbers of notes
  std::string breach;

 private:
  bool draft(Draft d) const { return config_.draft == d; }
  LogToken hand_out(Node& node, Record record);
  bool knows_stop(const Node& node) const;
  void on_prepare(Node& node, const Note& note);
  void on_accept(Node& node, const Note& note);
  void on_chosen(Node& node, const Note& note);
  uint32_t promise_note(const Node& node, Ballot ballot, bool durable_only);
  void say_when_durable(Node& node, LogToken token, uint32_t note);
  void make_durable(Node& node, Pending& pending);
  void settle(Node& node);
  void say(Note note) { said.push_back(tables_.notes.number(note)); }
  void say_decided(Node& node);
  void say_applied(Node& node);
  void say_accepted(Node& node, Slot upto);
  static std::vector<PromiseRun> known_chosen(const Node& node, Slot upto);
  static bool disk_has(const Node& node, Slot first, const std::vector<Entry>& entries);
  void accept_own(Node& node, std::vector<Entry> entries);
  std::vector<PromiseReport> reports_of(std::span<const uint32_t> promises, Slot from) const;

  const Config& config_;
  const Membership& membership_;
  Ballot initial_;  // first ballot of the epoch, with Start::initial_ballot
  Tables& tables_;
  bool synced_;  // no crash can come any more: writes are durable at once (see docs/model.md)
};

}  // namespace decree::lab::model
