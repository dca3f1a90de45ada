// Catching up after an outage, short or long, and getting rid of damage on the disk: log kept for who is
// behind, snapshots taken anew, transfers that go on from another member.
#include <algorithm>

#include "gtest/gtest.h"
#include "runtime/node.h"
#include "tests/runtime/memory_cluster.h"

namespace decree {
namespace {

using testing::MemoryCluster;
using testing::MemoryMember;

struct Repair : ::testing::Test {
  void start_all() {
    for (size_t n = 1; n <= 3; ++n) cluster.member(n).start();
    ASSERT_TRUE(cluster.until([&] { return cluster.leader() != nullptr; }));
  }
  size_t leader_number() { return cluster.leader()->node().replica().self().value; }
  void put_many(size_t n, int count, size_t bytes = 400) {
    for (int i = 0; i < count; ++i)
      ASSERT_NE(cluster.put(n, std::string(bytes, 'x') + std::to_string(i)), "") << i;
  }
  bool caught_up(size_t n) {
    return cluster.member(n).machine().list() == cluster.leader()->machine().list();
  }
  static size_t count(const MemoryMember& m, const std::string& event) {
    return static_cast<size_t>(std::count_if(m.events.begin(), m.events.end(),
                                             [&](const std::string& e) { return e.rfind(event, 0) == 0; }));
  }
  MemoryCluster cluster{3, 31};
};

TEST_F(Repair, AShortOutageNeedsNoSnapshotAlthoughOneWasTakenMeanwhile) {
  cluster.snapshot_count = 100;
  start_all();
  const size_t leader = leader_number();
  put_many(leader, 250);
  const size_t away = leader % 3 + 1;
  cluster.member(away).crash();
  const uint64_t before = cluster.member(leader).node().counters().snapshots_taken;
  put_many(leader, 120);
  ASSERT_GT(cluster.member(leader).node().counters().snapshots_taken, before);
  cluster.member(away).start();
  ASSERT_TRUE(cluster.until([&] { return caught_up(away); }));
  EXPECT_EQ(cluster.member(away).node().counters().snapshots_installed, 0u);
}

TEST_F(Repair, ALongOutageDoesNotKeepTheLogForEver) {
  cluster.snapshot_count = 100;
  start_all();
  const size_t leader = leader_number();
  cluster.member(leader % 3 + 1).crash();
  put_many(leader, 300, 1);  // small: the size of the snapshots does not set their pace
  const auto log_bytes = [&] {
    uint64_t sum = 0;
    const storage::MemoryFileSystem& disk = cluster.member(leader).disk;
    for (const std::string& path : disk.files_below(""))
      if (path.find("/wal/") != std::string::npos) sum += disk.content(path).size();
    return sum;
  };
  const uint64_t bytes = log_bytes();
  ASSERT_GT(bytes, 0u);
  put_many(leader, 3000, 1);
  EXPECT_LT(log_bytes(), bytes + 400 * 1024) << "of 1.5 MiB at least that were written meanwhile";
  cluster.member(leader % 3 + 1).start();
  EXPECT_TRUE(cluster.until([&] { return caught_up(leader % 3 + 1); }, 10000));
}

TEST_F(Repair, ASnapshotIsTakenAnewAlsoWhereNothingWasAppliedSince) {
  cluster.snapshot_count = 50;
  start_all();
  const size_t leader = leader_number();
  put_many(leader, 120);
  MemoryMember& m = cluster.member(leader);
  for (int round = 0; round < 3; ++round) {
    const uint64_t taken = m.node().counters().snapshots_taken;
    m.node().renew_snapshot();
    ASSERT_TRUE(cluster.until([&] { return m.node().counters().snapshots_taken > taken; })) << round;
  }
  const uint64_t taken = m.node().counters().snapshots_taken;
  for (int ticks = 0; ticks < 200; ++ticks) cluster.tick();
  EXPECT_EQ(m.node().counters().snapshots_taken, taken) << "once each";
  m.crash();
  m.start();
  EXPECT_TRUE(cluster.until([&] { return cluster.leader() != nullptr && caught_up(leader); }));
}

TEST_F(Repair, ATransferGoesOnFromAnotherMemberThatHasTheSameFile) {
  cluster.snapshot_count = 100;
  start_all();
  const size_t leader = leader_number();
  const size_t away = leader % 3 + 1;
  cluster.member(away).crash();
  put_many(leader, 450, 600);
  MemoryMember& late = cluster.member(away);
  late.start();
  ASSERT_TRUE(cluster.until([&] { return count(late, "receiving snapshot") == 1; }));
  for (int ticks = 0; ticks < 40; ++ticks) cluster.tick();
  ASSERT_TRUE(late.node().transfer_active());
  const std::string first = *std::find_if(late.events.begin(), late.events.end(),
                                          [](const std::string& e) { return e.rfind("receiving", 0) == 0; });
  const size_t sender = static_cast<size_t>(first[first.find("from=") + 5] - '0');
  cluster.isolate(sender, true);
  ASSERT_TRUE(cluster.until([&] { return late.node().counters().snapshots_installed == 1; }, 5000));
  EXPECT_EQ(count(late, "receiving snapshot"), 1u) << "not from the beginning";
  cluster.isolate(sender, false);
}

// Each has another file: who turns to the next begins anew, and with slow disks would do so for ever.
TEST_F(Repair, SlowSendersDoNotTakeATransferFromEachOther) {
  cluster.snapshot_count = 100;
  start_all();
  const size_t leader = leader_number();
  const size_t away = leader % 3 + 1;
  const size_t other = 6 - leader - away;
  cluster.member(away).crash();
  put_many(leader, 450, 60);
  const uint64_t taken = cluster.member(other).node().counters().snapshots_taken;
  cluster.member(other).node().renew_snapshot();
  ASSERT_TRUE(cluster.until([&] { return cluster.member(other).node().counters().snapshots_taken > taken; }));
  for (size_t n = 1; n <= 3; ++n) cluster.member(n).work_ticks = 150;  // longer than a transfer waits
  MemoryMember& late = cluster.member(away);
  late.start();
  EXPECT_TRUE(cluster.until([&] { return late.node().counters().snapshots_installed == 1; }, 20000));
  EXPECT_LE(count(late, "receiving snapshot"), 3u);
}

// ---- old disks, through log and superblock ----

TEST_F(Repair, AnOldImageOfADiskIsTurnedAwayAndNobodyElse) {
  start_all();
  const size_t leader = leader_number();
  const size_t victim = leader % 3 + 1;
  put_many(leader, 5);
  cluster.member(victim).crash();
  const storage::MemoryFileSystem image = cluster.member(victim).disk;
  cluster.member(victim).start();
  put_many(leader, 5);
  for (int ticks = 0; ticks < 30; ++ticks) cluster.tick();
  MemoryMember& m = cluster.member(victim);
  m.crash();
  m.start();  // nothing is lost: nobody objects
  for (int ticks = 0; ticks < 30; ++ticks) cluster.tick();
  ASSERT_FALSE(m.node().outdated().has_value());
  m.crash();
  m.disk = image;
  m.may_be_outdated = true;
  m.start();
  ASSERT_TRUE(cluster.until([&] { return m.node().outdated().has_value(); }));
  ASSERT_TRUE(m.node().failure().has_value()) << "it does nothing any more";
  EXPECT_EQ(m.node().failure()->code, ErrorCode::corrupt);
  EXPECT_GT(m.node().outdated()->told_writes, m.node().outdated()->found_writes);
  EXPECT_NE(cluster.put(leader, "the others go on"), "");
}

// Found by tests/integration/damage_test.py: a new member heard a beat of another before the connection it
// came over was judged, and took the other's disk for an old one.
TEST_F(Repair, AWholeDiskIsNotTurnedAwayByAMemberThatMeetsItForTheFirstTime) {
  start_all();
  put_many(leader_number(), 20);
  for (int round = 0; round < 20; ++round) {
    const size_t victim = static_cast<size_t>(round) % 3 + 1;
    cluster.member(victim).crash();
    cluster.member(victim).start();
    for (int ticks = 0; ticks < 20; ++ticks) cluster.tick();
    ASSERT_TRUE(cluster.until([&] { return cluster.leader() != nullptr; }));
    put_many(leader_number(), 2);
  }
  // The first word of a process and the news of its connection, in one turn.
  MemoryMember& m = cluster.member(1);
  Beat beat;
  beat.view.boot = 9;
  beat.view.disk_writes = 1u << 30;
  m.node().on_peer_link(PeerLink{NodeId(2), true, Incarnation(0), 9, 1u << 20});
  m.node().on_message(NodeId(2), beat);
  cluster.tick();
  beat.view.disk_writes = 1u << 31;
  m.node().on_message(NodeId(2), beat);
  cluster.tick();
  EXPECT_EQ(m.node().replica().disk_writes_of(NodeId(2)), 1u << 31) << "it is still listened to";
}

}  // namespace
}  // namespace decree
