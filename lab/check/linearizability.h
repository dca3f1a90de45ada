// Is a recorded history one that a single, correct store could have produced?
//
// check_whole_store: strict serializability of the whole store, O(n log n), through revisions: writes
// are totally ordered by the revision they took, reads stand behind the write whose revision they
// report. The order is replayed in a naive store; every answer must match; the order must respect real
// time; a member's revision never goes back (I21). Operations of unknown outcome are put where their
// effect was seen, else where they explain a revision that nobody acknowledged (bounded search).
//
// check_keys: the classical search of Wing and Gong with Lowe's memory, per key, blind to revisions.
// Independent of the first on purpose; exponential at worst, so only for short histories.
#pragma once

#include <cstdint>
#include <string>

#include "lab/check/history.h"

namespace decree::lab {

enum class Judgement : uint8_t { good, bad, undecided };

struct Verdict {
  Judgement judgement = Judgement::good;
  std::string problem;  // a sentence, for bad and undecided
  uint64_t steps = 0;
  bool good() const { return judgement == Judgement::good; }
};

struct CheckLimits {
  uint64_t steps_max = 20'000'000;   // beyond: undecided
  size_t key_operations_max = 4000;  // check_keys: keys with more are skipped as undecided
};

Verdict check_whole_store(const History& history, const CheckLimits& limits = {});
Verdict check_keys(const History& history, const CheckLimits& limits = {});

}  // namespace decree::lab
