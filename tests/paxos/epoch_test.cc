// Change of members by stop signs: clauses of docs/decisions/0014, attacks A3, A5, A9, A11, A15, A17.
#include "tests/paxos/test_cluster.h"

namespace decree {
namespace {

using testing::command;
using testing::Frame;
using testing::is;
using testing::TestCluster;

Member new_member(uint32_t node, MemberRole role = MemberRole::joining) {
  Member m;
  m.node = NodeId(node);
  m.member_id = node;
  m.name = "m" + std::to_string(node);
  m.role = role;
  return m;
}

void add(Membership& next, uint32_t node, MemberRole role = MemberRole::joining) {
  next.members.push_back(new_member(node, role));
}
void remove(Membership& next, uint32_t node) {
  std::erase_if(next.members, [&](const Member& m) { return m.node == NodeId(node); });
}
void set_role(Membership& next, uint32_t node, MemberRole role) {
  for (Member& m : next.members)
    if (m.node == NodeId(node)) m.role = role;
}

uint32_t epoch_of(TestCluster& c, uint32_t node) { return c.at(node).membership().epoch; }

bool all_in_epoch(TestCluster& c, std::vector<uint32_t> nodes, uint32_t epoch) {
  for (const uint32_t node : nodes)
    if (!c.up(node) || epoch_of(c, node) != epoch) return false;
  return true;
}

std::string refusal(TestCluster& c, uint32_t node) {
  for (const OutcomeNotice& o : c.member(node).outcomes)
    if (o.outcome == Outcome::definitely_not && o.refused.kind != ChangeRefused::Kind::none)
      return o.refused.sentence;
  return "";
}

// Adds `nodes` and lets them catch up; as learners when asked so, else until they vote.
void grow(TestCluster& c, std::vector<uint32_t> nodes, MemberRole role = MemberRole::joining) {
  const uint32_t leader = c.leader();
  const uint32_t before = epoch_of(c, leader);
  c.change(leader, 900 + before, [&](Membership& next) {
    for (const uint32_t node : nodes) add(next, node, role);
  });
  ASSERT_TRUE(c.tick_until([&] { return epoch_of(c, leader) > before; }));
  for (const uint32_t node : nodes) c.join(node, c.at(leader).membership());
  ASSERT_TRUE(c.tick_until([&] {
    for (const uint32_t node : nodes) {
      if (c.at(node).status().applied != c.at(leader).status().applied) return false;
      if (role == MemberRole::joining && !c.at(leader).membership().is_voter(NodeId(node))) return false;
    }
    return true;
  }));
  c.tick(20);
}

TEST(Epoch, ANewMemberJoinsCatchesUpAndThenVotes) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  c.propose(leader, 1, "a");
  c.tick(5);
  grow(c, {4});
  EXPECT_TRUE(c.at(4).status().voting);
  EXPECT_EQ(c.at(leader).membership().voter_count(), 4u);
  EXPECT_EQ(c.at(leader).membership().election_quorum, 3u);
  EXPECT_EQ(c.leader(), leader) << "the leader stays the leader over a change";
  c.propose(leader, 2, "b");
  c.tick(20);
  for (const uint32_t node : {1, 2, 3, 4}) {
    EXPECT_EQ(c.log(node), (std::vector<std::string>{"a", "b"})) << node;
    EXPECT_EQ(epoch_of(c, node), 2u) << node;
  }
}

TEST(Epoch, TheLogGoesOnInTheNextSlot) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  c.change(leader, 1, [](Membership& next) { next.members[0].peer_urls = {"http://elsewhere:1"}; });
  c.propose(leader, 2, "x");
  c.tick(20);
  const std::vector<DecidedEntry>& applied = c.member(leader).applied;
  for (size_t i = 0; i < applied.size(); ++i) {
    ASSERT_EQ(applied[i].slot.value, i + 1);
    if (applied[i].entry.kind != EntryKind::stop_sign) continue;
    ASSERT_LT(i + 1, applied.size());
    EXPECT_EQ(applied[i + 1].entry.kind, EntryKind::barrier);
    EXPECT_EQ(barrier_ballot(applied[i + 1].entry), (Ballot{1, 1, 0, NodeId(leader)}))
        << "the first leader's initial ballot, without an Election";
    EXPECT_EQ(c.at(leader).membership().base, applied[i].slot.next());
  }
  EXPECT_EQ(c.log(leader), std::vector<std::string>{"x"});
}

