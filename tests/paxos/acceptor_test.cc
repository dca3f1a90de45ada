// The safety kernel's acceptor, rule by rule (I1-I10 as far as one acceptor can see them; attacks by number).
#include "paxos/acceptor.h"

#include "tests/paxos/test_cluster.h"

namespace decree {
namespace {

using testing::ballot;
using testing::command;
using testing::members;
using Verdict = Acceptor::Verdict;

Entry text(const std::string& words) { return command(9, std::hash<std::string>{}(words) % 1000, words); }

Entry stop_sign() {
  Entry e;
  e.kind = EntryKind::stop_sign;
  e.digest = Digest128{7, 7};
  Membership next = members(3);
  next.epoch = 1;
  e.payload = std::make_shared<const std::string>(encode_membership(next));
  return e;
}

Accept bill(Ballot b, uint64_t base, uint64_t first, std::vector<std::string> words) {
  Accept m{b, Slot(base), Slot(first), Slot(0), {}};
  for (const std::string& w : words) m.entries.push_back(text(w));
  return m;
}

// An acceptor with a token counter, as the replica drives it.
struct Driven {
  explicit Driven(RecoveredState recovered = {}, Membership membership = members(3))
      : acceptor(recovered, membership) {}
  Acceptor::AcceptResult accept(const Accept& m) {
    acceptor.raise_promise(m.ballot, next());
    return acceptor.accept(m, next());
  }
  LogToken next() { return LogToken(++token); }
  void sync() { acceptor.persisted(LogToken(token)); }
  Acceptor acceptor;
  uint64_t token = 0;
};

RecoveredState with_log(Ballot promised, std::vector<std::pair<Ballot, std::string>> log) {
  RecoveredState s;
  s.promised = promised;
  uint64_t slot = 0;
  for (const auto& [b, words] : log) s.accepted[Slot(++slot)] = AcceptedEntry{b, false, text(words)};
  return s;
}

// ---- the promise ----

TEST(Acceptor, ItsPromiseNeverFalls) {
  Driven d;
  EXPECT_TRUE(d.acceptor.raise_promise(ballot(5), d.next()));
  EXPECT_FALSE(d.acceptor.raise_promise(ballot(4), d.next()));
  EXPECT_FALSE(d.acceptor.raise_promise(ballot(5), d.next())) << "twice is not a raise: nothing to write";
  EXPECT_EQ(d.acceptor.promised(), ballot(5));
}

TEST(Acceptor, OfTwoBallotsOfOneRoundTheHigherNodeIsTheHigherPromise) {
  Driven d;
  d.acceptor.raise_promise(ballot(5, 2), d.next());
  EXPECT_FALSE(d.acceptor.raise_promise(ballot(5, 1), d.next()));
  EXPECT_TRUE(d.acceptor.raise_promise(ballot(5, 3), d.next()));
}

TEST(Acceptor, APromiseIsDurableOnlyWhenItsOwnRecordIs) {
  Driven d;
  d.acceptor.raise_promise(ballot(5), LogToken(1));
  EXPECT_FALSE(d.acceptor.promise_durable());
  d.acceptor.persisted(LogToken(1));
  EXPECT_TRUE(d.acceptor.promise_durable());
  d.acceptor.raise_promise(ballot(6), LogToken(2));
  EXPECT_FALSE(d.acceptor.promise_durable());
}

TEST(Acceptor, ARestartKeepsThePromise) {
  Driven d(with_log(ballot(7), {}));
  EXPECT_EQ(d.acceptor.promised(), ballot(7));
  EXPECT_TRUE(d.acceptor.promise_durable());
  EXPECT_EQ(d.acceptor.accept(bill(ballot(6), 1, 1, {"a"}), d.next()).verdict, Verdict::outranked);
}

// ---- accepting ----

TEST(Acceptor, RejectsAnAcceptBelowItsPromiseAndKeepsItsLogAsItWas) {
  Driven d;
  d.accept(bill(ballot(5), 1, 1, {"new"}));
  const Acceptor before = d.acceptor;
  EXPECT_EQ(d.acceptor.accept(bill(ballot(4), 1, 1, {"old"}), d.next()).verdict, Verdict::outranked);
  EXPECT_EQ(d.acceptor, before);
}

TEST(Acceptor, TakesAnAcceptAboveItsPromiseWithoutAPrepareOnceThePromiseIsRaised) {
  Driven d;
  d.acceptor.raise_promise(ballot(3), d.next());
  EXPECT_EQ(d.accept(bill(ballot(8), 1, 1, {"a"})).count, 1u);
  EXPECT_EQ(d.acceptor.promised(), ballot(8));
  EXPECT_EQ(d.acceptor.broken_invariant(), "");
}

TEST(Acceptor, RefusesAnotherEpoch) {
  Driven d;
  Accept m = bill(ballot(5), 1, 1, {"a"});
  m.ballot.epoch = 1;
  EXPECT_EQ(d.acceptor.accept(m, d.next()).verdict, Verdict::wrong_epoch);
}

TEST(Acceptor, RefusesSlotsBelowItsEpochsBase) {  // attack A11
  Membership m = members(3);
  m.base = Slot(10);
  RecoveredState recovered;
  recovered.snapshot_index = Slot(4);
  Driven d(recovered, m);
  EXPECT_EQ(d.accept(bill(ballot(5), 5, 5, {"a"})).verdict, Verdict::below_base);
  EXPECT_EQ(d.accept(bill(ballot(6), 10, 10, {"a"})).verdict, Verdict::accepted);
}

TEST(Acceptor, TakesTheSlotsOfOneBallotInOrderWithoutGaps) {
  Driven d;
  EXPECT_EQ(d.accept(bill(ballot(5), 1, 2, {"b"})).verdict, Verdict::gap);
  EXPECT_EQ(d.acceptor.log().find(Slot(2)), nullptr);
  EXPECT_EQ(d.accept(bill(ballot(5), 1, 1, {"a"})).count, 1u);
  EXPECT_EQ(d.accept(bill(ballot(5), 1, 2, {"b"})).count, 1u);
  EXPECT_EQ(d.accept(bill(ballot(5), 1, 4, {"d"})).verdict, Verdict::gap);
  EXPECT_EQ(d.acceptor.next_acceptable(), Slot(3));
}

TEST(Acceptor, APredecessorAcceptedAtAnOlderBallotDoesNotMakeTheNextSlotAcceptable) {
  Driven d;
  d.accept(bill(ballot(5), 1, 1, {"a", "b"}));
  EXPECT_EQ(d.accept(bill(ballot(6), 1, 3, {"c"})).verdict, Verdict::gap);
  EXPECT_EQ(d.acceptor.next_acceptable(), Slot(1));
}

TEST(Acceptor, AcceptsFromTheBaseOnThoughItMissesLawsBelowIt) {
  Driven d;
  EXPECT_EQ(d.accept(bill(ballot(5), 8, 8, {"h"})).count, 1u);
  EXPECT_EQ(d.acceptor.decided(), Slot(0));
  d.sync();
  EXPECT_EQ(d.acceptor.durable_upto(), Slot(8));
  EXPECT_EQ(d.acceptor.decide(ballot(5), Slot(8)), Slot(0))
      << "the hole below the base is not decided by this";
}

TEST(Acceptor, APredecessorThatIsALawWillDo) {  // attack A2
  Driven d;
  d.acceptor.raise_promise(ballot(5), d.next());
  d.acceptor.install_snapshot(Slot(100), Digest128{1, 1}, 4);
  EXPECT_EQ(d.accept(bill(ballot(5), 50, 101, {"x"})).count, 1u);
  d.acceptor.learn(Slot(101), text("x"), d.next());
  d.acceptor.learn(Slot(102), text("y"), d.next());
  EXPECT_EQ(d.accept(bill(ballot(5), 50, 103, {"z"})).count, 1u);
}

TEST(Acceptor, ACopyOfAnAcceptChangesNothing) {
  Driven d;
  d.accept(bill(ballot(5), 1, 1, {"a", "b"}));
  const Acceptor before = d.acceptor;
  const auto again = d.acceptor.accept(bill(ballot(5), 1, 1, {"a", "b"}), LogToken(99));
  EXPECT_EQ(again.verdict, Verdict::accepted);
  EXPECT_EQ(again.count, 0u);
  EXPECT_EQ(d.acceptor, before);
}

TEST(Acceptor, OfAnAcceptThatOverlapsOnlyTheNewPartIsTaken) {
  Driven d;
  d.accept(bill(ballot(5), 1, 1, {"a", "b"}));
  const auto more = d.accept(bill(ballot(5), 1, 2, {"b", "c", "d"}));
  EXPECT_EQ(more.first_new, Slot(3));
  EXPECT_EQ(more.count, 2u);
}

using AcceptorDeathTest = ::testing::Test;

TEST(AcceptorDeathTest, TwoValuesAtOneBallotAndSlotStopTheProcess) {  // I1
  Driven d;
  d.accept(bill(ballot(5), 1, 1, {"a"}));
  EXPECT_DEATH(d.acceptor.accept(bill(ballot(5), 1, 1, {"b"}), d.next()), "I1");
}

TEST(AcceptorDeathTest, AnotherValueOverALawStopsTheProcess) {  // I7
  RecoveredState s;
  s.accepted[Slot(1)] = AcceptedEntry{Ballot{}, true, text("law")};
  Driven d(s);
  EXPECT_DEATH(d.accept(bill(ballot(5), 1, 1, {"other"})), "I7");
}

TEST(Acceptor, TwoValuesWithOneDigestAreTwoValues) {  // attack A6
  Entry a = text("a");
  Entry b = text("b");
  b.digest = a.digest;
  b.id = a.id;
  EXPECT_FALSE(a == b);
}

// ---- durability ----

TEST(Acceptor, AcknowledgesOnlyWhatIsSynced) {  // I10
  Driven d;
  d.acceptor.raise_promise(ballot(5), LogToken(1));
  d.acceptor.accept(bill(ballot(5), 1, 1, {"a"}), LogToken(2));
  d.acceptor.accept(bill(ballot(5), 1, 2, {"b"}), LogToken(3));
  EXPECT_EQ(d.acceptor.durable_upto(), Slot(0));
  d.acceptor.persisted(LogToken(2));
  EXPECT_EQ(d.acceptor.durable_upto(), Slot(1));
  d.acceptor.persisted(LogToken(3));
  EXPECT_EQ(d.acceptor.durable_upto(), Slot(2));
}

TEST(Acceptor, WhatWasSyncedAtAnOlderBallotIsNotAcknowledgedAtTheNewOne) {
  Driven d;
  d.accept(bill(ballot(5), 1, 1, {"a", "b"}));
  d.sync();
  ASSERT_EQ(d.acceptor.durable_upto(), Slot(2));
  d.acceptor.raise_promise(ballot(6), d.next());
  d.acceptor.accept(bill(ballot(6), 1, 1, {"a"}), d.next());
  EXPECT_EQ(d.acceptor.durable_upto(), Slot(0)) << "its record at the new ballot is still on the way";
  d.sync();
  EXPECT_EQ(d.acceptor.durable_upto(), Slot(1)) << "slot 2 is held at the old ballot only";
}

TEST(Acceptor, ARestartInTheMiddleOfARunGoesOnWhereItsDiskStands) {
  Driven d(with_log(ballot(5), {{ballot(5), "a"}, {ballot(5), "b"}}));
  EXPECT_EQ(d.acceptor.accept(bill(ballot(5), 1, 3, {"c"}), d.next()).count, 1u);
  EXPECT_EQ(d.acceptor.durable_upto(), Slot(2)) << "c is not synced yet";
  d.sync();
  EXPECT_EQ(d.acceptor.durable_upto(), Slot(3));
}

TEST(Acceptor, ARestartWithAnOlderTailDoesNotCountItToTheNewRun) {
  Driven d(with_log(ballot(5), {{ballot(5), "a"}, {ballot(3), "x"}}));
  EXPECT_EQ(d.acceptor.accept(bill(ballot(5), 1, 3, {"c"}), d.next()).verdict, Verdict::gap);
  EXPECT_EQ(d.acceptor.next_acceptable(), Slot(2));
  EXPECT_EQ(d.acceptor.durable_upto(), Slot(1));
}

TEST(Acceptor, SlotsUnderAnInstalledSnapshotAreDurableWhateverTheirRecordsAre) {
  Driven d;
  d.accept(bill(ballot(5), 1, 1, {"a", "b", "c"}));
  d.acceptor.decide(ballot(5), Slot(3));
  EXPECT_FALSE(d.acceptor.slot_durable(Slot(2)));
  d.acceptor.set_snapshot_index(Slot(2));
  EXPECT_TRUE(d.acceptor.slot_durable(Slot(2)));
  EXPECT_EQ(d.acceptor.durable_upto(), Slot(2));
  EXPECT_FALSE(d.acceptor.slot_durable(Slot(3)));
}

// ---- deciding and learning ----

TEST(Acceptor, DecidesOnlyWhatItAcceptedAtExactlyTheLeadersBallot) {  // protocol 2.7
  Driven d;
  d.accept(bill(ballot(5), 1, 1, {"stale", "stale too"}));
  d.acceptor.raise_promise(ballot(6), d.next());
  d.acceptor.enter_ballot(ballot(6), Slot(1));
  EXPECT_EQ(d.acceptor.decide(ballot(6), Slot(2)), Slot(0));
  d.accept(bill(ballot(6), 1, 1, {"fresh"}));
  EXPECT_EQ(d.acceptor.decide(ballot(6), Slot(2)), Slot(1));
}

TEST(Acceptor, ALearnedValueReplacesALoserAndIsWrittenAsALaw) {  // attack A14
  Driven d;
  d.accept(bill(ballot(5), 1, 1, {"loser"}));
  EXPECT_TRUE(d.acceptor.learn(Slot(1), text("winner"), d.next()));
  EXPECT_TRUE(d.acceptor.log().find(Slot(1))->law);
  EXPECT_EQ(d.acceptor.log().find(Slot(1))->entry, text("winner"));
}

TEST(Acceptor, ALearnedValueThatItHoldsAlreadyKeepsItsBallot) {
  Driven d;
  d.accept(bill(ballot(5), 1, 1, {"same"}));
  EXPECT_FALSE(d.acceptor.learn(Slot(1), text("same"), d.next())) << "nothing new to write";
  EXPECT_EQ(d.acceptor.log().find(Slot(1))->ballot, ballot(5));
}

TEST(Acceptor, ALawSurvivesARestartAsALawThoughTheDecidedIndexIsLost) {  // attack A14
  RecoveredState s;
  s.accepted[Slot(1)] = AcceptedEntry{Ballot{}, true, text("law")};
  s.accepted[Slot(2)] = AcceptedEntry{ballot(5), false, text("maybe")};
  s.promised = ballot(5);
  Driven d(s);
  const std::vector<PromiseRun> runs = d.acceptor.runs_above_decided();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_TRUE(runs[0].law);
  EXPECT_FALSE(runs[1].law);
  EXPECT_EQ(runs[1].ballot, ballot(5));
}

TEST(Acceptor, ALawAcceptedAgainAtABallotIsStillALaw) {
  RecoveredState s;
  s.accepted[Slot(1)] = AcceptedEntry{Ballot{}, true, text("law")};
  Driven d(s);
  d.accept(bill(ballot(5), 1, 1, {"law"}));
  EXPECT_TRUE(d.acceptor.log().find(Slot(1))->law);
  EXPECT_EQ(d.acceptor.log().find(Slot(1))->ballot, ballot(5));
}

TEST(Acceptor, ADecidedHintCountsOnlyAsFarAsTheValuesAreHere) {  // attack A4
  RecoveredState s = with_log(ballot(5), {{ballot(5), "a"}, {ballot(5), "b"}});
  s.accepted.erase(Slot(2));
  s.accepted[Slot(3)] = AcceptedEntry{ballot(5), false, text("c")};
  s.decided_hint = Slot(3);
  Driven d(s);
  EXPECT_EQ(d.acceptor.decided(), Slot(1));
}

// ---- the report of a Promise ----

TEST(Acceptor, ReportsTheHighestBallotItEverAcceptedAtEachSlot) {  // I5
  Driven d;
  d.accept(bill(ballot(3), 1, 1, {"a", "b", "c"}));
  d.accept(bill(ballot(5), 1, 1, {"a", "B"}));
  const std::vector<PromiseRun> want{PromiseRun{ballot(5), false, SlotRange{Slot(1), Slot(3)}},
                                     PromiseRun{ballot(3), false, SlotRange{Slot(3), Slot(4)}}};
  EXPECT_EQ(d.acceptor.runs_above_decided(), want);
}

TEST(Acceptor, ReportsWhatIsNotSyncedYetToo) {  // attack A13: the Promise waits for it
  Driven d;
  d.accept(bill(ballot(3), 1, 1, {"a"}));
  ASSERT_FALSE(d.acceptor.slot_durable(Slot(1)));
  EXPECT_EQ(d.acceptor.runs_above_decided().size(), 1u);
}

TEST(Acceptor, ASnapshotDropsNothingAboveItsIndex) {
  Driven d;
  d.accept(bill(ballot(3), 1, 1, {"a", "b", "c", "d"}));
  d.acceptor.install_snapshot(Slot(2), Digest128{1, 2}, 3);
  EXPECT_EQ(d.acceptor.decided(), Slot(2));
  ASSERT_NE(d.acceptor.log().find(Slot(4)), nullptr);
  EXPECT_EQ(d.acceptor.runs_above_decided().front().slots, (SlotRange{Slot(3), Slot(5)}));
}

// ---- stop signs ----

TEST(Acceptor, NothingIsAcceptedAboveAStopSign) {  // attack A4, I11
  Driven d;
  Accept m = bill(ballot(5), 1, 1, {"a"});
  m.entries.push_back(stop_sign());
  m.entries.push_back(text("beyond"));
  const auto result = d.accept(m);
  EXPECT_EQ(result.verdict, Verdict::sealed);
  EXPECT_EQ(result.count, 2u);
  EXPECT_EQ(d.accept(bill(ballot(6), 3, 3, {"beyond"})).verdict, Verdict::sealed);
}

TEST(Acceptor, AStopSignThatLostItsSlotSealsNothing) {
  Driven d;
  Accept m = bill(ballot(5), 1, 1, {"a"});
  m.entries.push_back(stop_sign());
  d.accept(m);
  EXPECT_EQ(d.accept(bill(ballot(6), 1, 1, {"a", "b", "c"})).verdict, Verdict::accepted);
  EXPECT_EQ(d.acceptor.next_acceptable(), Slot(4));
  Driven learner;
  learner.accept(m);
  learner.acceptor.learn(Slot(1), text("a"), learner.next());
  learner.acceptor.learn(Slot(2), text("b"), learner.next());
  EXPECT_EQ(learner.accept(bill(ballot(6), 3, 3, {"c"})).count, 1u);
}

// ---- a value ----

TEST(Acceptor, CopiesAreEqualAndHashAlikeUntilOneIsChanged) {
  Driven d;
  d.accept(bill(ballot(5), 1, 1, {"a"}));
  Acceptor copy = d.acceptor;
  EXPECT_EQ(copy, d.acceptor);
  EXPECT_EQ(copy.fingerprint(), d.acceptor.fingerprint());
  copy.raise_promise(ballot(6), LogToken(50));
  EXPECT_NE(copy, d.acceptor);
  EXPECT_NE(copy.fingerprint(), d.acceptor.fingerprint());
}

TEST(Barrier, ItsPayloadNamesItsBallot) {
  const Ballot b{3, 77, 5, NodeId(9)};
  Entry e;
  e.kind = EntryKind::barrier;
  e.payload = std::make_shared<const std::string>(encode_barrier(b));
  EXPECT_EQ(barrier_ballot(e), b);
  EXPECT_EQ(barrier_term(e), b.term());
  e.kind = EntryKind::command;
  EXPECT_EQ(barrier_term(e), 0u) << "a client cannot forge one";
}

}  // namespace
}  // namespace decree
