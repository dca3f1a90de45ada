#include "net/tcp.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace decree::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct Recorder : ConnectionHandler {
  std::shared_ptr<Connection> connection;
  std::string received;
  std::string closed_reason;
  int closed = 0;
  int drained = 0;
  int flushes = 0;
  bool echo = false;
  void on_bytes(std::string_view bytes) override {
    received.append(bytes);
    if (echo) {
      connection->out().append(bytes);
      connection->want_flush();
    }
  }
  void on_closed(const std::string& reason) override {
    ++closed;
    closed_reason = reason;
  }
  void on_drained() override { ++drained; }
  void on_flush() override { ++flushes; }
};

class Tcp : public testing::Test {
 protected:
  // One turn after the other until `done`, at most 10 s.
  bool run_until(const std::function<bool()>& done) {
    const auto end = steady_clock::now() + std::chrono::seconds(10);
    while (!done()) {
      if (steady_clock::now() > end) return false;
      loop.wait(milliseconds(10));
      loop.flush();
    }
    return true;
  }
  void connect_pair() {
    auto listening = listen_tcp(loop, {"127.0.0.1", 0}, [this](std::shared_ptr<Connection> c) {
      server.connection = std::move(c);
      server.connection->start(&server);
    });
    ASSERT_TRUE(listening.ok()) << listening.error().message;
    listener = std::move(*listening);
    connect_tcp(loop, {"127.0.0.1", listener->port()}, milliseconds(2000),
                [this](Result<std::shared_ptr<Connection>> c) {
                  ASSERT_TRUE(c.ok()) << c.error().message;
                  client.connection = std::move(*c);
                  client.connection->start(&client);
                });
    ASSERT_TRUE(run_until([&] { return server.connection && client.connection; }));
  }
  EventLoop loop;
  std::unique_ptr<Listener> listener;
  Recorder server;
  Recorder client;
};

TEST_F(Tcp, WhatOneSideAppendsTheOtherReceives) {
  connect_pair();
  server.echo = true;
  client.connection->out() += "hello";
  client.connection->want_flush();
  ASSERT_TRUE(run_until([&] { return client.received == "hello"; }));
  EXPECT_EQ(client.flushes, 1);
  EXPECT_EQ(client.connection->pending_bytes(), 0u);
}

TEST_F(Tcp, ASlowReaderGetsEveryByteInOrderAndTheWriterIsToldWhenItDrained) {
  connect_pair();
  server.connection->pause_reading(true);
  std::string sent;
  for (int round = 0; round < 40; ++round) {
    std::string piece(512 * 1024, static_cast<char>('a' + round % 26));
    client.connection->out() += piece;
    client.connection->want_flush();
    sent += piece;
    loop.flush();
  }
  EXPECT_GT(client.connection->pending_bytes(), 1u << 20);
  EXPECT_TRUE(server.received.empty());
  server.connection->pause_reading(false);
  ASSERT_TRUE(run_until([&] { return server.received.size() == sent.size(); }));
  EXPECT_TRUE(server.received == sent);
  EXPECT_GE(client.drained, 1);
}

TEST_F(Tcp, CloseAfterFlushDeliversEverythingFirst) {
  connect_pair();
  const std::string last(3 << 20, 'x');
  server.connection->out() += last;
  server.connection->close_after_flush("said everything");
  ASSERT_TRUE(run_until([&] { return client.closed == 1; }));
  EXPECT_EQ(client.received.size(), last.size());
  client.connection->close("done");
  ASSERT_TRUE(run_until([&] { return server.closed == 1; }));
  EXPECT_EQ(server.closed_reason, "said everything");
}

TEST_F(Tcp, ALocalCloseTellsTheHandlerOnceAndNotFromInside) {
  connect_pair();
  client.connection->close("enough");
  client.connection->close("again");
  EXPECT_EQ(client.closed, 0);
  ASSERT_TRUE(run_until([&] { return client.closed == 1 && server.closed == 1; }));
  EXPECT_EQ(client.closed_reason, "enough");
  loop.wait(milliseconds(0));
  EXPECT_EQ(client.closed, 1);
}

