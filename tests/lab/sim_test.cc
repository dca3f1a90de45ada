// Whole runs of the simulator: clean seeds, equal traces, and the checkers of the ghost state against lies.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "lab/check/ghost.h"
#include "lab/sim/world.h"

namespace decree::lab {
namespace {

RunOptions quick() {
  RunOptions options;
  options.limits.scale = 0.2;
  return options;
}

TEST(Simulator, AFewSeedsAreClean) {
  RunStatistics total;
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    const RunResult r = World(seed, quick()).run();
    ASSERT_FALSE(r.breach) << "seed " << seed << ": " << r.breach.invariant << ": " << r.breach.sentence
                           << "\n  again: decree-lab sim --seeds " << seed << " --scale 0.2 --trace -";
    total.add(r.statistics);
  }
  // The search is worth something only when it does something.
  EXPECT_GT(total.ok, 1000u);
  EXPECT_GT(total.unknown, 20u);
  EXPECT_GT(total.restarts, 20u);
  EXPECT_GT(total.snapshots_taken, 20u);
  EXPECT_GT(total.forks, 20u);
}

TEST(Simulator, RunsOnTheToyStoreAreAnswered) {
  RunOptions options = quick();
  options.limits.real_log = options.limits.real_store = false;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const RunResult r = World(seed, options).run();
    EXPECT_FALSE(r.breach) << "seed " << seed << ": " << r.breach.invariant << ": " << r.breach.sentence;
    EXPECT_GT(r.statistics.ok, 0u);
  }
}

TEST(Simulator, TheSameSeedHasTheSameTraceAndAnotherSeedAnother) {
  std::ostringstream first;
  std::ostringstream second;
  RunOptions options = quick();
  options.trace = &first;
  const RunResult a = World(31, options).run();
  options.trace = &second;
  const RunResult b = World(31, options).run();
  EXPECT_EQ(a.trace_hash, b.trace_hash);
  EXPECT_EQ(first.str(), second.str());
  EXPECT_NE(World(32, quick()).run().trace_hash, a.trace_hash);
}

TEST(Simulator, TheSameSeedHasTheSameTraceBehindTheRequestLayer) {
  RunOptions options = quick();
  options.limits.server = true;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const RunResult a = World(seed, options).run();
    EXPECT_FALSE(a.breach) << "seed " << seed << ": " << a.breach.invariant << ": " << a.breach.sentence;
    EXPECT_EQ(a.trace_hash, World(seed, options).run().trace_hash);
  }
}

TEST(Simulator, ALieAboutDurabilityIsFound) {
  RunOptions options = quick();
  options.early_persisted = true;
  std::string found;
  for (uint64_t seed = 1; seed <= 20 && found.empty(); ++seed)
    found = World(seed, options).run().breach.invariant;
  EXPECT_EQ(found, "I10");
}

// ---- the ghost state finds what it is told to find ----

Entry value(const char* text, uint64_t seq) {
  Entry e;
  e.kind = EntryKind::command;
  e.id = RequestId{NodeId(1), 1, seq};
  e.payload = std::make_shared<const std::string>(text);
  e.digest = Digest128{seq, 1};
  return e;
}
Ballot ballot(uint32_t round, uint32_t node) { return Ballot{0, round, 0, NodeId(node)}; }
PersistedRecord accepted(Ballot b, uint64_t slot, Entry e) {
  return PersistedRecord{LogToken(1), AcceptRecord{b, Slot(slot), {std::move(e)}}};
}
void durable(Ghost& g, uint32_t node, const PersistedRecord& r) {
  g.on_handed_out(NodeId(node), {&r, 1});
  g.on_durable(NodeId(node), {&r, 1});
}