TEST(Epoch, NothingIsProposedBehindTheStopSign) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  Slot stop;
  bool behind = false;
  c.on_send = [&](const Frame& f) {
    const auto* accept = std::get_if<Accept>(&f.message);
    if (accept == nullptr || accept->ballot.epoch != 0) return;
    for (size_t i = 0; i < accept->entries.size(); ++i) {
      if (accept->entries[i].kind == EntryKind::stop_sign) stop = accept->first + i;
      if (stop != Slot(0) && accept->first + i > stop) behind = true;
    }
  };
  Membership next = c.at(leader).membership();
  ++next.epoch;
  next.members[1].peer_urls = {"http://elsewhere:2"};
  c.turn(leader,
         {Propose{command(leader, 1, "before")}, ChangeMembers{RequestId{NodeId(leader), 1, 2}, next, false},
          Propose{command(leader, 3, "behind")}});
  c.propose(leader, 4, "later");
  EXPECT_NE(stop, Slot(0));
  c.tick(30);
  EXPECT_FALSE(behind);
  for (const uint32_t node : {1, 2, 3})
    EXPECT_EQ(c.log(node), (std::vector<std::string>{"before", "behind", "later"})) << node;
}

TEST(Epoch, ARemovedFollowerLearnsItAndNeverVotesAgain) {
  TestCluster c(4);
  const uint32_t leader = c.elect();
  const uint32_t gone = leader == 4 ? 3 : 4;
  c.change(leader, 1, [&](Membership& next) { remove(next, gone); });
  ASSERT_TRUE(c.tick_until([&] { return c.at(gone).status().removed; }));
  EXPECT_FALSE(c.at(gone).status().voting);
  const uint64_t elections = c.at(gone).status().elections;
  c.tick(500);
  EXPECT_EQ(c.at(gone).status().elections, elections);
  EXPECT_EQ(c.leader(), leader);
  c.propose(leader, 2, "after");
  c.tick(20);
  EXPECT_EQ(c.log(leader), std::vector<std::string>{"after"});
  EXPECT_TRUE(c.log(gone).empty()) << "what the next epoch decides is not its business";
}

// The leader drops what names a ballot of an epoch that is over, and nobody would ever tell the stranger: its
// client waited five seconds. What was decided before the stop sign is still told as done.
TEST(Epoch, WhatARemovedMemberHandedInTooLateIsRefusedAtOnce) {
  TestCluster c(4);
  const uint32_t leader = c.elect();
  const uint32_t gone = leader == 4 ? 3 : 4;
  c.propose(gone, 1, "in time");
  c.deliver_all();
  c.change(leader, 1, [&](Membership& next) { remove(next, gone); });
  std::vector<Frame> late;
  c.propose(gone, 2, "too late");
  for (auto it = c.net().begin(); it != c.net().end();) {
    const bool ours = is<Forward>(*it);
    if (ours) late.push_back(*it);
    it = ours ? c.net().erase(it) : std::next(it);
  }
  ASSERT_EQ(late.size(), 1u);
  ASSERT_TRUE(c.tick_until([&] { return c.at(gone).status().removed; }));
  c.net().push_back(late.front());
  c.tick(3);
  ASSERT_EQ(c.member(gone).outcomes.size(), 1u);
  EXPECT_EQ(c.member(gone).outcomes[0].id.seq, 2u);
  EXPECT_EQ(c.member(gone).outcomes[0].outcome, Outcome::definitely_not);
  EXPECT_EQ(c.log(gone), std::vector<std::string>{"in time"});
  c.tick(200);
  EXPECT_EQ(c.log(leader), std::vector<std::string>{"in time"});
}

TEST(Epoch, ALeaderThatRemovesItselfNamesItsSuccessor) {
  TestCluster c(5);
  const uint32_t old = c.elect();
  c.propose(old, 1, "a");
  c.tick(5);
  c.change(
      old, 2, [&](Membership& next) { remove(next, old); }, true);
  ASSERT_TRUE(
      c.tick_until([&] { return c.leader() != 0 && c.leader() != old && c.at(old).status().removed; }));
  const uint32_t leader = c.leader();
  EXPECT_EQ(c.at(leader).status().leader.round, 1u) << "by the initial ballot, no Election was needed";
  c.propose(leader, 3, "b");
  c.tick(20);
  EXPECT_EQ(c.log(leader), (std::vector<std::string>{"a", "b"}));
}

