#include "client/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace decree::client {
namespace {

TEST(Histogram, IsEmptyAtFirst) {
  const Histogram h;
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.percentile(0.99), 0u);
  EXPECT_EQ(h.max(), 0u);
}

TEST(Histogram, IsExactForSmallValues) {
  Histogram h;
  for (uint64_t v = 1; v <= 200; ++v) h.record(v);
  EXPECT_EQ(h.percentile(0.5), 100u);
  EXPECT_EQ(h.percentile(0.9), 180u);
  EXPECT_EQ(h.percentile(1.0), 200u);
  EXPECT_EQ(h.percentile(0.0), 1u);
  EXPECT_DOUBLE_EQ(h.mean(), 100.5);
}

TEST(Histogram, StaysWithinOnePercentOfTheSortedSamples) {
  for (const uint64_t seed : {1u, 2u, 3u}) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << " (in the list above)");
    std::mt19937_64 random(seed);
    std::lognormal_distribution<double> shape(12, 3);  // from nanoseconds to hours
    std::vector<uint64_t> samples;
    Histogram h;
    for (int i = 0; i < 100'000; ++i) {
      const auto v = static_cast<uint64_t>(shape(random));
      samples.push_back(v);
      h.record(v);
    }
    std::sort(samples.begin(), samples.end());
    for (const double f : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
      const auto rank = std::max<size_t>(static_cast<size_t>(std::ceil(f * 100'000)), 1);
      const auto exact = static_cast<double>(samples[rank - 1]);
      EXPECT_NEAR(static_cast<double>(h.percentile(f)), exact, exact * 0.01 + 0.5) << f;
    }
    EXPECT_EQ(h.max(), samples.back());
  }
}

TEST(Histogram, TakesTheLargestNumber) {
  Histogram h;
  h.record(UINT64_MAX);
  h.record(0);
  EXPECT_EQ(h.percentile(1.0), UINT64_MAX);
  EXPECT_EQ(h.percentile(0.5), 0u);
}

TEST(Histogram, MergesAsIfAllHadBeenRecordedInOne) {
  Histogram a;
  Histogram b;
  Histogram both;
  for (uint64_t v = 0; v < 5000; v += 7) {
    a.record(v);
    both.record(v);
    b.record(v * v);
    both.record(v * v);
  }
  a.merge(b);
  EXPECT_EQ(a.count(), both.count());
  EXPECT_EQ(a.max(), both.max());
  for (const double f : {0.1, 0.5, 0.99}) EXPECT_EQ(a.percentile(f), both.percentile(f));
}

}  // namespace
}  // namespace decree::client
