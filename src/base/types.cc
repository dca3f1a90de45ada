#include "decree/types.h"

namespace decree {

namespace {

uint64_t mix(uint64_t h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdULL;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53ULL;
  return h ^ (h >> 33);
}

}  // namespace

Digest128 chain_link(Digest128 previous, Slot slot, Digest128 entry) {
  // Two lanes that feed each other, so that the order of entries matters in both.
  uint64_t hi = mix(previous.hi ^ mix(entry.hi + 0x9e3779b97f4a7c15ULL * slot.value));
  uint64_t lo = mix(previous.lo + hi + mix(entry.lo ^ slot.value));
  return Digest128{hi + lo, lo};
}

}  // namespace decree