TEST(Epoch, AllMembersAreReplacedInOneStep) {
  TestCluster c(3);
  const uint32_t old = c.elect();
  for (uint64_t i = 1; i <= 20; ++i) c.propose(old, i, "v" + std::to_string(i));
  c.tick(20);
  grow(c, {4, 5, 6}, MemberRole::learner);
  c.change(c.leader(), 50, [](Membership& next) {
    for (const uint32_t node : {1, 2, 3}) remove(next, node);
    for (const uint32_t node : {4, 5, 6}) set_role(next, node, MemberRole::voter);
  });
  ASSERT_TRUE(c.tick_until([&] { return c.leader() >= 4; }));
  c.tick(50);
  for (const uint32_t node : {1, 2, 3}) {
    EXPECT_TRUE(c.at(node).status().removed) << node;
    c.crash(node);  // A5: whatever the old ones hold may go now
    c.member(node).disk = {};
  }
  const uint32_t leader = c.leader();
  c.propose(leader, 60, "new");
  c.tick(30);
  for (const uint32_t node : {4, 5, 6}) EXPECT_EQ(c.log(node).size(), 21u) << node;
}

TEST(Epoch, QuorumSizesChangeWithTheMembers) {
  TestCluster c(3);
  c.elect();
  grow(c, {4, 5});
  const uint32_t leader = c.leader();
  Membership next = c.at(leader).membership();
  ASSERT_EQ(next.voter_count(), 5u);
  ++next.epoch;
  next.election_quorum = 3;
  next.bill_quorum = 2;
  c.input(leader, ChangeMembers{RequestId{NodeId(leader), 1, 70}, next, true});
  EXPECT_NE(refusal(c, leader).find("do not intersect"), std::string::npos) << refusal(c, leader);
  c.member(leader).outcomes.clear();
  next.election_quorum = 4;
  EXPECT_EQ(fault_tolerance(next), 1u);
  c.input(leader, ChangeMembers{RequestId{NodeId(leader), 1, 71}, next, false});
  EXPECT_NE(refusal(c, leader).find("survive the loss of 1"), std::string::npos) << refusal(c, leader);
  c.input(leader, ChangeMembers{RequestId{NodeId(leader), 1, 72}, next, true});
  c.tick(20);
  EXPECT_EQ(c.at(leader).membership().bill_quorum, 2u);
  // Two decide now: the leader and one more.
  uint32_t one = leader == 1 ? 2 : 1;
  c.drop = [&](const Frame& f) { return is<Accept>(f) && f.to != NodeId(one); };
  c.propose(leader, 73, "with two");
  c.deliver_all();
  EXPECT_EQ(c.log(leader).back(), "with two");
}

TEST(Epoch, WhatCannotBeSafeOrUsefulIsRefusedWithASentence) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const auto ask = [&](const std::function<void(Membership&)>& edit, bool forced) {
    static uint64_t seq = 100;
    c.member(leader).outcomes.clear();
    c.change(leader, ++seq, edit, forced);
    c.tick(60);
    return refusal(c, leader);
  };
  EXPECT_NE(ask([](Membership& n) { n.epoch += 5; }, true), "");
  EXPECT_NE(ask([](Membership& n) { add(n, 4, MemberRole::voter); }, true), "");
  EXPECT_NE(ask([](Membership& n) { add(n, 2); }, true), "");
  EXPECT_NE(ask([](Membership& n) { n.members.clear(); }, true), "");
  EXPECT_NE(ask([](Membership& n) { remove(n, 3); }, false).find("force"), std::string::npos);
  EXPECT_EQ(epoch_of(c, leader), 0u);
  // Not even forced: the next epoch could not start.
  const uint32_t other = leader == 1 ? 2 : 1;
  const uint32_t third = 6 - leader - other;
  c.crash(third);
  c.tick(60);
  EXPECT_NE(ask([&](Membership& n) { remove(n, other); }, true).find("can be reached"), std::string::npos);
  EXPECT_EQ(epoch_of(c, leader), 0u);
  EXPECT_EQ(ask([&](Membership& n) { remove(n, third); }, true), "") << "the dead one may go";
  EXPECT_EQ(epoch_of(c, leader), 1u);
}