TEST_F(Tcp, ADetachedHandlerHearsNothing) {
  connect_pair();
  client.connection->start(nullptr);
  client.connection->close("gone");
  ASSERT_TRUE(run_until([&] { return server.closed == 1; }));
  EXPECT_EQ(client.closed, 0);
}

TEST_F(Tcp, APausedReaderIsClosedWhenThePeerResets) {
  connect_pair();
  server.connection->pause_reading(true);
  client.connection->out() += "x";
  client.connection->want_flush();
  loop.flush();
  server.connection->out() += "unread";  // unread input turns the close into a reset
  server.connection->want_flush();
  loop.flush();
  client.connection->close("reset");
  EXPECT_TRUE(run_until([&] { return server.closed == 1; }));
}

TEST_F(Tcp, APortInUseIsNamedInASentence) {
  connect_pair();
  const auto second = listen_tcp(loop, {"127.0.0.1", listener->port()}, [](std::shared_ptr<Connection>) {});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find("port " + std::to_string(listener->port()) + " is in use"),
            std::string::npos)
      << second.error().message;
}

TEST_F(Tcp, ForeignAndUnknownAddressesAreNamedInASentence) {
  const auto foreign = listen_tcp(loop, {"192.0.2.1", 0}, [](std::shared_ptr<Connection>) {});
  ASSERT_FALSE(foreign.ok());
  EXPECT_NE(foreign.error().message.find("not an address of this machine"), std::string::npos);
  const auto unknown = listen_tcp(loop, {"no-such-host.invalid", 0}, [](std::shared_ptr<Connection>) {});
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("no-such-host.invalid"), std::string::npos);
}

TEST_F(Tcp, ARefusedConnectionIsAnErrorFromTheLoop) {
  connect_pair();
  const uint16_t port = listener->port();
  listener.reset();
  loop.wait(milliseconds(0));
  std::string error;
  connect_tcp(loop, {"127.0.0.1", port}, milliseconds(2000), [&](Result<std::shared_ptr<Connection>> c) {
    ASSERT_FALSE(c.ok());
    error = c.error().message;
  });
  EXPECT_TRUE(error.empty());
  ASSERT_TRUE(run_until([&] { return !error.empty(); }));
  EXPECT_NE(error.find("nothing listens there"), std::string::npos) << error;
}

// A new member's port: clients of one that has nothing to say yet must go elsewhere at once.
TEST_F(Tcp, ABoundPortRefusesUntilItIsOpened) {
  int accepted = 0;
  auto bound = bind_tcp(loop, {"127.0.0.1", 0}, [&](std::shared_ptr<Connection>) { ++accepted; });
  ASSERT_TRUE(bound.ok());
  const uint16_t port = (*bound)->port();
  std::string told;
  const auto ask = [&] {
    told.clear();
    connect_tcp(loop, {"127.0.0.1", port}, milliseconds(2000), [&](Result<std::shared_ptr<Connection>> c) {
      told = c.ok() ? "connected" : c.error().message;
    });
    return run_until([&] { return !told.empty(); });
  };
  ASSERT_TRUE(ask());
  EXPECT_NE(told.find("nothing listens there"), std::string::npos) << told;
  ASSERT_TRUE((*bound)->open().ok());
  ASSERT_TRUE((*bound)->open().ok()) << "once more changes nothing";
  ASSERT_TRUE(ask());
  EXPECT_EQ(told, "connected");
  EXPECT_TRUE(run_until([&] { return accepted == 1; }));
}

TEST_F(Tcp, APortThatAnotherOpenedMeanwhileIsNamedInASentence) {
  auto bound = bind_tcp(loop, {"127.0.0.1", 0}, [](std::shared_ptr<Connection>) {});
  ASSERT_TRUE(bound.ok());
  const HostPort address{"127.0.0.1", (*bound)->port()};
  const auto other = listen_tcp(loop, address, [](std::shared_ptr<Connection>) {});
  ASSERT_TRUE(other.ok());
  const Result<void> opened = (*bound)->open();
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("is in use"), std::string::npos) << opened.error().message;
}

