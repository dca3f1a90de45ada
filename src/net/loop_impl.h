// Inside of EventLoop, shared by event_loop.cc, connection.cc and tcp.cc only.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "net/event_loop.h"

namespace decree::net {

class SocketConnection;

// Whatever owns a descriptor in the epoll set.
class FdOwner {
 public:
  virtual ~FdOwner() = default;
  virtual void on_ready(uint32_t events) = 0;
};

// Work from other threads. Outlives the loop when a thread still holds it, then it swallows.
class Mailbox {
 public:
  Mailbox();
  ~Mailbox();
  void post(std::function<void()> work);
  void wake();
  // Loop thread. Clears the wake-up BEFORE taking the work, so that nothing posted meanwhile is forgotten.
  void take(std::vector<std::function<void()>>* work);
  void shut();
  int fd() const { return wake_fd_; }

 private:
  std::mutex mutex_;
  std::vector<std::function<void()>> work_;
  bool shut_ = false;
  std::atomic<bool> awake_{false};
  int wake_fd_ = -1;
};

struct EventLoop::Impl {
  static constexpr size_t read_buffer_bytes = 128 * 1024;
  static constexpr int events_per_wait = 256;

  Impl();
  ~Impl();
  void add(int fd, uint32_t events, FdOwner* owner);
  void change(int fd, uint32_t events, FdOwner* owner);
  void remove(int fd);

  void opened(std::shared_ptr<SocketConnection> connection);
  // The connection stays alive, and its handler is told, at the end of the current wait() or flush().
  void closed(SocketConnection* connection);
  // Keeps something alive until events that may still name it are dispatched.
  void bury(std::shared_ptr<void> thing) { graveyard.push_back(std::move(thing)); }
  void tell_closed();
  void run_timers();
  int poll(std::chrono::nanoseconds max_wait);

  int epoll_fd = -1;
  bool has_pwait2 = true;
  std::shared_ptr<Mailbox> mailbox;
  std::vector<std::function<void()>> running;
  std::map<std::pair<SteadyTime, uint64_t>, std::function<void()>> timers;
  std::unordered_map<uint64_t, SteadyTime> timer_times;
  uint64_t next_timer = 1;
  SteadyTime woke_at{};
  std::vector<std::shared_ptr<SocketConnection>> open;  // position kept in the connection
  std::vector<std::shared_ptr<SocketConnection>> to_flush;
  std::vector<std::shared_ptr<SocketConnection>> flushing;
  std::vector<std::shared_ptr<SocketConnection>> to_tell;
  std::vector<std::shared_ptr<void>> graveyard;
  std::vector<char> read_buffer;
  EventLoop::Counters counters;
};

}  // namespace decree::net
