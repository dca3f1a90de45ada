// One test per clause of the lecture notes' Paxos (rows M11-M14 and M17 of the mission), on the real core.
#include <functional>
#include <set>

#include "paxos/value_choice.h"
#include "tests/paxos/test_cluster.h"

namespace decree {
namespace {

using testing::command;
using testing::Frame;
using testing::is;
using testing::TestCluster;

using Log = std::vector<std::string>;

// ---- M11: rounds, unique ballots, abort on a higher round ----

TEST(PaperM11, BallotsOfDifferentNodesAreNeverEqual) {
  TestCluster c(3);
  std::set<Ballot> seen;
  c.drop = [&](const Frame& f) {
    if (const auto* p = std::get_if<Prepare>(&f.message)) {
      EXPECT_EQ(p->ballot.node, f.from) << "I2: a ballot names its owner";
      seen.insert(p->ballot);
    }
    return is<Promise>(f);  // nobody wins, so rounds follow rounds
  };
  c.tick(800);
  EXPECT_GT(seen.size(), 5u);
  for (auto& [node, m] : c.all()) EXPECT_NE(m.replica->status().role, Role::leader);
}

TEST(PaperM11, ARestartedNodeNeverUsesABallotAgain) {
  TestCluster c(3);
  std::map<Ballot, uint64_t> first_boot;
  c.drop = [&](const Frame& f) {
    if (const auto* p = std::get_if<Prepare>(&f.message)) {
      const uint64_t boot = c.member(f.from.value).disk.boots;
      const auto [it, fresh] = first_boot.emplace(p->ballot, boot);
      EXPECT_EQ(it->second, boot) << "one ballot in two boots (attack A1)";
    }
    return is<Promise>(f);
  };
  for (int round = 0; round < 5; ++round) {
    c.tick(100);
    for (uint32_t n = 1; n <= 3; ++n) {
      c.crash(n);
      c.restart(n);
    }
  }
  EXPECT_GT(first_boot.size(), 5u);
}

TEST(PaperM11, ALeaderThatHearsOfAHigherRoundAbortsEverything) {
  TestCluster c(3);
  const uint32_t old_leader = c.elect();
  const Ballot old_ballot = c.at(old_leader).status().leader;
  const uint32_t other = old_leader % 3 + 1;
  Ballot higher = old_ballot;
  higher.round += 7;
  higher.node = NodeId(other);
  c.input(old_leader, Received{NodeId(other), Prepare{higher, Slot(1)}});
  EXPECT_EQ(c.at(old_leader).status().role, Role::follower);
  EXPECT_EQ(c.at(old_leader).status().promised, higher);
  c.net().clear();
  c.propose(old_leader, 1, "late");
  for (const Frame& f : c.net()) EXPECT_FALSE(is<Accept>(f)) << "an aborted round proposes nothing more";
}

TEST(PaperM11, TimeoutsStartANewRoundWhenAnElectionHangs) {
  TestCluster c(3);
  bool deaf = true;
  c.drop = [&](const Frame& f) { return deaf && is<Promise>(f); };
  c.tick(200);
  EXPECT_EQ(c.leader(), 0u);
  deaf = false;
  EXPECT_TRUE(c.tick_until([&] { return c.leader() != 0; }, 300));
}

// ---- M12: Election ----

TEST(PaperM12, AnAcceptorVotesForTheHighestBallotOnly) {
  TestCluster c(3);
  c.net().clear();
  const Ballot five{0, 500, 0, NodeId(2)};
  const Ballot four{0, 499, 0, NodeId(3)};
  c.input(1, Received{NodeId(2), Prepare{five, Slot(1)}});
  c.input(1, Received{NodeId(3), Prepare{four, Slot(1)}});
  bool promised_five = false;
  bool refused_four = false;
  for (const Frame& f : c.net()) {
    if (const auto* p = std::get_if<Promise>(&f.message)) {
      EXPECT_EQ(p->ballot, five);
      promised_five = true;
    }
    if (const auto* n = std::get_if<Nack>(&f.message)) {
      EXPECT_EQ(n->ballot, four);
      EXPECT_EQ(n->promised, five);
      refused_four = true;
    }
  }
  EXPECT_TRUE(promised_five);
  EXPECT_TRUE(refused_four);
}

TEST(PaperM12, AVoteLeavesOnlyAfterItIsOnDisk) {
  TestCluster c(3);
  c.net().clear();
  c.member(1).auto_sync = false;
  c.input(1, Received{NodeId(2), Prepare{Ballot{0, 500, 0, NodeId(2)}, Slot(1)}});
  for (const Frame& f : c.net()) EXPECT_FALSE(is<Promise>(f) && f.from == NodeId(1));
  c.sync(1);
  EXPECT_TRUE(std::any_of(c.net().begin(), c.net().end(),
                          [](const Frame& f) { return is<Promise>(f) && f.from == NodeId(1); }));
}

TEST(PaperM12, ALoggedBallotStillBindsAfterARestart) {
  TestCluster c(3);
  c.input(1, Received{NodeId(2), Prepare{Ballot{0, 500, 0, NodeId(2)}, Slot(1)}});
  c.crash(1);
  c.restart(1);
  EXPECT_EQ(c.at(1).status().promised.round, 500u);
  c.net().clear();
  c.input(1, Received{NodeId(3), Prepare{Ballot{0, 400, 0, NodeId(3)}, Slot(1)}});
  EXPECT_TRUE(std::any_of(c.net().begin(), c.net().end(), [](const Frame& f) { return is<Nack>(f); }));
}

TEST(PaperM12, WithoutAMajorityNobodyLeads) {
  TestCluster c(5);
  c.crash(1);
  c.crash(2);
  c.crash(3);
  c.tick(500);
  EXPECT_EQ(c.leader(), 0u);
  c.restart(3);
  EXPECT_TRUE(c.tick_until([&] { return c.leader() != 0; }));
}

TEST(PaperM12, TwoWouldBeLeadersEndWithOne) {
  TestCluster c(3);
  c.tick(1);
  c.input(1, Received{NodeId(2), TransferNow{}});
  const uint32_t leader = c.elect();
  // A second candidate with a higher ballot of its own, while the first leads.
  const uint32_t rival = leader % 3 + 1;
  c.input(rival, Received{NodeId(leader), TransferNow{c.at(leader).status().leader}});
  c.tick(50);
  uint32_t leaders = 0;
  for (auto& [node, m] : c.all())
    if (m.replica->status().role == Role::leader) ++leaders;
  EXPECT_EQ(leaders, 1u);
  EXPECT_EQ(c.leader(), rival);
}

// ---- M13: Bill ----

TEST(PaperM13, ANewLeaderProposesItsOwnValueWhenNobodyReportsOne) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  c.propose(leader, 1, "own");
  c.tick(5);
  for (uint32_t n = 1; n <= 3; ++n) EXPECT_EQ(c.log(n), Log{"own"}) << "node " << n;
}

TEST(PaperM13, TheValueOfAnEarlierRoundIsUsedAgain) {
  TestCluster c(3);
  const uint32_t first = c.elect();
  const uint32_t keeper = first % 3 + 1;
  const uint32_t other = keeper % 3 + 1;
  // The Bill reaches one follower only, and the answer is lost with the leader.
  c.propose(first, 1, "survivor");
  c.deliver_if([&](const Frame& f) { return is<Accept>(f) && f.to.value == keeper; });
  c.net().clear();
  c.crash(first);
  // The third node, which knows nothing of it, is elected by the keeper's vote.
  EXPECT_TRUE(c.tick_until([&] { return c.leader() != 0 && c.log(other).size() == 1; }));
  EXPECT_EQ(c.log(other), Log{"survivor"});
  EXPECT_EQ(c.log(keeper), Log{"survivor"});
}

TEST(PaperM13, OfSeveralEarlierValuesTheHighestRoundWins) {
  PromiseReport low{NodeId(1),
                    Slot(0),
                    Slot(0),
                    {PromiseRun{Ballot{0, 3, 0, NodeId(1)}, false, SlotRange{Slot(1), Slot(2)}}}};
  PromiseReport high{NodeId(2),
                     Slot(0),
                     Slot(0),
                     {PromiseRun{Ballot{0, 5, 0, NodeId(2)}, false, SlotRange{Slot(1), Slot(2)}}}};
  const std::vector<PromiseReport> quorum{low, high};
  const auto picks = choose_values(quorum, Slot(1));
  ASSERT_EQ(picks.size(), 1u);
  EXPECT_EQ(picks[0].holder, NodeId(2));
  EXPECT_EQ(picks[0].ballot.round, 5u);
}

TEST(PaperM13, ALawOutranksEveryBallot) {
  PromiseReport law{NodeId(1), Slot(0), Slot(0), {PromiseRun{Ballot{}, true, SlotRange{Slot(1), Slot(2)}}}};
  PromiseReport high{NodeId(2),
                     Slot(0),
                     Slot(0),
                     {PromiseRun{Ballot{0, 5, 0, NodeId(2)}, false, SlotRange{Slot(1), Slot(2)}}}};
  const std::vector<PromiseReport> quorum{high, law};
  EXPECT_EQ(choose_values(quorum, Slot(1))[0].holder, NodeId(1));
}

TEST(PaperM13, RecipientsLogBeforeTheyAnswer) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t follower = leader % 3 + 1;
  c.member(follower).auto_sync = false;
  c.propose(leader, 1, "x");
  c.deliver_if([&](const Frame& f) { return is<Accept>(f) && f.to.value == follower; });
  for (const Frame& f : c.net())
    EXPECT_FALSE(is<Accepted>(f) && f.from.value == follower) << "acknowledged before the disk had it";
  c.sync(follower);
  EXPECT_TRUE(std::any_of(c.net().begin(), c.net().end(),
                          [&](const Frame& f) { return is<Accepted>(f) && f.from.value == follower; }));
}

