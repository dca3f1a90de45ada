// The protocol's time: ticks of 10 ms in which this process was running.
//
// While the process is stopped or starved (SIGSTOP, a paused virtual machine, swapping) the others' frames
// wait in the sockets. Were that time counted at once, every peer would look silent before its frames are
// read. So one look at the clock never advances it by more than kTicksPerLookMax, whatever passed.
#pragma once

#include <algorithm>
#include <chrono>

#include "decree/types.h"

namespace decree::server {

class LogicalClock {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kTick{10};
  static constexpr uint64_t kTicksPerLookMax = 5;

  explicit LogicalClock(Time start) : counted_(start) {}

  Tick look(Time now) {
    if (now < counted_ + kTick) return tick_;
    const auto passed = static_cast<uint64_t>((now - counted_) / kTick);
    const uint64_t taken = std::min(passed, kTicksPerLookMax);
    lost_ += passed - taken;
    tick_ = Tick(tick_.value + taken);
    counted_ += passed * kTick;
    return tick_;
  }
  Tick now() const { return tick_; }
  Time next() const { return counted_ + kTick; }
  uint64_t lost_ticks() const { return lost_; }

 private:
  Time counted_;
  Tick tick_;
  uint64_t lost_ = 0;
};

}  // namespace decree::server
