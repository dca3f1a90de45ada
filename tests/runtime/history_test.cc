#include "runtime/history.h"

#include "gtest/gtest.h"
#include "runtime/digest.h"
#include "tests/runtime/memory_cluster.h"

namespace decree {
namespace {

using runtime::History;
using testing::MemoryCluster;
using testing::MemoryMember;

constexpr uint64_t kBoot = 7;
const Ballot kOwn{0, 3, 0, NodeId(1)};
const Ballot kOther{0, 4, 0, NodeId(2)};

Entry request(uint64_t seq, uint32_t node = 1, const std::string& text = "xyz") {
  return runtime::make_command(RequestId{NodeId(node), kBoot, seq}, text);
}

PersistedRecord bill(uint64_t token, Ballot ballot, uint64_t first, const std::vector<Entry>& entries) {
  return {LogToken(token), AcceptRecord{ballot, Slot(first), entries}};
}

SlotHistory story(const History& history, uint64_t slot) {
  SlotHistory found;
  EXPECT_TRUE(history.find(Slot(slot), &found)) << slot;
  return found;
}

TEST(History, TellsASlotsWholeStoryAtItsProposer) {
  History h(16, NodeId(1), kBoot);
  h.taken(5, 100);
  h.recorded(bill(1, kOwn, 1, {request(5), request(6)}), 110);
  h.acknowledged(NodeId(3), Accepted{kOwn, Slot(1), {}, {}, false}, 150);
  h.durable(LogToken(1), 160);
  h.acknowledged(NodeId(2), Accepted{kOwn, Slot(2), {}, {}, false}, 170);
  h.acknowledged(NodeId(3), Accepted{kOwn, Slot(2), {}, {}, false}, 180);
  h.decided(Slot(1), 151);
  h.decided(Slot(2), 171);
  h.applied(Slot(1), 10, 200);
  const SlotHistory first = story(h, 1);
  EXPECT_EQ(first.id, (RequestId{NodeId(1), kBoot, 5}));
  EXPECT_EQ(first.payload_bytes, 3u);
  EXPECT_EQ(first.ballot, kOwn);
  EXPECT_TRUE(first.proposed_here);
  EXPECT_EQ(first.taken_us, 100u);
  EXPECT_EQ(first.accepted_us, 110u);
  EXPECT_EQ(first.durable_us, 160u);
  EXPECT_EQ(first.decided_us, 151u);
  EXPECT_EQ(first.applied_us, 200u);
  EXPECT_EQ(first.version, 10u);
  ASSERT_EQ(first.acknowledged.size(), 2u);
  EXPECT_EQ(first.acknowledged[0].node, NodeId(3));
  EXPECT_EQ(first.acknowledged[0].at_us, 150u);
  EXPECT_EQ(first.acknowledged[1].at_us, 170u);
  const SlotHistory second = story(h, 2);
  EXPECT_EQ(second.taken_us, 0u) << "never handed in here";
  EXPECT_EQ(second.acknowledged[1].at_us, 180u);
  EXPECT_EQ(second.applied_us, 0u);
}

TEST(History, AVoteOfAnotherBallotIsNoneOfThisOne) {
  History h(16, NodeId(1), kBoot);
  h.recorded(bill(1, kOwn, 1, {request(5)}), 110);
  h.acknowledged(NodeId(2), Accepted{Ballot{0, 2, 0, NodeId(1)}, Slot(1), {}, {}, false}, 150);
  EXPECT_TRUE(story(h, 1).acknowledged.empty());
}

TEST(History, ASlotProposedAgainKeepsItsFirstBallotAndSaysWhetherTheValueChanged) {
  History h(16, NodeId(1), kBoot);
  h.recorded(bill(1, kOwn, 1, {request(5), request(6)}), 110);
  h.durable(LogToken(1), 120);
  h.recorded(bill(2, kOther, 1, {request(5), request(9, 2)}), 210);
  const SlotHistory same = story(h, 1);
  EXPECT_EQ(same.first_ballot, kOwn);
  EXPECT_EQ(same.ballot, kOther);
  EXPECT_EQ(same.acceptances, 2u);
  EXPECT_FALSE(same.value_changed);
  EXPECT_FALSE(same.proposed_here);
  EXPECT_EQ(same.durable_us, 0u) << "at the new ballot it is not durable yet";
  EXPECT_TRUE(story(h, 2).value_changed);
  EXPECT_EQ(story(h, 2).id.seq, 9u);
}

TEST(History, HoldsTheLastSlotsAndNoOthers) {
  History h(8, NodeId(1), kBoot);
  for (uint64_t s = 1; s <= 20; ++s) h.recorded(bill(s, kOwn, s, {request(s)}), 100 + s);
  SlotHistory unused;
  for (uint64_t s = 1; s <= 12; ++s) EXPECT_FALSE(h.find(Slot(s), &unused)) << s;
  for (uint64_t s = 13; s <= 20; ++s) EXPECT_EQ(story(h, s).id.seq, s);
  EXPECT_EQ(h.oldest(), Slot(13));
  h.durable(LogToken(20), 300);
  EXPECT_EQ(story(h, 20).durable_us, 300u);
}

TEST(History, ADiskThatIsNeverIdleDoesNotMakeItGrow) {
  History h(8, NodeId(1), kBoot);
  for (uint64_t token = 1; token <= 10'000; ++token) {
    h.recorded(bill(token, kOwn, token, {request(token)}), token);
    if (token > 3) h.durable(LogToken(token - 3), token);
    ASSERT_LE(h.awaited(), 16u);
  }
  EXPECT_EQ(story(h, 9'997).durable_us, 10'000u);
  EXPECT_EQ(story(h, 9'998).durable_us, 0u);
}

TEST(History, FindsTheSlotOfAVersionOrTheNarrowestRangeItKnows) {
  History h(8, NodeId(1), kBoot);
  h.restored(Slot(0), 1);
  for (uint64_t s = 1; s <= 5000; ++s) {
    h.recorded(bill(s, kOwn, s, {request(s)}), s);
    h.applied(Slot(s), 1 + s / 2, s);  // every second slot makes a version
  }
  EXPECT_EQ(h.slots_of_version(2501), (SlotRange{Slot(5000), Slot(5001)}));
  EXPECT_EQ(h.slots_of_version(2499), (SlotRange{Slot(4996), Slot(4997)}));
  EXPECT_TRUE(h.slots_of_version(2502).empty()) << "in the future";
  for (uint64_t version = 2; version <= 2490; version += 7) {
    const SlotRange slots = h.slots_of_version(version);
    EXPECT_TRUE(slots.contains(Slot(2 * (version - 1)))) << version;
    EXPECT_LE(slots.size(), 16u) << version;
  }
}

TEST(History, OfNoSlotsCostsNothingAndTellsNothing) {
  History h(0, NodeId(1), kBoot);
  h.taken(1, 1);
  h.recorded(bill(1, kOwn, 1, {request(1)}), 1);
  h.durable(LogToken(1), 2);
  h.acknowledged(NodeId(2), Accepted{kOwn, Slot(1), {}, {}, false}, 3);
  h.decided(Slot(1), 4);
  h.applied(Slot(1), 1, 5);
  SlotHistory unused;
  EXPECT_FALSE(h.find(Slot(1), &unused));
  EXPECT_TRUE(h.slots_of_version(1).empty());
  EXPECT_EQ(History::bytes(0), 0u);
  EXPECT_LE(History::bytes(16384), 4u << 20) << "docs/operations.md says how much";
}

// Across a cluster: each member stamps in the order in which things can happen.
TEST(History, EveryMembersStampsAreInTheOrderOfTheProtocol) {
  MemoryCluster cluster(3, 5);
  for (size_t n = 1; n <= 3; ++n) cluster.member(n).start();
  ASSERT_TRUE(cluster.until([&] { return cluster.leader() != nullptr; }));
  const size_t follower = cluster.leader()->node().replica().self().value % 3 + 1;
  ASSERT_NE(cluster.put(follower, "handed in at a follower"), "");
  const Slot slot = cluster.member(follower).node().applied();
  ASSERT_TRUE(cluster.until([&] {
    for (size_t n = 1; n <= 3; ++n)
      if (cluster.member(n).node().applied() < slot) return false;
    return true;
  }));
  for (size_t n = 1; n <= 3; ++n) {
    SlotHistory told;
    cluster.member(n).node().explain(slot, [&](const SlotHistory& s) { told = s; });
    ASSERT_TRUE(told.in_history) << n;
    EXPECT_EQ(told.id.node, NodeId(static_cast<uint32_t>(follower)));
    EXPECT_EQ(told.taken_us != 0, n == follower);
    if (n == follower) {
      EXPECT_LE(told.taken_us, told.accepted_us);
    }
    EXPECT_LE(told.accepted_us, told.durable_us);
    EXPECT_LE(told.accepted_us, told.decided_us);
    EXPECT_LE(std::max(told.decided_us, told.durable_us), told.applied_us);
    EXPECT_EQ(told.proposed_here, cluster.leader() == &cluster.member(n));
    if (told.proposed_here) {
      EXPECT_EQ(told.acknowledged.size(), 2u);
    }
    for (const SlotAcknowledgement& a : told.acknowledged) EXPECT_LE(told.accepted_us, a.at_us);
  }
}

TEST(History, WhatItHasForgottenTheLogStillTells) {
  MemoryCluster cluster(3, 6);
  cluster.history_slots = 4;
  for (size_t n = 1; n <= 3; ++n) cluster.member(n).start();
  ASSERT_TRUE(cluster.until([&] { return cluster.leader() != nullptr; }));
  for (int i = 0; i < 20; ++i) ASSERT_NE(cluster.put(1, "abc"), "");
  SlotHistory told;
  bool answered = false;
  cluster.member(1).node().explain(Slot(5), [&](const SlotHistory& s) {
    told = s;
    answered = true;
  });
  ASSERT_TRUE(cluster.until([&] { return answered; }));
  EXPECT_FALSE(told.in_history);
  EXPECT_TRUE(told.in_log);
  EXPECT_EQ(told.payload_bytes, 3u);
  EXPECT_GT(told.oldest, Slot(5));
}

}  // namespace
}  // namespace decree
