#include <fmt/format.h>

#include "http/session.h"

namespace decree::http {

namespace {

constexpr std::string_view preface_start = "PRI * HTTP/2.0\r\n";

}  // namespace

ClientConnection::ClientConnection(Server& server, std::shared_ptr<net::Connection> connection)
    : server_(server),
      connection_(std::move(connection)),
      remote_(std::make_shared<const std::string>(connection_->remote_address())),
      opened_(std::chrono::steady_clock::now()) {}

ClientConnection::~ClientConnection() {
  if (session_) session_->end_calls();
}

void ClientConnection::on_bytes(std::string_view bytes) {
  if (session_)
    session_->on_bytes(bytes);
  else
    sniff(bytes);
}

void ClientConnection::sniff(std::string_view bytes) {
  first_bytes_.append(bytes);
  const size_t n = std::min(first_bytes_.size(), preface_start.size());
  const bool maybe_http2 = preface_start.substr(0, n) == std::string_view(first_bytes_).substr(0, n);
  if (maybe_http2 && n < preface_start.size()) return;
  session_ = maybe_http2 ? make_http2_session(server_, *this) : make_http1_session(server_, *this);
  const std::string all = std::move(first_bytes_);
  first_bytes_.clear();
  session_->on_bytes(all);
  if (shutting_down_) session_->shut_down();
}

void ClientConnection::on_closed(const std::string& /*reason*/) {
  // Services hear of cancelled calls while the connection still exists.
  if (session_) session_->end_calls();
  server_.forget(this);
}

void ClientConnection::on_drained() {
  // The next turn makes more frames from what waits in the calls.
  connection_->want_flush();
}

void ClientConnection::on_flush() {
  if (session_) session_->on_flush();
}

void ClientConnection::drop(const std::string& reason) {
  ++server_.counters_.connections_dropped;
  server_.complain(fmt::format("client {} disconnected: {}", connection_->remote_address(), reason));
  connection_->close_after_flush(reason);
}

void ClientConnection::shut_down() {
  shutting_down_ = true;
  if (session_)
    session_->shut_down();
  else
    connection_->close("the server is shutting down");
}

void ClientConnection::sweep(net::SteadyTime now) {
  const Limits& limits = server_.limits();
  if (!session_ || !session_->had_request()) {
    // HTTP/2 clients may open a connection ahead of need; one without even the preface is not a client.
    if (!session_ && now - opened_ > limits.header_deadline) return drop("no request arrived in time");
  }
  if (session_) {
    const std::string overdue = session_->overdue(now);
    if (!overdue.empty()) return drop(overdue);
  }
  const size_t pending = connection_->pending_bytes();
  if (pending == 0 || pending < last_pending_ || last_pending_ == 0) stuck_since_ = now;
  last_pending_ = pending;
  if (pending != 0 && now - stuck_since_ > limits.stuck_deadline) {
    ++server_.counters_.connections_dropped;
    server_.complain(fmt::format("client {} disconnected: it has not read its answers for {} s",
                                 connection_->remote_address(), limits.stuck_deadline.count()));
    connection_->close("answers are not read");
  }
}

const char* http_status_text(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 411:
      return "Length Required";
    case 413:
      return "Payload Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    default:
      return "Unknown";
  }
}

}  // namespace decree::http
