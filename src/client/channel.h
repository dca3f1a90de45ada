// A connection to one endpoint that carries calls: TCP below, Http2Calls above. It does not decide
// anything: who uses it chooses when to connect again and what to do with calls that were lost.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "client/http2_calls.h"
#include "net/event_loop.h"
#include "net/tcp.h"

namespace decree::client {

class Channel;

class ChannelUser {
 public:
  virtual ~ChannelUser() = default;
  virtual void on_channel_up(Channel& channel) = 0;
  // After every open call got its reply. Also when connecting failed.
  virtual void on_channel_down(Channel& channel, const std::string& reason) = 0;
  virtual void on_reply(Channel& channel, uint64_t token, const Reply& reply) = 0;
};

class Channel final : private net::ConnectionHandler, private ReplySink {
 public:
  Channel(net::EventLoop& loop, net::HostPort endpoint, size_t index, ChannelUser& user);
  ~Channel() override;

  // Does nothing unless down.
  void connect(std::chrono::milliseconds timeout);
  void close(const std::string& reason);
  bool up() const { return calls_ != nullptr && calls_->takes_calls(); }
  bool down() const { return calls_ == nullptr && !connecting_; }
  // Connected, but the server asked to take further calls elsewhere (GOAWAY).
  bool draining() const { return calls_ != nullptr && !calls_->takes_calls(); }

  // As Http2Calls::start; false while not up. Leaves with the loop's next flush().
  bool start_call(uint64_t token, std::string_view path, std::string_view framed, int64_t timeout_ms = 0,
                  MessageSink* messages = nullptr);
  void cancel_call(uint64_t token);

  size_t index() const { return index_; }
  const net::HostPort& endpoint() const { return endpoint_; }
  const std::string& name() const { return name_; }  // "host:port"

 private:
  void on_bytes(std::string_view bytes) override;
  void on_flush() override;
  void on_closed(const std::string& reason) override;
  void on_reply(uint64_t token, const Reply& reply) override { user_.on_reply(*this, token, reply); }
  void connected(std::shared_ptr<net::Connection> connection);

  net::EventLoop& loop_;
  net::HostPort endpoint_;
  std::string name_;
  size_t index_;
  ChannelUser& user_;
  std::shared_ptr<net::Connection> connection_;
  std::unique_ptr<Http2Calls> calls_;
  std::shared_ptr<Channel*> self_;  // empties a connect() that is still under way
  bool connecting_ = false;
};

}  // namespace decree::client
