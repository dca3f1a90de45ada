// Do all members have the same history and the same state? Each tells the others the digests of both at every
// so many slots; here they are compared (protocol 2.7, docs/decisions/0016).
//
// Pure: no clock, no I/O. The same slot on two members of one cluster must give the same pair; where it does
// not, a majority of the voters says who is wrong.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "decree/membership.h"
#include "decree/message.h"

namespace decree::runtime {

class Agreement {
 public:
  explicit Agreement(NodeId self) : self_(self) {}

  // After a disagreement that no majority settles, wait so long for the others' digests.
  static constexpr uint64_t kWaitTicks = 500;

  enum class Verdict : uint8_t {
    agrees,     // or nothing to compare with
    diverged,   // a majority of the voters has one pair, and this member another
    undecided,  // some pairs differ, no majority has one of them, and nobody is left to ask
  };
  struct Finding {
    Verdict verdict = Verdict::agrees;
    Slot slot;
    bool settled = false;           // a majority has this member's pair
    Slot vouched;                   // the newest slot of which that is known; 0: none
    bool histories_differ = false;  // the chains do; else only the states
    std::vector<NodeId> agreeing;   // with this member, itself included
    std::vector<NodeId> differing;
    std::string text;             // every member's pair, one a line, when some differ: evidence
    std::string summary() const;  // key=value
  };

  // This member's pair at `sample.slot`, and what a peer told. True: it is news, then look(); every beat
  // repeats the last pair.
  bool own(const StateDigest& sample, Tick now) { return note(self_, sample, now); }
  bool heard(NodeId from, const StateDigest& sample, Tick now) { return note(from, sample, now); }
  // Learners and joining members compare themselves, and count for nobody else. `undecided` stands until a
  // newer slot agrees. `agrees` with somebody in `differing`: the others are the majority's enemies.
  Finding look(const Membership& membership, Tick now) const;
  // The last pair of this member, to be told to a peer that came up; slot 0: none yet.
  StateDigest latest_own() const;

 private:
  static constexpr size_t kSlotsKept = 256;
  struct Sample {
    std::map<NodeId, StateDigest> told;
    Tick since;
  };
  bool note(NodeId from, const StateDigest& sample, Tick now);
  Finding look_at(Slot slot, const Sample& sample, const Membership& membership, Tick now) const;

  const NodeId self_;
  std::map<Slot, Sample> samples_;
};

}  // namespace decree::runtime
