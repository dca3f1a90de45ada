// The attacks of docs/protocol.md on earlier drafts, as schedules: each test drives the replicas to the very
// point where the draft broke, says so, and shows that the rule that holds it does. Random search finds some
// of these once in a million runs; here they happen every time.
#include <gtest/gtest.h>

#include "paxos/value_choice.h"
#include "tests/paxos/test_cluster.h"

namespace decree::testing {
namespace {

// Frames stay where they are until the script moves them; nothing is durable until it says so.
class Scripted : public TestCluster {
 public:
  explicit Scripted(uint32_t n, std::optional<Membership> membership = std::nullopt)
      : TestCluster(n, {}, std::move(membership)) {
    net().clear();
    for (auto& [node, m] : all()) EXPECT_EQ(m.replica->status().promised, Ballot{});
  }

  void hold_disk(uint32_t node) { member(node).auto_sync = false; }
  void release_disk(uint32_t node) {
    member(node).auto_sync = true;
    sync(node);
  }

  // `node` believes for a moment to follow `by`, which at once tells it to run: an Election when the script
  // wants it. `heard` is the highest round it has heard of then; 0 = that of everybody who is up.
  void run_for_leader(uint32_t node, uint32_t by, uint32_t heard = 0) {
    uint32_t round = heard;
    if (heard == 0)
      for (auto& [n, m] : all())
        if (m.replica)
          round = std::max({round, at(n).status().promised.round + 1, at(n).status().leader.round + 1});
    const Ballot told{0, round, 0, NodeId(by)};
    input(node, Received{NodeId(by), Law{told, Slot(0)}});
    input(node, Received{NodeId(by), TransferNow{told}});
    EXPECT_EQ(at(node).status().role, Role::candidate);
  }
  // Elects `node` with exactly the promises of `voters` (and its own).
  Ballot elect_with(uint32_t node, uint32_t by, const std::vector<uint32_t>& voters, uint32_t heard = 0) {
    run_for_leader(node, by, heard);
    const auto among = [&](NodeId n) {
      return std::find(voters.begin(), voters.end(), n.value) != voters.end();
    };
    deliver_if([&](const Frame& f) { return is<Prepare>(f) && f.from.value == node && among(f.to); });
    discard<Prepare>();
    for (int i = 0; i < 4; ++i) {  // promises, then values fetched from those who promised
      deliver_if([&](const Frame& f) { return is<Promise>(f) && f.to.value == node && among(f.from); });
      deliver_if([&](const Frame& f) { return is<Fetch>(f) || is<FetchReply>(f); });
    }
    EXPECT_EQ(at(node).status().role, Role::leader) << "node " << node;
    return at(node).status().leader;
  }
  template <class T>
  size_t discard() {
    return discard_if([](const Frame& f) { return is<T>(f); });
  }
  template <class T>
  size_t deliver(uint32_t from, uint32_t to) {
    return deliver_if([&](const Frame& f) { return is<T>(f) && f.from.value == from && f.to.value == to; });
  }
  template <class T>
  std::vector<T> on_the_way(uint32_t from) {
    std::vector<T> found;
    for (const Frame& f : net())
      if (f.from.value == from && is<T>(f)) found.push_back(std::get<T>(f.message));
    return found;
  }
  const paxos::LogSlot* held(uint32_t node, uint64_t slot) {
    return at(node).acceptor().log().find(Slot(slot));
  }
  std::string text_at(uint32_t node, uint64_t slot) {
    const paxos::LogSlot* s = held(node, slot);
    return s == nullptr ? "nothing"
                        : std::string(s->entry.kind == EntryKind::command ? s->entry.bytes() : "core's own");
  }

