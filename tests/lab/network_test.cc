// The simulator's own parts: time, chance, the network.
#include <gtest/gtest.h>

#include <vector>

#include "lab/sim/event_queue.h"
#include "lab/sim/network.h"
#include "lab/sim/random.h"

namespace decree::lab {
namespace {

Event numbered(uint64_t n) {
  Event e;
  e.a = n;
  return e;
}

TEST(EventQueue, KeepsTheOrderOfSchedulingAmongEqualTimes) {
  EventQueue q;
  for (uint64_t i = 0; i < 100; ++i) q.schedule(static_cast<int64_t>(i % 3), numbered(i));
  int64_t last_time = -1;
  uint64_t last = 0;
  while (!q.empty()) {
    const Event e = q.pop();
    EXPECT_EQ(e.at_us, static_cast<int64_t>(e.a % 3));
    if (e.at_us == last_time) {
      EXPECT_GT(e.a, last);
    }
    EXPECT_GE(e.at_us, last_time);
    EXPECT_EQ(q.now_us(), e.at_us);
    last_time = e.at_us;
    last = e.a;
  }
}

TEST(EventQueue, APastTimeIsNow) {
  EventQueue q;
  q.schedule(10, numbered(1));
  q.pop();
  q.schedule(-5, numbered(2));
  EXPECT_EQ(q.pop().at_us, 10);
}

TEST(Pool, GivesNumbersAgainAndForgetsWhatWasThere) {
  Pool<std::vector<int>> pool;
  const uint64_t a = pool.put({1});
  const uint64_t b = pool.put({2});
  EXPECT_EQ(pool.take(a), std::vector<int>{1});
  EXPECT_EQ(pool.put({3}), a);
  EXPECT_EQ(pool.in_use(), 2u);
  pool.forget_values();
  EXPECT_TRUE(pool.take(b).empty());
}

TEST(Random, SameSeedSameNumbersOnEveryMachine) {
  Random r(1);
  const uint64_t first = r.next();
  EXPECT_EQ(Random(1).next(), first);
  EXPECT_NE(Random(2).next(), first);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_LT(r.below(7), 7u);
    const uint64_t v = r.between(3, 5);
    EXPECT_TRUE(v >= 3 && v <= 5);
  }
}

NetworkProfile quiet() {
  NetworkProfile p;
  p.delay_us = 100;
  p.jitter_us = 50;
  return p;
}

TEST(Network, DeliversInOrderUnlessToldOtherwise) {
  Network n(quiet(), Random(3));
  int64_t last = 0;
  for (int64_t now = 0; now < 10'000; now += 10) {
    const Fate f = n.judge(1, 2, false, now);
    ASSERT_EQ(f.copies, 1u);
    EXPECT_GE(now + f.delay_us[0], last);
    EXPECT_GE(f.delay_us[0], 100);
    last = now + f.delay_us[0];
  }
}

TEST(Network, ACutIsOneWayAndNests) {
  Network n(quiet(), Random(3));
  n.cut(1, 2, 0);
  n.cut(1, 2, 0);
  EXPECT_EQ(n.judge(1, 2, false, 0).copies, 0u);
  EXPECT_EQ(n.judge(2, 1, false, 0).copies, 1u);
  n.heal(1, 2);
  EXPECT_FALSE(n.is_open(1, 2));
  n.heal(1, 2);
  EXPECT_EQ(n.judge(1, 2, false, 0).copies, 1u);
}

TEST(Network, LosesAndDoublesAtTheDrawnRates) {
  NetworkProfile p = quiet();
  p.loss = 0.2;
  p.duplicate = 0.1;
  Network n(p, Random(5));
  for (int i = 0; i < 10'000; ++i) n.judge(1, 2, false, i);
  EXPECT_NEAR(static_cast<double>(n.lost()), 2000, 200);
  EXPECT_NEAR(static_cast<double>(n.duplicated()), 800, 120);
}

TEST(Network, CanLoseHeartbeatsOnly) {
  Network n(quiet(), Random(5));
  n.lose_beats(1, 2, 1.0);
  EXPECT_EQ(n.judge(1, 2, true, 0).copies, 0u);
  EXPECT_EQ(n.judge(1, 2, false, 0).copies, 1u);
  n.heal_all();
  EXPECT_EQ(n.judge(1, 2, true, 0).copies, 1u);
}

TEST(Network, StragglersOvertakeNobodyInOrderButArriveLate) {
  NetworkProfile p = quiet();
  p.straggle = 0.5;
  p.straggle_us = 100'000;
  Network n(p, Random(9));
  int64_t latest = 0;
  bool reordered = false;
  for (int64_t now = 0; now < 100'000; now += 100) {
    const Fate f = n.judge(1, 2, false, now);
    reordered = reordered || now + f.delay_us[0] < latest;
    latest = std::max(latest, now + f.delay_us[0]);
  }
  EXPECT_TRUE(reordered);
  EXPECT_GT(n.straggled(), 300u);
}

}  // namespace
}  // namespace decree::lab
