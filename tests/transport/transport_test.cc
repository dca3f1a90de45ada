// Real loopback sockets; everything on one loop, so nothing is left to threads. Waiting is turning the loop,
// with a cap.
#include "transport/transport.h"

#include <chrono>
#include <map>

#include "gtest/gtest.h"
#include "transport/codec.h"
#include "transport/frame.h"
#include "transport/join.h"

namespace decree::transport {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

struct Recorder final : TransportSink {
  void on_peer_message(NodeId from, Message message) override {
    messages.emplace_back(from, std::move(message));
  }
  void on_peer_link(NodeId peer, bool up, const PeerProcess&) override { links.emplace_back(peer, up); }
  void on_other_disk(NodeId peer, Incarnation incarnation) override { other_disks[peer] = incarnation; }
  void on_incarnation(NodeId peer, Incarnation incarnation) override {
    incarnations.emplace_back(peer, incarnation);
  }
  void on_transport_log(LogLevel, const std::string& sentence) override { lines.push_back(sentence); }

  bool said(const std::string& part) const {
    for (const std::string& line : lines)
      if (line.find(part) != std::string::npos) return true;
    return false;
  }
  std::string all_lines() const {
    std::string out;
    for (const std::string& line : lines) out += line + "\n";
    return out;
  }

  std::vector<std::pair<NodeId, Message>> messages;
  std::vector<std::pair<NodeId, bool>> links;
  std::map<NodeId, Incarnation> other_disks;
  std::vector<std::pair<NodeId, Incarnation>> incarnations;
  std::vector<std::string> lines;
};

struct World {
  net::EventLoop loop;

  template <class Condition>
  bool until(Condition condition, milliseconds cap = milliseconds(5000)) {
    const auto end = Clock::now() + cap;
    while (!condition()) {
      if (Clock::now() > end) return false;
      loop.wait(milliseconds(10));
      loop.flush();
    }
    return true;
  }
};

uint16_t free_port() {
  net::EventLoop loop;  // its end closes the port
  auto listener = net::listen_tcp(loop, net::HostPort{"127.0.0.1", 0},
                                  [](std::shared_ptr<net::Connection> c) { c->close("test"); });
  return (*listener)->port();
}

struct Pair {
  explicit Pair(World& w) : world(w) {
    for (uint32_t n = 1; n <= 2; ++n) {
      ports.push_back(free_port());
      decree::Member m;
      m.node = NodeId(n);
      m.member_id = 100 + n;
      m.name = "m" + std::to_string(n);
      m.peer_urls = {"http://127.0.0.1:" + std::to_string(ports.back())};
      members.push_back(m);
    }
  }

  TransportOptions options(uint32_t n) const {
    TransportOptions o;
    o.self =
        Self{ClusterId(77), NodeId(n), 100 + n, Incarnation(1000 + n), 1, "m" + std::to_string(n), "test"};
    o.members = members;
    o.listen = {net::HostPort{"127.0.0.1", ports[n - 1]}};
    return o;
  }
  void start(uint32_t n) { start(n, options(n)); }
  void start(uint32_t n, TransportOptions o) {
    transports[n] = std::make_unique<Transport>(world.loop, std::move(o), sinks[n]);
    const Result<void> started = transports[n]->start();
    ASSERT_TRUE(started.ok()) << started.error().message;
  }
  bool both_up() { return transports[1]->is_connected(NodeId(2)) && transports[2]->is_connected(NodeId(1)); }

