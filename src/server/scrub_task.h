// Drives storage::Scrubber: a little every second, on a worker. Loop thread only.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "runtime/worker_pool.h"
#include "storage/scrubber.h"

namespace decree::server {

class ScrubTask {
 public:
  using Clock = std::chrono::steady_clock;
  // All references must outlive the pool's last work. `found` is told every damage once, on the loop's
  // thread.
  ScrubTask(const storage::Wal& wal, const storage::SnapshotStore& snapshots, runtime::WorkerPool& pool,
            uint64_t bytes_per_second, std::function<void(const std::string& damage)> found)
      : scrubber_(wal, snapshots), pool_(pool), bytes_(bytes_per_second), found_(std::move(found)) {}

  void tick(Clock::time_point now);

  uint64_t bytes_read() const { return bytes_read_; }
  uint64_t damages() const { return damages_; }

 private:
  storage::Scrubber scrubber_;  // a worker's while busy_
  runtime::WorkerPool& pool_;
  const uint64_t bytes_;
  const std::function<void(const std::string&)> found_;
  bool busy_ = false;
  Clock::time_point next_{};
  uint64_t bytes_read_ = 0;
  uint64_t damages_ = 0;
};

}  // namespace decree::server