TEST_F(Tcp, NamesAreResolvedOffTheLoop) {
  connect_pair();
  bool connected = false;
  connect_tcp(loop, {"localhost", listener->port()}, milliseconds(5000),
              [&](Result<std::shared_ptr<Connection>> c) { connected = c.ok(); });
  EXPECT_TRUE(run_until([&] { return connected; }));
}

TEST_F(Tcp, AtMostEightAcceptsInATurn) {
  int accepted = 0;
  auto listening = listen_tcp(loop, {"127.0.0.1", 0}, [&](std::shared_ptr<Connection>) { ++accepted; });
  ASSERT_TRUE(listening.ok());
  const uint16_t port = (*listening)->port();
  EventLoop other;
  std::vector<std::shared_ptr<Connection>> clients;
  for (int i = 0; i < 20; ++i)
    connect_tcp(other, {"127.0.0.1", port}, milliseconds(2000),
                [&](Result<std::shared_ptr<Connection>> c) { clients.push_back(std::move(*c)); });
  const auto end = steady_clock::now() + std::chrono::seconds(5);
  while (clients.size() < 20 && steady_clock::now() < end) other.wait(milliseconds(10));
  ASSERT_EQ(clients.size(), 20u);
  loop.wait(milliseconds(100));
  EXPECT_EQ(accepted, 8);
  ASSERT_TRUE(run_until([&] { return accepted == 20; }));
}

TEST_F(Tcp, WithoutDescriptorsTheListenerRestsInsteadOfSpinning) {
  int accepted = 0;
  auto listening = listen_tcp(loop, {"127.0.0.1", 0}, [&](std::shared_ptr<Connection>) { ++accepted; });
  ASSERT_TRUE(listening.ok());
  Recorder outside;
  connect_tcp(loop, {"127.0.0.1", (*listening)->port()}, milliseconds(2000),
              [&](Result<std::shared_ptr<Connection>> c) {
                ASSERT_TRUE(c.ok());
                outside.connection = std::move(*c);
                // From here on no descriptor is left for the accept.
                rlimit limit{};
                ::getrlimit(RLIMIT_NOFILE, &limit);
                limit.rlim_cur = 3;
                ::setrlimit(RLIMIT_NOFILE, &limit);
              });
  (*listening)->pause_accepting(true);
  ASSERT_TRUE(run_until([&] { return outside.connection != nullptr; }));
  (*listening)->pause_accepting(false);
  const auto end = steady_clock::now() + milliseconds(250);
  int turns = 0;
  while (steady_clock::now() < end) {
    loop.wait(milliseconds(50));
    ++turns;
  }
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_GE((*listening)->accept_failures(), 1u);
  EXPECT_LT(turns, 20);
  EXPECT_TRUE(run_until([&] { return accepted == 1; }));
}

TEST_F(Tcp, TimersFireInOrderAndCancelledOnesDoNot) {
  std::string order;
  const auto now = steady_clock::now();
  loop.at(now + milliseconds(3), [&] { order += 'b'; });
  loop.at(now + milliseconds(1), [&] { order += 'a'; });
  const uint64_t never = loop.at(now + milliseconds(2), [&] { order += '!'; });
  loop.at(now + milliseconds(4), [&] { order += 'c'; });
  loop.cancel(never);
  ASSERT_TRUE(run_until([&] { return order.size() == 3; }));
  EXPECT_EQ(order, "abc");
}

TEST_F(Tcp, PostedWorkFromAnotherThreadWakesTheLoop) {
  int done = 0;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) loop.post([&] { ++done; });
  });
  ASSERT_TRUE(run_until([&] { return done == 1000; }));
  other.join();
}

TEST(HostPortText, IsParsedStrictly) {
  auto v4 = parse_host_port("127.0.0.1:2379");
  ASSERT_TRUE(v4.ok());
  EXPECT_EQ(v4->host, "127.0.0.1");
  EXPECT_EQ(v4->port, 2379);
  auto v6 = parse_host_port("[::1]:1");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(to_string(*v6), "[::1]:1");
  for (const char* bad : {"", "host", ":1", "::1:80", "a:99999", "a:-1", "a:1x", "[]:1"})
    EXPECT_FALSE(parse_host_port(bad).ok()) << bad;
}

}  // namespace
}  // namespace decree::net
