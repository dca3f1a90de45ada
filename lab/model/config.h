// What one configuration of the model checker explores: how many members, ballots and slots, which faults,
// and which rule of ours (if any) is replaced by a draft that was wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "decree/membership.h"

namespace decree::lab::model {

// Rules that are NOT ours, planted from outside the kernel: in what the harness hands to it, keeps of what it
// hands out, or reports for it. Named after the attacks of docs/protocol.md where there is one.
enum class Draft : uint8_t {
  none,
  forgotten_promise,     // a restart finds no promise
  lowest_ballot,         // the lowest ballot's value wins an Election
  early_on_duplicates,   // a second copy of an Accept is answered from memory
  wiped_member_votes,    // a lost disk comes back empty and votes under its old name
  a1_early_prepare,      // Prepare leaves before its own promise is durable
  a2_exact_predecessor,  // accepts only behind a slot it holds at exactly this ballot
  a3_initial_ballot,     // an epoch's first ballot is used again after a restart
  a4_heard_index,        // a Promise reports a decided index it merely heard of
  a6_by_checksum,        // "same checksum": keeps its own bytes
  a7_promise_in_record,  // the promise an Accept implies lives in the record of the Accept only
  a9_round_only,         // ballots are compared without their epoch
  a10_early_apply,       // applies what is decided, durable here or not
  a11_base_of_quorum,    // an Election starts below its epoch's base, and acceptors let it
  a12_quorum_only,       // the base ignores what the candidate itself knows
  a13_durable_report,    // a Promise lists what is durable, and waits for the superblock only
  a14_bare_law,          // learning a Law rewrites its record without ballot or mark
  a15_superblock_first,  // the superblock names an epoch before its record is durable
  a16_mixed_captures,    // chunks of a Promise may come from different moments
  damage_is_absence,     // a slot that cannot be read is reported as never accepted
  vote_from_memory,      // a value that the disk has at a lower ballot is not written again at the new one
  known_vote_binds,      // (of the checker) a vote for what is known to be chosen binds to its ballot
  // Of whole replicas (Cluster below).
  a5_wiped_at_stop_sign,  // removed members are wiped when the stop sign is decided
  a8_too_few_answers,     // an Election by members too few for a Bill: the dead seem to answer beats
  a17_any_stop_sign,      // whatever stop sign is learned opens the next epoch
  every_opener_leads,     // whoever opens an epoch leads it by an initial ballot of its own
  lost_epoch_record,      // a restart finds no record of the epoch that was opened
  joiner_counts,          // what a joining member accepts counts as a voter's
  wiped_old_name,         // an emptied disk comes back with its old incarnation
  fresh_disk_votes,       // a fresh disk votes at genesis without having been let in by all
  writes_not_counted,     // nobody remembers how much a disk held
};

// What the members find on their disks at the beginning.
enum class Start : uint8_t {
  fresh,
  initial_ballot,  // an epoch just opened: its first ballot is promised by all, member A may use it
  old_laws,        // an epoch just opened; A holds all Laws before it, the others the last one only
  old_value,    // an epoch just opened; the last member holds an old epoch's value of a high round above it
  half_opened,  // power failed between the two writes that open an epoch
  laggard,      // B is gone for good; A led and decided slot 1 with it; C has seen nothing
};

// What an operator asks for: the roles of the next epoch, by member; nothing = removed.
using NextRoles = std::vector<std::optional<MemberRole>>;

// A step of what happened before the search begins; after each everything that was said arrives everywhere.
enum class Before : uint8_t { elect_a, command, change, tend, newcomer };

// Whole replicas instead of the safety kernel alone: elections, epochs and readmission run the shipped code
// of src/paxos from its one door. All bounds count over the whole run.
struct Cluster {
  std::vector<MemberRole> roles;  // of the first epoch: member A, B, ...
  uint32_t election_quorum = 0;   // 0: majorities
  uint32_t bill_quorum = 0;
  std::vector<NextRoles> changes;  // asked for in this order
  uint32_t elections = 0;
  uint32_t commands = 0;
  uint32_t tendings = 0;        // the leader promotes, replaces disks and names them, as it does by itself
  uint32_t wipes = 0;           // disks emptied: the process comes back with a new one
  uint32_t crashes = 0;         // restarts; every write is a step of its own
  uint32_t images = 0;          // old images of disks put back
  bool retire_removed = false;  // the operator wipes for good who was removed, when told that it may
  bool disks = false;           // connections and handshakes: who is let in with which disk, and what it held
  bool image_after_beat = true;  // what a disk held when its image is put back, everybody was told by a beat
  uint32_t at_risk = ~0u;        // bit per member that faults may hit
  uint32_t dead = 0;             // bit per member that is gone for good when the search begins
  uint32_t silent = 0;           // bit per member that is not there before the search begins
  bool true_answers = false;     // who runs was answered by the living only
  std::vector<Before> before;
};

enum class Expect : uint8_t { holds, breaks, reached, unreachable };

struct Config {
  std::string name;
  std::string about;
  uint32_t members = 3;
  uint32_t election_quorum = 2;
  uint32_t bill_quorum = 2;
  uint32_t slots = 1;
  // Who may run in round 1, 2, ...: one search each. Up to renaming of members these are all ways to deal
  // out the rounds.
  std::vector<std::vector<uint32_t>> owners;
  uint32_t crashes = 0;         // restarts in one run, of any members
  bool writes_at_once = false;  // a crash loses what is in memory only
  uint32_t wipes = 0;           // disks lost
  uint32_t rots = 0;            // restarts that find the newest log record damaged
  bool learn = false;           // deciding, Law and Chosen
  bool snapshots = false;       // a laggard may take a decided prefix as a snapshot
  bool laws = true;             // with learn: ... or as Chosen
  bool barriers = false;        // a new leader appends its barrier
  bool stop = false;            // a leader may propose a stop sign
  bool batches = false;         // an Election's values leave as one Accept, too
  bool apply = false;           // what is decided is applied, and must survive a restart
  bool one_digest = false;      // all commands have one digest
  Draft draft = Draft::none;
  Start start = Start::fresh;
  Expect expect = Expect::holds;
  bool harm_only = false;     // look for disagreement only, not for its early signs: a longer, clearer story
  uint32_t goal_member = 0;   // for reached and unreachable: this one ...
  uint32_t goal_decided = 0;  // ... decides so far; 0 = there is no goal
  uint32_t goal_epoch = 0;    // with a cluster: ... votes in this epoch and decided something in it
  uint32_t goal_round = 0;    // with a cluster: ... or somebody's promise reaches this round
  bool passes_goal = false;   // holds, and some state on the way is the goal
  uint64_t states_max = 0;    // too large to be exhausted: searched so far; 0 = to the end
  std::optional<Cluster> cluster;
};

// All configurations of `decree-lab model`, in the order of docs/model.md.
const std::vector<Config>& catalog();
const Config* find_config(const std::string& name);

}  // namespace decree::lab::model