TEST(Ghost, KnowsTheInstantOfAChoiceThoughNobodyTold) {
  Ghost g(3, 2, 2);
  const Ballot b = ballot(1, 1);
  durable(g, 1, accepted(b, 1, value("x", 1)));
  EXPECT_EQ(g.chosen(Slot(1)), nullptr);
  durable(g, 3, accepted(b, 1, value("x", 1)));
  ASSERT_NE(g.chosen(Slot(1)), nullptr);
  EXPECT_EQ(g.chosen_prefix(), Slot(1));
  EXPECT_FALSE(g.breach());
}
TEST(Ghost, FindsTwoValuesAtOneBallot) {
  Ghost g(3, 2, 2);
  durable(g, 1, accepted(ballot(1, 1), 1, value("x", 1)));
  durable(g, 2, accepted(ballot(1, 1), 1, value("y", 2)));
  EXPECT_EQ(g.breach().invariant, "I1");
}
TEST(Ghost, FindsASecondChoice) {
  Ghost g(3, 2, 2);
  durable(g, 1, accepted(ballot(1, 1), 1, value("x", 1)));
  durable(g, 2, accepted(ballot(1, 1), 1, value("x", 1)));
  durable(g, 2, accepted(ballot(2, 2), 1, value("y", 2)));
  durable(g, 3, accepted(ballot(2, 2), 1, value("y", 2)));
  EXPECT_EQ(g.breach().invariant, "I7");
}
TEST(Ghost, FindsAHigherProposalOfAnotherValueAfterTheChoice) {
  Ghost g(3, 2, 2);
  durable(g, 1, accepted(ballot(1, 1), 1, value("x", 1)));
  durable(g, 2, accepted(ballot(1, 1), 1, value("x", 1)));
  g.on_send(NodeId(3), 1, Accept{ballot(2, 3), Slot(1), Slot(1), Slot(0), {value("y", 2)}});
  EXPECT_EQ(g.breach().invariant, "I7");
}
TEST(Ghost, FindsAForeignBallotAndABallotOfTwoBoots) {
  Ghost foreign(3, 2, 2);
  foreign.on_send(NodeId(2), 1, Prepare{ballot(1, 1), Slot(1)});
  EXPECT_EQ(foreign.breach().invariant, "I2");
  Ghost twice(3, 2, 2);
  twice.on_send(NodeId(1), 1, Prepare{ballot(1, 1), Slot(1)});
  twice.on_send(NodeId(1), 2, Prepare{ballot(1, 1), Slot(1)});
  EXPECT_EQ(twice.breach().invariant, "I2");
}
TEST(Ghost, FindsAForgottenPromise) {
  Ghost g(3, 2, 2);
  g.on_send(NodeId(2), 1, Promise{ballot(5, 1)});
  RecoveredState found;
  found.promised = ballot(4, 1);
  g.on_start(NodeId(2), found);
  EXPECT_EQ(g.breach().invariant, "I3");
}
TEST(Ghost, FindsAnAcceptanceBelowThePromise) {
  Ghost g(3, 2, 2);
  const PersistedRecord promise{LogToken(1), PromiseRecord{ballot(5, 1)}};
  g.on_handed_out(NodeId(2), {&promise, 1});
  const PersistedRecord low = accepted(ballot(4, 3), 1, value("x", 1));
  g.on_handed_out(NodeId(2), {&low, 1});
  EXPECT_EQ(g.breach().invariant, "I4");
}
void acknowledged(Ghost& g) {
  g.on_send(NodeId(1), 1, Accept{ballot(1, 1), Slot(1), Slot(1), Slot(0), {value("x", 1)}});
  durable(g, 2, accepted(ballot(1, 1), 1, value("x", 1)));
  g.on_send(NodeId(2), 1, Accepted{ballot(1, 1), Slot(1)});
}
TEST(Ghost, FindsAPromiseThatHidesAnAcknowledgedSlot) {
  Ghost g(3, 2, 2);
  acknowledged(g);
  ASSERT_FALSE(g.breach());
  g.on_send(NodeId(2), 1, Promise{ballot(2, 3)});
  EXPECT_EQ(g.breach().invariant, "I5");
}
TEST(Ghost, FindsAnAcknowledgementAheadOfTheDisk) {
  Ghost g(3, 2, 2);
  g.on_send(NodeId(1), 1, Accept{ballot(1, 1), Slot(1), Slot(1), Slot(0), {value("x", 1)}});
  g.on_send(NodeId(2), 1, Accepted{ballot(1, 1), Slot(1)});
  EXPECT_EQ(g.breach().invariant, "I10");
}
TEST(Ghost, FindsACrashThatWouldLoseWhatWasAcknowledged) {
  Ghost g(3, 2, 2);
  acknowledged(g);
  RecoveredState found;
  found.promised = ballot(1, 1);
  g.check_fork(NodeId(2), found);
  EXPECT_EQ(g.breach().invariant, "I10");
}
TEST(Ghost, FindsAProposalThatIgnoresAReport) {
  Ghost g(3, 2, 2);
  durable(g, 2, accepted(ballot(1, 1), 1, value("x", 1)));
  g.on_send(NodeId(3), 1, Prepare{ballot(2, 3), Slot(1)});
  Promise report{ballot(2, 3)};
  report.runs.push_back(PromiseRun{ballot(1, 1), false, {Slot(1), Slot(2)}});
  g.on_send(NodeId(2), 1, report);
  g.on_send(NodeId(3), 1, Accept{ballot(2, 3), Slot(1), Slot(1), Slot(0), {value("y", 2)}});
  EXPECT_EQ(g.breach().invariant, "I6");
}
TEST(Ghost, FindsARequestThatIsChosenTwiceOrThoughRefused) {
  Ghost twice(3, 2, 2);
  for (uint64_t slot = 1; slot <= 2; ++slot)
    for (uint32_t node = 1; node <= 2; ++node)
      durable(twice, node, accepted(ballot(1, 1), slot, value("x", 1)));
  EXPECT_EQ(twice.breach().invariant, "I16");
  Ghost refused(3, 2, 2);
  refused.on_definitely_not(RequestId{NodeId(1), 1, 1});
  for (uint32_t node = 1; node <= 2; ++node) durable(refused, node, accepted(ballot(1, 1), 1, value("x", 1)));
  EXPECT_EQ(refused.breach().invariant, "I16");
}
TEST(Ghost, FindsStatesThatDiffer) {
  Ghost g(3, 2, 2);
  g.on_state(NodeId(1), Slot(4), Digest128{1, 2});
  g.on_state(NodeId(2), Slot(4), Digest128{1, 3});
  EXPECT_EQ(g.breach().invariant, "I17");
}

