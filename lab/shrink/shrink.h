// Cuts a failing run down to a short schedule that is broken as well: by a checker of safety if the run was,
// else by the same one. Delta debugging over the steps of a Schedule: whole classes first (the network's
// whims, members, clients, kinds of faults, the beginning), then ever smaller stretches of each sort and of
// all, then single steps and pairs; then time is gathered and limits go back to their defaults. What stays
// long is tried again with other seeds in shorter runs.
#pragma once

#include <cstdint>
#include <string>

#include "lab/sim/schedule.h"
#include "lab/sim/world.h"

namespace decree::lab {

struct ShrinkLimits {
  double cpu_seconds_max = 60;
  size_t length_goal = 40;  // above it, kinds of messages are made automatic one after the other
};

struct Shrunk {
  bool reproduced = false;  // the run could be repeated as a schedule; else `schedule` is the whole recording
  Schedule schedule;
  size_t length_before = 0;
  uint64_t tries = 0;
  double cpu_seconds = 0;
};

// Runs the seed once more, writing it down, and shrinks what was written. REQUIRES that the seed breaks
// something.
Shrunk shrink_seed(uint64_t seed, const RunOptions& options, const std::string& plant,
                   const ShrinkLimits& limits);

}  // namespace decree::lab
