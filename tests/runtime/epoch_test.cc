// Epochs through the whole member: real log and superblock format on a disk that can lose, snapshots that
// carry the members, answers at the right moment.
#include "gtest/gtest.h"
#include "runtime/node.h"
#include "tests/runtime/memory_cluster.h"

namespace decree {
namespace {

using testing::MemoryCluster;
using testing::MemoryMember;

struct Epochs : ::testing::Test {
  void start_all() {
    for (size_t n = 1; n <= 3; ++n)
      if (!cluster.member(n).is_up()) cluster.member(n).start();
    ASSERT_TRUE(cluster.until([&] { return cluster.leader() != nullptr; }));
  }
  uint32_t epoch(size_t n) { return cluster.member(n).node().membership().epoch; }
  bool all_in(uint32_t wanted) {
    for (size_t n = 1; n <= 3; ++n)
      if (!cluster.member(n).is_up() || epoch(n) != wanted) return false;
    return true;
  }
  // An address changes; the number of the question.
  uint64_t change(MemoryMember& at, const std::string& url) {
    Membership next = at.node().membership();
    ++next.epoch;
    next.members[1].peer_urls = {url};
    return at.node().change_members(std::move(next), false);
  }
  bool all_equal() {
    for (size_t n = 1; n <= 3; ++n)
      if (!cluster.member(n).is_up() ||
          cluster.member(n).machine().list() != cluster.member(1).machine().list())
        return false;
    return true;
  }
  MemoryCluster cluster{3, 23};
};

TEST_F(Epochs, AChangeIsAnsweredByTheNextEpochAtAnyMemberAndSurvivesPowerFailure) {
  start_all();
  ASSERT_EQ(cluster.put(1, "before"), "1");
  for (uint32_t n = 1; n <= 3; ++n) {
    MemoryMember& m = cluster.member(n);
    const uint64_t seq = change(m, "http://elsewhere:" + std::to_string(n));
    ASSERT_TRUE(cluster.until([&] { return m.applied.count(seq) != 0; }));
    EXPECT_GE(m.node().applied(), m.node().membership().base) << "its barrier is applied";
    EXPECT_EQ(epoch(n), n);
    ASSERT_TRUE(cluster.until([&] { return all_in(n); }));
  }
  for (size_t n = 1; n <= 3; ++n) cluster.member(n).crash();
  start_all();
  EXPECT_TRUE(all_in(3));
  EXPECT_EQ(cluster.member(2).node().membership().members[1].peer_urls[0], "http://elsewhere:3");
  EXPECT_EQ(cluster.put(2, "after"), "2");
  EXPECT_TRUE(cluster.until([&] { return all_equal(); }));
}

TEST_F(Epochs, ASnapshotBringsALaggardIntoTheEpoch) {
  cluster.snapshot_count = 100;
  start_all();
  ASSERT_EQ(cluster.put(1, "first"), "1");
  MemoryMember* leader = cluster.leader();
  const size_t away = leader->node().replica().self().value % 3 + 1;
  cluster.member(away).crash();
  for (uint32_t e = 1; e <= 2; ++e) {
    ASSERT_TRUE(cluster.until([&] { return cluster.leader() != nullptr; }));
    leader = cluster.leader();
    const uint64_t seq = change(*leader, "http://elsewhere:" + std::to_string(e));
    ASSERT_TRUE(cluster.until([&] { return leader->applied.count(seq) != 0; }));
  }
  const std::string padding(500, 'p');
  for (int i = 0; i < 1200; ++i) {
    const uint64_t seq = cluster.leader()->node().propose(padding + std::to_string(i));
    if (i % 20 == 19) {
      ASSERT_TRUE(cluster.until([&] { return cluster.leader()->applied.count(seq) != 0; }));
    }
  }
  cluster.member(away).start();
  EXPECT_TRUE(cluster.until([&] { return all_in(2) && all_equal(); }, 20000));
  EXPECT_GE(cluster.member(away).node().counters().snapshots_installed, 1U);
  cluster.member(away).crash();
  cluster.member(away).start();
  EXPECT_EQ(epoch(away), 2U) << "by the snapshot's manifest or the record behind it";
  EXPECT_EQ(cluster.put(away, "last"), "1202");
}

TEST_F(Epochs, ACrashAtAnyMomentOfAChangeLeavesOneEpochForAll) {
  cluster.snapshot_count = 40;
  start_all();
  uint32_t changes = 0;
  size_t puts = 0;
  for (int round = 0; round < 60; ++round) {
    ASSERT_TRUE(cluster.until([&] { return cluster.leader() != nullptr; })) << round;
    MemoryMember& leader = *cluster.leader();
    leader.node().propose("p" + std::to_string(round));
    change(leader, "http://elsewhere:" + std::to_string(round + 1));
    leader.node().propose("q" + std::to_string(round));
    for (uint64_t ticks = cluster.random() % 6; ticks > 0; --ticks) cluster.tick();
    const size_t victim = 1 + cluster.random() % 3;
    const bool everybody = cluster.random() % 5 == 0;
    for (size_t n = 1; n <= 3; ++n)
      if (everybody || n == victim) cluster.member(n).crash();
    for (uint64_t ticks = cluster.random() % 40; ticks > 0; --ticks) cluster.tick();
    start_all();
    // What is handed over under a ballot that the change ends is refused: told so, and asked again.
    int asked = 1;
    while (cluster.put(1 + cluster.random() % 3, "settled").empty()) ASSERT_LT(++asked, 10) << round;
    ++puts;
    ASSERT_TRUE(cluster.until([&] { return all_equal() && all_in(epoch(1)); })) << round;
    EXPECT_GE(epoch(1), changes);
    changes = epoch(1);
    for (size_t n = 2; n <= 3; ++n)
      ASSERT_EQ(cluster.member(n).node().membership(), cluster.member(1).node().membership()) << round;
  }
  EXPECT_GT(changes, 20U);
  EXPECT_GE(cluster.member(1).machine().list().size(), puts);
}

}  // namespace
}  // namespace decree
