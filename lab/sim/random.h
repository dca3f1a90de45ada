// The simulator's only source of chance: xoshiro256++ seeded by splitmix64. Same seed, same numbers, on every
// machine.
#pragma once

#include <cmath>
#include <cstdint>

namespace decree::lab {

class Random {
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15ULL;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      word = z ^ (z >> 31);
    }
  }
  uint64_t next() {
    const uint64_t result = rotl(state_[0] + state_[3], 23) + state_[0];
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotl(state_[3], 45);
    return result;
  }
  // 0 <= result < n; n > 0.
  uint64_t below(uint64_t n) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64);
  }
  // lowest <= result <= highest
  uint64_t between(uint64_t lowest, uint64_t highest) { return lowest + below(highest - lowest + 1); }
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  bool chance(double probability) { return probability > 0 && unit() < probability; }
  // Exponentially distributed, capped at 30 times the mean.
  uint64_t exponential(uint64_t mean) {
    const double u = unit();
    double x = -static_cast<double>(mean) * std::log1p(-u);
    const double cap = 30.0 * static_cast<double>(mean);
    return static_cast<uint64_t>(x < cap ? x : cap);
  }
  // A stream of its own, so that drawing more here does not change what is drawn there.
  Random fork() { return Random(next()); }

 private:
  static uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  uint64_t state_[4];
};

}  // namespace decree::lab
