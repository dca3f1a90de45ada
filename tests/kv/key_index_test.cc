// The key index against std::map, through splits, merges and shifting common prefixes.
// Run one again with DECREE_SEED=<seed> build/asan/kv_tests --gtest_filter='KeyIndex.*'
#include "kv/key_index.h"

#include <cstdlib>
#include <map>
#include <memory>
#include <random>

#include "gtest/gtest.h"

namespace decree::kv {
namespace {

RecordPool record_pool;

Record* record_of(const std::string& key, bool tombstone = false) {
  return Record::make({.mod = 2, .tombstone = tombstone, .create = 2, .version = 1, .key = key}, record_pool);
}

struct Both {
  KeyIndex index;
  std::map<std::string, Record*> model;

  ~Both() {
    for (const auto& [key, record] : model) Record::free(record, record_pool);
  }
  void insert(const std::string& key, bool tombstone) {
    const auto place = index.locate(key);
    const auto known = model.find(key);
    ASSERT_EQ(place.found, known != model.end());
    Record* record = record_of(key, tombstone);
    if (place.found) {
      ASSERT_EQ(index.at(place)->record(), known->second);
      index.replace(index.at(place), record);
      Record::free(known->second, record_pool);
      known->second = record;
    } else {
      index.insert(place, record);
      model[key] = record;
    }
  }
  void erase(const std::string& key) {
    const auto place = index.locate(key);
    if (!place.found) return;
    const auto next = index.erase(index.at(place));
    const auto known = model.find(key);
    Record::free(known->second, record_pool);
    const auto after = model.erase(known);
    ASSERT_EQ(next == index.end(), after == model.end());
    if (after != model.end()) {
      ASSERT_EQ(next->record(), after->second);
    }
  }
  void expect_equal() {
    ASSERT_EQ(index.broken_invariant(), "");
    auto it = index.begin();
    for (const auto& [key, record] : model) {
      ASSERT_NE(it == index.end(), true);
      ASSERT_EQ(it->record(), record);
      ++it;
    }
    ASSERT_EQ(it == index.end(), true);
  }
  void expect_bounds(const std::string& first, const std::string& last) {
    const auto from = index.lower_bound(first);
    const auto known = model.lower_bound(first);
    ASSERT_EQ(from == index.end(), known == model.end());
    if (known != model.end()) {
      ASSERT_EQ(from->record(), known->second);
    }
    if (last < first) return;
    uint64_t live = 0;
    for (auto it = known; it != model.lower_bound(last); ++it) live += it->second->tombstone() ? 0 : 1;
    ASSERT_EQ(index.count_live(from, index.lower_bound(last)), live);
  }
};

std::string random_key(std::mt19937_64& random, int style) {
  std::string key;
  switch (style) {
    case 0:
      return "key-" + std::to_string(random() % 20000);
    case 1:
      return "/registry/" + std::string(random() % 3 == 0 ? "pods/" : "services/specs/") +
             std::to_string(random() % 5000);
    case 2:
      for (uint64_t n = random() % 7; n > 0; --n)
        key.push_back(static_cast<char>(random() % 3 == 0 ? 0 : random()));
      return key;
    default:
      return std::string(random() % 600, 'a') + (random() % 2 == 0 ? "" : std::string(1, '\0'));
  }
}

TEST(KeyIndex, AgreesWithAMapUnderRandomChanges) {
  std::random_device device;
  const char* given = std::getenv("DECREE_SEED");
  for (int style = 0; style < 4; ++style) {
    const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : device();
    SCOPED_TRACE("run again: DECREE_SEED=" + std::to_string(seed) + " kv_tests --gtest_filter=KeyIndex.*");
    std::mt19937_64 random(seed);
    Both both;
    // Grow, shrink, grow: pages split and merge.
    for (int step = 0; step < 9000 && !testing::Test::HasFailure(); ++step) {
      const bool shrinking = step / 3000 == 1;
      const std::string key = random_key(random, style);
      if (random() % 10 < (shrinking ? 9u : 2u)) {
        both.erase(key);
        const auto it = both.model.lower_bound(key);
        if (it != both.model.end()) both.erase(std::string(it->first));
      } else {
        both.insert(key, random() % 4 == 0);
      }
      both.expect_bounds(random_key(random, style), random_key(random, style));
      if (step % 1000 == 0) both.expect_equal();
    }
    both.expect_equal();
    ASSERT_FALSE(testing::Test::HasFailure());
  }
}

TEST(KeyIndex, FillsInEitherDirectionAndEmptiesFromTheBack) {
  for (const bool ascending : {true, false}) {
    Both both;
    for (int i = 0; i < 5000; ++i)
      both.insert("key" + std::to_string(100000 + (ascending ? i : 5000 - i)), false);
    both.expect_equal();
    for (auto it = both.model.rbegin(); it != both.model.rend(); ++it) {
      ASSERT_EQ(both.index.last(), it->second);
      ASSERT_EQ(both.index.pop_back(), it->second);
    }
    EXPECT_TRUE(both.index.empty());
  }
}

}  // namespace
}  // namespace decree::kv
