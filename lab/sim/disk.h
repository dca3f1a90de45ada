// A member's disk in the simulation, as its host sees it. Two kinds: model_disk (a few maps: what a perfect
// log would keep; fast) and wal_disk (the real data directory on storage::MemoryFileSystem).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "decree/record.h"
#include "decree/result.h"
#include "lab/sim/random.h"
#include "runtime/snapshot_store.h"

namespace decree::lab {

enum class CrashKind : uint8_t {
  process,  // what was written stays, synced or not
  power,    // what was not synced is lost, kept or torn
};

class Disk {
 public:
  virtual ~Disk() = default;

  // A start of the process. What it returns is durable. `create` is used when nothing is there yet.
  virtual Result<RecoveredState> open(const Identity& create) = 0;
  // Everything in `batch` is durable on return.
  virtual Result<void> commit(std::span<const PersistedRecord> batch) = 0;
  // The process dies now; `under_way` is the batch being written (may be empty): any part of it may be found
  // later.
  virtual void crash(CrashKind kind, std::span<const PersistedRecord> under_way, Random& random) = 0;
  // What a start would find if the power failed at this moment, all that is not synced lost. The disk itself
  // stays.
  virtual Result<RecoveredState> fork_and_lose_power() const = 0;

  virtual Result<std::vector<Entry>> read(SlotRange slots, uint64_t bytes_max) = 0;
  virtual void truncate(Slot upto) = 0;
  virtual runtime::SnapshotStore& snapshots() = 0;
  virtual uint64_t log_bytes() const = 0;
};

std::unique_ptr<Disk> make_model_disk();
std::unique_ptr<Disk> make_wal_disk(uint64_t segment_bytes);

// Replays one record as recovery does.
void replay(const Record& record, RecoveredState* state);

}  // namespace decree::lab
