// --auto-compaction-mode: forgets old revisions by itself, on the leader only.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

#include "api/server_front.h"

namespace decree::api {

// Decides; proposes nothing itself. Time is handed in.
class AutoCompactor {
 public:
  AutoCompactor(AutoCompaction mode, std::chrono::seconds period, int64_t revisions);
  // The revision to compact now, or 0. `leading`: a member that does not lead keeps its history of revisions,
  // so that it can go on where the old leader stopped.
  int64_t due(net::SteadyTime now, int64_t revision, int64_t compacted, bool leading);

 private:
  struct Sample {
    net::SteadyTime at;
    int64_t revision;
  };
  int64_t due_periodic(net::SteadyTime now, int64_t revision, bool leading);
  int64_t due_by_revision(net::SteadyTime now, int64_t revision, bool leading);

  AutoCompaction mode_;
  std::chrono::seconds period_;
  int64_t revisions_;
  std::deque<Sample> samples_;
  net::SteadyTime last_compaction_{};
  net::SteadyTime next_look_{};
};

}  // namespace decree::api
