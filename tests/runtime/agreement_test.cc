#include "runtime/agreement.h"

#include "gtest/gtest.h"
#include "tests/runtime/memory_cluster.h"

namespace decree {
namespace {

using runtime::Agreement;
using testing::MemoryCluster;
using testing::MemoryMember;
using Verdict = Agreement::Verdict;

Membership voters(uint32_t n, uint32_t learners = 0) {
  std::vector<Member> list;
  for (uint32_t i = 1; i <= n + learners; ++i) {
    Member m;
    m.node = NodeId(i);
    if (i > n) m.role = MemberRole::learner;
    list.push_back(m);
  }
  return make_membership(list);
}

StateDigest digest(uint64_t slot, uint64_t state, uint64_t chain = 1) {
  return {Slot(slot), Digest128{chain, slot}, Digest128{state, slot}};
}

struct Pairs : ::testing::Test {
  Verdict verdict(uint64_t now = 0) { return agreement.look(members, Tick(now)).verdict; }
  Membership members = voters(3);
  Agreement agreement{NodeId(1)};
};

TEST_F(Pairs, EqualDigestsAgreeAndOneOtherOfThreeIsNotEnoughToJudge) {
  agreement.own(digest(1000, 7), Tick(0));
  EXPECT_EQ(verdict(), Verdict::agrees);
  agreement.heard(NodeId(2), digest(1000, 7), Tick(0));
  EXPECT_EQ(verdict(), Verdict::agrees);
  agreement.heard(NodeId(3), digest(1000, 8), Tick(0));
  const Agreement::Finding found = agreement.look(members, Tick(0));
  EXPECT_EQ(found.verdict, Verdict::agrees);
  EXPECT_EQ(found.differing, std::vector<NodeId>{NodeId(3)});
}

TEST_F(Pairs, WhatWasToldBeforeIsNoNews) {
  EXPECT_TRUE(agreement.own(digest(1000, 7), Tick(0)));
  EXPECT_TRUE(agreement.heard(NodeId(2), digest(1000, 7), Tick(0)));
  EXPECT_FALSE(agreement.heard(NodeId(2), digest(1000, 7), Tick(9)));
  EXPECT_TRUE(agreement.heard(NodeId(2), digest(1000, 8), Tick(9))) << "it changed its mind: worth a look";
  EXPECT_FALSE(agreement.heard(NodeId(2), StateDigest{}, Tick(9))) << "none yet";
}

TEST_F(Pairs, AgainstAMajorityItIsThisMemberThatIsWrong) {
  agreement.own(digest(1000, 7), Tick(0));
  agreement.heard(NodeId(2), digest(1000, 8), Tick(0));
  EXPECT_EQ(verdict(), Verdict::agrees) << "one against one says nothing yet";
  agreement.heard(NodeId(3), digest(1000, 8), Tick(0));
  const Agreement::Finding found = agreement.look(members, Tick(0));
  EXPECT_EQ(found.verdict, Verdict::diverged);
  EXPECT_FALSE(found.histories_differ);
  EXPECT_EQ(found.differing.size(), 2u);
  EXPECT_NE(found.text.find("node=3"), std::string::npos) << found.text;
}

TEST_F(Pairs, OneAgainstOneIsUndecidedWhenTheThirdStaysSilent) {
  agreement.own(digest(1000, 7, 1), Tick(10));
  agreement.heard(NodeId(2), digest(1000, 7, 2), Tick(11));
  EXPECT_EQ(verdict(10 + Agreement::kWaitTicks - 1), Verdict::agrees);
  const Agreement::Finding found = agreement.look(members, Tick(10 + Agreement::kWaitTicks));
  EXPECT_EQ(found.verdict, Verdict::undecided);
  EXPECT_TRUE(found.histories_differ);
  agreement.heard(NodeId(3), digest(1000, 7, 2), Tick(2000));
  EXPECT_EQ(verdict(2000), Verdict::diverged) << "the third has come and decides it";
}

TEST_F(Pairs, ThreeDifferentStatesAreUndecidedAtOnce) {
  agreement.own(digest(1000, 7), Tick(0));
  agreement.heard(NodeId(2), digest(1000, 8), Tick(0));
  agreement.heard(NodeId(3), digest(1000, 9), Tick(0));
  EXPECT_EQ(verdict(), Verdict::undecided);
}

TEST_F(Pairs, OtherSlotsAreNotCompared) {
  agreement.own(digest(1000, 7), Tick(0));
  agreement.heard(NodeId(2), digest(2000, 8), Tick(0));
  agreement.heard(NodeId(3), digest(2000, 8), Tick(0));
  EXPECT_EQ(verdict(5000), Verdict::agrees);
  agreement.own(digest(2000, 7), Tick(1));
  EXPECT_EQ(verdict(), Verdict::diverged) << "it has come to the slot that the others told about";
}

TEST_F(Pairs, AMemberThatBeganAnewIsNotJudgedByItsFormerSelf) {
  agreement.own(digest(1000, 7), Tick(0));
  agreement.heard(NodeId(2), digest(1000, 7), Tick(0));
  agreement.heard(NodeId(3), digest(1000, 8), Tick(0));
  agreement.own(digest(2000, 9), Tick(0));
  agreement.heard(NodeId(2), digest(2000, 9), Tick(0));
  agreement.heard(NodeId(3), digest(2000, 9), Tick(0));
  EXPECT_TRUE(agreement.look(members, Tick(0)).differing.empty());
}

TEST_F(Pairs, ALearnerIsJudgedAndJudgesNobody) {
  members = voters(3, 1);
  Agreement learner(NodeId(4));
  learner.own(digest(1000, 8), Tick(0));
  learner.heard(NodeId(1), digest(1000, 7), Tick(0));
  learner.heard(NodeId(2), digest(1000, 7), Tick(0));
  EXPECT_EQ(learner.look(members, Tick(0)).verdict, Verdict::diverged);
  agreement.own(digest(1000, 7), Tick(0));
  agreement.heard(NodeId(4), digest(1000, 8), Tick(0));
  EXPECT_TRUE(agreement.look(members, Tick(5000)).differing.empty());
}

TEST_F(Pairs, MemoryIsBoundedWhateverAPeerTells) {
  agreement.own(digest(1'000'000, 7), Tick(0));
  for (uint64_t s = 1; s < 100'000; ++s) agreement.heard(NodeId(2), digest(s, 8), Tick(0));
  for (uint64_t s = 2'000'000; s < 2'001'000; ++s) agreement.heard(NodeId(3), digest(s, 8), Tick(0));
  EXPECT_EQ(verdict(5000), Verdict::agrees);
}

// ---- three whole members ----

struct Differing : ::testing::Test {
  void start(size_t n = 3) {
    for (size_t i = 1; i <= n; ++i) cluster.member(i).start();
    ASSERT_TRUE(cluster.until([&] { return cluster.leader() != nullptr; }));
  }
  size_t leader() { return cluster.leader()->node().replica().self().value; }
  MemoryCluster cluster{3, 21};
};

TEST_F(Differing, AMemberWhoseStateRottedTakesNoPartAnyMoreAndTheOthersGoOn) {
  start();
  ASSERT_NE(cluster.put(1, "before"), "");
  const size_t wrong = leader() % 3 + 1;
  cluster.member(wrong).machine().rot();
  ASSERT_NE(cluster.put(leader(), "after"), "");
  ASSERT_TRUE(cluster.until([&] { return cluster.member(wrong).node().failure().has_value(); }));
  const auto& found = cluster.member(wrong).node().divergence();
  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE(found->histories_differ);
  EXPECT_NE(cluster.put(leader(), "without it"), "");
  for (size_t n = 1; n <= 3; ++n) EXPECT_EQ(cluster.member(n).node().failure().has_value(), n == wrong);
}

TEST_F(Differing, ALeaderWhoseStateRottedIsReplaced) {
  start();
  ASSERT_NE(cluster.put(1, "before"), "");
  const size_t wrong = leader();
  cluster.member(wrong).machine().rot();
  ASSERT_TRUE(cluster.until([&] { return cluster.member(wrong).node().failure().has_value(); }))
      << "noticed though nothing is written";
  cluster.isolate(wrong, true);  // the process ends: its connections close
  ASSERT_TRUE(cluster.until([&] { return cluster.leader() != nullptr && leader() != wrong; }));
  EXPECT_NE(cluster.put(leader(), "after"), "");
}

TEST_F(Differing, OneAgainstOneBothSaySoAndNobodyLeaves) {
  start(2);
  ASSERT_NE(cluster.put(1, "before"), "");
  cluster.member(1).machine().rot();
  ASSERT_TRUE(cluster.until([&] {
    return cluster.member(1).node().status().state_disputed &&
           cluster.member(2).node().status().state_disputed;
  }));
  EXPECT_FALSE(cluster.member(1).node().failure().has_value());
  EXPECT_FALSE(cluster.member(2).node().failure().has_value());
}

// Whoever installed it was as wrong, and a few of them were a majority: the right ones began anew with it.
TEST(Differing5, ASnapshotOfAMemberWhoseStateRottedIsNotInstalledByOthers) {
  MemoryCluster cluster{5, 21};
  cluster.snapshot_count = 40;
  cluster.digest_slots = 1u << 30;  // compared at rest only: a second in which nobody knows
  for (size_t n = 1; n <= 5; ++n) cluster.member(n).start();
  ASSERT_TRUE(cluster.until([&] { return cluster.leader() != nullptr; }));
  const size_t wrong = cluster.leader()->node().replica().self().value;
  ASSERT_NE(cluster.put(wrong, "before"), "");
  const size_t away[] = {wrong % 5 + 1, (wrong + 1) % 5 + 1};
  for (const size_t n : away) cluster.member(n).crash();
  cluster.member(wrong).machine().rot();
  for (int i = 0; i < 300; ++i)
    ASSERT_NE(cluster.put(wrong, "b" + std::to_string(i) + std::string(100, '.')), "");
  ASSERT_EQ(cluster.leader(), &cluster.member(wrong));
  for (const size_t n : away) cluster.member(n).start();
  // Two are right and two have nothing yet: three of five are needed to say who is wrong.
  cluster.until([] { return false; }, 3000);
  for (const size_t n : away) {
    EXPECT_EQ(cluster.member(n).node().counters().snapshots_installed, 0U);
    EXPECT_FALSE(cluster.member(n).node().failure().has_value());
  }
  for (size_t n = 1; n <= 5; ++n)
    if (n != away[0] && n != away[1]) {
      EXPECT_TRUE(cluster.member(n).node().status().state_disputed) << n;
    }
}

TEST(Differing5, AMajorityThatAgreesHandsOutItsSnapshotsAndTheWrongOneNone) {
  MemoryCluster cluster{5, 22};
  cluster.snapshot_count = 40;
  cluster.digest_slots = 1u << 30;
  for (size_t n = 1; n <= 5; ++n) cluster.member(n).start();
  ASSERT_TRUE(cluster.until([&] { return cluster.leader() != nullptr; }));
  const size_t wrong = cluster.leader()->node().replica().self().value;
  ASSERT_NE(cluster.put(wrong, "before"), "");
  const size_t away = wrong % 5 + 1;
  const size_t right = away % 5 + 1;
  cluster.member(away).crash();
  cluster.member(wrong).machine().rot();
  for (int i = 0; i < 300; ++i)
    ASSERT_NE(cluster.put(wrong, "b" + std::to_string(i) + std::string(100, '.')), "");
  cluster.member(away).start();
  ASSERT_TRUE(cluster.until([&] { return cluster.member(wrong).node().failure().has_value(); }));
  cluster.isolate(wrong, true);  // the process ends: its connections close
  const auto equal = [&] {
    return cluster.member(away).machine().list() == cluster.member(right).machine().list();
  };
  EXPECT_TRUE(cluster.until(equal, 20000));
  EXPECT_GE(cluster.member(away).node().counters().snapshots_installed, 1U);
  EXPECT_EQ(cluster.member(away).machine().list().front(), "before");
  EXPECT_FALSE(cluster.member(right).node().failure().has_value());
}

// What holds a snapshot back must not hold a member back for ever.
TEST_F(Differing, WithNobodyElseToAskASnapshotIsInstalledAllTheSame) {
  cluster.snapshot_count = 40;
  start();
  const size_t first = leader();
  const size_t laggard = first % 3 + 1;
  const size_t third = laggard % 3 + 1;
  cluster.member(laggard).crash();
  for (int i = 0; i < 300; ++i)
    ASSERT_NE(cluster.put(first, "b" + std::to_string(i) + std::string(100, '.')), "");
  cluster.member(third).crash();
  cluster.member(first).crash();
  cluster.member(first).start();  // what others said of its state is forgotten
  cluster.member(laggard).start();
  EXPECT_TRUE(cluster.until(
      [&] { return cluster.member(laggard).machine().list() == cluster.member(first).machine().list(); },
      3000));
}

TEST_F(Differing, HealthyMembersNeverDifferWhateverTheirWay) {
  cluster.snapshot_count = 40;
  start();
  for (int i = 0; i < 60; ++i) ASSERT_NE(cluster.put(leader(), "a" + std::to_string(i)), "");
  const size_t laggard = leader() % 3 + 1;
  cluster.isolate(laggard, true);
  for (int i = 0; i < 200; ++i) ASSERT_NE(cluster.put(leader(), "b" + std::to_string(i)), "");
  cluster.isolate(laggard, false);
  for (int i = 0; i < 60; ++i) ASSERT_NE(cluster.put(leader(), "c" + std::to_string(i)), "");
  cluster.until([] { return false; }, 400);
  for (size_t n = 1; n <= 3; ++n) {
    EXPECT_FALSE(cluster.member(n).node().failure().has_value())
        << cluster.member(n).node().failure()->message;
    EXPECT_FALSE(cluster.member(n).node().status().state_disputed);
  }
}

}  // namespace
}  // namespace decree