  World& world;
  std::vector<decree::Member> members;
  std::vector<uint16_t> ports;
  std::map<uint32_t, Recorder> sinks;
  std::map<uint32_t, std::unique_ptr<Transport>> transports;
};

TEST(Transport, MembersFindOneAnotherAndMessagesArriveInOrder) {
  World world;
  Pair pair(world);
  pair.start(1);
  pair.start(2);
  ASSERT_TRUE(world.until([&] { return pair.both_up(); })) << pair.sinks[1].all_lines();
  for (uint64_t i = 1; i <= 100; ++i) {
    pair.transports[1]->send(NodeId(2), Learn{Slot(i)});
    pair.transports[2]->send(NodeId(1), Learn{Slot(1000 + i)});
  }
  ASSERT_TRUE(world.until(
      [&] { return pair.sinks[1].messages.size() == 100 && pair.sinks[2].messages.size() == 100; }));
  for (uint64_t i = 1; i <= 100; ++i) {
    EXPECT_EQ(std::get<Learn>(pair.sinks[2].messages[i - 1].second).first, Slot(i));
    EXPECT_EQ(std::get<Learn>(pair.sinks[1].messages[i - 1].second).first, Slot(1000 + i));
  }
  ASSERT_EQ(pair.sinks[1].incarnations.size(), 1U);
  EXPECT_EQ(pair.sinks[1].incarnations[0].second, Incarnation(1002));
}

Membership with_epoch(std::vector<decree::Member> members, uint32_t epoch) {
  return make_membership(std::move(members), epoch, Slot(epoch * 10 + 1));
}

TEST(Transport, MembersAreAddedAndDroppedWhileRunning) {
  World world;
  Pair pair(world);
  const decree::Member second = pair.members[1];
  TransportOptions alone = pair.options(1);
  alone.members = {pair.members[0]};
  pair.start(1, alone);
  pair.start(2);
  world.until([&] { return pair.sinks[2].said("not in the cluster"); });
  EXPECT_FALSE(pair.transports[1]->is_connected(NodeId(2)));
  pair.transports[1]->set_members(with_epoch(pair.members, 1), {});
  ASSERT_TRUE(world.until([&] { return pair.both_up(); })) << pair.sinks[2].all_lines();
  // Removed, but let in until it knows; then dropped.
  pair.transports[1]->set_members(with_epoch({pair.members[0]}, 2), {second});
  EXPECT_TRUE(pair.both_up());
  pair.transports[1]->set_members(with_epoch({pair.members[0]}, 2), {});
  EXPECT_TRUE(world.until([&] { return !pair.transports[2]->is_connected(NodeId(1)); }));
  EXPECT_EQ(pair.sinks[1].links.back(), std::pair(NodeId(2), false));
}

TEST(Transport, AnotherDiskIsTurnedAwayAndToldUntilAnEpochNamesIt) {
  World world;
  Pair pair(world);
  TransportOptions first = pair.options(1);
  first.members[1].incarnation = Incarnation(555);  // what an epoch named; the process has 1002
  pair.start(1, first);
  pair.start(2);
  ASSERT_TRUE(world.until([&] { return pair.sinks[1].other_disks.count(NodeId(2)) != 0; }));
  EXPECT_EQ(pair.sinks[1].other_disks[NodeId(2)], Incarnation(1002));
  EXPECT_TRUE(pair.sinks[1].links.empty());
  pair.members[1].incarnation = Incarnation(1002);
  pair.transports[1]->set_members(with_epoch(pair.members, 1), {});
  EXPECT_TRUE(world.until([&] { return pair.both_up(); })) << pair.sinks[2].all_lines();
}

// A member that learns its way through old epochs meets disks there that were replaced since.
TEST(Transport, TheLaterEpochKnowsWhoseDiskIsWhose) {
  World world;
  Pair pair(world);
  TransportOptions behind = pair.options(1);
  behind.members[1].incarnation = Incarnation(555);
  behind.epoch = 1;
  TransportOptions ahead = pair.options(2);
  ahead.epoch = 4;
  pair.start(1, behind);
  pair.start(2, ahead);
  ASSERT_TRUE(world.until([&] { return pair.both_up(); })) << pair.sinks[1].all_lines();
  pair.transports[1]->set_members(with_epoch(behind.members, 2), {});
  EXPECT_TRUE(pair.both_up()) << "epoch 2 lists the old disk, too";
  pair.members[1].incarnation = Incarnation(1002);
  pair.transports[1]->set_members(with_epoch(pair.members, 4), {});
  world.until([] { return false; }, milliseconds(100));
  EXPECT_TRUE(pair.both_up());
  EXPECT_TRUE(pair.sinks[1].other_disks.empty());
}

TEST(Transport, ANewcomerIsToldTheMembersWhenItsAddressIsListed) {
  World world;
  Pair pair(world);
  TransportOptions o = pair.options(1);
  o.membership = with_epoch(pair.members, 3);
  pair.start(1, o);
  JoinQuestion question{"m2", pair.members[1].peer_urls, pair.members[0].peer_urls};
  Result<JoinAnswer> told = ask_to_join(world.loop, question, milliseconds(10000));
  ASSERT_TRUE(told.ok()) << told.error().message;
  EXPECT_EQ(told->membership, o.membership);
  EXPECT_EQ(told->cluster, ClusterId(77));
  question.own_urls = {"http://127.0.0.1:1"};
  told = ask_to_join(world.loop, question, milliseconds(1000));
  ASSERT_FALSE(told.ok());
  EXPECT_NE(told.error().message.find("member add"), std::string::npos) << told.error().message;
}

TEST(Transport, ABigSnapshotChunkDoesNotDelayBeats) {
  World world;
  Pair pair(world);
  pair.start(1);
  pair.start(2);
  ASSERT_TRUE(world.until([&] { return pair.both_up(); }));
  // Let the second connection come up as well.
  ASSERT_TRUE(world.until([&] { return world.loop.counters().connections_open >= 4; }));
  world.until([] { return false; }, milliseconds(50));
  const auto chunk = std::make_shared<const std::string>(1u << 20, 'z');
  for (int i = 0; i < 16; ++i) pair.transports[1]->send(NodeId(2), SnapshotChunk{Slot(1), 0, 1, chunk});
  pair.transports[1]->send(NodeId(2), Beat{5, {}, {}});
  ASSERT_TRUE(world.until([&] { return pair.sinks[2].messages.size() == 17; }));
  size_t position = 0;
  while (!std::holds_alternative<Beat>(pair.sinks[2].messages[position].second)) ++position;
  EXPECT_LT(position, 16U) << "the beat came after all chunks";
}

TEST(Transport, APeerThatGoesIsToldAtOnceAndARestartIsFoundQuickly) {
  World world;
  Pair pair(world);
  pair.start(1);
  pair.start(2);
  ASSERT_TRUE(world.until([&] { return pair.both_up(); }));
  pair.transports.erase(2);
  ASSERT_TRUE(world.until([&] { return !pair.transports[1]->is_connected(NodeId(2)); }, milliseconds(1000)));
  EXPECT_EQ(pair.sinks[1].links.back(), std::make_pair(NodeId(2), false));
  // Long enough for the back-off to have grown to its maximum.
  world.until([] { return false; }, milliseconds(1500));
  TransportOptions again = pair.options(2);
  again.self.boot = 2;
  const auto began = Clock::now();
  pair.start(2, again);
  ASSERT_TRUE(world.until([&] { return pair.both_up(); }));
  EXPECT_LT(Clock::now() - began, milliseconds(900)) << "the knock should beat the back-off";
}

struct Refused {
  const char* what;
  void (*change)(TransportOptions&);
  const char* reason;
};

class TransportRefusal : public ::testing::TestWithParam<Refused> {};

TEST_P(TransportRefusal, IsExplainedOnTheOtherSideAndNothingIsExchanged) {
  World world;
  Pair pair(world);
  pair.start(2);
  TransportOptions odd = pair.options(1);
  GetParam().change(odd);
  pair.start(1, odd);
  ASSERT_TRUE(world.until([&] {
    return pair.sinks[1].said(GetParam().reason) || pair.sinks[2].said(GetParam().reason);
  })) << pair.sinks[1].all_lines()
      << pair.sinks[2].all_lines();
  EXPECT_FALSE(pair.both_up());
  EXPECT_TRUE(pair.sinks[1].messages.empty());
  EXPECT_TRUE(pair.sinks[2].messages.empty());
  EXPECT_TRUE(pair.sinks[2].links.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Handshake, TransportRefusal,
    ::testing::Values(Refused{"other cluster", [](TransportOptions& o) { o.self.cluster = ClusterId(78); },
                              "belongs to cluster 4d"},
                      Refused{"unknown member", [](TransportOptions& o) { o.self.member_id = 999; },
                              "is not in the cluster"},
                      Refused{"wrong member at the address",
                              [](TransportOptions& o) { o.members[1].member_id = 555; },
                              "not to the one you look for"},
                      Refused{"disk of the dialler replaced",
                              [](TransportOptions& o) { o.members[1].incarnation = Incarnation(1); },
                              "with another disk"}));

TEST(Transport, AReplacedDiskIsRefusedAfterFirstContact) {
  World world;
  Pair pair(world);
  pair.start(1);
  pair.start(2);
  ASSERT_TRUE(world.until([&] { return pair.both_up(); }));
  pair.transports.erase(1);
  ASSERT_TRUE(world.until([&] { return !pair.transports[2]->is_connected(NodeId(1)); }));
  TransportOptions wiped = pair.options(1);
  wiped.self.incarnation = Incarnation(4711);
  pair.start(1, wiped);
  ASSERT_TRUE(world.until([&] { return pair.sinks[1].said("was emptied or replaced"); }))
      << pair.sinks[1].all_lines();
  EXPECT_FALSE(pair.transports[2]->is_connected(NodeId(1)));
}

// A plain client on the peer port.
struct Stranger final : net::ConnectionHandler {
  void on_bytes(std::string_view bytes) override { received += bytes; }
  void on_closed(const std::string&) override { closed = true; }
  std::string received;
  bool closed = false;
};

TEST(Transport, GarbageIsAnsweredByClosingAndOneLogLine) {
  World world;
  Pair pair(world);
  pair.start(1);
  std::vector<std::unique_ptr<Stranger>> strangers;
  std::vector<std::shared_ptr<net::Connection>> connections;
  std::string before_hello;
  const size_t at = open_frame(before_hello);
  encode_message(0, Learn{Slot(1)}, before_hello);
  close_frame(before_hello, at, FrameKind::message);
  const std::vector<std::string> texts = {"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
                                          std::string(100000, '\xff'), before_hello, std::string(16, '\0')};
  for (const std::string& text : texts) {
    strangers.push_back(std::make_unique<Stranger>());
    Stranger* stranger = strangers.back().get();
    net::connect_tcp(world.loop, net::HostPort{"127.0.0.1", pair.ports[0]}, milliseconds(1000),
                     [&, stranger, text](Result<std::shared_ptr<net::Connection>> c) {
                       ASSERT_TRUE(c.ok());
                       (*c)->start(stranger);
                       (*c)->out() += text;
                       (*c)->want_flush();
                       connections.push_back(*c);
                     });
  }
  EXPECT_TRUE(world.until([&] {
    for (const auto& s : strangers)
      if (!s->closed) return false;
    return true;
  }));
  EXPECT_EQ(pair.transports[1]->garbage_connections(), texts.size());
  EXPECT_TRUE(pair.sinks[1].messages.empty());
  size_t lines = 0;
  for (const std::string& line : pair.sinks[1].lines)
    if (line.find("not a member's bytes") != std::string::npos) ++lines;
  EXPECT_EQ(lines, 1U) << "one line a second";
}

TEST(Transport, SilentStrangersAreBoundedInNumber) {
  World world;
  Pair pair(world);
  TransportOptions few = pair.options(1);
  few.unauthenticated_max = 4;
  pair.start(1, few);
  std::vector<std::unique_ptr<Stranger>> strangers;
  std::vector<std::shared_ptr<net::Connection>> connections;
  for (int i = 0; i < 12; ++i) {
    strangers.push_back(std::make_unique<Stranger>());
    Stranger* stranger = strangers.back().get();
    net::connect_tcp(world.loop, net::HostPort{"127.0.0.1", pair.ports[0]}, milliseconds(1000),
                     [&, stranger](Result<std::shared_ptr<net::Connection>> c) {
                       ASSERT_TRUE(c.ok());
                       (*c)->start(stranger);
                       connections.push_back(*c);
                     });
  }
  const auto closed = [&] {
    size_t n = 0;
    for (const auto& s : strangers) n += s->closed ? 1 : 0;
    return n;
  };
  EXPECT_TRUE(world.until([&] { return closed() >= 8; }));
  EXPECT_EQ(closed(), 8U);
}

}  // namespace
}  // namespace decree::transport