TEST(Ghost, FindsAChosenValueThatTooFewHold) {
  Ghost g(3, 2, 2);
  const Ballot b = ballot(1, 1);
  durable(g, 1, accepted(b, 1, value("x", 1)));
  durable(g, 2, accepted(b, 1, value("x", 1)));
  ASSERT_NE(g.chosen(Slot(1)), nullptr);
  RecoveredState whole;
  whole.promised = b;
  whole.accepted[Slot(1)] = AcceptedEntry{b, false, value("x", 1)};
  g.on_start(NodeId(2), whole);
  EXPECT_FALSE(g.breach()) << g.breach().sentence;
  RecoveredState lost;  // it never said that it had accepted, so only the choice is broken
  lost.promised = b;
  g.on_start(NodeId(2), lost);
  EXPECT_EQ(g.breach().invariant, "I18");
}
// The second epoch of three members, which begins at slot 2: 1 and 2 vote.
PersistedRecord second_epoch(MemberRole role_of_3 = MemberRole::learner) {
  std::vector<Member> list;
  for (uint32_t n = 1; n <= 3; ++n) {
    Member m;
    m.node = NodeId(n);
    m.member_id = n;
    if (n == 3) m.role = role_of_3;
    list.push_back(m);
  }
  return PersistedRecord{LogToken(1), EpochRecord{make_membership(list, 1, Slot(2)), Ballot{}}};
}
Ballot of_second_epoch(uint32_t node) { return Ballot{1, 1, 0, NodeId(node)}; }

