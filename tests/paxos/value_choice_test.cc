// What a new leader must propose, as pure functions (I6; attacks A4, A11, A12 and the barrier's rule).
#include "paxos/value_choice.h"

#include "paxos/acceptor.h"
#include "tests/paxos/test_cluster.h"

namespace decree {
namespace {

using testing::ballot;

PromiseRun run(Ballot b, uint64_t first, uint64_t end) {
  return PromiseRun{b, false, SlotRange{Slot(first), Slot(end)}};
}
PromiseRun law(uint64_t first, uint64_t end) {
  return PromiseRun{Ballot{}, true, SlotRange{Slot(first), Slot(end)}};
}

PromiseReport report(uint32_t from, uint64_t decided, std::vector<PromiseRun> runs = {},
                     uint64_t snapshot = 0) {
  return PromiseReport{NodeId(from), Slot(decided), Slot(snapshot), std::move(runs)};
}

Entry barrier(Ballot b) {
  Entry e;
  e.kind = EntryKind::barrier;
  e.payload = std::make_shared<const std::string>(encode_barrier(b));
  return e;
}

// Values by (slot, ballot), as a Fetch would bring them; "slot@round" where nothing else is said.
struct Values {
  std::map<std::pair<uint64_t, uint32_t>, Entry> special;
  mutable std::deque<Entry> made;
  const Entry* at(const SlotPick& pick) const {
    const auto it = special.find({pick.slot.value, pick.ballot.round});
    if (it != special.end()) return &it->second;
    made.push_back(testing::command(
        1, pick.slot.value, std::to_string(pick.slot.value) + "@" + std::to_string(pick.ballot.round)));
    return &made.back();
  }
};

std::vector<std::string> proposed(const std::vector<PromiseReport>& quorum, Slot base, uint64_t decided_term,
                                  const Values& values = {}) {
  std::vector<std::string> texts;
  const auto picks = choose_values(quorum, base);
  for (const Entry& e : bind_values(picks, decided_term, [&](const SlotPick& p) { return values.at(p); }))
    texts.push_back(e.kind == EntryKind::command   ? std::string(e.bytes())
                    : e.kind == EntryKind::barrier ? "barrier"
                    : e.kind == EntryKind::noop    ? "noop"
                                                   : "stop");
  return texts;
}

using Texts = std::vector<std::string>;

// ---- where the new ballot begins ----

TEST(Base, LiesAboveEveryPrefixThatAnybodyInTheQuorumHolds) {
  const std::vector<PromiseReport> quorum{report(1, 4), report(2, 9), report(3, 2)};
  EXPECT_EQ(choose_base(quorum, Slot(0), Slot(1), Slot(1)), Slot(10));
}

TEST(Base, LiesAboveASnapshotToo) {
  const std::vector<PromiseReport> quorum{report(1, 4, {}, 30)};
  EXPECT_EQ(choose_base(quorum, Slot(0), Slot(1), Slot(1)), Slot(31));
}

TEST(Base, LiesAboveWhatTheCandidateHoldsAndAskedFromThoughItIsNotInTheQuorum) {  // attack A12
  const std::vector<PromiseReport> quorum{report(1, 0), report(2, 0)};
  EXPECT_EQ(choose_base(quorum, Slot(2), Slot(1), Slot(1)), Slot(3));
  EXPECT_EQ(choose_base(quorum, Slot(0), Slot(3), Slot(1)), Slot(3));
}

TEST(Base, NeverLiesBelowTheEpochsBase) {  // attack A11
  const std::vector<PromiseReport> quorum{report(1, 4)};
  EXPECT_EQ(choose_base(quorum, Slot(0), Slot(1), Slot(50)), Slot(50));
}

// ---- which value ----

TEST(Values, TheHighestBallotWinsSlotBySlot) {
  const std::vector<PromiseReport> quorum{report(1, 0, {run(ballot(5), 1, 2), run(ballot(3), 2, 4)}),
                                          report(2, 0, {run(ballot(4), 1, 3)})};
  const auto picks = choose_values(quorum, Slot(1));
  ASSERT_EQ(picks.size(), 3u);
  EXPECT_EQ(picks[0], (SlotPick{Slot(1), ballot(5), false, NodeId(1)}));
  EXPECT_EQ(picks[1], (SlotPick{Slot(2), ballot(4), false, NodeId(2)}));
  EXPECT_EQ(picks[2], (SlotPick{Slot(3), ballot(3), false, NodeId(1)}));
}

TEST(Values, OfTwoBallotsOfOneRoundTheHigherNodeWins) {
  const std::vector<PromiseReport> quorum{report(1, 0, {run(ballot(5, 3), 1, 2)}),
                                          report(2, 0, {run(ballot(5, 2), 1, 2)})};
  EXPECT_EQ(choose_values(quorum, Slot(1))[0].holder, NodeId(1));
}

TEST(Values, ALawWinsOverEveryBallotInWhateverOrderTheyCome) {
  const PromiseReport a = report(1, 0, {law(1, 2)});
  const PromiseReport b = report(2, 0, {run(ballot(900), 1, 2)});
  EXPECT_EQ(choose_values(std::vector<PromiseReport>{a, b}, Slot(1))[0].holder, NodeId(1));
  EXPECT_EQ(choose_values(std::vector<PromiseReport>{b, a}, Slot(1))[0].holder, NodeId(1));
}

TEST(Values, ReportsBelowTheBaseAreNotProposedAgain) {
  const std::vector<PromiseReport> quorum{report(1, 0, {run(ballot(5), 1, 9)})};
  const auto picks = choose_values(quorum, Slot(7));
  ASSERT_EQ(picks.size(), 2u);
  EXPECT_EQ(picks[0].slot, Slot(7));
}

TEST(Values, AHoleBelowAReportIsFilledWithANoOp) {
  const std::vector<PromiseReport> quorum{report(1, 0, {run(ballot(5), 3, 4)})};
  EXPECT_EQ(proposed(quorum, Slot(1), 0), (Texts{"noop", "noop", "3@5"}));
}

TEST(Values, NothingReportedMeansNothingToBind) {
  EXPECT_TRUE(proposed({report(1, 6), report(2, 3)}, Slot(7), 0).empty());
}

TEST(Values, NothingIsProposedAboveAStopSign) {
  Values values;
  Entry stop;
  stop.kind = EntryKind::stop_sign;
  values.special[{2, 5}] = stop;
  EXPECT_EQ(proposed({report(1, 0, {run(ballot(5), 1, 3), run(ballot(4), 3, 6)})}, Slot(1), 0, values),
            (Texts{"1@5", "stop"}));
}

// ---- the barrier ----

TEST(Barrier, VoidsReportsOfLowerTermsAboveIt) {
  Values values;
  values.special[{1, 5}] = barrier(ballot(5));
  EXPECT_EQ(proposed({report(1, 0, {run(ballot(5), 1, 2), run(ballot(3), 2, 5)})}, Slot(1), 0, values),
            Texts{"barrier"});
}

TEST(Barrier, VoidsNothingOfItsOwnTermOrAHigherOne) {
  Values values;
  values.special[{1, 5}] = barrier(ballot(5));
  EXPECT_EQ(proposed({report(1, 0, {run(ballot(5), 1, 3), run(ballot(6), 3, 4)})}, Slot(1), 0, values),
            (Texts{"barrier", "2@5", "3@6"}));
  EXPECT_EQ(proposed({report(1, 0, {run(ballot(5, 9), 1, 2), run(ballot(5, 2), 2, 3)})}, Slot(1), 0, values),
            (Texts{"barrier", "2@5"}))
      << "two ballots of one round: the terms are equal, the report stands";
}

TEST(Barrier, VoidsNothingBelowIt) {
  Values values;
  values.special[{3, 5}] = barrier(ballot(5));
  EXPECT_EQ(proposed({report(1, 0, {run(ballot(3), 1, 3), run(ballot(5), 3, 4)})}, Slot(1), 0, values),
            (Texts{"1@3", "2@3", "barrier"}));
}

TEST(Barrier, NeverVoidsALaw) {
  Values values;
  values.special[{1, 5}] = barrier(ballot(5));
  EXPECT_EQ(proposed({report(1, 0, {run(ballot(5), 1, 2), law(2, 3)})}, Slot(1), 0, values),
            (Texts{"barrier", "2@0"}));
}

TEST(Barrier, InTheDecidedPrefixVoidsToo) {
  EXPECT_TRUE(proposed({report(1, 6, {run(ballot(3), 7, 9)})}, Slot(7), ballot(4).term()).empty());
  EXPECT_EQ(proposed({report(1, 6, {run(ballot(4), 7, 8)})}, Slot(7), ballot(4).term()), Texts{"7@4"});
}

TEST(Barrier, AVoidSlotBelowABoundOneBecomesANoOp) {
  EXPECT_EQ(proposed({report(1, 6, {run(ballot(3), 7, 8), run(ballot(9), 8, 9)})}, Slot(7), ballot(4).term()),
            (Texts{"noop", "8@9"}));
}

TEST(Barrier, OneThatIsVoidItselfVoidsNothing) {
  Values values;
  values.special[{2, 3}] = barrier(ballot(3));
  values.special[{1, 5}] = barrier(ballot(5));
  EXPECT_EQ(proposed({report(1, 0, {run(ballot(5), 1, 2), run(ballot(3), 2, 3), run(ballot(6), 3, 4)})},
                     Slot(1), 0, values),
            (Texts{"barrier", "noop", "3@6"}));
}

}  // namespace
}  // namespace decree
