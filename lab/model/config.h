// What one configuration of the model checker explores: how many members, ballots and slots, which faults,
// and which rule of ours (if any) is replaced by a draft that was wrong.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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
  uint32_t crashes = 0;     // restarts in one run, of any members
  uint32_t wipes = 0;       // disks lost
  uint32_t rots = 0;        // restarts that find the newest log record damaged
  bool learn = false;       // deciding, Law and Chosen
  bool snapshots = false;   // a laggard may take a decided prefix as a snapshot
  bool laws = true;         // with learn: ... or as Chosen
  bool barriers = false;    // a new leader appends its barrier
  bool stop = false;        // a leader may propose a stop sign
  bool batches = false;     // an Election's values leave as one Accept, too
  bool apply = false;       // what is decided is applied, and must survive a restart
  bool one_digest = false;  // all commands have one digest
  Draft draft = Draft::none;
  Start start = Start::fresh;
  Expect expect = Expect::holds;
  bool harm_only = false;     // look for disagreement only, not for its early signs: a longer, clearer story
  uint32_t goal_member = 0;   // for reached and unreachable: this one ...
  uint32_t goal_decided = 0;  // ... decides so far; 0 = there is no goal
};

// All configurations of `decree-lab model`, in the order of docs/model.md.
const std::vector<Config>& catalog();
const Config* find_config(const std::string& name);

}  // namespace decree::lab::model
