// Histories of a correct store for the checkers' tests: every operation takes effect at one moment between
// its invoke and its return, some answers get lost.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "lab/check/history.h"
#include "lab/check/naive_store.h"
#include "lab/sim/random.h"

namespace decree::lab {

struct PendingOperation {
  Operation op;
  int64_t at = 0;  // takes effect
};

// `lost_but_done`: the chance that an operation whose answer got lost took effect all the same.
inline History happen(Random& rng, std::vector<PendingOperation> all, double lost_but_done) {
  std::stable_sort(all.begin(), all.end(),
                   [](const PendingOperation& a, const PendingOperation& b) { return a.at < b.at; });
  NaiveStore store;
  History history;
  for (PendingOperation& p : all) {
    const bool lost = rng.chance(0.15);
    p.op.outcome = lost ? OpOutcome::unknown : OpOutcome::ok;
    if (!lost || rng.chance(lost_but_done)) {
      const Executed done = store.execute(p.op);
      if (!lost) {
        p.op.revision = done.revision;
        p.op.answers = done.answers;
        p.op.succeeded = done.succeeded;
      }
    }
    history.push_back(std::move(p.op));
  }
  return history;
}

}  // namespace decree::lab
