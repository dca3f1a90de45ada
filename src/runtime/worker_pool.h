// A few threads for work that blocks. `done` runs on the loop's thread, by `post`.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/log_thread.h"

namespace decree::runtime {

class WorkerPool {
 public:
  WorkerPool(size_t threads, Post post);
  ~WorkerPool();  // as stop()

  void run(std::function<void()> work, std::function<void()> done);
  // Ends after the works that are running; what is still queued is dropped, without its `done`. Blocks.
  void stop();
  size_t queued() const;

 private:
  struct Job {
    std::function<void()> work;
    std::function<void()> done;
  };
  void loop();

  const Post post_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace decree::runtime
