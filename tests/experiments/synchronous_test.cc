// Mission rows M7, M8, M9: the synchronous model, every run of small groups. Counts: docs/lab.md.
#include <gtest/gtest.h>

#include "lab/synchronous/explore.h"
#include "lab/synchronous/protocols.h"
#include "lab/synchronous/timing.h"

namespace decree::lab {
namespace {

TEST(SynchronousM8, FloodSetAgreesInEveryRunOfFPlusOneRounds) {
  struct Row {
    uint32_t n, f;
    uint64_t runs;
  };
  for (const Row& row : {Row{3, 1, 200}, Row{4, 1, 1040}, Row{4, 2, 56848}, Row{2, 1, 36}}) {
    const RoundCount c = explore(FaultModel::crash, row.n, row.f, row.f + 1, make_flood(row.f + 1));
    EXPECT_EQ(c.runs, row.runs);
    EXPECT_EQ(c.disagree_uniform, 0u);
    EXPECT_EQ(c.invalid, 0u);
    EXPECT_EQ(c.undecided, 0u);
  }
}

// M9, the claim with one round too few: the search has to find the violating schedules, and exactly so many.
TEST(SynchronousM9, WithFRoundsTheViolatingSchedulesAreFound) {
  const RoundCount small = explore(FaultModel::crash, 3, 1, 1, make_flood(1));
  EXPECT_EQ(small.runs, 104u);
  EXPECT_EQ(small.disagree, 6u);
  const RoundCount c = explore(FaultModel::crash, 4, 2, 2, make_flood(2));
  EXPECT_EQ(c.runs, 25616u);
  EXPECT_EQ(c.disagree, 48u);
  ASSERT_TRUE(c.first_disagreement);
  EXPECT_EQ(c.first_disagreement->faults(), 2u) << "one crash in every round";
}

TEST(SynchronousM9, NoAlgorithmDecidesInFRoundsAndTheChainIsChecked) {
  struct Row {
    uint32_t n, f, rounds;
    uint64_t executions;
    bool connected;
  };
  for (const Row& row :
       {Row{3, 1, 1, 104, true}, Row{3, 1, 2, 200, false}, Row{4, 1, 1, 528, true}, Row{4, 2, 1, 6672, true},
        Row{4, 2, 2, 25616, true}, Row{4, 2, 3, 56848, false}, Row{2, 1, 1, 20, false}}) {
    const Indistinguishability g = indistinguishable_runs(row.n, row.f, row.rounds);
    EXPECT_EQ(g.executions, row.executions);
    EXPECT_EQ(g.connected, row.connected) << row.n << " " << row.f << " " << row.rounds;
    if (!row.connected) continue;
    ASSERT_GE(g.chain.size(), 2u);
    EXPECT_EQ(g.chain.front().execution.inputs, 0u);
    EXPECT_EQ(g.chain.front().execution.faulty, 0u);
    EXPECT_EQ(g.chain.back().execution.inputs, (1u << row.n) - 1);
    EXPECT_EQ(g.chain.back().execution.faulty, 0u);
    for (size_t i = 0; i + 1 < g.chain.size(); ++i) {
      const uint32_t p = g.chain[i].same_for;
      EXPECT_TRUE(same_view(g.chain[i].execution, g.chain[i + 1].execution, p)) << "link " << i;
      EXPECT_FALSE(g.chain[i].execution.crashed_by(p, row.rounds)) << "only survivors have to decide";
    }
  }
}

TEST(SynchronousM9, TwoRunsThatASurvivorCanTellApartAreNoLink) {
  const Indistinguishability g = indistinguishable_runs(3, 1, 1);
  ASSERT_TRUE(g.connected);
  for (uint32_t p = 0; p < 3; ++p)
    EXPECT_FALSE(same_view(g.chain.front().execution, g.chain.back().execution, p));
}

TEST(SynchronousM8, EarlyDecisionIsUniformAndInTime) {
  uint64_t runs = 0;
  struct Row {
    uint32_t n, f;
  };
  for (const Row& row : {Row{3, 1}, Row{4, 1}, Row{4, 2}}) {
    const RoundCount c = explore(FaultModel::crash, row.n, row.f, row.f + 1, make_early(row.n, row.f + 1));
    runs += c.runs;
    EXPECT_EQ(c.disagree_uniform + c.invalid + c.undecided, 0u);
    for (uint32_t k = 0; k <= row.f; ++k) EXPECT_EQ(c.worst_round[k], std::min(k + 2, row.f + 1)) << k;
  }
  EXPECT_EQ(runs, 58088u);
}

// The broken twin: decides as soon as it knows, without the extra broadcast.
class Hasty {
 public:
  using Message = uint32_t;
  Hasty(uint32_t input, uint32_t processes, uint32_t rounds)
      : estimate_(input), before_(processes), rounds_(rounds) {}
  Message message() const { return estimate_; }
  void receive(uint32_t, Message m) {
    estimate_ = std::min(estimate_, m);
    ++heard_;
  }
  void end_round() {
    if (heard_ == before_ || ++round_ == rounds_) decision_ = estimate_;
    before_ = heard_;
    heard_ = 0;
  }
  const std::optional<uint32_t>& decision() const { return decision_; }
  bool stopped() const { return decision_.has_value(); }