TEST(Ghost, FindsEpochsThatAreNotTheSameForAll) {
  Ghost g(3, 2, 2);
  durable(g, 1, second_epoch());
  ASSERT_FALSE(g.breach());
  durable(g, 2, second_epoch(MemberRole::voter));
  EXPECT_EQ(g.breach().invariant, "I11");
}
TEST(Ghost, FindsAChoiceBehindAStopSign) {
  Ghost g(3, 2, 2);
  Entry stop = value("stop", 1);
  stop.kind = EntryKind::stop_sign;
  for (const uint32_t node : {1u, 2u}) durable(g, node, accepted(ballot(1, 1), 1, stop));
  ASSERT_FALSE(g.breach());
  for (const uint32_t node : {1u, 2u}) durable(g, node, accepted(ballot(1, 1), 2, value("x", 2)));
  EXPECT_EQ(g.breach().invariant, "I11");
}
TEST(Ghost, FindsAStrangerToAnEpochThatRunsOrPromisesInIt) {
  Ghost runs(3, 2, 2);
  durable(runs, 1, second_epoch());
  runs.on_send(NodeId(3), 1, Prepare{of_second_epoch(3), Slot(2)});
  EXPECT_EQ(runs.breach().invariant, "I12");
  Ghost promises(3, 2, 2);
  durable(promises, 1, second_epoch());
  promises.on_send(NodeId(3), 1, Promise{of_second_epoch(1)});
  EXPECT_EQ(promises.breach().invariant, "I12");
}
TEST(Ghost, FindsAnEpochThatBeginsWithoutTheSlotsBeforeIt) {
  for (const bool taken_over : {true, false}) {
    Ghost g(3, 2, 2);
    for (const uint32_t node : {2u, 3u}) durable(g, node, accepted(ballot(1, 3), 1, value("x", 1)));
    durable(g, 1, second_epoch());
    if (taken_over) durable(g, 1, PersistedRecord{LogToken(1), LawRecord{Slot(1), {value("x", 1)}}});
    // Two voters, both needed for an Election: one holder is enough; nobody at all is not.
    if (!taken_over) {
      RecoveredState empty;
      empty.promised = ballot(1, 3);
      g.on_start(NodeId(2), empty);
    }
    for (const uint32_t node : {1u, 2u}) durable(g, node, accepted(of_second_epoch(1), 2, value("y", 2)));
    EXPECT_EQ(g.breach().invariant, taken_over ? "" : "I18");
  }
}
TEST(Ghost, FindsDamageThatIsReportedAsAbsence) {
  Ghost g(3, 2, 2);
  acknowledged(g);
  RecoveredState found;
  found.promised = ballot(1, 1);
  found.unknown[Slot(1)] = ballot(1, 1);
  g.on_start(NodeId(2), found);
  ASSERT_FALSE(g.breach());
  g.on_send(NodeId(2), 1, Promise{ballot(2, 3)});
  EXPECT_EQ(g.breach().invariant, "I19");
}
TEST(Ghost, FindsALawThatNobodyChose) {
  Ghost g(3, 2, 2);
  durable(g, 1, accepted(ballot(1, 1), 1, value("x", 1)));
  durable(g, 2, PersistedRecord{LogToken(2), LawRecord{Slot(1), {value("x", 1)}}});
  EXPECT_EQ(g.breach().invariant, "I8");
}
TEST(Ghost, FindsABallotThatMovesItsBase) {
  Ghost g(3, 2, 2);
  g.on_send(NodeId(1), 1, Accept{ballot(1, 1), Slot(1), Slot(1), Slot(0), {value("x", 1)}});
  EXPECT_FALSE(g.breach()) << g.breach().sentence;
  g.on_send(NodeId(1), 1, Accept{ballot(1, 1), Slot(2), Slot(2), Slot(0), {value("y", 2)}});
  EXPECT_EQ(g.breach().invariant, "I9");
}
TEST(Ghost, FindsWhatIsAppliedBeforeItIsDurableThere) {
  Ghost g(3, 2, 2);
  const Ballot b = ballot(1, 1);
  for (const uint32_t node : {1, 2}) durable(g, node, accepted(b, 1, value("x", 1)));
  const Digest128 chain = chain_link(Digest128{}, Slot(1), value("x", 1).digest);
  g.on_applied(NodeId(2), Slot(1), chain);
  EXPECT_FALSE(g.breach()) << g.breach().sentence;
  g.on_applied(NodeId(3), Slot(1), chain);
  EXPECT_EQ(g.breach().invariant, "I21");
}

}  // namespace
}  // namespace decree::lab