TEST(PaperM13, ACrashBetweenLoggingAndAnsweringLosesNothing) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t follower = leader % 3 + 1;
  const uint32_t third = follower % 3 + 1;
  c.propose(leader, 1, "x");
  c.deliver_if([&](const Frame& f) { return is<Accept>(f) && f.to.value == follower; });
  c.discard_if([&](const Frame& f) { return is<Accepted>(f); });
  c.crash(follower);
  c.crash(leader);
  c.restart(follower);
  EXPECT_TRUE(c.tick_until([&] { return c.log(third).size() == 1; }));
  EXPECT_EQ(c.log(third), Log{"x"});
}

TEST(PaperM13, TheLeadersOwnVoteCountsOnlyWhenItsDiskHasIt) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t follower = leader % 3 + 1;
  const uint32_t third = follower % 3 + 1;
  c.crash(third);
  c.tick(2);
  const Slot before = c.at(leader).status().decided;
  c.member(leader).auto_sync = false;
  c.propose(leader, 1, "x");
  c.deliver_all();
  EXPECT_EQ(c.at(leader).status().decided, before) << "one durable vote of three is no quorum";
  c.sync(leader);
  EXPECT_EQ(c.at(leader).status().decided, before.next());
}

// ---- M14: Law ----

TEST(PaperM14, TheLeaderTellsEveryoneInTheSameTurn) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  c.propose(leader, 1, "x");
  c.deliver_all();  // no tick in between
  for (uint32_t n = 1; n <= 3; ++n) EXPECT_EQ(c.log(n), Log{"x"});
}

