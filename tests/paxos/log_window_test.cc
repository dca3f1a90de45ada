#include "paxos/log.h"

#include <map>
#include <random>
#include <utility>

#include "gtest/gtest.h"

namespace decree::paxos {
namespace {

LogSlot slot_of(uint64_t value, bool law = false) {
  LogSlot s;
  s.law = law;
  if (!law) s.ballot = Ballot{0, static_cast<uint32_t>(value % 7 + 1), 0, NodeId(1)};
  s.entry.payload = std::make_shared<const std::string>(value % 100, 'x');
  s.entry.digest = Digest128{value, value};
  return s;
}

// Against a map: the same slots, the same bytes, whatever was put, forgotten and dropped before.
TEST(LogWindow, HoldsWhatAMapHolds) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    std::mt19937_64 random(seed);
    LogWindow window(Slot(1 + random() % 40));
    std::map<uint64_t, LogSlot> map;
    uint64_t first = window.first().value;
    for (int step = 0; step < 2000; ++step) {
      switch (random() % 8) {
        case 0: {
          const uint64_t upto = first + random() % 30;
          window.drop_through(Slot(upto));
          first = upto + 1;
          map.erase(map.begin(), map.lower_bound(first));
          break;
        }
        case 1: {
          const uint64_t from = first + random() % 60;
          window.forget_accepted(Slot(from));
          for (auto it = map.lower_bound(from); it != map.end();)
            it = it->second.law ? std::next(it) : map.erase(it);
          break;
        }
        default: {
          const uint64_t at = first + (random() % 20 == 0 ? random() % 5000 : random() % 50);
          const LogSlot s = slot_of(random(), random() % 3 == 0);
          window.put(Slot(at), s);
          map[at] = s;
        }
      }
      uint64_t bytes = 0;
      for (const auto& [at, s] : map) bytes += s.entry.weight_bytes();
      ASSERT_EQ(window.bytes(), bytes) << "seed " << seed;
      ASSERT_EQ(window.first().value, first) << "seed " << seed;
      ASSERT_GE(window.end().value, map.empty() ? first : map.rbegin()->first + 1) << "seed " << seed;
      if (step % 16 != 0) continue;
      for (uint64_t at = first > 3 ? first - 3 : 0; at < window.end().value + 3; ++at) {
        const LogSlot* held = std::as_const(window).find(Slot(at));
        const auto it = map.find(at);
        ASSERT_EQ(held != nullptr, it != map.end()) << "seed " << seed << " slot " << at;
        if (held != nullptr) {
          ASSERT_EQ(*held, it->second) << "seed " << seed << " slot " << at;
        }
      }
      const LogWindow copy = window;
      ASSERT_EQ(copy, window);
    }
  }
}

// Equal contents are equal whatever the way there: the model checker counts states by this.
TEST(LogWindow, AreEqualByTheirSlotsWhereverTheseLieInTheirChunks) {
  LogWindow a(Slot(1));
  for (uint64_t s = 1; s <= 30; ++s) a.put(Slot(s), slot_of(s));
  a.drop_through(Slot(20));
  LogWindow b(Slot(21));
  for (uint64_t s = 21; s <= 30; ++s) b.put(Slot(s), slot_of(s));
  EXPECT_EQ(a, b);
  b.put(Slot(25), slot_of(99));
  EXPECT_NE(a, b);
}

// A newcomer took 160 bytes and a turn of 100 ms for a million slots that it lacked; it would not have
// survived a hundred million.
TEST(LogWindow, AHoleOfTenMillionSlotsCostsNextToNothing) {
  LogWindow window(Slot(1));
  window.put(Slot(10'000'000), slot_of(1));
  EXPECT_EQ(window.size(), 10'000'000u);
  EXPECT_EQ(window.find(Slot(5'000'000)), nullptr);
  const LogWindow copy = window;
  EXPECT_NE(copy.find(Slot(10'000'000)), nullptr);
  window.forget_accepted(Slot(1));
  EXPECT_EQ(window.size(), 0u);
  window.put(Slot(10'000'000), slot_of(1));
  window.drop_through(Slot(9'999'999));
  EXPECT_EQ(window.first(), Slot(10'000'000));
  EXPECT_EQ(window.size(), 1u);
}

}  // namespace
}  // namespace decree::paxos
