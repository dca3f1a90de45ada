// SIGTERM and SIGINT as calls on the loop's thread. Construct before any other thread is started: they
// inherit the mask.
#pragma once

#include <functional>
#include <thread>

namespace decree::server {

class StopSignals {
 public:
  // `on_signal` is called from a thread of its own, with the signal's name; it posts to the loop.
  explicit StopSignals(std::function<void(const char* name)> on_signal);
  ~StopSignals();

 private:
  std::thread thread_;
};

}  // namespace decree::server
