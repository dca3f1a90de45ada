// Mission rows M3-M6 as exhibits: what holds, and what breaks when an assumption goes.
#include <gtest/gtest.h>

#include <limits>

#include "lab/exhibits/broadcast.h"
#include "lab/exhibits/bully.h"
#include "lab/exhibits/detector.h"
#include "lab/exhibits/mutex.h"

namespace decree::lab {
namespace {

constexpr uint64_t kSeeds = 100;

BroadcastOptions group_of_four(uint64_t seed) {
  BroadcastOptions o;
  o.group.processes = 4;
  o.group.seed = seed;
  return o;
}

TEST(BroadcastM3, OnConsensusItIsUniformAndTotallyOrdered) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const BroadcastRun run = run_broadcast(group_of_four(seed));
    for (const PropertyVerdict& v : check_broadcast(run))
      EXPECT_TRUE(v.holds) << v.property << ": " << v.sentence;
    EXPECT_GT(run.instances, 0u);
    size_t longest = 0;
    for (const auto& list : run.delivered) longest = std::max(longest, list.size());
    EXPECT_GE(longest, 9u) << "what three correct processes sent";
  }
}

TEST(BroadcastM3, BrokenTwinDeliveryOnReceiptIsNotOrdered) {
  uint64_t order = 0;
  uint64_t agreement = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BroadcastOptions o = group_of_four(seed);
    o.group.ordering = Ordering::receipt;
    order += check_broadcast(run_broadcast(o))[3].holds ? 0 : 1;
    o.group.relay = false;
    agreement += check_broadcast(run_broadcast(o))[2].holds ? 0 : 1;
  }
  EXPECT_GT(order, 0u);
  EXPECT_GT(agreement, 0u) << "a crash in mid-broadcast, and nobody relays";
}

TEST(BroadcastM3, ConsensusBuiltBackOnItIsConsensusAndOnReceiptIsNot) {
  uint64_t naive = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const PropertyVerdict& v :
         check_run(consensus_by_broadcast(GroupOptions{4, seed, Ordering::consensus, true}, 1)))
      EXPECT_TRUE(v.holds) << v.property << ": " << v.sentence;
    naive += check_agreement(consensus_by_broadcast(GroupOptions{4, seed, Ordering::receipt, true}, 1)).holds
                 ? 0
                 : 1;
  }
  EXPECT_GT(naive, 0u);
}

TEST(DetectorM4, EveryCrashIsSuspectedAndShortTimeOutsAccuseTheLiving) {
  for (const HeartbeatKind kind :
       {HeartbeatKind::quiet, HeartbeatKind::rough, HeartbeatKind::bursts, HeartbeatKind::pauses}) {
    const DetectorQuality hasty = judge_detector(timeout_detector(150), kind, 30);
    const DetectorQuality patient = judge_detector(timeout_detector(2000), kind, 30);
    EXPECT_EQ(hasty.detected, hasty.schedules);
    EXPECT_EQ(patient.detected, patient.schedules);
    EXPECT_LE(patient.mistakes, hasty.mistakes);
    EXPECT_LT(hasty.delay_ms(), patient.delay_ms());
    const DetectorQuality phi = judge_detector(phi_accrual_detector(8, 200, 20), kind, 30);
    EXPECT_EQ(phi.detected, phi.schedules);
  }
}

// The twin of completeness: a detector that never suspects.
TEST(DetectorM4, BrokenTwinOneThatNeverSuspectsIsIncomplete) {
  const Suspect never = [](const std::vector<double>&, size_t) {
    return std::numeric_limits<double>::infinity();
  };
  const DetectorQuality q = judge_detector(never, HeartbeatKind::quiet, 10);
  EXPECT_EQ(q.detected, 0u);
  EXPECT_EQ(q.mistakes, 0u);
}

