// A member's disk in the simulation, as its host sees it. Two kinds: model_disk (a few maps: what a perfect
// log would keep; fast) and wal_disk (the real data directory on storage::MemoryFileSystem).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "decree/record.h"
#include "decree/result.h"
#include "lab/sim/random.h"
#include "runtime/snapshot_store.h"

namespace decree::lab {

enum class CrashKind : uint8_t {
  process,  // what was written is still seen, and what was not synced of it is lost by a later power failure
  power,    // what was not synced is lost, kept or torn
};

// Damage of what is durable already. Nobody sees an error.
enum class Damage : uint8_t { rot_log, rot_superblock, rot_snapshot, misdirected, old_image };

// Everything that can be done to a disk from outside.
enum class Harm : uint8_t {
  rot_log,
  rot_superblock,
  rot_snapshot,
  misdirected,
  old_image,
  fill,
  make_room,
  fail_sync,
  fail_writes,
  fail_reads,
  fail_power,  // in the middle of the n-th operation
  diverge,     // not the disk: the next command that writes takes effect twice in this member's memory
  count,
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

  // As storage::Wal. A disk without segments needs none.
  virtual bool needs_reserve() const { return false; }
  virtual Result<void> prepare_reserve() { return {}; }
  virtual Result<void> mark_idle() { return {}; }
  virtual uint64_t disk_writes() const { return 0; }

  // ---- faults; false or empty: this kind of disk does not know it, or there is nothing to damage yet ----
  // The sentence says what was done.
  virtual std::string damage(Damage /*kind*/, Random& /*random*/) { return {}; }
  // An old image, kept by the first damage of that kind: what a start from it would find. None: there is
  // none.
  virtual std::optional<uint64_t> image_disk_writes() const { return std::nullopt; }
  virtual uint32_t images_put_back() const { return 0; }
  // Full: almost nothing more fits on it, until it is told otherwise.
  virtual bool set_full(bool /*full*/, Random& /*random*/) { return false; }
  virtual bool fail_sync() { return false; }                      // the next one
  virtual bool fail_writes(uint64_t /*after*/) { return false; }  // that one and all later ones
  virtual bool fail_reads(uint64_t /*count*/) { return false; }
  // An error was injected since the last crash: a failure of this member has an excuse.
  virtual bool has_injected_error() const { return false; }
};

std::unique_ptr<Disk> make_model_disk();
std::unique_ptr<Disk> make_wal_disk(uint64_t segment_bytes);

// Replays one record as recovery does.
void replay(const Record& record, RecoveredState* state);

}  // namespace decree::lab
