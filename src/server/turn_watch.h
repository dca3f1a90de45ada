// How long turns of the loop take, and a line with the cause when one takes longer than 10 ms.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace decree::server {

// One turn: moments at its joints.
struct TurnTimes {
  using Time = std::chrono::steady_clock::time_point;
  Time woke;      // sockets, timers, completions
  Time read;      // consensus and applying
  Time applied;   // long answers in slices
  Time answered;  // writing to sockets
  Time flushed;
};

class TurnWatch {
 public:
  using Time = TurnTimes::Time;
  static constexpr std::chrono::milliseconds kSlow{10};

  explicit TurnWatch(std::function<void(const std::string&)> log) : log_(std::move(log)) {}

  // About every 10 ms: so that a slow turn can be told from one that was not given a processor.
  void sample_cpu();
  // Returns the turn's seconds. `work` describes what was done ("inputs=12 applied=7").
  double observe(const TurnTimes& times, const std::function<std::string()>& work);
  uint64_t slow_turns() const { return slow_turns_; }

 private:
  std::function<void(const std::string&)> log_;
  std::chrono::nanoseconds cpu_{0};
  Time next_line_{};
  uint64_t suppressed_ = 0;
  uint64_t slow_turns_ = 0;
};

}  // namespace decree::server
