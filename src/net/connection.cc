#include "net/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "decree/check.h"

namespace decree::net {

namespace {

bool try_again(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

SocketConnection::SocketConnection(EventLoop& loop, int fd, std::string remote)
    : loop_(loop), fd_(fd), remote_(std::move(remote)) {
  loop_.impl().add(fd_, 0, this);
}

SocketConnection::~SocketConnection() {
  if (fd_ >= 0) ::close(fd_);
}

void SocketConnection::start(ConnectionHandler* handler) {
  handler_ = handler;
  if (!closed_) {
    update_interest();
  } else if (handler != nullptr) {
    loop_.impl().to_tell.push_back(self());  // it ended before anybody listened
  }
}

void SocketConnection::want_flush() {
  if (flush_wanted_ || closed_) return;
  flush_wanted_ = true;
  loop_.impl().to_flush.push_back(self());
}

void SocketConnection::pause_reading(bool paused) {
  if (paused_ == paused || closed_) return;
  paused_ = paused;
  update_interest();
}

void SocketConnection::update_interest() {
  uint32_t wanted = 0;
  if ((handler_ != nullptr && !paused_ && !closing_) || write_shut_) wanted |= EPOLLIN;
  if (blocked_) wanted |= EPOLLOUT;
  if (wanted == interest_) return;
  interest_ = wanted;
  loop_.impl().change(fd_, wanted, this);
}

void SocketConnection::on_ready(uint32_t events) {
  if (closed_) return;
  if ((events & EPOLLOUT) != 0) {
    blocked_ = false;
    // Through the flush, so that the handler tops the output up and everything leaves in one write.
    want_flush();
    update_interest();
  }
  if ((events & EPOLLIN) != 0 && (interest_ & EPOLLIN) != 0) {
    write_shut_ ? discard_once() : read_once();
  } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    // Level-triggered and always reported: ignoring it while reading is paused would spin.
    close("the connection was reset by the other side");
  }
}

void SocketConnection::read_once() {
  EventLoop::Impl& impl = loop_.impl();
  const ssize_t n = ::recv(fd_, impl.read_buffer.data(), impl.read_buffer.size(), 0);
  if (n > 0) {
    impl.counters.bytes_received += static_cast<uint64_t>(n);
    handler_->on_bytes(std::string_view(impl.read_buffer.data(), static_cast<size_t>(n)));
  } else if (n == 0) {
    close("closed by the other side");
  } else if (!try_again(errno)) {
    close("reading failed: " + std::generic_category().message(errno));
  }
}

void SocketConnection::discard_once() {
  EventLoop::Impl& impl = loop_.impl();
  const ssize_t n = ::recv(fd_, impl.read_buffer.data(), impl.read_buffer.size(), 0);
  if (n > 0) discarded_bytes_ += static_cast<size_t>(n);
  if (n == 0 || discarded_bytes_ > discard_bytes_max || (n < 0 && !try_again(errno))) close(reason_);
}

void SocketConnection::flush_now() {
  flush_wanted_ = false;
  if (closed_) return;
  if (handler_ != nullptr && !closing_) handler_->on_flush();
  if (closed_) return;
  // Before the write as well: the handler paused reading because of what it saw, and one write may take it
  // all.
  if (pending_bytes() >= low_water_bytes) above_low_ = true;
  if (!blocked_) write_out();
  if (closed_) return;
  const size_t pending = pending_bytes();
  if (pending >= low_water_bytes) {
    above_low_ = true;
  } else if (above_low_) {
    above_low_ = false;
    if (handler_ != nullptr && !closing_) handler_->on_drained();
  }
  if (closing_ && !closed_ && pending_bytes() == 0) finish_sending();
}

void SocketConnection::write_out() {
  while (pending_bytes() != 0) {
    iovec parts[2];
    size_t count = 0;
    if (sent_ < sending_.size()) parts[count++] = {sending_.data() + sent_, sending_.size() - sent_};
    if (!out_.empty()) parts[count++] = {out_.data(), out_.size()};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    const ssize_t n = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (!try_again(errno)) return close("writing failed: " + std::generic_category().message(errno));
      break;
    }
    loop_.impl().counters.bytes_sent += static_cast<uint64_t>(n);
    took(static_cast<size_t>(n));
    if (pending_bytes() == 0) return;
    break;  // A short write means that the kernel's buffer is full: asking again would only cost a call.
  }
  if (pending_bytes() != 0) {
    blocked_ = true;
    update_interest();
  }
}

// Two buffers instead of erase(): what a slow reader leaves behind is never moved.
void SocketConnection::took(size_t bytes) {
  const size_t rest = sending_.size() - sent_;
  if (bytes < rest) {
    sent_ += bytes;
    return;
  }
  bytes -= rest;
  sending_.clear();
  sending_.swap(out_);
  sent_ = bytes;
  if (sent_ == sending_.size()) {
    sending_.clear();
    sent_ = 0;
    if (out_.capacity() < sending_.capacity()) out_.swap(sending_);
  }
  if (out_.empty() && out_.capacity() > kept_buffer_bytes) std::string().swap(out_);
  if (sending_.empty() && sending_.capacity() > kept_buffer_bytes) std::string().swap(sending_);
}

void SocketConnection::close(const std::string& reason) {
  if (closed_) return;
  closed_ = true;
  if (!closing_) reason_ = reason;
  shut_fd();
  loop_.impl().closed(this);
}

void SocketConnection::close_after_flush(const std::string& reason) {
  if (closed_ || closing_) return;
  closing_ = true;
  reason_ = reason;
  update_interest();
  closing_timer_ = loop_.at(std::chrono::steady_clock::now() + std::chrono::seconds(5),
                            [weak = std::weak_ptr<Connection>(weak_from_this())] {
                              if (const auto connection = weak.lock()) connection->close("");
                            });
  want_flush();
}

// Closing with unread input makes the kernel send a reset, which may overtake the last answer on its way. So
// the write side is shut first and what still arrives is thrown away, for a while.
void SocketConnection::finish_sending() {
  if (write_shut_) return;
  write_shut_ = true;
  ::shutdown(fd_, SHUT_WR);
  loop_.cancel(closing_timer_);
  closing_timer_ = loop_.at(std::chrono::steady_clock::now() + std::chrono::milliseconds(500),
                            [weak = std::weak_ptr<Connection>(weak_from_this())] {
                              if (const auto connection = weak.lock()) connection->close("");
                            });
  update_interest();
}

void SocketConnection::shut_fd() {
  if (closing_timer_ != 0) loop_.cancel(closing_timer_);
  closing_timer_ = 0;
  loop_.impl().remove(fd_);
  ::close(fd_);
  fd_ = -1;
  std::string().swap(out_);
  std::string().swap(sending_);
  sent_ = 0;
}

void SocketConnection::abandon() {
  handler_ = nullptr;
  closed_ = true;
  if (fd_ >= 0) shut_fd();
}

void SocketConnection::tell_closed() {
  ConnectionHandler* handler = handler_;
  handler_ = nullptr;
  if (handler != nullptr) handler->on_closed(reason_);
  loop_.impl().bury(self());
}

}  // namespace decree::net
