// HTTP/1.1 by Boost.Beast's parser: one request after the other on a connection, answers in order.
#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>

#include "http/session.h"

namespace decree::http {

namespace {

namespace beast_http = boost::beast::http;
using Parser = beast_http::request_parser<beast_http::string_body>;

constexpr size_t pipelined_bytes_max = 16 * 1024;
constexpr size_t target_bytes_max = 4096;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

class Http1Session final : public Session {
 public:
  using Session::Session;

  void on_bytes(std::string_view bytes) override;
  void on_flush() override {}
  void answer_changed(Call& /*call*/) override {}
  void answer_http(Call& call, HttpAnswer answer) override;
  void shut_down() override;
  std::string overdue(net::SteadyTime now) override;

 private:
  void advance();
  bool parse();
  boost::beast::error_code feed();
  void dispatch();
  void take_header(Call& call);
  void write(const HttpAnswer& answer, bool head);
  void reject(int status, const std::string& sentence);

  std::optional<Parser> parser_;
  std::string buffer_;
  net::SteadyTime request_since_ = std::chrono::steady_clock::now();
  net::SteadyTime idle_since_ = request_since_;
  bool begun_ = false;
  bool keep_alive_ = true;
  bool closing_ = false;
  bool advancing_ = false;
  bool shutting_down_ = false;
};

std::unique_ptr<Session> make_http1_session(Server& server, ClientConnection& connection) {
  return std::make_unique<Http1Session>(server, connection);
}

void Http1Session::on_bytes(std::string_view bytes) {
  if (closing_) return;
  buffer_.append(bytes);
  advance();
  // Requests sent ahead of the answer wait in the socket, not here.
  connection_.net().pause_reading(!closing_ && !calls_.empty() && buffer_.size() > pipelined_bytes_max);
}

boost::beast::error_code Http1Session::feed() {
  boost::beast::error_code problem;
  const size_t used = parser_->put(boost::asio::const_buffer(buffer_.data(), buffer_.size()), problem);
  buffer_.erase(0, used);
  return problem;
}

// A handler may answer at once, from inside dispatch(): a loop instead of a recursion as deep as the
// pipeline.
void Http1Session::advance() {
  if (advancing_) return;
  advancing_ = true;
  while (!closing_ && calls_.empty() && !buffer_.empty() && parse()) dispatch();
  advancing_ = false;
}

bool Http1Session::parse() {
  if (!parser_) {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(server_.limits().header_list_bytes_max));
    parser_->body_limit(server_.limits().http_body_bytes_max);
    parser_->eager(false);  // stops behind the header
  }
  if (!begun_) {
    begun_ = true;
    request_since_ = std::chrono::steady_clock::now();
  }
  const bool had_header = parser_->is_header_done();
  boost::beast::error_code problem = feed();
  if (!problem && !had_header && parser_->is_header_done()) {
    // Beast 1.81 asserts on some malformed chunks: a client could stop the process. (Fuzzing found it.)
    if (parser_->chunked()) {
      reject(411, "send the body with a Content-Length, chunked bodies are not taken");
      return false;
    }
    parser_->eager(true);
    if (!parser_->is_done()) problem = feed();
  }
  if (problem && problem != beast_http::error::need_more) {
    if (problem == beast_http::error::header_limit)
      reject(431, fmt::format("the header is larger than {} bytes", server_.limits().header_list_bytes_max));
    else if (problem == beast_http::error::body_limit)
      reject(413, fmt::format("the body is larger than {} bytes", server_.limits().http_body_bytes_max));
    else
      reject(400, "this port speaks HTTP/1.1 and gRPC; what arrived is neither (" + problem.message() + ")");
    return false;
  }
  if (!had_header && parser_->is_header_done() && !parser_->is_done() &&
      parser_->get()[beast_http::field::expect] == "100-continue") {
    connection_.net().out() += "HTTP/1.1 100 Continue\r\n\r\n";
    connection_.net().want_flush();
  }
  return parser_->is_done();
}

void Http1Session::dispatch() {
  had_request_ = true;
  begun_ = false;
  const auto& request = parser_->get();
  keep_alive_ = request.keep_alive();
  const std::string_view target = view(request.target());
  const size_t mark = target.find('?');
  const std::string_view path = target.substr(0, mark);
  Call* call = server_.open_call(this);
  call->http_method = view(request.method_string()).substr(0, 32);
  call->handler = server_.find_http(path);
  take_header(*call);
  const CallId id = call->id();
  if (target.size() > target_bytes_max)
    return server_.answer(id, {414, "text/plain; charset=utf-8", "the path is too long\n", {}});
  if (call->handler == nullptr)
    return server_.answer(id, {404, "text/plain; charset=utf-8", "404 page not found\n", {}});
  const std::string_view query =
      mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  server_.dispatch_http(call, {view(request.method_string()), path, query, request.body()});
}

// In the form of HTTP/2's: names in lower case, so that Server::metadata() finds both.
void Http1Session::take_header(Call& call) {
  for (const auto& field : parser_->get()) {
    const std::string_view name = view(field.name_string());
    const std::string_view value = view(field.value());
    if (name.find('\0') != std::string_view::npos || value.find('\0') != std::string_view::npos) continue;
    for (const char c : name) call.metadata += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    call.metadata.push_back('\0');
    call.metadata.append(value).push_back('\0');
  }
}

void Http1Session::answer_http(Call& call, HttpAnswer answer) {
  write(answer, call.http_method == "HEAD");
  server_.close_call(&call);
  parser_.reset();
  idle_since_ = std::chrono::steady_clock::now();
  if (!keep_alive_ || shutting_down_) {
    closing_ = true;
    connection_.net().close_after_flush("answered");
    return;
  }
  connection_.net().pause_reading(false);
  advance();
}

void Http1Session::write(const HttpAnswer& answer, bool head) {
  std::string& out = connection_.net().out();
  out += fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n", answer.status,
                     http_status_text(answer.status), answer.content_type, answer.body.size());
  if (!answer.allow.empty()) out += fmt::format("Allow: {}\r\n", answer.allow);
  for (const auto& [name, value] : answer.headers) out += fmt::format("{}: {}\r\n", name, value);
  if (!keep_alive_ || shutting_down_) out += "Connection: close\r\n";
  out += "\r\n";
  if (!head) out += answer.body;
  connection_.net().want_flush();
}

void Http1Session::reject(int status, const std::string& sentence) {
  closing_ = true;
  keep_alive_ = false;
  write({status, "text/plain; charset=utf-8", sentence + "\n", {}}, false);
  buffer_.clear();
  parser_.reset();
  connection_.drop(sentence);
}

void Http1Session::shut_down() {
  shutting_down_ = true;
  if (calls_.empty()) connection_.net().close_after_flush("the server is shutting down");
}

std::string Http1Session::overdue(net::SteadyTime now) {
  const Limits& limits = server_.limits();
  if (!calls_.empty() || closing_) return {};
  if (begun_) {
    const bool header_done = parser_ && parser_->is_header_done();
    if (now - request_since_ > (header_done ? limits.body_deadline : limits.header_deadline))
      return "its HTTP request did not arrive in time";
    return {};
  }
  if (now - idle_since_ > limits.http1_idle) connection_.net().close_after_flush("idle");
  return {};
}

}  // namespace decree::http
