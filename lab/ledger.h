// lab/ledger.jsonl: one line per campaign, kept in the repository, so that anyone can see how much was
// searched.
#pragma once

#include <cstdint>
#include <string>

#include "lab/sim/world.h"

namespace decree::lab {

struct LedgerLine {
  std::string what;  // "sim mixed"
  uint64_t first_seed = 0;
  uint64_t seeds = 0;
  double cpu_seconds = 0;
  uint64_t failures = 0;
  size_t markers = 0;
  size_t markers_hit = 0;
};

// The commit is taken from the environment (DECREE_COMMIT; ./dev sets it).
void append_ledger(const std::string& file, const LedgerLine& line, const RunStatistics& total);

}  // namespace decree::lab
