// What goes wrong in the simulation does go wrong, stays survivable where it must, and is told apart.
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>

#include "lab/sim/atlas.h"
#include "lab/sim/coverage.h"
#include "lab/sim/disk.h"
#include "lab/sim/world.h"

namespace decree::lab {
namespace {

constexpr int64_t kSecond = 1'000'000;

std::string again(uint64_t seed, const RunResult& r) {
  return "seed " + std::to_string(seed) + ": " + r.breach.invariant + ": " + r.breach.sentence;
}

// A quiet cluster, to which a test adds its fault.
Swarm quiet(uint32_t members, uint64_t seed) {
  SwarmLimits limits;
  limits.server = true;
  limits.members = members;
  Swarm s = draw_swarm(seed, limits);
  for (int64_t& mean : s.fault_mean_us) mean = 0;
  s.fault_phase_us = 30 * kSecond;
  s.network = NetworkProfile{};
  s.disk = DiskProfile{};
  s.halting_run = s.liveness_core = false;
  s.snapshot_every = 20;
  return s;
}
void often(Swarm* s, FaultKind kind, int64_t mean_us = 2 * kSecond) {
  s->fault_mean_us[static_cast<int>(kind)] = mean_us;
}

TEST(Atlas, DamagedDisksNeverReachAQuorumsShare) {
  for (uint32_t members = 1; members <= 7; ++members) {
    Atlas atlas(members, false);
    for (uint32_t n = 1; n <= members; ++n)
      if (atlas.may_damage(n)) atlas.damage(n);
    EXPECT_GE(atlas.whole(), atlas.quorum()) << members << " members";
    EXPECT_EQ(atlas.whole(), members - (members - 1) / 2);
    if (members >= 3) {
      EXPECT_TRUE(atlas.may_damage(1)) << "what is damaged may be damaged again";
    }
  }
}
TEST(Atlas, AHaltingRunMayDamageEverything) {
  Atlas atlas(3, true);
  for (uint32_t n = 1; n <= 3; ++n) {
    EXPECT_TRUE(atlas.may_damage(n));
    atlas.damage(n);
  }
  EXPECT_EQ(atlas.whole(), 0u);
}

TEST(Network, WhatIsCloggedArrivesWhenTheClogEnds) {
  NetworkProfile profile;
  profile.jitter_us = 0;
  Network net(profile, Random(1));
  net.clog(1, 2, 1000, 5000);
  EXPECT_EQ(net.judge(1, 2, false, 100).delay_us[0], 200);
  EXPECT_EQ(net.judge(1, 2, false, 2000).delay_us[0], 3000);
  EXPECT_EQ(net.judge(2, 1, false, 2000).delay_us[0], 200);
}
TEST(Network, AfterTheHealNothingWaitsForAnEarlierClog) {
  NetworkProfile profile;
  profile.jitter_us = 0;
  Network net(profile, Random(1));
  net.clog(1, 2, 0, 500 * kSecond);
  EXPECT_GT(net.judge(1, 2, false, 10).delay_us[0], 400 * kSecond);
  net.heal_all();
  EXPECT_EQ(net.judge(1, 2, false, 20).delay_us[0], 200);
}

TEST(Network, ACutThatHoldsLosesNothingAndALosingOneOnTopOfItDoes) {
  Network net(NetworkProfile{}, Random(1));
  net.cut(1, 2, 0, true);
  EXPECT_TRUE(net.judge(1, 2, false, 10).held);
  EXPECT_FALSE(net.judge(2, 1, false, 10).held);
  net.cut(1, 2, 0);
  EXPECT_FALSE(net.judge(1, 2, false, 20).held);
  EXPECT_EQ(net.judge(1, 2, false, 20).copies, 0u);
  net.heal(1, 2);
  EXPECT_TRUE(net.judge(1, 2, false, 30).held);
  net.heal(1, 2, true);
  EXPECT_TRUE(net.is_open(1, 2));
  EXPECT_EQ(net.judge(1, 2, false, 40).copies, 1u);
}

TEST(Network, ACutTakesWhatIsUnderWayFromSomePointOfTheWayOn) {
  NetworkProfile profile;
  profile.delay_us = 1000;
  profile.jitter_us = 0;
  Network net(profile, Random(1));
  EXPECT_FALSE(net.catches(1, 2, 10)) << "an open link catches nothing";
  net.cut(1, 2, 500, true);
  EXPECT_TRUE(net.catches(1, 2, 1500)) << "what was sent just before the cut arrives a delay later";
  EXPECT_FALSE(net.catches(1, 2, 499)) << "what has arrived has arrived";
  EXPECT_FALSE(net.catches(2, 1, 1500)) << "the other direction is open";
  net.heal(1, 2, true);
  EXPECT_FALSE(net.catches(1, 2, 1500));
}

// The real log writes what opens an epoch BEFORE a promise in it. The perfect log once left the promise
// alone, and the member that learned its stop sign again let its promise fall (I3).
TEST(ModelLog, ACrashNeverLeavesAPromiseOfAnEpochThatIsNotOpen) {
  bool torn = false;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    const std::unique_ptr<Disk> disk = make_model_disk();
    ASSERT_TRUE(disk->open(Identity{ClusterId(1), NodeId(1), 1, Incarnation(1)}));
    EpochRecord epoch;
    epoch.membership =
        make_membership({Member{NodeId(1), Incarnation(0), MemberRole::voter, 1, "a", {}}}, 1, Slot(5));
    const std::vector<PersistedRecord> writing{{LogToken(1), PromiseRecord{Ballot{0, 3, 0, NodeId(1)}}},
                                               {LogToken(2), epoch},
                                               {LogToken(3), PromiseRecord{Ballot{1, 7, 0, NodeId(1)}}}};
    Random random(seed);
    disk->crash(CrashKind::power, writing, random);
    const RecoveredState found = disk->open(Identity{}).value();
    EXPECT_LE(found.promised.epoch, found.has_membership ? found.membership.epoch : 0) << "seed " << seed;
    torn = torn || (found.has_membership && found.promised.round < 7);
  }
  EXPECT_TRUE(torn) << "a crash between the two happens as well";
}

TEST(Faults, EveryKindHappensAndDoesNoHarm) {
  RunStatistics total;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    for (uint32_t kind = 0; kind < kFaultKinds; ++kind) {
      Swarm s = quiet(3, seed);
      often(&s, static_cast<FaultKind>(kind));
      // Whoever begins with a snapshot of a wrong state is wrong as well (docs/simulator.md).
      if (static_cast<FaultKind>(kind) == FaultKind::diverge) s.snapshot_every = 0;
      const RunResult r = World(seed, s, RunOptions{}).run();
      ASSERT_FALSE(r.breach) << fault_name(static_cast<FaultKind>(kind)) << " " << again(seed, r);
      total.add(r.statistics);
    }
  }
  for (uint32_t kind = 0; kind < kFaultKinds; ++kind)
    EXPECT_GT(total.faults[kind], 0u) << fault_name(static_cast<FaultKind>(kind));
  EXPECT_GT(total.stopped, 0u) << "a failed sync stops the process";
  EXPECT_GT(total.halted, 0u) << "rot keeps a member down";
}

