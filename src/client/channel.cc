#include "client/channel.h"

namespace decree::client {

Channel::Channel(net::EventLoop& loop, net::HostPort endpoint, size_t index, ChannelUser& user)
    : loop_(loop),
      endpoint_(std::move(endpoint)),
      name_(net::to_string(endpoint_)),
      index_(index),
      user_(user),
      self_(std::make_shared<Channel*>(this)) {}

Channel::~Channel() {
  *self_ = nullptr;
  if (connection_) {
    connection_->start(nullptr);
    connection_->close("the client is done");
  }
}

void Channel::connect(std::chrono::milliseconds timeout) {
  if (!down()) return;
  connecting_ = true;
  net::connect_tcp(loop_, endpoint_, timeout,
                   [self = self_](Result<std::shared_ptr<net::Connection>> result) {
                     Channel* channel = *self;
                     if (channel == nullptr) {
                       if (result) (*result)->close("nobody waits for it any more");
                       return;
                     }
                     channel->connecting_ = false;
                     if (result) {
                       channel->connected(std::move(result).value());
                     } else {
                       channel->user_.on_channel_down(*channel, result.error().message);
                     }
                   });
}

void Channel::connected(std::shared_ptr<net::Connection> connection) {
  connection_ = std::move(connection);
  calls_ = std::make_unique<Http2Calls>(name_, static_cast<ReplySink&>(*this));
  connection_->start(this);
  connection_->want_flush();
  user_.on_channel_up(*this);
}

void Channel::close(const std::string& reason) {
  if (connection_) connection_->close(reason);
}

bool Channel::start_call(uint64_t token, std::string_view path, std::string_view framed, int64_t timeout_ms,
                         MessageSink* messages) {
  if (calls_ == nullptr || !calls_->start(token, path, framed, timeout_ms, messages)) return false;
  connection_->want_flush();
  return true;
}

void Channel::cancel_call(uint64_t token) {
  if (calls_ == nullptr) return;
  calls_->cancel(token);
  connection_->want_flush();
}

void Channel::on_bytes(std::string_view bytes) {
  const std::shared_ptr<net::Connection> connection = connection_;
  if (!calls_->feed(bytes)) {
    connection->close(calls_->error());
  } else {
    connection->want_flush();  // acknowledgements and window updates
  }
}

void Channel::on_flush() { calls_->pull(connection_->out()); }

void Channel::on_closed(const std::string& reason) {
  // First forgotten, so that whoever reacts to a lost call finds the channel down.
  const std::unique_ptr<Http2Calls> calls = std::move(calls_);
  connection_.reset();
  const std::string why = name_ + ": " + (calls->error().empty() ? reason : calls->error());
  calls->end_all(why);
  user_.on_channel_down(*this, why);
}

}  // namespace decree::client