TEST(DetectorM4, PhiAdaptsToARoughNetworkWhereTheSameTimeOutAccuses) {
  const DetectorQuality quiet = judge_detector(phi_accrual_detector(8, 200, 20), HeartbeatKind::quiet, 30);
  const DetectorQuality rough = judge_detector(phi_accrual_detector(8, 200, 20), HeartbeatKind::rough, 30);
  EXPECT_GT(rough.delay_ms(), quiet.delay_ms());
  const DetectorQuality fixed =
      judge_detector(timeout_detector(quiet.delay_ms() + 50), HeartbeatKind::rough, 30);
  EXPECT_GT(fixed.mistakes_per_hour(), rough.mistakes_per_hour());
}

TEST(ElectionM5, BullyElectsOneWhileTheBoundHoldsAndTwoWhenAMessageIsLate) {
  uint64_t two = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    BullyOptions o;
    o.seed = seed;
    const BullyRun r = run_bully(o);
    EXPECT_TRUE(r.settled) << seed;
    EXPECT_FALSE(r.two_coordinators) << seed;
    for (uint64_t late = 0; late < r.messages; ++late) {
      o.late_message = late;
      two += run_bully(o).two_coordinators;
    }
  }
  EXPECT_GT(two, 0u) << "the assumption is needed";
}

TEST(ElectionM5, TwoReplicasMayBelieveTheyLeadButOnlyOneDecides) {
  for (const uint32_t n : {3u, 5u}) {
    for (uint64_t seed = 1; seed <= 10; ++seed) {
      const RivalLeaders r = run_rival_leaders(n, seed);
      EXPECT_TRUE(r.both_lead) << n << " " << seed;
      EXPECT_NE(r.old_leader, r.new_leader);
      EXPECT_FALSE(r.old_decided_anything);
      EXPECT_GT(r.refusals, 0u);
      EXPECT_EQ(r.decided, r.new_value);
    }
  }
}

TEST(MutexM6, RicartAgrawalaIsSafeAndCountsItsMessages) {
  for (const uint32_t n : {1u, 2u, 4u, 7u}) {
    for (uint64_t seed = 1; seed <= 30; ++seed) {
      RicartOptions o;
      o.processes = n;
      o.seed = seed;
      const RicartRun r = run_ricart_agrawala(o);
      EXPECT_FALSE(r.two_inside);
      EXPECT_EQ(r.waiting_for_ever, 0u);
      EXPECT_EQ(r.entries, n * o.entries_each);
      EXPECT_EQ(r.messages, r.entries * 2 * (n - 1));
    }
  }
}

TEST(MutexM6, OneCrashBlocksRicartAgrawala) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    RicartOptions o;
    o.seed = seed;
    o.crash = 2;
    EXPECT_EQ(run_ricart_agrawala(o).waiting_for_ever, 3u);
  }
}

TEST(MutexM6, BrokenTwinAnsweringOutOfTurnLetsTwoInside) {
  uint64_t two = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    RicartOptions o;
    o.seed = seed;
    o.impatient = true;
    two += run_ricart_agrawala(o).two_inside;
  }
  EXPECT_GT(two, 0u);
}

TEST(MutexM6, TheFencedLockServesEverybodyWhateverTheHolderDoes) {
  uint64_t refused = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const int fault : {0, 1, 2}) {
      LockOptions o;
      o.seed = seed;
      o.crash_holder = fault == 1;
      o.sleep_holder = fault == 2;
      const LockRun r = run_fenced_lock(o);
      EXPECT_FALSE(r.stale_write) << seed;
      EXPECT_EQ(r.unserved, 0u) << "seed " << seed << " fault " << fault;
      EXPECT_TRUE(r.logs_agree);
      if (fault == 2) refused += r.refused;
    }
  }
  EXPECT_GT(refused, 0u);
}

TEST(MutexM6, BrokenTwinWithoutTheFenceASleeperWritesOverItsSuccessor) {
  uint64_t stale = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    LockOptions o;
    o.seed = seed;
    o.sleep_holder = true;
    o.fencing = false;
    stale += run_fenced_lock(o).stale_write;
  }
  EXPECT_GT(stale, 0u);
}

}  // namespace
}  // namespace decree::lab
