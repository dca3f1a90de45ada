// The process's one loop: waits for sockets, timers and posted work, dispatches, flushes.
//
// A turn: wait (at most `max_wait`), dispatch everything ready, then write every connection that has
// output, once. Everything runs on the loop's thread; only post() and wake() may be called from others.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

namespace decree::net {

using SteadyTime = std::chrono::steady_clock::time_point;

class EventLoop {
 public:
  EventLoop();
  // Closes every connection that is still open, without calling its handler.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Returns after dispatching what was ready, or after `max_wait`. Does not flush.
  void wait(std::chrono::nanoseconds max_wait);
  // When the last wait() came back from the kernel: the beginning of the turn.
  SteadyTime woke_at() const;
  // Writes the output of every connection that called Connection::want_flush() since the last flush.
  void flush();

  // Thread-safe. Runs `work` on the loop's thread in a coming wait(); wakes the loop.
  void post(std::function<void()> work);
  void wake();

  // Runs `work` once at `when`; returns an id (never 0) for cancel(). Loop thread only.
  uint64_t at(SteadyTime when, std::function<void()> work);
  void cancel(uint64_t timer);

  // Bytes read from and written to all sockets of this loop, and how many are open.
  struct Counters {
    uint64_t bytes_received = 0;
    uint64_t bytes_sent = 0;
    uint64_t connections_open = 0;
  };
  Counters counters() const;

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree::net
