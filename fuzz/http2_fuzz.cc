// Whatever a client can send: bytes into the port's sniffing, HTTP/2, gRPC framing and HTTP/1.1, in pieces,
// with answers given at once, later and never. After the connection is gone nothing may be left.
//
// Input: one byte of mode (bit 0: the HTTP/2 preface and an empty SETTINGS are put in front; bits 1-3: piece
// size; bit 4: the client never reads), then the stream.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/server.h"

namespace {

using namespace decree;

constexpr std::string_view opening("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);

class FuzzConnection final : public net::Connection {
 public:
  void start(net::ConnectionHandler* handler) override { handler_ = handler; }
  std::string& out() override { return out_; }
  void want_flush() override { wanted_ = true; }
  size_t pending_bytes() const override { return out_.size(); }
  void pause_reading(bool paused) override { paused_ = paused; }
  void close(const std::string&) override { closed_ = true; }
  void close_after_flush(const std::string&) override { closed_ = true; }
  std::string remote_address() const override { return "fuzz:1"; }

  bool takes_bytes() const { return !closed_ && !paused_; }
  void feed(std::string_view bytes) { handler_->on_bytes(bytes); }
  void flush(bool client_reads) {
    if (wanted_ && !closed_) {
      wanted_ = false;
      handler_->on_flush();
    }
    if (!client_reads) return;
    const bool drained = out_.size() >= 64 * 1024;
    out_.clear();
    if (drained && !closed_) handler_->on_drained();
  }
  void end() {
    closed_ = true;
    std::exchange(handler_, nullptr)->on_closed("end of input");
  }

 private:
  net::ConnectionHandler* handler_ = nullptr;
  std::string out_;
  bool wanted_ = false;
  bool paused_ = false;
  bool closed_ = false;
};

class FuzzService final : public http::GrpcService, public http::HttpHandler {
 public:
  http::Server* server = nullptr;
  std::vector<http::CallId> parked;
  void on_unary(http::CallId call, uint32_t method, std::string_view message) override {
    if (method == 0) return server->reply(call, std::string(message));
    if (method == 1) return server->fail(call, http::GrpcCode::not_found, message.substr(0, 100));
    parked.push_back(call);
  }
  void on_message(http::CallId call, uint32_t, std::string_view message) override {
    server->send(call, std::string(message));
  }
  void on_half_closed(http::CallId call, uint32_t) override { server->finish(call, http::GrpcCode::ok); }
  void on_request(http::CallId call, const http::HttpRequest& request) override {
    server->answer(call, {200, "text/plain", std::string(request.query) + std::string(request.body), {}});
  }
  void answer_parked() {
    for (const http::CallId call : parked) {
      server->begin_reply(call, 200000);
      server->append_reply(call, std::string(150000, 'x'));
      server->append_reply(call, std::string(50000, 'y'));
    }
    parked.clear();
  }
};

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  static net::EventLoop loop;
  static FuzzService service;
  static http::Server* server = [] {
    http::Limits limits;
    limits.connection_request_bytes_max = 1 << 20;
    limits.connection_answer_bytes_max = 1 << 20;
    auto* made = new http::Server(loop, limits, [](const std::string&) {});
    service.server = made;
    made->add_unary("/a", &service, 0);
    made->add_unary("/b", &service, 1);
    made->add_unary("/c", &service, 2);
    made->add_streaming("/s", &service, 3);
    made->add_http("/", &service);
    return made;
  }();
  const uint8_t mode = data[0];
  std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece = size_t{1} << (2 * ((mode >> 1) & 7));
  const bool client_reads = (mode & 16) == 0;
  const auto connection = std::make_shared<FuzzConnection>();
  server->adopt(connection);
  if ((mode & 1) != 0) connection->feed(opening);
  for (int turn = 0; !stream.empty() && connection->takes_bytes(); ++turn) {
    const size_t n = std::min(piece, stream.size());
    connection->feed(stream.substr(0, n));
    stream.remove_prefix(n);
    if (turn % 3 == 0) service.answer_parked();
    connection->flush(client_reads);
    // One answer of 200,000 bytes may be made on top of the limit, and frames ahead of the socket.
    require(server->counters().bytes_held < (4u << 20));
    require(connection->pending_bytes() < (2u << 20));
  }
  service.answer_parked();
  connection->flush(client_reads);
  connection->end();
  require(server->counters().calls_open == 0);
  require(server->counters().bytes_held == 0);
  require(server->counters().connections_open == 0);
  return 0;
}
