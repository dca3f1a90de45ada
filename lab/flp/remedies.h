// What defeats the adversary: chance, a leader oracle, or synchrony after some time. Time is counted in ticks
// that nobody sees; the adversary may delay a message that matters by at most its bound.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lab/flp/kernel.h"

namespace decree::lab {

enum class Remedy : uint8_t {
  none,       // whoever lost a round begins the next one at once
  back_off,   // ... after a random time that doubles with every loss
  oracle,     // only the process that a leader oracle names begins rounds; the oracle lies until some time
  synchrony,  // fixed waiting times, and the delays are short after some time
};
const char* remedy_name(Remedy r);

struct DuelOptions {
  uint32_t processes = 3;
  Remedy remedy = Remedy::none;
  uint64_t seed = 1;
  uint64_t delay_ticks = 20;  // the adversary's bound; the processes do not know it
  uint64_t rounds_max = 10000;
};
struct DuelResult {
  std::optional<uint32_t> decided;
  uint64_t rounds = 0;             // in all
  uint64_t rounds_after_turn = 0;  // oracle, synchrony: since the world became kind
  uint64_t ticks = 0;
};
DuelResult run_duel(const DuelOptions& options);

struct Distribution {
  uint64_t runs = 0;
  uint64_t undecided = 0;
  std::vector<uint64_t> sorted;
  uint64_t at(double share) const {
    return sorted.empty() ? 0 : sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
  }
};
std::string show(const Distribution& d);
// How many have 1, 2, 3-4, 5-8, ... rounds.
std::string histogram(const Distribution& d);

}  // namespace decree::lab
