// For stops that hang.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "server/exit_code.h"

namespace decree::server {

// Ends the process when its own destruction takes too long, for instance in a sync that never returns.
class StopWatchdog {
 public:
  StopWatchdog()
      : thread_([this] {
          std::unique_lock lock(mutex_);
          if (wake_.wait_for(lock, kStopMax, [this] { return done_; })) return;
          std::_Exit(static_cast<int>(ExitCode::stop_timeout));
        }) {}
  ~StopWatchdog() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

 private:
  static constexpr std::chrono::milliseconds kStopMax{10000};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace decree::server
