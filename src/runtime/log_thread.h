// The one thread that writes and syncs the log. Everything queued meanwhile is merged into the next commit.
//
// No space: the batch is held and tried again until there is room; `disk_health(false)` is told at once,
// `true` when a commit went through. Any other error: `failed`, once, and nothing more is written: the host
// stops the process. Callbacks run on the loop's thread, by `post`.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "decree/record.h"
#include "decree/result.h"
#include "storage/wal.h"

namespace decree::runtime {

using Post = std::function<void(std::function<void()>)>;  // thread-safe, runs on the loop's thread

class LogThread {
 public:
  struct Callbacks {
    std::function<void(LogToken upto, uint64_t disk_writes)> persisted;
    std::function<void(const Error&)> failed;
    std::function<void(bool ok, const std::string& cause)> disk_health;
    std::function<void(double seconds)> synced;  // one commit
    std::function<void()> reserve_wanted;        // Wal::prepare_reserve() should run on a worker
  };

  LogThread(storage::Wal& wal, Post post, Callbacks callbacks);
  ~LogThread();  // as stop()

  void append(std::vector<PersistedRecord> batch);
  // Writes what is queued (unless the disk is full), then ends. Blocks. No callback is posted afterwards.
  void stop();

 private:
  void run();
  // False: the thread ends.
  bool commit(const std::vector<PersistedRecord>& batch);
  bool wait_for_space();

  storage::Wal& wal_;
  const Post post_;
  const Callbacks callbacks_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<PersistedRecord> queue_;
  bool stopping_ = false;
  bool disk_full_ = false;  // log thread only
  std::thread thread_;
};

}  // namespace decree::runtime