  // Faults end; everybody is up; what everybody applied is the same, and a new command gets through.
  void settle_and_agree() {
    net().clear();
    drop = [](const Frame&) { return false; };
    for (auto& [node, m] : all()) {
      if (!m.replica) restart(node);
      release_disk(node);
    }
    for (auto& [node, m] : all()) link_all(node, true);
    ASSERT_NE(elect(), 0u);
    tick(200);
    const uint32_t l = leader();
    propose(l, 999, "afterwards");
    tick(100);
    const std::vector<DecidedEntry>& first = all().begin()->second.applied;
    for (auto& [node, m] : all()) {
      ASSERT_EQ(m.applied.size(), first.size()) << "node " << node;
      for (size_t i = 0; i < first.size(); ++i) {
        EXPECT_EQ(m.applied[i].slot, first[i].slot);
        EXPECT_EQ(m.applied[i].entry, first[i].entry) << "node " << node << " slot " << first[i].slot.value;
      }
      EXPECT_EQ(log(node).back(), "afterwards");
    }
  }
};

bool contains(const std::vector<std::string>& log, const std::string& text) {
  return std::find(log.begin(), log.end(), text) != log.end();
}

// A ballot that was used must be durable first: else a restart uses it again, with another value (I1).
TEST(Attack, A1_ABallotIsNotUsedBeforeItIsDurable) {
  Scripted c(3);
  c.hold_disk(1);
  c.run_for_leader(1, 2);
  // The dangerous moment: the promise is raised in memory, its record is on the way to the disk.
  ASSERT_FALSE(c.member(1).unsynced.empty());
  EXPECT_TRUE(c.on_the_way<Prepare>(1).empty()) << "a Prepare left before its ballot was durable";
  c.crash(1);
  c.restart(1);
  c.release_disk(1);
  c.net().clear();

  const Ballot first = c.elect_with(1, 2, {2, 3});
  c.hold_disk(1);
  c.propose(1, 1, "v1");
  ASSERT_GT(c.deliver<Accept>(1, 2), 0u);  // X only
  c.net().clear();
  ASSERT_EQ(c.text_at(2, 2), "v1");
  c.crash(1);  // its own copy was not synced
  c.restart(1);
  c.release_disk(1);
  c.net().clear();
  ASSERT_EQ(c.held(1, 2), nullptr);

  const Ballot second = c.elect_with(1, 3, {3});
  EXPECT_GT(second, first) << "a ballot came back after a restart";
  c.propose(1, 2, "v2");
  ASSERT_GT(c.deliver<Accept>(1, 3), 0u);  // Y only: chosen
  // The schedule of the attack is reached: X and Y hold two values for one slot (Y's is the new leader's
  // barrier).
  ASSERT_EQ(c.text_at(2, 2), "v1");
  ASSERT_FALSE(c.held(2, 2)->entry == c.held(3, 2)->entry);
  ASSERT_EQ(c.text_at(3, 3), "v2");
  EXPECT_NE(c.held(2, 2)->ballot, c.held(3, 2)->ballot);
  c.crash(1);
  c.net().clear();
  c.elect_with(2, 3, {3});
  c.settle_and_agree();
  EXPECT_TRUE(contains(c.log(2), "v2"));
}

// A laggard that got a snapshot holds nothing "at exactly this ballot", and must be able to accept all the
// same.
TEST(Attack, A2_ALaggardWithASnapshotJoinsTheRunningBallot) {
  Scripted c(3);
  c.elect_with(1, 2, {2, 3});
  c.drop = [](const Frame& f) { return f.from.value == 3 || f.to.value == 3; };
  for (uint64_t i = 1; i <= 20; ++i) c.propose(1, i, "early " + std::to_string(i));
  c.deliver_all();
  ASSERT_EQ(c.log(1).size(), 20u);
  c.take_snapshot(1);
  c.install_snapshot(3, c.member(1).disk.snapshot);
  const Slot index = c.member(1).disk.snapshot.index;
  // Reached: C's prefix comes from the snapshot, it never accepted a slot of this ballot, and B is gone for
  // good.
  ASSERT_EQ(c.at(3).status().decided, index);
  ASSERT_EQ(c.held(3, index.value), nullptr);
  ASSERT_LT(c.at(3).acceptor().bill_ballot(), c.at(1).status().leader);
  c.crash(2);
  c.drop = [](const Frame&) { return false; };
  c.net().clear();
  c.propose(1, 21, "late");
  ASSERT_TRUE(c.tick_until([&] { return contains(c.log(1), "late") && contains(c.log(3), "late"); }, 300));
  c.settle_and_agree();
}

// Two values with one digest: a value is named by (slot, ballot), never by a checksum (I7).
TEST(Attack, A6_OneDigestForTwoValuesConfusesNobody) {
  Scripted c(3);
  const Entry one = command(1, 1, "one");
  Entry two = command(3, 1, "two");
  two.digest = one.digest;
  c.elect_with(1, 2, {2});
  c.input(1, Propose{one});
  c.net().clear();  // on node 1's disk only
  c.crash(1);
  c.net().clear();
  c.elect_with(3, 2, {2});
  c.input(3, Propose{two});
  c.net().clear();  // on node 3's disk only
  c.restart(1);
  c.net().clear();
  // Reached: one slot, two values, one digest.
  ASSERT_EQ(c.text_at(1, 2), "one");
  ASSERT_EQ(c.text_at(3, 2), "two");
  ASSERT_EQ(c.held(1, 2)->entry.digest, c.held(3, 2)->entry.digest);
  c.elect_with(2, 3, {1, 3});
  EXPECT_EQ(c.text_at(2, 2), "two") << "the value of the highest ballot, by its bytes";
  ASSERT_GT(c.deliver<Accept>(2, 1), 0u);
  EXPECT_EQ(c.text_at(1, 2), "two") << "an equal digest is not an equal value";
  c.settle_and_agree();
  for (uint32_t node = 1; node <= 3; ++node) {
    EXPECT_TRUE(contains(c.log(node), "two"));
    EXPECT_FALSE(contains(c.log(node), "one"));
  }
}

Membership four_with_small_elections() {
  Membership m = members(4);
  m.election_quorum = 2;
  m.bill_quorum = 3;
  return m;
}

// The raise that an Accept implies goes to the superblock BEFORE the record: the record's rot cannot take it
// along (I7).
TEST(Attack, A7_ARottenAcceptRecordDoesNotLowerThePromise) {
  Scripted c(4, four_with_small_elections());  // L=1 X=2 Y=3 Z=4
  const Ballot low = c.elect_with(3, 2, {2}, 1);
  c.propose(3, 1, "w");
  c.net().clear();  // (low, w) is on Y's disk only; X has promised `low`
  ASSERT_EQ(c.at(2).status().promised, low);
  const Ballot high = c.elect_with(1, 4, {4}, 7);
  ASSERT_GT(high, low);
  c.propose(1, 1, "v");
  c.hold_disk(2);
  ASSERT_GT(c.deliver<Accept>(1, 4), 0u);
  ASSERT_GT(c.deliver<Accept>(1, 2), 0u);
  // X hears of `high` for the first time, in an Accept. The order of its records is the rule:
  size_t promise_at = SIZE_MAX;
  size_t accept_at = SIZE_MAX;
  for (size_t i = 0; i < c.member(2).unsynced.size(); ++i) {
    const Record& r = c.member(2).unsynced[i].record;
    if (const auto* p = std::get_if<PromiseRecord>(&r); p != nullptr && p->promised == high) promise_at = i;
    if (const auto* a = std::get_if<AcceptRecord>(&r); a != nullptr && accept_at == SIZE_MAX) accept_at = i;
  }
  ASSERT_NE(accept_at, SIZE_MAX);
  EXPECT_LT(promise_at, accept_at);
  c.release_disk(2);
  c.deliver<Accepted>(2, 1);
  c.deliver<Accepted>(4, 1);
  ASSERT_TRUE(contains(c.log(1), "v")) << "chosen by L, X and Z";
  c.net().clear();
  c.crash(2);
  std::erase_if(c.member(2).disk.durable, [&](const Record& r) {
    const auto* a = std::get_if<AcceptRecord>(&r);
    return a != nullptr && a->ballot == high;
  });
  c.restart(2);
  c.net().clear();
  // Reached: X has lost what it accepted, and Y runs with a ballot between the two.
  ASSERT_EQ(c.held(2, 2), nullptr);
  c.run_for_leader(3, 2, 3);
  const Ballot between = c.at(3).status().promised;
  ASSERT_GT(between, low);
  ASSERT_LT(between, high);
  EXPECT_EQ(c.at(2).status().promised, high);
  c.deliver<Prepare>(3, 2);
  EXPECT_TRUE(c.on_the_way<Promise>(2).empty()) << "X promised a ballot below one it had accepted at";
  EXPECT_EQ(c.on_the_way<Nack>(2).size(), 1u);
  EXPECT_NE(c.at(3).status().role, Role::leader);
}

// Decided by the others' disks is not enough to apply here: a crash would make this member's revision go back
// (I21).
TEST(Attack, A10_NothingIsAppliedBeforeTheOwnCopyIsDurable) {
  Scripted c(3);
  c.elect_with(1, 2, {2, 3});
  c.deliver_all();
  c.hold_disk(1);
  c.propose(1, 1, "hundred");
  c.deliver<Accept>(1, 2);
  c.deliver<Accept>(1, 3);
  c.deliver<Accepted>(2, 1);
  c.deliver<Accepted>(3, 1);
  // Reached: the leader knows it decided, by two disks that are not its own.
  const Slot slot = c.at(1).status().decided;
  ASSERT_EQ(c.text_at(1, slot.value), "hundred");
  EXPECT_LT(c.at(1).status().applied, slot);
  EXPECT_FALSE(contains(c.log(1), "hundred"));
  c.input(1, Read{7});
  c.deliver_all();
  for (const ReadReady& r : c.member(1).reads)
    EXPECT_FALSE(r.ok && r.index < slot) << "a read below what is decided";
  c.crash(1);
  c.restart(1);
  EXPECT_FALSE(c.at(1).status().ready) << "a restarted member answers nothing before it has caught up";
  c.release_disk(1);
  c.settle_and_agree();
  EXPECT_TRUE(c.at(1).status().ready);
  EXPECT_TRUE(contains(c.log(1), "hundred"));
}

// A candidate that knows more than its quorum never asks below what it knows (I7).
TEST(Attack, A12_TheBaseLiesAboveWhatTheCandidateKnows) {
  Scripted c(3);  // L=1 A=2 C=3
  c.elect_with(1, 2, {2});
  c.propose(1, 1, "law");
  c.deliver<Accept>(1, 2);
  c.deliver<Accepted>(2, 1);
  c.net().clear();
  ASSERT_EQ(c.at(1).status().decided, Slot(2));
  ASSERT_EQ(c.at(2).status().decided, Slot(0));
  ASSERT_EQ(c.at(3).status().decided, Slot(0));
  c.run_for_leader(1, 3);
  c.deliver<Prepare>(1, 3);
  // Reached: the Prepare asks from 3 on, and the promise that completes the quorum knows nothing at all.
  const std::vector<Promise> promises = c.on_the_way<Promise>(3);
  ASSERT_EQ(promises.size(), 1u);
  ASSERT_EQ(promises[0].decided, Slot(0));
  ASSERT_TRUE(promises[0].runs.empty());
  c.deliver<Promise>(3, 1);
  ASSERT_EQ(c.at(1).status().role, Role::leader);
  for (const Accept& a : c.on_the_way<Accept>(1)) {
    EXPECT_GE(a.base, Slot(3));
    EXPECT_GE(a.first, Slot(3));
  }
  // The literal attack, a quorum without the candidate itself, is a call of the rule's function.
  const PromiseReport nothing_a{NodeId(2), Slot(0), Slot(0), {}};
  const PromiseReport nothing_c{NodeId(3), Slot(0), Slot(0), {}};
  const PromiseReport both[] = {nothing_a, nothing_c};
  EXPECT_EQ(choose_base(both, Slot(2), Slot(3), Slot(1)), Slot(3));
  c.settle_and_agree();
  EXPECT_TRUE(contains(c.log(3), "law"));
}

// A Promise is a report of memory, and leaves when everything in it is durable (I5, I7).
TEST(Attack, A13_APromiseWaitsForTheAcceptanceItReports) {
  Scripted c(3);  // the old leader 3, X=2, the new leader 1
  const Ballot old = c.elect_with(3, 1, {1});
  c.propose(3, 1, "v");
  c.hold_disk(2);
  ASSERT_GT(c.deliver<Accept>(3, 2), 0u);
  ASSERT_EQ(c.text_at(2, 2), "v");
  ASSERT_FALSE(c.member(2).unsynced.empty()) << "X's write is in flight";
  c.net().clear();
  c.run_for_leader(1, 3);
  ASSERT_GT(c.at(1).status().promised, old);
  c.deliver<Prepare>(1, 2);
  // Reached: a higher Prepare while the acceptance is not durable.
  EXPECT_TRUE(c.on_the_way<Promise>(2).empty()) << "the Promise left before what it reports was durable";
  EXPECT_TRUE(c.on_the_way<Accepted>(2).empty());
  // The disk gets through the acceptance alone: still not the promise's turn.
  LogToken acceptance;
  for (const PersistedRecord& r : c.member(2).unsynced)
    if (std::holds_alternative<AcceptRecord>(r.record)) acceptance = std::max(acceptance, r.token);
  ASSERT_LT(acceptance, c.member(2).unsynced.back().token);
  c.input(2, Persisted{acceptance});
  EXPECT_TRUE(c.on_the_way<Promise>(2).empty());
  EXPECT_TRUE(c.on_the_way<Accepted>(2).empty()) << "an acceptance below the promise was acknowledged";
  c.release_disk(2);
  const std::vector<Promise> promises = c.on_the_way<Promise>(2);
  ASSERT_EQ(promises.size(), 1u);
  ASSERT_FALSE(promises[0].runs.empty());
  EXPECT_EQ(promises[0].runs.back().ballot, old);
  EXPECT_TRUE(promises[0].runs.back().slots.contains(Slot(2)));
  // v is on two disks at the old ballot: chosen, whoever knows. The new leader has to bring it.
  c.deliver<Promise>(2, 1);
  c.deliver<Fetch>(1, 2);
  c.deliver<FetchReply>(2, 1);
  ASSERT_EQ(c.at(1).status().role, Role::leader);
  EXPECT_EQ(c.text_at(1, 2), "v");
  c.settle_and_agree();
  EXPECT_TRUE(contains(c.log(1), "v"));
}

// The same, but X loses power between the two syncs: nothing had left, so nothing is broken.
TEST(Attack, A13_ALostAcceptanceWasNeverReported) {
  Scripted c(3);
  c.elect_with(3, 1, {1});
  c.propose(3, 1, "v");
  c.hold_disk(2);
  c.deliver<Accept>(3, 2);
  c.net().clear();
  c.run_for_leader(1, 3);
  c.deliver<Prepare>(1, 2);
  ASSERT_TRUE(c.on_the_way<Promise>(2).empty());
  const Ballot raised = c.at(2).status().promised;
  c.crash(2);
  c.member(2).disk.durable.push_back(PromiseRecord{raised});  // the superblock made it, the log did not
  c.restart(2);
  c.release_disk(2);
  EXPECT_EQ(c.at(2).status().promised, raised);
  EXPECT_EQ(c.held(2, 2), nullptr);
  c.settle_and_agree();
}

void forget_decided(Disk& disk) {
  std::erase_if(disk.durable, [](const Record& r) { return std::holds_alternative<DecidedRecord>(r); });
}

// A Law stays a Law: a crash that loses the decided index must not make a chosen slot look unknown (I7).
TEST(Attack, A14_ALawOverALosingValueIsReportedAfterARestart) {
  Scripted c(3);
  c.elect_with(2, 1, {1});
  c.propose(2, 1, "loser");
  c.net().clear();  // on X's disk only, at a low ballot
  ASSERT_EQ(c.text_at(2, 2), "loser");
  c.elect_with(1, 3, {3});
  c.propose(1, 1, "winner");
  c.deliver<Accept>(1, 3);
  c.deliver<Accepted>(3, 1);
  ASSERT_TRUE(contains(c.log(1), "winner"));
  c.crash(2);  // it led its own ballot until now
  c.restart(2);
  c.net().clear();
  ASSERT_EQ(c.text_at(2, 2), "loser");
  c.input(1, Received{NodeId(2), Learn{Slot(1)}});
  ASSERT_GT(c.deliver<Chosen>(1, 2), 0u);
  ASSERT_EQ(c.text_at(2, 2), "winner");
  c.crash(2);
  c.crash(1);
  c.net().clear();
  forget_decided(c.member(2).disk);
  c.restart(2);
  c.net().clear();
  // Reached: X holds a value without a ballot and does not know that it is decided.
  ASSERT_EQ(c.at(2).status().decided, Slot(0));
  ASSERT_TRUE(c.held(2, 2)->ballot.is_none());
  EXPECT_TRUE(c.held(2, 2)->law);
  c.run_for_leader(3, 2);
  c.deliver<Prepare>(3, 2);
  const std::vector<Promise> promises = c.on_the_way<Promise>(2);
  ASSERT_EQ(promises.size(), 1u);
  bool told = false;
  for (const PromiseRun& run : promises[0].runs) told = told || (run.law && run.slots.contains(Slot(2)));
  EXPECT_TRUE(told) << "the Law is missing from the Promise";
  c.settle_and_agree();
  EXPECT_TRUE(contains(c.log(3), "winner"));
  EXPECT_FALSE(contains(c.log(3), "loser"));
}

TEST(Attack, A14_ALawOverTheSameValueKeepsItsBallot) {
  Scripted c(3);
  const Ballot b = c.elect_with(1, 2, {2});
  c.propose(1, 1, "v");
  c.deliver<Accept>(1, 2);
  c.deliver<Accepted>(2, 1);
  ASSERT_TRUE(contains(c.log(1), "v"));
  c.net().clear();
  c.input(1, Received{NodeId(2), Learn{Slot(1)}});
  ASSERT_GT(c.deliver<Chosen>(1, 2), 0u);
  ASSERT_EQ(c.at(2).status().decided, Slot(2));
  c.crash(2);
  c.crash(1);
  c.net().clear();
  forget_decided(c.member(2).disk);
  c.restart(2);
  c.net().clear();
  ASSERT_EQ(c.at(2).status().decided, Slot(0)) << "reached: the index is lost";
  c.run_for_leader(3, 2);
  c.deliver<Prepare>(3, 2);
  const std::vector<Promise> promises = c.on_the_way<Promise>(2);
  ASSERT_EQ(promises.size(), 1u);
  bool told = false;
  for (const PromiseRun& run : promises[0].runs)
    told = told || (run.slots.contains(Slot(2)) && (run.law || run.ballot >= b));
  EXPECT_TRUE(told) << "an accepted slot vanished when its Law came";
  c.settle_and_agree();
  EXPECT_TRUE(contains(c.log(3), "v"));
}

}  // namespace
}  // namespace decree::testing