TEST(Faults, ClustersOfOneToSevenMembersGetGoingAgain) {
  for (uint32_t members = 1; members <= 7; ++members) {
    SwarmLimits limits;
    limits.members = members;
    limits.scale = 0.1;
    RunOptions options;
    options.limits = limits;
    const RunResult r = World(members, options).run();
    EXPECT_FALSE(r.breach) << members << " members, " << again(members, r);
    EXPECT_GT(r.statistics.ok, 0u) << members << " members";
  }
}

TEST(Faults, WhenAllDisksRotTheClusterHaltsAndDoesNotLie) {
  uint64_t halted = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    Swarm s = quiet(3, seed);
    s.halting_run = true;
    often(&s, FaultKind::rot_log, kSecond);
    const RunResult r = World(seed, s, RunOptions{}).run();
    EXPECT_FALSE(r.breach) << again(seed, r);
    halted += r.statistics.halted_runs;
  }
  EXPECT_GT(halted, 0u);
}

// Members that gave an old image of their disk up, in a few runs.
uint64_t old_images_given_up(bool all_crash) {
  uint64_t disowned = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Swarm s = quiet(3, seed);
    often(&s, FaultKind::old_image);
    often(&s, FaultKind::cut_member);
    if (all_crash) often(&s, FaultKind::crash_all, 8 * kSecond);
    const RunResult r = World(seed, s, RunOptions{}).run();
    EXPECT_FALSE(r.breach) << again(seed, r);
    disowned += r.statistics.disowned;
  }
  return disowned;
}