TEST(Epoch, ANodeNumberIsNeverGivenTwice) {
  TestCluster c(4);
  const uint32_t leader = c.elect();
  const uint32_t gone = leader == 4 ? 3 : 4;
  c.change(leader, 1, [&](Membership& n) { remove(n, gone); });
  c.tick(60);
  ASSERT_EQ(epoch_of(c, leader), 1u);
  c.change(leader, 2, [&](Membership& n) { add(n, gone); });
  c.tick(60);
  EXPECT_EQ(refusal(c, leader), "a node number is never given twice");
  EXPECT_EQ(next_node(c.at(leader).membership()), NodeId(5));
}

// A3: nothing leaves in the new epoch before its record is durable, and the initial ballot is for the boot
// that wrote it.
TEST(Epoch, TheInitialBallotIsUsedOnlyInTheBootThatWroteTheRecord) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  c.member(leader).auto_sync = false;
  std::set<uint32_t> rounds;
  c.on_send = [&](const Frame& f) {
    const auto* accept = std::get_if<Accept>(&f.message);
    if (accept != nullptr && accept->ballot.epoch == 1 && f.from == NodeId(leader))
      rounds.insert(accept->ballot.round);
  };
  c.change(leader, 1, [](Membership& n) { n.members[0].peer_urls = {"http://elsewhere:1"}; });
  c.sync(leader);
  c.deliver_all();
  ASSERT_EQ(epoch_of(c, leader), 1u);
  c.propose(leader, 2, "early");
  EXPECT_TRUE(rounds.empty()) << "a Bill of the epoch left before its record was durable";
  c.sync(leader);
  c.tick(1);
  EXPECT_EQ(rounds, std::set<uint32_t>{1});
  c.crash(leader);
  rounds.clear();
  c.member(leader).auto_sync = true;
  c.restart(leader);
  ASSERT_TRUE(c.tick_until([&] { return c.leader() != 0; }));
  c.tick(100);
  EXPECT_FALSE(rounds.contains(1)) << "the initial ballot was used in a second boot";
  EXPECT_GT(c.at(c.leader()).status().leader.round, 1u);
}

TEST(Epoch, ACrashBetweenTheDecidedStopSignAndTheRecordLosesNothing) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  c.propose(leader, 1, "a");
  c.tick(5);
  c.member(leader).auto_sync = false;
  c.change(leader, 2, [](Membership& n) { n.members[0].peer_urls = {"http://elsewhere:1"}; });
  c.sync(leader);
  c.deliver_all();
  ASSERT_EQ(epoch_of(c, leader), 1u);
  c.crash(leader);
  c.member(leader).auto_sync = true;
  c.restart(leader);
  ASSERT_TRUE(c.tick_until([&] { return all_in_epoch(c, {1, 2, 3}, 1) && c.leader() != 0; }));
  c.propose(c.leader(), 3, "b");
  c.tick(30);
  for (const uint32_t node : {1, 2, 3}) EXPECT_EQ(c.log(node), (std::vector<std::string>{"a", "b"})) << node;
}

TEST(Epoch, ARestartInTheNewEpochStaysInItAndHoldsWhatWasBefore) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  c.propose(leader, 1, "a");
  c.change(leader, 2, [](Membership& n) { n.members[0].peer_urls = {"http://elsewhere:1"}; });
  c.tick(20);
  for (const uint32_t node : {1, 2, 3}) c.crash(node);
  // The hint is lost: the epoch's record alone tells that everything before its base is decided (A11).
  for (const uint32_t node : {1, 2, 3})
    std::erase_if(c.member(node).disk.durable,
                  [](const Record& r) { return std::holds_alternative<DecidedRecord>(r); });
  for (const uint32_t node : {1, 2, 3}) c.boot(node);
  for (const uint32_t node : {1, 2, 3}) {
    EXPECT_EQ(epoch_of(c, node), 1u);
    EXPECT_GE(c.at(node).status().decided, c.at(node).membership().base.prev()) << node;
  }
  for (const uint32_t node : {1, 2, 3}) c.link_all(node, true);
  c.elect();
  c.propose(c.leader(), 9, "b");
  c.tick(30);
  EXPECT_EQ(c.log(1), (std::vector<std::string>{"a", "b"}));
}

