// The client port: one listener for gRPC over HTTP/2 and for HTTP/1.1, told apart by the first bytes.
//
// A call is named by a CallId (place in a table and generation), never by a pointer: services answer
// later, or not at all when the client has gone; an answer to a call that is over is dropped. Everything
// runs on the loop's thread. Frames of all answers are made once per turn, in EventLoop::flush().
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "decree/result.h"
#include "http/call_port.h"
#include "http/grpc_framing.h"
#include "http/limits.h"
#include "net/tcp.h"

namespace decree::http {

struct HttpRequest {
  std::string_view method;
  std::string_view path;   // without the query
  std::string_view query;  // without '?'
  std::string_view body;
};

struct HttpAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::string allow;                                         // for 405
  std::vector<std::pair<std::string, std::string>> headers;  // others; names in lower case
};

// Serves one path over HTTP/1.1, or plain HTTP/2. Answer now or later with Server::answer(). The request's
// header is in Server::metadata() (HTTP/2 gives the host no name there).
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  virtual void on_request(CallId call, const HttpRequest& request) = 0;
  virtual void on_cancelled(CallId /*call*/) {}
};

// One gRPC method and what was counted on it.
struct GrpcRoute {
  std::string path;  // "/etcdserverpb.KV/Put"
  bool streaming = false;
  GrpcService* service = nullptr;
  uint32_t method = 0;
  uint64_t started = 0;
  std::array<uint64_t, grpc_codes> handled{};
};

struct ServerCounters {
  uint64_t connections_accepted = 0;
  uint64_t connections_refused = 0;  // over a limit
  uint64_t connections_dropped = 0;  // closed by us: bad bytes, floods, deadlines
  uint64_t connections_open = 0;
  uint64_t calls_open = 0;
  uint64_t calls_refused = 0;  // over a limit
  uint64_t bytes_held = 0;     // requests and answers in memory
  uint64_t output_bytes = 0;   // frames waiting for sockets, at most a second ago
  uint64_t http1_requests = 0;
};

struct Call;
class Session;
class ClientConnection;

class Server final : public CallPort {
 public:
  // `log` gets a sentence per connection that we had to close or refuse; at most about one a second.
  using Log = std::function<void(const std::string& sentence)>;
  Server(net::EventLoop& loop, const Limits& limits, Log log);
  ~Server() override;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Before listen(). Services and handlers must outlive the server.
  void add_unary(std::string path, GrpcService* service, uint32_t method) override;
  void add_streaming(std::string path, GrpcService* service, uint32_t method) override;
  void add_http(std::string path, HttpHandler* handler);

  // May be called for several addresses. Returns the port (useful for port 0).
  Result<uint16_t> listen(const net::HostPort& address);
  // In two steps: the address is ours, and whoever connects is refused until open_bound().
  Result<uint16_t> bind(const net::HostPort& address);
  Result<void> open_bound();
  // Serves a connection made elsewhere (tests, fuzzing).
  void adopt(std::shared_ptr<net::Connection> connection);

  // ---- answering; void ids are ignored ----
  bool open(CallId call) const override;
  void reply(CallId call, std::string message) override;                  // unary, OK
  void fail(CallId call, GrpcCode code, std::string_view text) override;  // unary and streaming
  // Unary, OK, in pieces: `total_bytes` is the whole message, the call ends with its last byte. The caller
  // keeps unsent_bytes() small and goes on when on_writable() tells.
  void begin_reply(CallId call, uint64_t total_bytes) override;
  void append_reply(CallId call, std::string piece) override;
  void send(CallId call, std::string message) override;                          // streaming
  void finish(CallId call, GrpcCode code, std::string_view text = {}) override;  // streaming
  void answer(CallId call, HttpAnswer answer);                                   // HttpHandler
  size_t unsent_bytes(CallId call) const override;

  // ---- what the client said; empty when void ----
  // time_point::max(): no deadline.
  net::SteadyTime deadline(CallId call) const override;
  // First value of that name, lower case.
  std::string_view metadata(CallId call, std::string_view name) const override;
  std::shared_ptr<const std::string> remote(CallId call) const override;

  // ---- life ----
  // Stops accepting, tells clients to go elsewhere (GOAWAY), lets calls in flight finish.
  void shut_down();
  bool drained() const { return connections_.empty(); }
  void close_all(const std::string& reason);
  // Everything ends here and now, without a word to clients; services hear of their cancelled calls. For
  // owners whose services go before the server does.
  void stop();

  ServerCounters counters() const;
  const std::vector<std::unique_ptr<GrpcRoute>>& routes() const;
  const Limits& limits() const { return limits_; }

 private:
  friend class ClientConnection;
  friend class Session;
  friend class Http2Session;
  friend class Http1Session;
  struct Tables;

  void add_route(std::string path, GrpcService* service, uint32_t method, bool streaming);
  void accept(std::shared_ptr<net::Connection> connection);
  void forget(ClientConnection* connection);
  void sweep();
  void complain(const std::string& sentence);

  // For sessions.
  GrpcRoute* find_route(std::string_view path);
  HttpHandler* find_http(std::string_view path);
  Call* open_call(Session* session);
  Call* find(CallId call) const;
  // The call is over for the client. Tells the service if it has not answered; frees the place.
  void close_call(Call* call);
  // True while new calls may be taken.
  bool has_room() const {
    return bytes_held_ + output_bytes_ <= limits_.total_bytes_max && counters_.calls_open < limits_.calls_max;
  }
  void hold(Call* call, size_t bytes);
  void release(Call* call, size_t bytes);
  void dispatch_http(Call* call, const HttpRequest& request);

  net::EventLoop& loop_;
  Limits limits_;
  Log log_;
  std::unique_ptr<Tables> tables_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  std::vector<std::unique_ptr<ClientConnection>> connections_;
  ServerCounters counters_;
  size_t bytes_held_ = 0;
  size_t output_bytes_ = 0;  // waiting for sockets, as of the last sweep
  uint64_t sweep_timer_ = 0;
  net::SteadyTime last_complaint_{};
  uint64_t complaints_swallowed_ = 0;
  uint64_t accept_failures_seen_ = 0;
  bool shutting_down_ = false;
};

}  // namespace decree::http