TEST(Faults, AnOldImageOfADiskIsToldByTheOthersAndGivenUp) { EXPECT_GT(old_images_given_up(false), 2u); }

// Only the memory of the others tells it; once they have all started again, nobody would.
TEST(Faults, AMemberThatGaveItsOldDiskUpIsNotStartedWithItAgain) { EXPECT_GT(old_images_given_up(true), 2u); }

// Most single damages of a log are read over: the member stays, and the run goes on with it.
TEST(Faults, ADamagedBatchCostsAMemberNothing) {
  uint64_t rots = 0;
  uint64_t halted = 0;
  (void)take_markers();
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Swarm s = quiet(3, seed);
    s.snapshot_every = 200;
    often(&s, FaultKind::rot_log, 15 * kSecond);
    const RunResult r = World(seed, s, RunOptions{}).run();
    EXPECT_FALSE(r.breach) << again(seed, r);
    rots += r.statistics.faults[static_cast<int>(FaultKind::rot_log)];
    halted += r.statistics.halted;
  }
  EXPECT_GT(rots, 8u);
  EXPECT_LT(halted, 12u) << "not every damaged disk is lost";
  const MarkerSet hit = take_markers();
  for (size_t m = 0; m < marker_names().size(); ++m) {
    if (std::string(marker_names()[m]) == "a damaged batch is read over") {
      EXPECT_TRUE(hit.has(m));
    }
  }
}

TEST(Faults, OnlyAQuorumIsHealedAndThatIsEnough) {
  uint64_t runs = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Swarm s = quiet(5, seed);
    s.liveness_core = true;
    often(&s, FaultKind::cut_halves);
    often(&s, FaultKind::crash_one);
    const RunResult r = World(seed, s, RunOptions{}).run();
    EXPECT_FALSE(r.breach) << again(seed, r);
    runs += r.statistics.core_runs;
  }
  EXPECT_GT(runs, 0u);
}

TEST(Trace, ReadsLikeAStory) {
  std::ostringstream story;
  RunOptions options;
  options.trace = &story;
  Swarm s = quiet(3, 5);
  often(&s, FaultKind::crash_one);
  (void)World(5, s, options).run();
  const std::string text = story.str();
  for (const char* what :
       {"\"what\":\"asked\"", "\"message\":\"Accept\"", "accepted at", "\"what\":\"decided\"",
        "\"what\":\"announces\"", "\"what\":\"apply\"", "\"what\":\"answered\"", "\"what\":\"crash\"",
        "\"what\":\"faults stop\"", "\"what\":\"settled\""})
    EXPECT_NE(text.find(what), std::string::npos) << what;
  EXPECT_EQ(text.find("\"message\":\"Beat\""), std::string::npos) << "heartbeats only on request";
}

TEST(Coverage, MarkersAreFoundWithoutBeingHit) {
  const std::vector<const char*>& names = marker_names();
  EXPECT_GE(names.size(), 40u);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size()) << "names are unique";
}
TEST(Coverage, AMarkerIsHitByTheRunThatReachesItAndClearedAfter) {
  (void)take_markers();
  Swarm s = quiet(3, 7);
  often(&s, FaultKind::crash_one);
  (void)World(7, s, RunOptions{}).run();
  const MarkerSet hit = take_markers();
  size_t count = 0;
  for (size_t m = 0; m < marker_names().size(); ++m) count += hit.has(m) ? 1 : 0;
  EXPECT_GT(count, 5u);
  const MarkerSet after = take_markers();
  for (size_t m = 0; m < marker_names().size(); ++m) EXPECT_FALSE(after.has(m));
}

}  // namespace
}  // namespace decree::lab