// A9: what was accepted above the stop sign in the old epoch outranks nothing in the new one.
TEST(Epoch, ValuesAcceptedBehindTheStopSignAreVoid) {
  RecoveredState disk;
  disk.identity.node = NodeId(1);
  Acceptor a(disk, testing::members(3));
  const Ballot old{0, 4, 0, NodeId(2)};
  a.raise_promise(old, LogToken(1));
  Accept accept{old, Slot(1), Slot(1), Slot(0), {command(2, 1, "a"), command(2, 2, "w")}};
  ASSERT_EQ(a.accept(accept, LogToken(1)).count, 2u);
  Membership next = testing::members(3);
  next.epoch = 1;
  next.base = Slot(2);
  next.first_leader = NodeId(2);
  Entry stop;
  stop.kind = EntryKind::stop_sign;
  stop.payload = std::make_shared<const std::string>(encode_membership(next));
  a.learn(Slot(1), stop, LogToken(2));
  ASSERT_TRUE(a.sealed());
  a.open_epoch(next, LogToken(3));
  EXPECT_TRUE(a.runs_above_decided().empty());
  EXPECT_EQ(a.promised(), (Ballot{1, 1, 0, NodeId(2)}));
  EXPECT_FALSE(a.promise_durable());
  a.persisted(LogToken(3));
  EXPECT_TRUE(a.promise_durable());
  EXPECT_EQ(a.broken_invariant(), "");
}

// A17: a newcomer learns the log from its first slot; the stop signs of earlier epochs open nothing.
TEST(Epoch, OldStopSignsOpenNothingForANewcomer) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  for (uint64_t i = 1; i <= 3; ++i) {
    c.change(leader, i,
             [&](Membership& n) { n.members[0].peer_urls = {"http://elsewhere:" + std::to_string(i)}; });
    c.propose(leader, 10 + i, "v" + std::to_string(i));
    c.tick(20);
  }
  ASSERT_EQ(epoch_of(c, leader), 3u);
  grow(c, {4}, MemberRole::learner);
  EXPECT_EQ(epoch_of(c, 4), 4u);
  EXPECT_EQ(c.log(4), (std::vector<std::string>{"v1", "v2", "v3"}));
  EXPECT_EQ(c.at(4).membership(), c.at(leader).membership());
}

TEST(Epoch, ALaggardComesThroughSeveralEpochs) {
  for (const bool by_snapshot : {false, true}) {
    TestCluster c(5);
    const uint32_t leader = c.elect();
    const uint32_t behind = leader == 5 ? 4 : 5;
    c.drop = [&](const Frame& f) { return f.to.value == behind || f.from.value == behind; };
    for (uint64_t i = 1; i <= 3; ++i) {
      c.propose(leader, i, "v" + std::to_string(i));
      c.change(leader, 10 + i,
               [&](Membership& n) { n.members[0].peer_urls = {"http://elsewhere:" + std::to_string(i)}; });
      c.tick(20);
    }
    ASSERT_EQ(epoch_of(c, leader), 3u);
    if (by_snapshot)
      for (const auto& [node, m] : c.all())
        if (node != behind) c.take_snapshot(node);
    if (by_snapshot)
      for (auto& [node, m] : c.all())
        if (node != behind) {
          c.crash(node);
          c.restart(node);
        }
    c.tick(100);
    ASSERT_EQ(epoch_of(c, behind), 0u);
    c.drop = [](const Frame&) { return false; };
    EXPECT_TRUE(c.tick_until([&] { return all_in_epoch(c, {behind}, 3); })) << by_snapshot;
    EXPECT_TRUE(c.tick_until([&] { return c.log(behind).size() == 3; })) << by_snapshot;
  }
}

TEST(Epoch, ALeaderCutOffFromTheChangeStepsDownAndFollows) {
  TestCluster c(5);
  const uint32_t old = c.elect();
  c.drop = [&](const Frame& f) { return f.to.value == old || f.from.value == old; };
  ASSERT_TRUE(c.tick_until([&] { return c.leader() != old; }));
  const uint32_t leader = c.leader();
  c.tick(20);
  c.change(
      leader, 1, [&](Membership& n) { remove(n, old); }, true);
  ASSERT_TRUE(c.tick_until([&] { return epoch_of(c, leader) == 1; }));
  EXPECT_EQ(c.at(old).status().role, Role::leader) << "it cannot know";
  c.drop = [](const Frame&) { return false; };
  EXPECT_TRUE(c.tick_until([&] { return c.at(old).status().removed; }));
  EXPECT_NE(c.at(old).status().role, Role::leader);
}