TEST(PaperM14, LearnersCatchUpWhenEveryLawIsLost) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  c.drop = [](const Frame& f) { return is<Law>(f); };
  for (uint64_t i = 1; i <= 20; ++i) c.propose(leader, i, "v" + std::to_string(i));
  c.tick(200);
  for (uint32_t n = 1; n <= 3; ++n) EXPECT_EQ(c.log(n).size(), 20u) << "node " << n;
}

TEST(PaperM14, AStaleAcceptedValueIsNotAppliedUnderANewDecidedIndex) {
  TestCluster c(3);
  const uint32_t first = c.elect();
  const uint32_t stale = first % 3 + 1;
  const uint32_t other = stale % 3 + 1;
  // `stale` alone accepts "old"; then the other two decide something else at that slot.
  c.propose(first, 1, "old");
  c.deliver_if([&](const Frame& f) { return is<Accept>(f) && f.to.value == stale; });
  c.net().clear();
  c.crash(stale);
  c.crash(first);
  c.member(first).disk.durable.pop_back();  // the old leader's own write never reached its disk
  c.restart(first);
  ASSERT_TRUE(c.tick_until([&] { return c.leader() != 0; }));
  c.propose(c.leader(), 1, "new");
  c.tick(10);
  c.restart(stale);
  c.tick(300);
  EXPECT_EQ(c.log(stale), c.log(other));
}

// ---- M17: failure and restart ----

TEST(PaperM17, ARestartedProcessLooksAtItsLog) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  for (uint64_t i = 1; i <= 10; ++i) c.propose(leader, i, std::to_string(i));
  c.tick(20);
  for (uint32_t n = 1; n <= 3; ++n) c.crash(n);
  for (uint32_t n = 1; n <= 3; ++n) c.restart(n);
  c.elect();
  c.tick(50);
  for (uint32_t n = 1; n <= 3; ++n) EXPECT_EQ(c.log(n).size(), 10u);
}

TEST(PaperM17, AFailedLeaderIsReplacedAsSoonAsItsConnectionsClose) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint64_t before = c.now();
  c.crash(leader);
  c.deliver_all();
  EXPECT_TRUE(c.tick_until([&] { return c.leader() != 0; }));
  EXPECT_LE(c.now() - before, 10u) << "a closed connection is evidence at once, no timer is waited for";
}

