// Random messages of every kind, for round trips.
#pragma once

#include <algorithm>
#include <memory>
#include <random>

#include "decree/message.h"

namespace decree::testing {

class RandomMessages {
 public:
  explicit RandomMessages(uint64_t seed) : random_(seed) {}

  // `kind` is an index of the Message variant.
  Message make(size_t kind);

 private:
  uint64_t number() {
    // Small, large and extreme ones.
    switch (random_() % 4) {
      case 0:
        return random_() % 3;
      case 1:
        return random_() % 100000;
      case 2:
        return ~uint64_t{0};
      default:
        return random_();
    }
  }
  uint32_t number32() { return static_cast<uint32_t>(number()); }
  bool flag() { return random_() % 2 == 0; }
  Slot slot() { return Slot(number()); }
  NodeId node() { return NodeId(number32()); }
  Digest128 digest() { return Digest128{number(), number()}; }
  Ballot ballot() { return Ballot{number32(), number32(), static_cast<uint16_t>(number()), node()}; }
  StateDigest state_digest() { return StateDigest{slot(), digest(), digest()}; }
  SlotRange range() {
    const uint64_t a = number();
    const uint64_t b = number();
    return SlotRange{Slot(std::min(a, b)), Slot(std::max(a, b))};
  }
  Entry entry();
  std::vector<Entry> entries() {
    std::vector<Entry> out(random_() % 5);
    for (Entry& e : out) e = entry();
    return out;
  }
  BeatView view() { return BeatView{ballot(), flag(), slot(), slot(), flag(), flag(), number()}; }

  std::mt19937_64 random_;
};

}  // namespace decree::testing
