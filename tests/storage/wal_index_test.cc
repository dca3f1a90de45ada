#include "storage/wal_index.h"

#include <map>

#include <gtest/gtest.h>

namespace decree::storage {
namespace {

// Against a plain map from slot to record.
TEST(SlotIndex, AgreesWithOneRecordPerSlotOverRandomLives) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    uint64_t random = seed;
    const auto draw = [&random](uint64_t below) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      return (random >> 33) % below;
    };
    SlotIndex index;
    std::map<uint64_t, std::pair<uint64_t, uint64_t>> plain;
    uint64_t next = 1;
    uint64_t segment = 1;
    for (uint64_t step = 0; step < 80; ++step) {
      const uint64_t first = draw(3) == 0 ? 1 + draw(next) : next;
      const uint64_t count = draw(7);
      if (draw(9) == 0) ++segment;
      index.put(IndexRun{{Slot(first), Slot(first + count)}, segment, step, 1});
      for (uint64_t s = first; s < first + count; ++s) plain[s] = {segment, step};
      next = std::max(next, first + count + (draw(10) == 0 ? 2 : 0));
      if (draw(15) == 0) {
        const uint64_t below = 1 + draw(segment);
        Slot upto;
        for (const auto& [slot, where] : plain)
          if (where.first < below) upto = std::max(upto, Slot(slot));
        std::erase_if(plain, [&](const auto& held) { return held.second.first < below; });
        index.drop_segments_below(below, upto);
      }
      for (uint64_t s = 0; s <= next + 2; ++s) {
        const auto run = index.find(Slot(s));
        const auto held = plain.find(s);
        ASSERT_EQ(run.has_value(), held != plain.end())
            << "seed " << seed << " step " << step << " slot " << s;
        if (run) {
          ASSERT_EQ(std::make_pair(run->segment, run->offset), held->second)
              << "seed " << seed << " step " << step << " slot " << s;
        }
      }
      ASSERT_EQ(index.first_slot(), plain.empty() ? Slot(0) : Slot(plain.begin()->first));
    }
  }
}

}  // namespace
}  // namespace decree::storage