TEST(PaperM17, ASilentLeaderIsReplacedAfterTheSuspicionTime) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  c.drop = [&](const Frame& f) { return f.from.value == leader || f.to.value == leader; };
  const uint64_t before = c.now();
  EXPECT_TRUE(c.tick_until([&] { return c.leader() != 0 && c.leader() != leader; }));
  EXPECT_LE(c.now() - before, 80u);
}

TEST(PaperM17, LostMessagesAreMadeUpFor) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  uint64_t lottery = 12345;
  c.drop = [&](const Frame&) {
    lottery = lottery * 6364136223846793005ULL + 1442695040888963407ULL;
    return (lottery >> 60) < 5;  // a third of everything
  };
  for (uint64_t i = 1; i <= 50; ++i) {
    c.propose(leader, i, std::to_string(i));
    c.tick(1);
  }
  c.drop = [](const Frame&) { return false; };
  c.tick(600);
  const size_t decided = c.log(1).size();
  EXPECT_GT(decided, 0u);
  for (uint32_t n = 2; n <= 3; ++n) EXPECT_EQ(c.log(n), c.log(1));
}

TEST(PaperM17, ANewRoundMayStartAtAnyTime) {
  TestCluster c(3);
  c.elect();
  uint64_t seq = 0;
  for (int round = 0; round < 20; ++round) {
    const uint32_t leader = c.leader();
    if (leader != 0) {
      ++seq;
      c.propose(leader, seq, std::to_string(seq));
      const uint32_t rival = leader % 3 + 1;
      c.input(rival, Received{NodeId(leader), TransferNow{c.at(leader).status().leader}});
    }
    c.tick(1 + round % 3);
  }
  c.tick(200);
  EXPECT_GT(c.log(1).size(), 0u);
  for (uint32_t n = 2; n <= 3; ++n) EXPECT_EQ(c.log(n), c.log(1));
}

// ---- outcomes and reads ----

TEST(Outcome, AProposalLostWithItsLeaderIsDefinitelyNotChosen) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t follower = leader % 3 + 1;
  c.propose(follower, 1, "lost");
  ASSERT_GT(c.discard_if([](const Frame& f) { return is<Forward>(f); }), 0u);
  c.crash(leader);
  EXPECT_TRUE(c.tick_until([&] { return !c.member(follower).outcomes.empty(); }));
  EXPECT_EQ(c.member(follower).outcomes[0].outcome, Outcome::definitely_not);
  EXPECT_TRUE(c.log(follower).empty());
}

TEST(Outcome, AForwardedProposalIsAppliedOnceThoughItsFrameCameTwice) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t follower = leader % 3 + 1;
  c.propose(follower, 1, "once");
  const std::deque<Frame> copy = c.net();
  c.deliver_all();
  for (const Frame& f : copy) c.net().push_back(f);
  c.tick(20);
  EXPECT_EQ(c.log(leader), Log{"once"});
}

TEST(Read, IsServedAtEveryMemberWithTheLatestAcknowledgedWrite) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  c.propose(leader, 1, "x");
  c.tick(2);
  for (uint32_t n = 1; n <= 3; ++n) {
    c.input(n, Read{7});
    c.tick(2);
    ASSERT_EQ(c.member(n).reads.size(), 1u) << "node " << n;
    EXPECT_TRUE(c.member(n).reads[0].ok);
    EXPECT_GE(c.member(n).reads[0].index, c.at(leader).status().decided);
  }
}

TEST(Read, ADeposedLeaderAnswersNone) {
  TestCluster c(3);
  const uint32_t old_leader = c.elect();
  c.drop = [&](const Frame& f) { return f.from.value == old_leader || f.to.value == old_leader; };
  ASSERT_TRUE(c.tick_until([&] { return c.leader() != old_leader && c.leader() != 0; }));
  const uint32_t new_leader = c.leader();
  c.propose(new_leader, 1, "new");
  c.tick(5);
  c.input(old_leader, Read{9});
  c.tick(20);
  EXPECT_TRUE(c.member(old_leader).reads.empty()) << "a stale read";
  c.drop = [](const Frame&) { return false; };
  c.tick(60);
  ASSERT_EQ(c.member(old_leader).reads.size(), 1u);
  EXPECT_GE(c.member(old_leader).reads[0].index, c.at(new_leader).status().decided.prev());
}

TEST(SingleMember, DecidesOnlyWhatItsDiskHas) {
  TestCluster c(1);
  c.tick(20);
  ASSERT_EQ(c.leader(), 1u);
  c.member(1).auto_sync = false;
  c.propose(1, 1, "x");
  EXPECT_TRUE(c.log(1).empty());
  c.sync(1);
  EXPECT_EQ(c.log(1), Log{"x"});
}

}  // namespace
}  // namespace decree
