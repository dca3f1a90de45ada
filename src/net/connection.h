// One socket: the implementation of Connection over EventLoop::Impl.
#pragma once

#include <memory>
#include <string>

#include "net/loop_impl.h"
#include "net/tcp.h"

namespace decree::net {

class SocketConnection final : public Connection, public FdOwner {
 public:
  SocketConnection(EventLoop& loop, int fd, std::string remote);
  ~SocketConnection() override;

  void start(ConnectionHandler* handler) override;
  std::string& out() override { return out_; }
  void want_flush() override;
  size_t pending_bytes() const override { return out_.size() + sending_.size() - sent_; }
  void pause_reading(bool paused) override;
  void close(const std::string& reason) override;
  void close_after_flush(const std::string& reason) override;
  std::string remote_address() const override { return remote_; }

  void on_ready(uint32_t events) override;
  // Parts of EventLoop: write now; tell the handler that it is over.
  void flush_now();
  void tell_closed();
  void abandon();

  size_t open_index = 0;

 private:
  static constexpr size_t low_water_bytes = 64 * 1024;
  static constexpr size_t kept_buffer_bytes = 256 * 1024;
  static constexpr size_t discard_bytes_max = 1024 * 1024;

  std::shared_ptr<SocketConnection> self() {
    return std::static_pointer_cast<SocketConnection>(shared_from_this());
  }
  void read_once();
  void discard_once();
  void write_out();
  void took(size_t bytes);
  void update_interest();
  void finish_sending();
  void shut_fd();

  EventLoop& loop_;
  int fd_;
  std::string remote_;
  std::string reason_;
  ConnectionHandler* handler_ = nullptr;
  std::string out_;      // appended to by the handler
  std::string sending_;  // offered to the kernel already, taken up to sent_
  size_t sent_ = 0;
  uint64_t closing_timer_ = 0;
  size_t discarded_bytes_ = 0;
  uint32_t interest_ = 0;
  bool flush_wanted_ = false;
  bool paused_ = false;
  bool blocked_ = false;  // the kernel's buffer is full
  bool above_low_ = false;
  bool closing_ = false;     // close_after_flush
  bool write_shut_ = false;  // lingering: only reading to the end
  bool closed_ = false;
};

}  // namespace decree::net
