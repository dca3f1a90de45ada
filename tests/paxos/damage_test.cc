// Damaged slots and old disks: what a member that lost something says, what counts, and how it gets well
// again (protocol 2.14, docs/decisions/0015; I19).
#include "paxos/value_choice.h"
#include "tests/paxos/test_cluster.h"

namespace decree {
namespace {

using testing::ballot;
using testing::command;
using testing::Disk;
using testing::Frame;
using testing::is;
using testing::members;
using testing::TestCluster;
using Log = std::vector<std::string>;

PromiseReport promise_of(uint32_t from, std::vector<PromiseRun> runs, std::vector<UnknownSlot> unknown = {}) {
  return PromiseReport{NodeId(from), Slot(0), Slot(0), std::move(runs), std::move(unknown)};
}
PromiseRun slot_run(Ballot b, uint64_t slot, bool law = false) {
  return PromiseRun{b, law, {Slot(slot), Slot(slot + 1)}};
}

// ---- which Promises count ----

TEST(Unknown, DoesNotCountWhereNobodyKnowsBetter) {
  EXPECT_EQ(certain_count(std::vector{promise_of(1, {}, {{Slot(1), ballot(3)}}), promise_of(2, {})}, Slot(1)),
            1u);
  EXPECT_EQ(certain_count(std::vector{promise_of(1, {}, {{Slot(1), ballot(3)}}),
                                      promise_of(2, {slot_run(ballot(2), 1)})},
                          Slot(1)),
            1u)
      << "what is lost may outrank what is known";
  EXPECT_EQ(certain_count(std::vector{promise_of(1, {}, {{Slot(1), ballot(3)}}),
                                      promise_of(2, {slot_run(ballot(9), 2)})},
                          Slot(1)),
            1u)
      << "of another slot";
}

TEST(Unknown, CountsWhereSomebodyReportsTheBoundOrALaw) {
  for (const PromiseRun& better :
       {slot_run(ballot(3), 1), slot_run(ballot(4), 1), slot_run(Ballot{}, 1, true)})
    EXPECT_EQ(certain_count(std::vector{promise_of(1, {}, {{Slot(1), ballot(3)}}), promise_of(2, {better})},
                            Slot(1)),
              2u);
}

TEST(Unknown, CountsBelowTheBase) {
  EXPECT_EQ(certain_count(std::vector{promise_of(1, {}, {{Slot(1), ballot(3)}}), promise_of(2, {})}, Slot(2)),
            2u);
}

TEST(Unknown, EverySlotOfAReportMustBeCovered) {
  const PromiseReport lost = promise_of(1, {}, {{Slot(1), ballot(3)}, {Slot(2), ballot(3)}});
  EXPECT_EQ(certain_count(std::vector{lost, promise_of(2, {slot_run(ballot(3), 1)})}, Slot(1)), 1u);
  EXPECT_EQ(certain_count(std::vector{lost, promise_of(2, {slot_run(ballot(3), 1), slot_run(ballot(3), 2)})},
                          Slot(1)),
            2u);
}

// ---- the acceptor ----

struct Damaged {
  Damaged() {
    RecoveredState s;
    s.promised = ballot(5);
    s.accepted[Slot(1)] = AcceptedEntry{ballot(5), false, command(1, 1, "a")};
    s.accepted[Slot(3)] = AcceptedEntry{ballot(5), false, command(1, 3, "c")};
    s.unknown[Slot(2)] = ballot(5);
    s.decided_hint = Slot(3);
    acceptor.emplace(s, members(3));
  }
  std::optional<Acceptor> acceptor;
};

TEST(DamagedAcceptor, SaysUnknownAndNotNothing) {
  Damaged d;
  EXPECT_EQ(d.acceptor->decided(), Slot(1)) << "the prefix ends at the damage, whatever the hint says";
  EXPECT_EQ(d.acceptor->unknown_above_decided(), (std::vector<UnknownSlot>{{Slot(2), ballot(5)}}));
}

TEST(DamagedAcceptor, IsCertainAgainWithALaw) {
  Damaged d;
  EXPECT_TRUE(d.acceptor->learn(Slot(2), command(1, 2, "b"), LogToken(1))) << "it has to be written again";
  EXPECT_TRUE(d.acceptor->unknown_above_decided().empty());
}

TEST(DamagedAcceptor, IsCertainAgainWithAnAcceptanceAtTheBoundOrAbove) {
  Damaged d;
  ASSERT_EQ(
      d.acceptor->accept(Accept{ballot(5), Slot(1), Slot(2), Slot(0), {command(1, 2, "b")}}, LogToken(1))
          .count,
      1u);
  EXPECT_TRUE(d.acceptor->unknown_above_decided().empty());
}

TEST(DamagedAcceptor, IsCertainAgainInTheNextEpoch) {
  Damaged d;
  Membership next = members(3);
  next.epoch = 1;
  next.base = Slot(2);
  d.acceptor->open_epoch(next, LogToken(1));
  EXPECT_TRUE(d.acceptor->unknown_above_decided().empty());
}

// ---- a cluster ----

// Finds the slot that holds `text` at `node`, and makes the next start find it damaged.
Slot damage(TestCluster& c, uint32_t node, const std::string& text) {
  Slot slot;
  Ballot bound;
  for (const Record& record : c.member(node).disk.durable)
    if (const auto* a = std::get_if<AcceptRecord>(&record))
      for (size_t i = 0; i < a->entries.size(); ++i)
        if (a->entries[i].bytes() == text) {
          slot = a->first + i;
          bound = a->ballot;
        }
  EXPECT_NE(slot, Slot(0));
  c.member(node).disk.damaged[slot] = bound;
  return slot;
}

TEST(DamagedMember, FetchesWhatItLostAndIsWholeAgain) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t victim = leader % 3 + 1;
  for (uint64_t i = 1; i <= 5; ++i) c.propose(leader, i, std::to_string(i));
  c.tick(20);
  c.crash(victim);
  damage(c, victim, "3");
  c.restart(victim);
  EXPECT_TRUE(c.tick_until(
      [&] { return c.at(victim).status().unknown_slots == 0 && c.log(victim).size() == 5; }, 200));
  c.crash(victim);
  c.restart(victim);
  EXPECT_EQ(c.at(victim).status().unknown_slots, 0u) << "what was fetched is written down";
  c.tick(50);
  EXPECT_EQ(c.log(victim), (Log{"1", "2", "3", "4", "5"}));
}

// The only other holder is away: what the member lost may be what was chosen.
TEST(DamagedMember, DoesNotHelpToElectWhileWhatItLostMayBeTheChosenValue) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t victim = leader % 3 + 1;
  const uint32_t blank = victim % 3 + 1;
  c.crash(blank);
  c.propose(leader, 1, "chosen");
  c.tick(5);
  ASSERT_EQ(c.log(leader), Log{"chosen"});
  c.crash(leader);
  c.crash(victim);
  damage(c, victim, "chosen");
  c.restart(victim);
  c.restart(blank);
  c.tick(1500);
  EXPECT_EQ(c.leader(), 0u) << "to lead now would be to forget a chosen value";
  c.restart(leader);
  ASSERT_TRUE(c.tick_until([&] { return c.leader() != 0 && c.log(blank) == Log{"chosen"}; }, 3000));
  EXPECT_TRUE(c.tick_until([&] { return c.at(victim).status().unknown_slots == 0; }, 300));
}

