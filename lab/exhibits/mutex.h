// Mutual exclusion: by Ricart and Agrawala, where one crash blocks all, and as a lock on the replicated log
// with fencing tokens, where neither a crash nor a sleeper does harm (row M6).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace decree::lab {

struct RicartOptions {
  uint32_t processes = 4;
  uint32_t entries_each = 5;
  uint64_t seed = 1;
  std::optional<uint32_t> crash;  // this process stops when it has entered once
  bool impatient = false;         // broken on purpose: answers others at once although it asked before them
};
struct RicartRun {
  uint64_t messages = 0;
  uint64_t entries = 0;
  bool two_inside = false;        // safety
  bool out_of_order = false;      // fairness: entered before one with a smaller time stamp that was asking
  uint64_t waiting_for_ever = 0;  // living processes that asked and never enter
};
RicartRun run_ricart_agrawala(const RicartOptions& options);

struct LockOptions {
  uint32_t processes = 3;
  uint64_t seed = 1;
  bool crash_holder = false;  // the first holder stops for good
  bool sleep_holder = false;  // ... or sleeps until somebody else has worked, then goes on as if nothing were
  bool fencing = true;        // the store refuses tokens lower than one it has seen
};
struct LockRun {
  uint64_t grants = 0;       // as in the log
  uint64_t writes = 0;       // taken by the store
  uint64_t refused = 0;      // by the fence
  bool stale_write = false;  // a write under an older token was taken after one under a newer
  uint64_t unserved = 0;     // living processes that never worked
  uint64_t messages = 0;
  bool logs_agree = true;
};
LockRun run_fenced_lock(const LockOptions& options);

}  // namespace decree::lab
