// Partial partitions: whoever reaches a quorum may lead, and ballots stop growing (protocol 2.12, L1, L2).
// Named scenarios, and every static graph of links between five members with every old leader.
#include <array>

#include "paxos/prng.h"
#include "tests/paxos/test_cluster.h"

namespace decree {
namespace {

using testing::Frame;
using testing::is;
using testing::kSanitized;
using testing::TestCluster;

using Log = std::vector<std::string>;
using Links = std::vector<std::pair<uint32_t, uint32_t>>;

// A cluster whose links are cut and joined, heartbeat and all.
struct Graph {
  explicit Graph(uint32_t n, Options options = {}) : cluster(n, options), members(n) {}
  // Links that are not named fall silent; with `closed`, their connections are seen to close.
  void only(const Links& links, bool closed = false) {
    open.fill(0);
    for (const auto& [a, b] : links) {
      open[a] |= 1u << b;
      open[b] |= 1u << a;
    }
    cluster.drop = [this](const Frame& f) { return (open[f.from.value] & (1u << f.to.value)) == 0; };
    for (uint32_t a = 1; a <= members; ++a)
      for (uint32_t b = 1; b <= members; ++b)
        if (a != b) cluster.input(a, PeerLink{NodeId(b), !closed || (open[a] & (1u << b)) != 0});
  }
  bool reaches_quorum(uint32_t node) const {
    return 1u + static_cast<uint32_t>(__builtin_popcount(open[node])) >= cluster.membership().bill_quorum;
  }
  bool somebody_reaches_quorum() const {
    for (uint32_t node = 1; node <= members; ++node)
      if (reaches_quorum(node)) return true;
    return false;
  }
  uint64_t elections() {
    uint64_t sum = 0;
    for (auto& [node, m] : cluster.all()) sum += m.replica->status().elections;
    return sum;
  }
  uint32_t highest_round() {
    uint32_t round = 0;
    for (auto& [node, m] : cluster.all()) round = std::max(round, m.replica->status().promised.round);
    return round;
  }
  // A proposal handed to the member itself is decided and applied there.
  bool decides(uint32_t node, const std::string& text, uint32_t ticks) {
    cluster.propose(node, ++seq, text);
    return cluster.tick_until([&] { return !cluster.log(node).empty() && cluster.log(node).back() == text; },
                              ticks);
  }
  void lead(uint32_t node) {
    const uint32_t now = cluster.elect();
    if (now == node) return;
    cluster.input(node, Received{NodeId(now), TransferNow{cluster.at(now).status().leader}});
    ASSERT_TRUE(cluster.tick_until([&] { return cluster.leader() == node; }));
    cluster.tick(60);
  }