TEST(DamagedMember, HelpsToElectWhenTheOtherHolderIsThere) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t victim = leader % 3 + 1;
  const uint32_t other = victim % 3 + 1;
  // Accepted by all, and nobody hears that it is decided.
  c.drop = [](const Frame& f) { return is<Accepted>(f) || is<Law>(f) || is<Beat>(f); };
  c.propose(leader, 1, "held");
  c.tick(2);
  c.crash(leader);
  c.crash(victim);
  c.drop = [](const Frame&) { return false; };
  damage(c, victim, "held");
  c.restart(victim);
  ASSERT_TRUE(c.tick_until([&] { return c.leader() != 0 && c.log(victim) == Log{"held"}; }, 3000));
  EXPECT_EQ(c.log(other), Log{"held"});
}

// ---- old disks ----

TEST(OldDisk, IsToldSoByWhoeverRemembersAndVotesNoMore) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t victim = leader % 3 + 1;
  const Disk image = c.member(victim).disk;
  c.propose(leader, 1, "acknowledged");
  c.tick(30);
  c.crash(victim);
  const uint64_t boots = c.member(victim).disk.boots;
  c.member(victim).disk = image;
  c.member(victim).disk.boots = boots;
  bool promised = false;
  c.on_send = [&](const Frame& f) { promised = promised || (f.from == NodeId(victim) && is<Promise>(f)); };
  c.boot(victim);
  c.link_all(victim, true);
  c.tick(50);
  EXPECT_TRUE(c.at(victim).status().disowned);
  EXPECT_FALSE(c.at(victim).status().voting);
  // Not even when its vote is all that is missing.
  c.crash(leader);
  c.tick(1000);
  EXPECT_FALSE(promised);
  EXPECT_EQ(c.leader(), 0u);
}

TEST(OldDisk, ARestartThatLostNothingIsNotTakenForOne) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  for (uint64_t i = 1; i <= 30; ++i) {
    const uint32_t victim = static_cast<uint32_t>(i % 3) + 1;
    ASSERT_TRUE(c.tick_until([&] { return c.leader() != 0; }));
    c.propose(c.leader(), i, std::to_string(i));
    c.tick(static_cast<uint32_t>(i % 4));
    c.crash(victim);
    c.tick(3);
    c.restart(victim);
    c.tick(30);
    for (uint32_t n = 1; n <= 3; ++n) ASSERT_FALSE(c.at(n).status().disowned) << i;
  }
  (void)leader;
}

TEST(OldDisk, AWordMeantForAnotherStartIsIgnored) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t other = leader % 3 + 1;
  Nack late{Ballot{}, Ballot{}, NackReason::old_disk, c.member(other).disk.boots - 1, 1u << 30};
  c.input(other, Received{NodeId(leader), late});
  EXPECT_FALSE(c.at(other).status().disowned);
  late.boot = c.member(other).disk.boots;
  late.disk_writes = c.member(other).disk.found;
  c.input(other, Received{NodeId(leader), late});
  EXPECT_FALSE(c.at(other).status().disowned) << "nothing was lost";
}

TEST(OldDisk, AnotherDiskStartsFromNothing) {
  TestCluster c(3);
  const uint32_t leader = c.elect();
  const uint32_t victim = leader % 3 + 1;
  c.propose(leader, 1, "x");
  c.tick(30);
  ASSERT_GT(c.at(leader).disk_writes_of(NodeId(victim)), 0u);
  c.input(leader, PeerLink{NodeId(victim), true, Incarnation(4), c.member(victim).disk.boots, 0});
  c.input(leader, PeerLink{NodeId(victim), false});
  c.input(leader, PeerLink{NodeId(victim), true, Incarnation(5), 1, 1});
  EXPECT_LE(c.at(leader).disk_writes_of(NodeId(victim)), 1u);
}

}  // namespace
}  // namespace decree