TEST(Epoch, ReadsAskedBehindAStopSignAreAnsweredByTheNextEpoch) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  bool confirm_in_old = false;
  bool sealed = false;
  c.on_send = [&](const Frame& f) {
    const auto* confirm = std::get_if<Confirm>(&f.message);
    if (confirm != nullptr && sealed && confirm->ballot.epoch == 0) confirm_in_old = true;
  };
  c.change(leader, 1, [](Membership& n) { n.members[0].peer_urls = {"http://elsewhere:1"}; });
  sealed = true;
  c.input(leader, Read{7});
  EXPECT_TRUE(c.member(leader).reads.empty());
  c.tick(30);
  EXPECT_FALSE(confirm_in_old);
  ASSERT_EQ(c.member(leader).reads.size(), 1u);
  EXPECT_TRUE(c.member(leader).reads[0].ok);
  EXPECT_GE(c.member(leader).reads[0].index, c.at(leader).membership().base);
}

TEST(Epoch, ALearnerReadsThroughTheLeaderAndNeverVotes) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  grow(c, {4}, MemberRole::learner);
  c.propose(leader, 1, "a");
  c.tick(20);
  EXPECT_EQ(c.log(4), std::vector<std::string>{"a"});
  c.input(4, Read{1});
  c.tick(20);
  ASSERT_EQ(c.member(4).reads.size(), 1u);
  EXPECT_TRUE(c.member(4).reads[0].ok);
  // With two of three voters gone nothing is decided, whatever the learner acknowledges.
  for (const uint32_t node : {1, 2, 3})
    if (node != leader) c.crash(node);
  const Slot before = c.at(leader).status().decided;
  c.propose(leader, 2, "b");
  c.tick(100);
  EXPECT_EQ(c.at(leader).status().decided, before);
  EXPECT_EQ(c.at(4).status().elections, 0u);
}

TEST(Epoch, AChangeIsAskedFromAnyMember) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t other = leader == 1 ? 2 : 1;
  c.change(other, 1, [](Membership& n) { n.members[0].peer_urls = {"http://elsewhere:1"}; });
  c.tick(20);
  EXPECT_TRUE(all_in_epoch(c, {1, 2, 3}, 1));
  c.change(other, 2, [](Membership& n) { n.epoch = 1; });
  c.tick(20);
  EXPECT_NE(refusal(c, other).find("changed meanwhile"), std::string::npos);
  EXPECT_EQ(c.at(other).status().proposals_pending, 0u);
}

Membership pinned(uint32_t n) {
  Membership m = testing::members(n);
  for (Member& member : m.members) member.incarnation = Incarnation(100 + member.node.value);
  return m;
}

// Protocol 2.15: a member that lost its disk votes only when an epoch names the new one.
TEST(Epoch, AWipedMemberIsReadmittedWithoutVotingInBetween) {
  TestCluster c(3, {}, pinned(3));
  const uint32_t leader = c.elect();
  const uint32_t wiped = leader == 3 ? 2 : 3;
  for (uint64_t i = 1; i <= 10; ++i) c.propose(leader, i, "v" + std::to_string(i));
  c.tick(20);
  c.crash(wiped);
  c.member(wiped).disk = {};
  c.member(wiped).applied.clear();
  bool early = false;
  c.on_send = [&](const Frame& f) {
    if (f.from.value != wiped) return;
    const Membership& own = c.at(wiped).membership();
    const bool named = own.find(NodeId(wiped)) != nullptr &&
                       own.find(NodeId(wiped))->incarnation == Incarnation(777) &&
                       own.is_voter(NodeId(wiped));
    if (!named && (is<Promise>(f) || is<ConfirmReply>(f))) early = true;
    if (!named && is<Accepted>(f) && own.is_voter(NodeId(wiped))) early = true;
  };
  // As the first start made it: it takes itself for a voter of the first epoch, whose disks it does not know.
  Membership genesis = testing::members(3);
  genesis.members[wiped - 1].incarnation = Incarnation(103);
  c.member(wiped).genesis = genesis;
  c.member(wiped).disk.incarnation = Incarnation(777);
  c.boot(wiped);
  EXPECT_FALSE(c.at(wiped).status().voting);
  for (const uint32_t node : {1, 2, 3})
    if (node != wiped) c.input(node, DiskReplaced{NodeId(wiped), Incarnation(777)});
  ASSERT_TRUE(c.tick_until([&] { return epoch_of(c, leader) == 1; }));
  const Member* m = c.at(leader).membership().find(NodeId(wiped));
  EXPECT_EQ(m->role, MemberRole::joining);
  EXPECT_EQ(m->incarnation, Incarnation(777));
  c.link_all(wiped, true);
  ASSERT_TRUE(c.tick_until([&] { return c.at(wiped).status().voting; }));
  EXPECT_FALSE(early);
  c.tick(20);
  EXPECT_EQ(c.log(wiped).size(), 10u);
  EXPECT_EQ(c.at(leader).membership().voter_count(), 3u);
}