 private:
  uint32_t estimate_, before_, rounds_;
  uint32_t heard_ = 0;
  uint32_t round_ = 0;
  std::optional<uint32_t> decision_;
};

TEST(SynchronousM8, BrokenTwinWithoutTheExtraBroadcastEarlyDecisionDisagrees) {
  const RoundCount c =
      explore(FaultModel::crash, 4, 2, 3, [](uint32_t, uint32_t input) { return Hasty(input, 4, 3); });
  EXPECT_GT(c.disagree_uniform, 0u);
}

TEST(SynchronousM8, OmissionsBreakFloodSetButNotRelayOnce) {
  for (const FaultModel model : {FaultModel::send_omission, FaultModel::general_omission}) {
    for (const uint32_t n : {3u, 4u}) {
      const RoundCount flood = explore(model, n, 1, 2, make_flood(2));
      EXPECT_GT(flood.disagree, 0u);
      const RoundCount relay = explore(model, n, 1, 2, make_relay(2));
      EXPECT_EQ(relay.disagree, 0u);
      EXPECT_GT(relay.disagree_uniform, 0u) << "the faulty process itself may differ: not uniform";
      EXPECT_EQ(relay.runs, flood.runs);
    }
  }
  const RoundCount crash = explore(FaultModel::crash, 4, 2, 3, make_relay(3));
  EXPECT_EQ(crash.disagree_uniform, 0u);
}

// ---- M7: bounds ----

TimedOptions timed(uint64_t seed) {
  TimedOptions o;
  o.seed = seed;
  for_each_execution(FaultModel::crash, 3, 1, 2, [&](const Execution& e) {
    // p1 has the only 0 and crashes in round 1 after it reached p2.
    const bool wanted = e.inputs == 6 && e.crash_round[0] == 1 && e.reached[0] == 2;
    if (wanted) o.execution = e;
    return !wanted;
  });
  return o;
}

TEST(SynchronousM7, WhileTheBoundsHoldRoundsByDriftingClocksAreRounds) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    TimedOptions o = timed(seed);
    o.bounds = synchronous::Bounds{10000, 1000, 20000};  // clocks two percent off
    const TimedResult r = run_timed(o);
    EXPECT_TRUE(r.broken_bounds.empty()) << r.broken_bounds.front();
    EXPECT_EQ(r.decisions[1].value, r.decisions[2].value) << "seed " << seed;
    EXPECT_GE(r.slack_us_min, 0);
  }
}

TEST(SynchronousM7, AMessagePastItsBoundIsAFailedRunAndBreaksAgreement) {
  TimedOptions o = timed(1);
  o.late = LateMessage{1, 2, 2, 30000};
  const TimedResult r = run_timed(o);
  ASSERT_EQ(r.broken_bounds.size(), 1u);
  EXPECT_NE(r.broken_bounds[0].find("p2 to p3 in round 2 took 30000 us"), std::string::npos);
  EXPECT_NE(r.decisions[1].value, r.decisions[2].value) << "agreement rested on the bound";
}

TEST(SynchronousM7, RoundsShorterThanTheBoundsAskForLoseMessagesInTime) {
  TimedOptions o = timed(1);
  const int64_t length = synchronous::round_length_us(o.bounds, 2);
  EXPECT_GT(length, o.bounds.delay_us_max + o.bounds.step_us_max);
  EXPECT_EQ(synchronous::round_length_us(synchronous::Bounds{1000, 0, 400000}, 5), 0)
      << "clocks that differ so much cannot count five rounds";
}

}  // namespace
}  // namespace decree::lab
