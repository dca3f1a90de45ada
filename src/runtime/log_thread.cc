#include "runtime/log_thread.h"

#include <chrono>
#include <iterator>
#include <utility>

namespace decree::runtime {
namespace {

constexpr std::chrono::milliseconds kSpaceRetry{100};
// After so long without a write the last batch is proven by a marker behind it.
constexpr std::chrono::milliseconds kIdle{1000};

}  // namespace

LogThread::LogThread(storage::Wal& wal, Post post, Callbacks callbacks)
    : wal_(wal), post_(std::move(post)), callbacks_(std::move(callbacks)), thread_([this] { run(); }) {}

LogThread::~LogThread() { stop(); }

void LogThread::append(std::vector<PersistedRecord> batch) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.empty())
      queue_ = std::move(batch);
    else
      queue_.insert(queue_.end(), std::make_move_iterator(batch.begin()),
                    std::make_move_iterator(batch.end()));
  }
  wake_.notify_one();
}

void LogThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void LogThread::run() {
  std::vector<PersistedRecord> batch;
  for (;;) {
    bool idle = false;
    {
      std::unique_lock lock(mutex_);
      idle = !wake_.wait_for(lock, kIdle, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty() && stopping_) return;
      batch.swap(queue_);
    }
    if (idle) {
      const Result<void> marked = wal_.mark_idle();
      if (!marked && marked.error().code != ErrorCode::no_space) {
        post_([failed = callbacks_.failed, error = marked.error()] { failed(error); });
        return;
      }
      continue;
    }
    if (!commit(batch)) return;
    batch.clear();
  }
}

bool LogThread::commit(const std::vector<PersistedRecord>& batch) {
  for (;;) {
    const auto began = std::chrono::steady_clock::now();
    const Result<void> done = wal_.commit(batch);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (done) {
      const bool recovered = disk_full_;
      disk_full_ = false;
      post_(
          [this, upto = batch.back().token, writes = wal_.disk_writes(), seconds = took.count(), recovered] {
            callbacks_.synced(seconds);
            if (recovered) callbacks_.disk_health(true, "");
            callbacks_.persisted(upto, writes);
          });
      if (wal_.needs_reserve()) post_([this] { callbacks_.reserve_wanted(); });
      return true;
    }
    if (done.error().code != ErrorCode::no_space) {
      // Never retried: what a failed sync left behind is unknown.
      post_([this, error = done.error()] { callbacks_.failed(error); });
      return false;
    }
    if (!disk_full_) {
      disk_full_ = true;
      post_([this, cause = done.error().message] { callbacks_.disk_health(false, cause); });
    }
    if (!wait_for_space()) return false;
  }
}

bool LogThread::wait_for_space() {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, kSpaceRetry, [this] { return stopping_; });
}

}  // namespace decree::runtime
