#include "net/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "decree/check.h"
#include "net/connection.h"
#include "net/loop_impl.h"

namespace decree::net {

Mailbox::Mailbox() : wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  DECREE_CHECK(wake_fd_ >= 0, "eventfd failed: out of file descriptors at start");
}

Mailbox::~Mailbox() { ::close(wake_fd_); }

void Mailbox::post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (shut_) return;
    work_.push_back(std::move(work));
  }
  wake();
}

void Mailbox::wake() {
  if (awake_.exchange(true)) return;
  const uint64_t one = 1;
  // A full counter is as good as a written one.
  [[maybe_unused]] const ssize_t n = ::write(wake_fd_, &one, sizeof(one));
}

void Mailbox::take(std::vector<std::function<void()>>* work) {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(wake_fd_, &count, sizeof(count));
  awake_.store(false);
  std::lock_guard lock(mutex_);
  work->swap(work_);
}

void Mailbox::shut() {
  std::vector<std::function<void()>> dropped;
  std::lock_guard lock(mutex_);
  shut_ = true;
  dropped.swap(work_);
}

EventLoop::Impl::Impl()
    : epoll_fd(::epoll_create1(EPOLL_CLOEXEC)),
      mailbox(std::make_shared<Mailbox>()),
      read_buffer(read_buffer_bytes) {
  DECREE_CHECK(epoll_fd >= 0, "epoll_create1 failed: out of file descriptors at start");
  add(mailbox->fd(), EPOLLIN, nullptr);
}

EventLoop::Impl::~Impl() {
  mailbox->shut();
  for (const auto& connection : open) connection->abandon();
  std::vector<std::shared_ptr<void>>().swap(graveyard);
  ::close(epoll_fd);
}

void EventLoop::Impl::add(int fd, uint32_t events, FdOwner* owner) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = owner;
  DECREE_CHECK(::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl ADD failed");
}

void EventLoop::Impl::change(int fd, uint32_t events, FdOwner* owner) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = owner;
  DECREE_CHECK(::epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0, "epoll_ctl MOD failed");
}

void EventLoop::Impl::remove(int fd) {
  epoll_event event{};
  ::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
}

void EventLoop::Impl::opened(std::shared_ptr<SocketConnection> connection) {
  connection->open_index = open.size();
  open.push_back(std::move(connection));
  counters.connections_open = open.size();
}

void EventLoop::Impl::closed(SocketConnection* connection) {
  const size_t index = connection->open_index;
  DECREE_CHECK(index < open.size() && open[index].get() == connection, "a connection is closed twice");
  to_tell.push_back(std::move(open[index]));
  if (index + 1 != open.size()) {
    open[index] = std::move(open.back());
    open[index]->open_index = index;
  }
  open.pop_back();
  counters.connections_open = open.size();
}

void EventLoop::Impl::tell_closed() {
  // A handler may close further connections while it is told.
  for (size_t i = 0; i < to_tell.size(); ++i) {
    const std::shared_ptr<SocketConnection> connection = to_tell[i];
    connection->tell_closed();
  }
  to_tell.clear();
}

void EventLoop::Impl::run_timers() {
  if (timers.empty()) return;
  const SteadyTime now = std::chrono::steady_clock::now();
  // A timer set by a timer for a moment already past waits for the next turn: no endless loop here.
  const uint64_t first_new = next_timer;
  while (!timers.empty()) {
    const auto it = timers.begin();
    if (it->first.first > now || it->first.second >= first_new) break;
    const std::function<void()> work = std::move(it->second);
    timer_times.erase(it->first.second);
    timers.erase(it);
    work();
  }
}

int EventLoop::Impl::poll(std::chrono::nanoseconds max_wait) {
  using std::chrono::nanoseconds;
  if (!timers.empty()) {
    const auto left = std::chrono::duration_cast<nanoseconds>(timers.begin()->first.first -
                                                              std::chrono::steady_clock::now());
    max_wait = std::min(max_wait, left);
  }
  max_wait = std::max(max_wait, nanoseconds(0));
  static thread_local epoll_event events[events_per_wait];
  int n = -1;
  if (has_pwait2) {
    const timespec timeout{static_cast<time_t>(max_wait.count() / 1000000000),
                           static_cast<long>(max_wait.count() % 1000000000)};
    n = ::epoll_pwait2(epoll_fd, events, events_per_wait, &timeout, nullptr);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) has_pwait2 = false;
  }
  if (!has_pwait2)
    n = ::epoll_wait(epoll_fd, events, events_per_wait,
                     static_cast<int>((max_wait.count() + 999999) / 1000000));
  woke_at = std::chrono::steady_clock::now();
  bool mail = false;
  for (int i = 0; i < n; ++i) {
    auto* owner = static_cast<FdOwner*>(events[i].data.ptr);
    if (owner == nullptr)
      mail = true;
    else
      owner->on_ready(events[i].events);
  }
  if (mail) {
    mailbox->take(&running);
    for (std::function<void()>& work : running) work();
    running.clear();
  }
  return n;
}

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {}
EventLoop::~EventLoop() = default;

void EventLoop::wait(std::chrono::nanoseconds max_wait) {
  {
    // What dies here may bury others.
    std::vector<std::shared_ptr<void>> dead;
    dead.swap(impl_->graveyard);
  }
  // Output that was wanted during the last flush() must not wait for the next event.
  impl_->poll(impl_->to_flush.empty() ? max_wait : std::chrono::nanoseconds(0));
  impl_->run_timers();
  impl_->tell_closed();
}

void EventLoop::flush() {
  impl_->flushing.swap(impl_->to_flush);
  for (const auto& connection : impl_->flushing) connection->flush_now();
  impl_->flushing.clear();
  impl_->tell_closed();
}

void EventLoop::post(std::function<void()> work) { impl_->mailbox->post(std::move(work)); }
void EventLoop::wake() { impl_->mailbox->wake(); }

uint64_t EventLoop::at(SteadyTime when, std::function<void()> work) {
  const uint64_t id = impl_->next_timer++;
  impl_->timers.emplace(std::make_pair(when, id), std::move(work));
  impl_->timer_times.emplace(id, when);
  return id;
}

void EventLoop::cancel(uint64_t timer) {
  const auto it = impl_->timer_times.find(timer);
  if (it == impl_->timer_times.end()) return;
  impl_->timers.erase({it->second, timer});
  impl_->timer_times.erase(it);
}

SteadyTime EventLoop::woke_at() const { return impl_->woke_at; }

EventLoop::Counters EventLoop::counters() const { return impl_->counters; }

}  // namespace decree::net
