// Breadth-first search of everything that can happen in one configuration.
//
// A state is, per member, the number of its own state and the number of the set of all it ever said; plus the
// faults used up. The network is these sets: any note may reach any member at any time, again, or never.
// States are compared exactly; nothing is left to a fingerprint.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "lab/model/judge.h"
#include "lab/model/node.h"

namespace decree::lab::model {

struct Limits {
  uint64_t states_max = 100'000'000;
  bool reduce_order = true;     // partial-order reduction
  bool reduce_symmetry = true;  // members nobody can tell apart
  bool outcomes = false;        // collect what may be chosen in the end
};

struct Found {
  bool exhausted = false;
  uint64_t states = 0;
  uint64_t transitions = 0;
  uint32_t depth = 0;
  double seconds = 0;              // of CPU
  std::string breach;              // empty: nothing found
  std::vector<std::string> story;  // of the breach or of the goal
  bool goal = false;               // some state is the goal
  std::set<std::string> outcomes;  // of states in which nothing more can happen
  // Whether this is what the configuration is there to show.
  bool as_expected(const Config& config) const;
};

// One way of dealing out the rounds: config.owners[pattern].
Found search(const Config& config, size_t pattern, const Limits& limits);
// All of them, added up; stops at the first breach, or when the goal is found.
Found search_all(const Config& config, const Limits& limits);

}  // namespace decree::lab::model
