// The real data directory - lock, superblock, log, snapshots - on a file system in memory that loses what was
// not synced.
#include <algorithm>

#include <fmt/format.h>

#include "decree/check.h"
#include "lab/sim/disk.h"
#include "runtime/file_snapshot_store.h"
#include "storage/data_dir.h"
#include "storage/memory_file_system.h"

namespace decree::lab {

namespace {

constexpr const char* kPath = "data";

class WalDisk final : public Disk {
 public:
  explicit WalDisk(uint64_t segment_bytes) {
    options_.wal.segment_bytes = segment_bytes;
    options_.wal.opening_segment_bytes = segment_bytes;
    options_.wal.block_bytes = 512;
  }

  Result<RecoveredState> open(const Identity& create) override {
    storage::OpenOptions options = options_;
    options.create = create;
    Result<std::unique_ptr<storage::DataDir>> opened = storage::DataDir::open(files_, kPath, options);
    if (!opened) return opened.error();
    dir_ = std::move(opened).value();
    snapshots_ = std::make_unique<runtime::FileSnapshotStore>(dir_->snapshots(), dir_->identity().cluster);
    return dir_->recovered();
  }

  Result<void> commit(std::span<const PersistedRecord> batch) override {
    Result<void> done = dir_->wal().commit(batch);
    if (done && dir_->wal().needs_reserve()) return dir_->wal().prepare_reserve();
    return done;
  }

  void crash(CrashKind kind, std::span<const PersistedRecord> under_way, Random& random) override {
    if (!under_way.empty()) {
      // Dies at one of the first mutating calls of the write; beyond the last it was complete, only nobody
      // was told.
      files_.fail_after(random.between(1, 8));
      (void)dir_->wal().commit(under_way).ok();
    }
    snapshots_.reset();
    dir_.reset();
    files_.crash(random.next(),
                 kind == CrashKind::power ? storage::CrashMode::random : storage::CrashMode::keep_all);
  }

  Result<RecoveredState> fork_and_lose_power() const override {
    storage::MemoryFileSystem fork = files_;
    fork.crash(1, storage::CrashMode::drop_all);
    Result<std::unique_ptr<storage::DataDir>> opened = storage::DataDir::open(fork, kPath, options_);
    if (!opened) return opened.error();
    RecoveredState found = opened.value()->recovered();
    // As a start does: a snapshot file newer than the log's own record of it counts.
    if (const std::optional<storage::SnapshotInfo> newest = opened.value()->snapshots().newest())
      found.snapshot_index = std::max(found.snapshot_index, newest->meta.index);
    return found;
  }

  Result<std::vector<Entry>> read(SlotRange slots, uint64_t bytes_max) override {
    Result<std::vector<Entry>> read = dir_->wal().read(slots, bytes_max);
    if (read && read.value().empty())
      return Error{ErrorCode::not_found, "the log does not hold this slot any more"};
    return read;
  }
  void truncate(Slot upto) override {
    const Result<void> done = dir_->wal().truncate_behind(upto);
    DECREE_CHECK(done.ok(), "truncating the log fails only with the disk");
  }
  runtime::SnapshotStore& snapshots() override { return *snapshots_; }
  uint64_t log_bytes() const override { return dir_ ? dir_->wal().live_bytes() : 0; }

 private:
  storage::OpenOptions options_;
  storage::MemoryFileSystem files_;
  std::unique_ptr<storage::DataDir> dir_;
  std::unique_ptr<runtime::FileSnapshotStore> snapshots_;
};

}  // namespace

std::unique_ptr<Disk> make_wal_disk(uint64_t segment_bytes) {
  return std::make_unique<WalDisk>(segment_bytes);
}

}  // namespace decree::lab
