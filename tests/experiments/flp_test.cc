// Mission rows M16, M18, M19: valence, the adversary that only delays, and what defeats it.
#include <gtest/gtest.h>

#include "lab/flp/adversary.h"
#include "lab/flp/remedies.h"
#include "lab/flp/replica_world.h"
#include "lab/flp/valence.h"

namespace decree::lab {
namespace {

KernelOptions endless(uint32_t n) {
  KernelOptions o;
  o.voters = n;
  for (uint32_t p = 0; p < n; ++p) o.inputs.push_back(p % 2);
  return o;
}

KernelOptions one_ballot_each(uint32_t x1, uint32_t x2) {
  KernelOptions o;
  o.voters = 3;
  o.inputs = {x1, x2, 0};
  o.proposers = 0b110;
  o.ballots_max = 1;
  o.nacks = false;
  return o;
}

TEST(FlpM19, ABivalentInitialConfigurationIsFoundBetweenTheUnivalentOnes) {
  const auto steps = walk_initial_configurations(3);
  ASSERT_EQ(steps.size(), 4u);
  EXPECT_EQ(steps.front().valence, kZeroValent);
  EXPECT_EQ(steps.back().valence, kOneValent);
  EXPECT_EQ(steps[1].valence, kBivalent) << "inputs 100, p1 and p2 run";
}

TEST(FlpM19, EveryConfigurationOfTwoBallotsHasItsValenceAndAgreementHolds) {
  const ValenceGraph g = explore_valence(one_ballot_each(0, 1), 1000000);
  EXPECT_TRUE(g.exhausted);
  EXPECT_EQ(g.disagreements, 0u);
  EXPECT_EQ(g.initial, kBivalent);
  EXPECT_GT(g.critical, 0u);
  EXPECT_EQ(g.critical_with_fork, g.critical_at_one_process)
      << "FLP: opposite steps are steps of one process";
  EXPECT_FALSE(g.critical_story.empty());
  EXPECT_EQ(explore_valence(one_ballot_each(1, 1), 1000000).initial, kOneValent);
}

// M16 broken on purpose: elections by one vote less need not meet the quorum that decided.
TEST(FlpM16, BrokenTwinWithQuorumsThatDoNotIntersectDisagrees) {
  KernelOptions o = one_ballot_each(0, 1);
  o.election_votes_missing = 1;
  const ValenceGraph g = explore_valence(o, 1000000);
  EXPECT_GT(g.disagreements, 0u);
}

TEST(FlpM18, TheAdversaryKeepsTheKernelBivalentWithEveryMessageDelivered) {
  for (const uint32_t n : {3u, 4u, 5u}) {
    for (const uint64_t order : {0ull, 7ull, 8ull}) {
      KernelWorld world(endless(n));
      PoolAdversary adversary(n, order);
      uint64_t bivalent = 0;
      const SiegeResult r = besiege(world, adversary, 500, [&](uint64_t) {
        bivalent += witnessed_valence(world) == kBivalent;
        return true;
      });
      EXPECT_FALSE(r.decided);
      EXPECT_EQ(r.rounds, 500u);
      EXPECT_EQ(bivalent, 500u) << "n=" << n << " order " << order;
      EXPECT_TRUE(r.drained) << "every message arrives in the end";
    }
  }
}

TEST(FlpM18, TheAdversaryKeepsTheWholeReplicasUndecided) {
  for (const uint32_t n : {3u, 4u, 5u}) {
    ReplicaWorld world(endless(n).inputs, 1);
    PoolAdversary adversary(n, 0);
    const SiegeResult r = besiege(world, adversary, 200, nullptr);
    EXPECT_FALSE(r.decided);
    EXPECT_GE(r.rounds, 200u);
    EXPECT_TRUE(r.drained);
    EXPECT_EQ(world.broken_invariant(), "");
    for (uint32_t p = 1; p <= n; ++p) EXPECT_NE(world.replica(p).status().role, Role::leader);
  }
}

// The twin: without the adversary the same worlds decide, so "undecided" is its doing and can fail.
TEST(FlpM18, WithoutTheAdversaryTheSameWorldsDecide) {
  for (const uint32_t n : {3u, 4u, 5u}) {
    for (uint32_t favourite = 1; favourite <= 2; ++favourite) {
      KernelWorld kernel(endless(n));
      EXPECT_EQ(let_win(kernel, favourite, 0, 1000), (favourite - 1) % 2);
      ReplicaWorld replicas(endless(n).inputs, 1);
      EXPECT_EQ(let_win(replicas, favourite, 0, 100000), (favourite - 1) % 2);
    }
    ReplicaWorld replicas(endless(n).inputs, 1);
    PoolAdversary idle(n, 0);
    EXPECT_TRUE(besiege_bounded(replicas, idle, {0, 0, 100}).decided);
  }
}

TEST(FlpM19, TheStepThatIsDueCanAlwaysBePlayedIntoABivalentConfiguration) {
  for (const uint32_t n : {3u, 4u, 5u}) {
    const LemmaResult r = keep_bivalent(KernelWorld(endless(n)), 100, 5);
    EXPECT_FALSE(r.stuck) << "n=" << n << " after " << r.stages;
    EXPECT_FALSE(r.decided);
    EXPECT_GT(r.delivered, 20u);
  }
}

TEST(FlpM19, TheEndlessRunIsALassoInTheBallotQuotient) {
  for (const uint32_t n : {3u, 4u, 5u}) {
    const Lasso l = find_lasso(endless(n), 20000);
    ASSERT_TRUE(l.found) << n;
    EXPECT_TRUE(l.fair);
    EXPECT_EQ(l.hash_at_head, l.hash_at_end);
    EXPECT_GT(l.length_rounds, 0u);
    EXPECT_EQ(l.bivalent_configurations, l.length_steps);
  }
}

TEST(FlpM19, TheQuotientForgetsTheShiftAndNothingElse) {
  KernelWorld a(endless(3));
  a.start(1);
  KernelWorld b = a;
  EXPECT_EQ(a.quotient(), b.quotient());
  b.deliver(0);
  EXPECT_NE(a.quotient(), b.quotient());
  EXPECT_NE(a.configuration(true), b.configuration(true));
}

TEST(FlpM18, BackOffOracleAndSynchronyDefeatTheAdversaryAndNothingDoesNot) {
  DuelOptions none;
  none.rounds_max = 2000;
  EXPECT_FALSE(run_duel(none).decided);
  for (const Remedy remedy : {Remedy::back_off, Remedy::oracle, Remedy::synchrony}) {
    for (uint64_t seed = 1; seed <= 50; ++seed) {
      DuelOptions o;
      o.remedy = remedy;
      o.seed = seed;
      const DuelResult r = run_duel(o);
      EXPECT_TRUE(r.decided) << remedy_name(remedy) << " seed " << seed;
    }
  }
}

}  // namespace
}  // namespace decree::lab
