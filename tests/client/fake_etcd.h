// A server of the etcd API inside the test, on a thread of its own: the test's function answers each
// unary request, refuses it, never answers, or cuts the connection.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "decree/check.h"
#include "http/server.h"
#include "net/event_loop.h"

namespace decree::client {

struct FakeAnswer {
  enum class Kind : uint8_t { reply, fail, silence, cut };
  Kind kind = Kind::reply;
  std::string body;  // serialised response, or the error's text
  http::GrpcCode code = http::GrpcCode::ok;

  static FakeAnswer reply(std::string body) { return {Kind::reply, std::move(body), http::GrpcCode::ok}; }
  static FakeAnswer fail(http::GrpcCode code, std::string text) {
    return {Kind::fail, std::move(text), code};
  }
  static FakeAnswer silence() { return {Kind::silence, {}, http::GrpcCode::ok}; }
  static FakeAnswer cut() { return {Kind::cut, {}, http::GrpcCode::ok}; }
};

class FakeEtcd final : private http::GrpcService {
 public:
  // Called on the server's thread with "Put", "Range", ... and the request's bytes.
  using Behaviour = std::function<FakeAnswer(std::string_view method, std::string_view message)>;

  explicit FakeEtcd(Behaviour behaviour)
      : behaviour_(std::move(behaviour)), server_(loop_, http::Limits{}, [](const std::string&) {}) {
    constexpr std::array<const char*, 8> paths = {
        "/etcdserverpb.KV/Range",          "/etcdserverpb.KV/Put",
        "/etcdserverpb.KV/DeleteRange",    "/etcdserverpb.KV/Txn",
        "/etcdserverpb.KV/Compact",        "/etcdserverpb.Cluster/MemberList",
        "/etcdserverpb.Maintenance/Alarm", "/etcdserverpb.Maintenance/Status"};
    for (uint32_t i = 0; i < paths.size(); ++i) {
      server_.add_unary(paths[i], this, i);
      names_[i] = std::string_view(paths[i]).substr(std::string_view(paths[i]).rfind('/') + 1);
    }
    Result<uint16_t> port = server_.listen({"127.0.0.1", 0});
    DECREE_CHECK(port.ok(), "the fake server cannot listen");
    port_ = *port;
    thread_ = std::thread([this] {
      while (!stop_.load()) {
        loop_.flush();
        loop_.wait(std::chrono::seconds(1));
        if (cut_) server_.close_all("cut by the test");
        cut_ = false;
      }
    });
  }
  ~FakeEtcd() override {
    stop_.store(true);
    loop_.wake();
    thread_.join();
  }

  net::HostPort address() const { return {"127.0.0.1", port_}; }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }
  int calls() const { return calls_.load(); }

 private:
  void on_unary(http::CallId call, uint32_t method, std::string_view message) override {
    ++calls_;
    FakeAnswer answer = behaviour_(names_[method], message);
    switch (answer.kind) {
      case FakeAnswer::Kind::reply:
        server_.reply(call, std::move(answer.body));
        break;
      case FakeAnswer::Kind::fail:
        server_.fail(call, answer.code, answer.body);
        break;
      case FakeAnswer::Kind::silence:
        break;
      case FakeAnswer::Kind::cut:
        cut_ = true;
        break;
    }
  }

  Behaviour behaviour_;
  std::array<std::string_view, 8> names_;
  net::EventLoop loop_;
  http::Server server_;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::atomic<int> calls_{0};
  bool cut_ = false;
  uint16_t port_ = 0;
};

}  // namespace decree::client
