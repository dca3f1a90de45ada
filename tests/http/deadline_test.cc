// Clients that begin something and never end it, over real sockets and with short deadlines.
#include <gtest/gtest.h>

#include "http/server.h"
#include "tests/http/test_client.h"

namespace decree::http {
namespace {

using std::chrono::seconds;

struct Echo : GrpcService {
  Server* server = nullptr;
  void on_unary(CallId call, uint32_t method, std::string_view message) override {
    server->reply(call, method == 1 ? std::string(500000, 'x') : std::string(message));
  }
};

struct Peer : net::ConnectionHandler {
  std::shared_ptr<net::Connection> connection;
  std::string received;
  bool closed = false;
  void on_bytes(std::string_view bytes) override { received.append(bytes); }
  void on_closed(const std::string&) override { closed = true; }
};

class Deadlines : public testing::Test {
 protected:
  Deadlines() {
    Limits limits;
    limits.header_deadline = seconds(1);
    limits.body_deadline = seconds(1);
    limits.stuck_deadline = seconds(1);
    limits.http1_idle = seconds(1);
    server = std::make_unique<Server>(loop, limits, [this](const std::string& s) { log.push_back(s); });
    echo.server = server.get();
    server->add_unary("/t.T/Echo", &echo, 0);
    server->add_unary("/t.T/Big", &echo, 1);
    port = server->listen({"127.0.0.1", 0}).value();
    net::connect_tcp(loop, {"127.0.0.1", port}, seconds(2),
                     [this](Result<std::shared_ptr<net::Connection>> c) {
                       peer.connection = std::move(c).value();
                       peer.connection->start(&peer);
                     });
    EXPECT_TRUE(run_until([&] { return peer.connection != nullptr; }));
  }
  ~Deadlines() override { peer.connection->start(nullptr); }
  bool run_until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + seconds(15);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      loop.wait(std::chrono::milliseconds(20));
      loop.flush();
    }
    return true;
  }
  void send(std::string_view bytes) {
    peer.connection->out().append(bytes);
    peer.connection->want_flush();
  }
  net::EventLoop loop;
  Echo echo;
  Peer peer;
  std::vector<std::string> log;
  std::unique_ptr<Server> server;
  uint16_t port = 0;
  TestClient client;
};

TEST_F(Deadlines, AConnectionThatSaysNothingIsClosed) {
  EXPECT_TRUE(run_until([&] { return peer.closed; }));
  ASSERT_FALSE(log.empty());
  EXPECT_NE(log[0].find("no request arrived in time"), std::string::npos) << log[0];
}

TEST_F(Deadlines, HalfAnHttp1HeaderIsNotWaitedForLong) {
  send("GET /health HTT");
  EXPECT_TRUE(run_until([&] { return peer.closed; }));
}

TEST_F(Deadlines, AnIdleHttp1ConnectionIsClosedAfterItsAnswer) {
  send("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(run_until([&] { return peer.closed; }));
  EXPECT_NE(peer.received.find("404"), std::string::npos);
}

TEST_F(Deadlines, AFrameThatDoesNotEndClosesTheConnectionWithGoaway) {
  client.call("/t.T/Echo", "x");
  std::string bytes = client.pull();
  bytes.resize(bytes.size() - 3);
  send(bytes);
  EXPECT_TRUE(run_until([&] { return peer.closed; }));
  ASSERT_FALSE(log.empty());
  EXPECT_NE(log[0].find("did not finish it"), std::string::npos) << log[0];
}

TEST_F(Deadlines, ARequestThatDoesNotEndFailsAndTheConnectionStays) {
  const int32_t stream = client.request("/t.T/Echo", std::string("\0\0\0\0\5ab", 7), {}, true);
  send(client.pull());
  const auto answered = [&] {
    client.feed(std::exchange(peer.received, {}));
    return client.answer(stream).ended;
  };
  EXPECT_TRUE(run_until(answered));
  EXPECT_EQ(client.answer(stream).field("grpc-status"), "4");
  EXPECT_FALSE(peer.closed);
}

TEST_F(Deadlines, WhoNeverReadsItsAnswersIsDisconnected) {
  peer.connection->pause_reading(true);
  TestClient greedy({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff}});
  // The connection's window too, which SETTINGS does not change.
  send(greedy.pull());
  send(std::string("\0\0\4\10\0\0\0\0\0\x7f\0\0\0", 13));
  const auto gone = [&] {
    if (server->counters().connections_open == 0) return true;
    if (server->counters().calls_open < 50) {
      for (int i = 0; i < 10; ++i) greedy.call("/t.T/Big", "x");  // small questions: nobody opens its window
      send(greedy.pull());
    }
    return false;
  };
  EXPECT_TRUE(run_until(gone));
  ASSERT_FALSE(log.empty());
  EXPECT_NE(log[0].find("has not read its answers"), std::string::npos) << log[0];
}

TEST(TotalLimits, CallsBeyondTheLimitOfAllConnectionsAreRefused) {
  net::EventLoop loop;
  Limits limits;
  limits.calls_max = 5;
  Server server(loop, limits, {});
  struct Silent : GrpcService {
    void on_unary(CallId, uint32_t, std::string_view) override {}
  } silent;
  server.add_unary("/t.T/Silent", &silent, 0);
  std::vector<std::shared_ptr<FakeConnection>> connections;
  std::vector<std::unique_ptr<TestClient>> clients;
  int refused = 0;
  for (int i = 0; i < 4; ++i) {
    connections.push_back(std::make_shared<FakeConnection>());
    server.adopt(connections.back());
    clients.push_back(std::make_unique<TestClient>());
    const int32_t one = clients.back()->call("/t.T/Silent", "x");
    const int32_t two = clients.back()->call("/t.T/Silent", "x");
    clients.back()->exchange(*connections.back());
    for (const int32_t stream : {one, two})
      refused += clients.back()->answer(stream).error == NGHTTP2_REFUSED_STREAM ? 1 : 0;
  }
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(server.counters().calls_refused, 3u);
  server.stop();
}

}  // namespace
}  // namespace decree::http
