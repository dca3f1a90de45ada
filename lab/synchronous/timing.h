// The synchronous model as a world with clocks: bounded delays, bounded drift, bounded steps, and what
// happens to FloodSet when one message exceeds its bound (mission row M7).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "decree/synchronous.h"
#include "lab/synchronous/explore.h"

namespace decree::lab {

struct LateMessage {
  uint32_t from = 0;
  uint32_t to = 0;
  uint32_t round = 1;
  int64_t delay_us = 0;
};

struct TimedOptions {
  Execution execution;  // inputs and crashes
  synchronous::Bounds bounds{10000, 1000, 100};
  uint64_t seed = 1;
  std::optional<LateMessage> late;
};

struct TimedResult {
  std::vector<RoundDecision> decisions;
  std::vector<std::string> broken_bounds;  // a run with any is a failed run: the model was left
  std::vector<std::string> story;
  int64_t round_us = 0;
  int64_t ended_us = 0;
  int64_t slack_us_min = 0;  // least time between an arrival and the end of its round
};

// FloodSet by local clocks that drift: nobody sees another's clock, rounds end when the own clock says so.
TimedResult run_timed(const TimedOptions& options);

}  // namespace decree::lab