TEST(Epoch, ASecondProcessDoesNotDisplaceALivingMember) {
  TestCluster c(3, {}, pinned(3));
  const uint32_t leader = c.elect();
  const uint32_t other = leader == 3 ? 2 : 3;
  for (int i = 0; i < 20; ++i) {
    c.input(leader, DiskReplaced{NodeId(other), Incarnation(777)});
    c.tick(20);
  }
  EXPECT_EQ(epoch_of(c, leader), 0u);
}

TEST(Epoch, AFreshDiskVotesOnlyWhenAllOthersLetItIn) {
  Options options;
  options.confirm_genesis = true;
  TestCluster c(3, options);
  // Disks are pinned as soon as the leader knows them all; here they are all 0, so nothing is to be named.
  c.elect();
  EXPECT_TRUE(c.at(1).status().voting);

  TestCluster d(3, options);
  for (const uint32_t node : {1, 2, 3}) d.crash(node);
  for (const uint32_t node : {1, 2, 3}) d.member(node).disk = {};
  d.boot(1);
  d.boot(2);
  d.link(1, 2, true);
  d.link(2, 1, true);
  d.tick(300);
  EXPECT_EQ(d.leader(), 0u) << "two fresh disks of three may both be wiped ones";
  d.boot(3);
  d.link_all(3, true);
  EXPECT_TRUE(d.tick_until([&] { return d.leader() != 0; }));
}

TEST(Epoch, DisksAreNamedOnceAllAreKnown) {
  Options options;
  options.confirm_genesis = true;
  Membership unknown = testing::members(3);
  TestCluster c(3, options, unknown);
  for (const uint32_t node : {1, 2, 3}) c.crash(node);
  for (const uint32_t node : {1, 2, 3}) {
    c.member(node).disk = {};
    c.member(node).disk.incarnation = Incarnation(200 + node);
  }
  for (const uint32_t node : {1, 2, 3}) c.boot(node);
  for (const uint32_t node : {1, 2, 3}) c.link_all(node, true);
  ASSERT_TRUE(c.tick_until([&] { return all_in_epoch(c, {1, 2, 3}, 1); }));
  for (const Member& m : c.at(1).membership().members)
    EXPECT_EQ(m.incarnation, Incarnation(200 + m.node.value));
  c.tick(300);
  EXPECT_TRUE(all_in_epoch(c, {1, 2, 3}, 1)) << "once";
}

// A rolling change: the transport tells no disk of a member of an older release. It stopped with a broken
// invariant when it met a stop sign, and the cluster with it.
TEST(Epoch, NoEpochBeginsWhileAMemberIsThereThatCannotFollow) {
  Options options;
  options.confirm_genesis = true;
  TestCluster c(3, options, testing::members(3));
  for (const uint32_t node : {1, 2, 3}) c.crash(node);
  for (const uint32_t node : {1, 2, 3}) c.member(node).disk = {};
  for (const uint32_t node : {1, 2}) c.member(node).disk.incarnation = Incarnation(200 + node);
  for (const uint32_t node : {1, 2, 3}) c.boot(node);
  for (const uint32_t node : {1, 2, 3}) c.link_all(node, true);
  const uint32_t leader = c.elect();
  c.change(
      leader, 1, [](Membership& next) { add(next, 4); }, true);
  c.tick(100);
  EXPECT_EQ(epoch_of(c, leader), 0u);
  EXPECT_NE(refusal(c, leader).find("cannot follow a change of members"), std::string::npos);

  c.crash(3);
  c.link_all(3, false);
  c.member(3).disk.incarnation = Incarnation(203);
  c.boot(3);
  c.link_all(3, true);
  ASSERT_TRUE(c.tick_until([&] { return all_in_epoch(c, {1, 2, 3}, 1); })) << "the disks are named now";
  const uint32_t now = c.leader();
  c.change(now, 2, [](Membership& next) { add(next, 4); });
  EXPECT_TRUE(c.tick_until([&] { return all_in_epoch(c, {1, 2, 3}, 2); }));
}

}  // namespace
}  // namespace decree