  TestCluster cluster;
  uint32_t members;
  std::array<uint32_t, 8> open{};
  uint64_t seq = 0;
};

// Six beat rounds from the cut on, the silence after which a peer is suspected (four of them) included.
uint32_t bound(const Options& o) { return 6 * o.beat_ticks; }

TEST(Connectivity, QuorumLossTheHubTakesOverFromALeaderThatKeepsOneLink) {
  Graph g(5);
  g.lead(1);
  g.only({{1, 3}, {2, 3}, {3, 4}, {3, 5}});
  EXPECT_TRUE(g.cluster.tick_until([&] { return g.cluster.leader() == 3; }, bound({})));
  EXPECT_TRUE(g.decides(3, "through the hub", 20));
  const uint32_t round = g.highest_round();
  g.cluster.tick(500);
  EXPECT_EQ(g.highest_round(), round);
}

TEST(Connectivity, ConstrainedElectionTheOnlyOneThatReachesAQuorumLeadsThoughItsLogIsOld) {
  Graph g(5);
  g.lead(1);
  g.only({{1, 2}, {1, 3}, {1, 4}, {2, 3}, {2, 4}, {3, 4}});
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(g.decides(1, std::to_string(i), 20));
  g.only({{5, 2}, {5, 3}, {5, 4}});
  EXPECT_TRUE(g.cluster.tick_until([&] { return g.cluster.leader() == 5; }, bound({})));
  EXPECT_TRUE(g.decides(5, "after catching up", 30));
  EXPECT_EQ(g.cluster.log(5).size(), 21u);
}

TEST(Connectivity, ChainedAMemberThatCannotReachTheLeaderStaysPut) {
  Graph g(3);
  g.lead(1);
  g.only({{1, 2}, {2, 3}});
  const uint32_t round = g.highest_round();
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(g.decides(1, std::to_string(i), 5));
    g.cluster.tick(10);
  }
  EXPECT_EQ(g.cluster.leader(), 1u);
  EXPECT_EQ(g.highest_round(), round) << "ballots grow though the leader works";
  g.cluster.tick(30);
  EXPECT_EQ(g.cluster.log(3).size(), 50u) << "it learns from its neighbour";
}

// 2 November 2020: node 1 and the leader 3 lose each other, node 2 reaches both; elections went on for six
// hours.
TEST(Connectivity, CloudflareAPartitionBetweenOneFollowerAndTheLeaderCostsNothing) {
  for (const bool closed : {false, true}) {
    Graph g(3);
    g.lead(3);
    g.only({{1, 2}, {2, 3}}, closed);
    const uint32_t round = g.highest_round();
    g.cluster.tick(2000);
    EXPECT_EQ(g.cluster.leader(), 3u);
    EXPECT_EQ(g.highest_round(), round);
    EXPECT_TRUE(g.decides(3, "still working", 5));
  }
}

// The far end of the chain serves its clients through the neighbour, as soon as it suspects its own link.
TEST(Connectivity, ChainedTheFarMemberWritesAndReadsThroughItsNeighbour) {
  for (const bool closed : {false, true}) {
    SCOPED_TRACE(closed ? "connection closed" : "link silent");
    Graph g(3);
    g.lead(1);
    g.only({{1, 2}, {2, 3}}, closed);
    g.cluster.tick(bound({}));
    const uint32_t round = g.highest_round();
    ASSERT_TRUE(g.decides(1, "from the leader", 5));
    ASSERT_TRUE(g.decides(3, "from the far end", 40));
    EXPECT_EQ(g.cluster.log(1), (Log{"from the leader", "from the far end"}));
    const Slot decided = g.cluster.at(1).status().decided;
    g.cluster.member(3).reads.clear();
    g.cluster.input(3, Read{77});
    ASSERT_TRUE(g.cluster.tick_until([&] { return !g.cluster.member(3).reads.empty(); }, 5));
    const ReadReady read = g.cluster.member(3).reads.front();
    EXPECT_TRUE(read.ok);
    EXPECT_EQ(read.seq, 77u);
    EXPECT_GE(read.index, decided);
    EXPECT_TRUE(g.cluster.tick_until([&] { return g.cluster.at(3).status().applied >= read.index; }, 40));
    EXPECT_EQ(g.highest_round(), round) << "nobody has to lead for it";
  }
}

TEST(Connectivity, ChainedAMemberThatStartsBehindANeighbourBecomesReadyThroughIt) {
  Graph g(3);
  g.lead(1);
  ASSERT_TRUE(g.decides(1, "before", 5));
  g.cluster.crash(3);
  g.cluster.restart(3);
  g.only({{1, 2}, {2, 3}}, true);
  EXPECT_TRUE(g.cluster.tick_until([&] { return g.cluster.at(3).status().ready; }, 100));
  EXPECT_EQ(g.cluster.log(3), Log{"before"});
}

TEST(Connectivity, ChainedARefusalFindsItsWayBackAndNothingIsPassedOnTwice) {
  Graph g(4);
  g.lead(1);
  g.only({{1, 2}, {1, 4}, {2, 3}}, true);
  g.cluster.tick(bound({}));
  const Ballot ballot = g.cluster.at(1).status().leader;
  g.cluster.drop = [](const Frame&) { return true; };
  g.cluster.tick(1);
  g.cluster.propose(3, 9, "never arrives");
  const RequestId id{NodeId(3), 1, 9};
  g.cluster.input(2, Received{NodeId(1), ForwardReply{{id}, Outcome::definitely_not, {}, false}});
  EXPECT_EQ(g.cluster.deliver_if([](const Frame& f) { return is<ForwardReply>(f) && f.to == NodeId(3); }),
            1u);
  ASSERT_EQ(g.cluster.member(3).outcomes.size(), 1u);
  EXPECT_EQ(g.cluster.member(3).outcomes.front().outcome, Outcome::definitely_not);
  // What came through one neighbour already goes no further.
  g.cluster.net().clear();
  g.cluster.input(2, Received{NodeId(4), Forward{ballot, 1, 1, {testing::command(3, 10, "x")}, NodeId(3)}});
  g.cluster.input(2, Received{NodeId(4), ReadIndex{1, 5, NodeId(3)}});
  for (const Frame& f : g.cluster.net()) EXPECT_FALSE(is<Forward>(f) || is<ReadIndex>(f));
}

// The member whose client asked may then submit it again to the next leader.
TEST(Connectivity, AForwardThatComesTooLateIsRefusedBecauseItsLeaderIsGone) {
  Graph g(3);
  g.lead(1);
  const Ballot old = g.cluster.at(1).status().leader;
  g.lead(2);
  const RequestId id{NodeId(3), 1, 9};
  g.cluster.net().clear();
  g.cluster.input(1, Received{NodeId(3), Forward{old, 1, 1, {testing::command(3, 9, "late")}, NodeId(0)}});
  bool refused = false;
  for (const Frame& f : g.cluster.net())
    if (is<ForwardReply>(f)) {
      refused = true;
      EXPECT_TRUE(std::get<ForwardReply>(f.message).leader_gone);
      EXPECT_EQ(std::get<ForwardReply>(f.message).ids, std::vector<RequestId>{id});
    }
  EXPECT_TRUE(refused);
}

TEST(Connectivity, AOneWayLinkCountsAsNone) {
  Graph g(3);
  g.lead(1);
  g.only({{1, 2}, {1, 3}, {2, 3}});
  g.cluster.drop = [](const Frame& f) { return f.to.value == 1; };  // the leader speaks and hears nothing
  EXPECT_TRUE(g.cluster.tick_until([&] { return g.cluster.leader() != 1; }, bound({})));
  EXPECT_TRUE(g.decides(g.cluster.leader(), "without the deaf one", 20));
}

TEST(Connectivity, AFlappingLinkDoesNotMakeBallotsGrowForEver) {
  Graph g(5);
  g.lead(1);
  const Links all{{1, 2}, {1, 3}, {1, 4}, {1, 5}, {2, 3}, {2, 4}, {2, 5}, {3, 4}, {3, 5}, {4, 5}};
  const Links without{{1, 3}, {1, 4}, {1, 5}, {2, 3}, {2, 4}, {2, 5}, {3, 4}, {3, 5}, {4, 5}};
  const uint32_t round = g.highest_round();
  for (int i = 0; i < 40; ++i) {
    g.only(i % 2 == 0 ? without : all, true);
    g.cluster.tick(25);
  }
  EXPECT_EQ(g.cluster.leader(), 1u);
  EXPECT_EQ(g.highest_round(), round);
}

// Whoever is freshest runs, the others wait for it: no duel when nobody led for a while.
TEST(Connectivity, AfterARestartOfAllOrALongSilenceTheyDoNotAllRunAtOnce) {
  for (const uint32_t n : {3u, 5u, 7u}) {
    TestCluster c(n);
    c.elect();
    c.drop = [](const Frame&) { return true; };
    c.tick(300);
    const auto elections = [&c] {
      uint64_t sum = 0;
      for (auto& [node, m] : c.all()) sum += m.replica->status().elections;
      return sum;
    };
    const uint64_t before = elections();
    c.drop = [](const Frame&) { return false; };
    c.tick(200);
    EXPECT_LE(elections() - before, 1u);
    for (uint32_t node = 1; node <= n; ++node) c.crash(node);
    c.advance_time(500);
    for (uint32_t node = 1; node <= n; ++node) c.restart(node);
    c.tick(200);
    EXPECT_LE(elections(), 1u);
    EXPECT_NE(c.leader(), 0u);
  }
}

// Beat rounds are time. The rounds of ballots only name Elections, and each member owns every fifth of them.
struct Sweep {
  uint64_t cases = 0;
  uint64_t with_quorum = 0;
  uint64_t slowest_ticks = 0;
  uint64_t most_elections = 0;
  void print() const {
    std::printf(
        "%llu cases, %llu with a quorum somewhere; slowest %llu ticks (%u allowed), at most %llu Elections\n",
        static_cast<unsigned long long>(cases), static_cast<unsigned long long>(with_quorum),
        static_cast<unsigned long long>(slowest_ticks), bound({}),
        static_cast<unsigned long long>(most_elections));
  }
};

// From the cut on: one leader within the bound, which decides, and then nothing moves any more.
void check_settles(Graph& g, Sweep& sweep) {
  ++sweep.cases;
  const uint32_t before = g.highest_round();
  if (!g.somebody_reaches_quorum()) {
    g.cluster.tick(200);
    EXPECT_EQ(g.highest_round(), before) << "nobody can win, so nobody may run";
    return;
  }
  ++sweep.with_quorum;
  const auto one_works = [&] {
    const uint32_t leader = g.cluster.leader();
    return leader != 0 && g.reaches_quorum(leader) && g.decides(leader, "x" + std::to_string(g.seq), 3);
  };
  const uint64_t start = g.cluster.now();
  const uint64_t elections = g.elections();
  EXPECT_TRUE(g.cluster.tick_until(one_works, bound({})));
  const uint64_t took = g.cluster.now() - start;
  sweep.slowest_ticks = std::max(sweep.slowest_ticks, took);
  // From here on nothing moves any more: the same leader, the same rounds.
  g.cluster.tick(60);
  const uint32_t leader = g.cluster.leader();
  const uint32_t round = g.highest_round();
  sweep.most_elections = std::max(sweep.most_elections, g.elections() - elections);
  g.cluster.tick(150);
  EXPECT_EQ(g.cluster.leader(), leader);
  EXPECT_EQ(g.highest_round(), round) << "ballots still grow";
  EXPECT_TRUE(g.decides(leader, "at the end", 10));
}

void check_graph(uint32_t graph, uint32_t old_leader, bool closed, Sweep& sweep) {
  SCOPED_TRACE("graph " + std::to_string(graph) + ", old leader " + std::to_string(old_leader) +
               (closed ? ", connections closed" : ", links silent"));
  Graph g(5);
  g.lead(old_leader);
  Links links;
  uint32_t bit = 0;
  for (uint32_t a = 1; a <= 5; ++a)
    for (uint32_t b = a + 1; b <= 5; ++b)
      if ((graph >> bit++ & 1u) != 0) links.emplace_back(a, b);
  g.only(links, closed);
  check_settles(g, sweep);
}

TEST(Connectivity, EveryGraphOfFiveMembersWithAQuorumSomewhereGetsOneStableLeader) {
  constexpr uint32_t kEvery = kSanitized ? 61 : 1;
  Sweep sweep;
  for (uint32_t graph = 0; graph < 1024 && !HasFailure(); graph += kEvery)
    for (uint32_t old_leader = 1; old_leader <= 5 && !HasFailure(); ++old_leader)
      check_graph(graph, old_leader, (graph + old_leader) % 2 == 0, sweep);
  sweep.print();
  EXPECT_LE(sweep.most_elections, 3u);
}

// The hub of a star is last in the order of freshness, and all before it could not lead at all.
TEST(Connectivity, NobodyWaitsForMembersThatCouldNotLead) {
  Graph g(5);
  g.lead(1);
  g.only({{1, 5}, {2, 5}, {3, 5}, {4, 5}}, true);
  EXPECT_TRUE(g.cluster.tick_until([&] { return g.cluster.leader() == 5; }, Options{}.beat_ticks));
}

// Every direction of every link on its own: what flows one way only counts as no link, and does no harm.
TEST(Connectivity, OneWayLinksNeitherElectNorDisturb) {
  Sweep sweep;
  for (uint64_t seed = 1; seed <= 400 && !HasFailure(); seed += kSanitized ? 10 : 1) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    paxos::Prng rng(seed);
    Graph g(5);
    g.lead(1 + static_cast<uint32_t>(rng.below(5)));
    std::array<uint32_t, 8> flows{};
    Links both;
    for (uint32_t a = 1; a <= 5; ++a)
      for (uint32_t b = 1; b <= 5; ++b)
        if (a != b && rng.below(100) < 65) flows[a] |= 1u << b;
    for (uint32_t a = 1; a <= 5; ++a)
      for (uint32_t b = a + 1; b <= 5; ++b)
        if ((flows[a] & 1u << b) != 0 && (flows[b] & 1u << a) != 0) both.emplace_back(a, b);
    g.only(both);
    g.cluster.drop = [flows](const Frame& f) { return (flows[f.from.value] & (1u << f.to.value)) == 0; };
    check_settles(g, sweep);
  }
  sweep.print();
}

// Graph after graph on one cluster: whatever state the last one left, the next one with a quorum settles.
TEST(Connectivity, AfterAnySequenceOfGraphsTheLastOneDecides) {
  Sweep sweep;
  for (uint64_t seed = 1; seed <= 100 && !HasFailure(); seed += kSanitized ? 5 : 1) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    paxos::Prng rng(seed);
    Graph g(5);
    g.cluster.elect();
    for (int change = 0; change < 6 && !HasFailure(); ++change) {
      Links links;
      for (uint32_t a = 1; a <= 5; ++a)
        for (uint32_t b = a + 1; b <= 5; ++b)
          if (rng.below(100) < 55) links.emplace_back(a, b);
      g.only(links, rng.below(2) == 0);
      if (rng.below(2) == 0) {
        check_settles(g, sweep);
      } else {
        for (uint32_t node = 1; node <= 5; ++node) g.cluster.propose(node, ++g.seq, "noise");
        g.cluster.tick(static_cast<uint32_t>(rng.below(80)));
      }
    }
  }
  sweep.print();
}

}  // namespace
}  // namespace decree
