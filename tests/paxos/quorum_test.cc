// Quorums as values: who counts, and how far.
#include "paxos/quorum.h"

#include "tests/paxos/test_cluster.h"

namespace decree {
namespace {

Slot position(std::vector<uint64_t> of, uint32_t quorum) {
  std::vector<Slot> slots;
  for (const uint64_t s : of) slots.emplace_back(s);
  return paxos::quorum_position(slots, quorum);
}

TEST(Quorum, IsReachedWhereTheQThLargestPositionStands) {
  EXPECT_EQ(position({5, 9, 7}, 2), Slot(7));
  EXPECT_EQ(position({9, 9, 0}, 2), Slot(9));
  EXPECT_EQ(position({1, 2, 3, 4, 5}, 3), Slot(3));
  EXPECT_EQ(position({1, 2, 3, 4, 5}, 1), Slot(5));
  EXPECT_EQ(position({1, 2, 3, 4, 5}, 5), Slot(1));
}

TEST(Quorum, OfMoreThanThereAreIsNeverReached) {
  EXPECT_EQ(position({5, 9}, 3), Slot(0));
  EXPECT_EQ(position({}, 1), Slot(0));
  EXPECT_EQ(position({5, 9}, 0), Slot(0)) << "a quorum of nobody decides nothing";
}

TEST(Quorum, MajoritiesMeetForEveryNumberOfVoters) {
  for (uint32_t n = 1; n <= 9; ++n) {
    const Membership m = testing::members(n);
    EXPECT_EQ(membership_problem(m), "");
    EXPECT_GT(m.election_quorum + m.bill_quorum, n);
  }
}

TEST(Quorum, PairsThatDoNotMeetAreRefused) {
  Membership m = testing::members(5);
  m.election_quorum = 2;
  m.bill_quorum = 3;
  EXPECT_NE(membership_problem(m), "");
  m.bill_quorum = 4;
  EXPECT_EQ(membership_problem(m), "");
  m.bill_quorum = 6;
  EXPECT_NE(membership_problem(m), "");
}

// Flexible quorums on the real core: q1 = 2, q2 = 4 of five.
TEST(Quorum, ASmallElectionQuorumNeedsALargeBillQuorum) {
  Membership m = testing::members(5);
  m.election_quorum = 2;
  m.bill_quorum = 4;
  testing::TestCluster c(5, {}, m);
  const uint32_t leader = c.elect();
  c.propose(leader, 1, "four of five");
  c.tick(5);
  EXPECT_EQ(c.log(leader).size(), 1u);
  uint32_t down = 0;
  for (uint32_t n = 1; n <= 5 && down < 2; ++n)
    if (n != leader) {
      c.crash(n);
      ++down;
    }
  const Ballot before = c.at(leader).status().promised;
  c.propose(leader, 2, "three are too few");
  c.tick(500);
  EXPECT_EQ(c.log(leader).size(), 1u);
  for (auto& [node, member] : c.all()) {
    if (!member.replica) continue;
    EXPECT_LE(member.replica->status().promised, before) << "ballots grow though nobody could decide (A8)";
  }
}

TEST(Quorum, ALearnerIsNoVoter) {
  Membership m = testing::members(4);
  m.members[3].role = MemberRole::learner;
  m.election_quorum = m.bill_quorum = 2;
  testing::TestCluster c(4, {}, m);
  const uint32_t leader = c.elect();
  ASSERT_NE(leader, 4u);
  for (uint32_t n = 1; n <= 3; ++n)
    if (n != leader) c.crash(n);
  c.propose(leader, 1, "with a learner only");
  c.tick(50);
  EXPECT_TRUE(c.log(leader).empty());
  EXPECT_TRUE(c.log(4).empty());
}

}  // namespace
}  // namespace decree
