// The real data directory - lock, superblock, log, snapshots - on a file system in memory that loses what was
// not synced.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "decree/check.h"
#include "lab/sim/disk.h"
#include "runtime/file_snapshot_store.h"
#include "storage/data_dir.h"
#include "storage/memory_file_system.h"

namespace decree::lab {

namespace {

constexpr const char* kPath = "data";
constexpr uint64_t kSectorBytes = 512;
// A marker is a batch header and at most 16 echoes. Rot that takes it and the batch before it in one stroke
// cannot be told from a torn tail.
constexpr size_t kMarkerSectors = 2;
constexpr size_t kRecentSectors = 6;

class WalDisk final : public Disk {
 public:
  explicit WalDisk(uint64_t segment_bytes) {
    options_.wal.segment_bytes = segment_bytes;
    options_.wal.opening_segment_bytes = segment_bytes;
    options_.wal.block_bytes = 512;
    options_.on_damage = storage::OnDamage::read_over;
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
    const bool may_go_astray = files_.misdirect_pending();
    Result<void> done = dir_->wal().commit(batch);
    // The atlas keeps to damage that can be told from a torn tail: a lost write of the very last batch, with
    // nothing behind it that proves it was synced, cannot (docs/simulator.md).
    if (done && may_go_astray && !files_.misdirect_pending()) return dir_->wal().mark_idle();
    return done;
  }
  bool needs_reserve() const override { return dir_->wal().needs_reserve(); }
  Result<void> prepare_reserve() override { return dir_->wal().prepare_reserve(); }
  Result<void> mark_idle() override { return dir_->wal().mark_idle(); }
  uint64_t disk_writes() const override { return dir_->wal().disk_writes(); }

  void crash(CrashKind kind, std::span<const PersistedRecord> under_way, Random& random) override {
    if (!under_way.empty()) {
      // Dies at one of the first mutating calls of the write; beyond the last it was complete, only nobody
      // was told.
      files_.fail_after(random.between(1, 8));
      (void)dir_->wal().commit(under_way).ok();
    }
    snapshots_.reset();
    dir_.reset();
    injected_error_ = false;
    files_.crash(random.next(),
                 kind == CrashKind::power ? storage::CrashMode::random : storage::CrashMode::process_only);
  }

  Result<RecoveredState> fork_and_lose_power() const override {
    storage::MemoryFileSystem fork = files_;
    fork.crash(1, storage::CrashMode::drop_all);
    fork.set_capacity(
        std::numeric_limits<uint64_t>::max());  // a full disk refuses a start, and loses nothing
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
    DECREE_CHECK(done.ok() || injected_error_ || full_, "truncating the log fails only with the disk");
  }
  runtime::SnapshotStore& snapshots() override { return *snapshots_; }
  uint64_t log_bytes() const override { return dir_ ? dir_->wal().live_bytes() : 0; }

  // ---- faults ----
  std::string damage(Damage kind, Random& random) override {
    if (kind == Damage::old_image) return old_image(random);
    if (!dir_ || injected_error_) return {};
    if (kind == Damage::misdirected) return misdirect(random);
    if (kind == Damage::rot_superblock) return rot(storage::join_path(kPath, "superblock"), 0, random);
    // What is damaged was synced long ago: the marker proves it, so that the damage cannot pass for a torn
    // tail.
    if (!dir_->wal().mark_idle()) return {};
    const bool log = kind == Damage::rot_log;
    const std::vector<std::string> files =
        files_.files_below(storage::join_path(kPath, log ? "wal" : "snapshots"));
    if (files.empty()) return {};
    // What was written last is what nobody else may know yet.
    for (size_t i = files.size(); log && i > 0 && random.chance(0.8); --i)
      if (const std::string done = rot(files[i - 1], kMarkerSectors, random, kRecentSectors); !done.empty())
        return done;
    return rot(files[random.below(files.size())], log ? kMarkerSectors : 0, random);
  }
  std::optional<uint64_t> image_disk_writes() const override {
    if (!image_) return std::nullopt;
    storage::MemoryFileSystem fork = *image_;
    fork.set_capacity(std::numeric_limits<uint64_t>::max());
    Result<std::unique_ptr<storage::DataDir>> opened = storage::DataDir::open(fork, kPath, options_);
    return opened ? std::optional(opened.value()->recovered().disk_writes) : std::nullopt;
  }
  uint32_t images_put_back() const override { return put_back_; }
  bool set_full(bool full, Random& random) override {
    full_ = full;
    files_.set_capacity(full ? files_.used_bytes() + random.below(2 * options_.wal.segment_bytes)
                             : std::numeric_limits<uint64_t>::max());
    return true;
  }
  bool fail_sync() override {
    files_.fail_next_sync();
    return injected_error_ = true;
  }
  bool fail_writes(uint64_t after) override {
    files_.fail_after(after);
    return injected_error_ = true;
  }
  bool fail_reads(uint64_t count) override {
    files_.fail_reads(count);
    return injected_error_ = true;
  }
  bool has_injected_error() const override { return injected_error_ || full_; }

 private:
  // One bit, or a sector or a block of zeros, where something is written: damage of free space is none. The
  // last `spared` sectors of what is written stay whole; of the others one of the last `recent` is hit.
  std::string rot(const std::string& path, size_t spared, Random& random, size_t recent = SIZE_MAX) {
    const std::string bytes = files_.content(path);
    std::vector<uint64_t> written;
    for (uint64_t at = 0; at < bytes.size(); at += kSectorBytes)
      if (bytes.find_first_not_of('\0', at) < at + kSectorBytes) written.push_back(at);
    if (written.size() <= spared) return {};
    written.resize(written.size() - spared);
    const uint64_t sector = written[written.size() - 1 - random.below(std::min(written.size(), recent))];
    const uint64_t kind = random.below(4);
    if (kind >= 2) {
      const uint64_t most = std::min<uint64_t>(kSectorBytes, bytes.size() - sector);
      const uint64_t bit = sector * 8 + random.below(most * 8);
      files_.flip_bit(path, bit);
      return fmt::format("bit {} of {} flipped", bit, path);
    }
    const uint64_t length = kind == 0 ? kSectorBytes : 8 * kSectorBytes;
    const uint64_t at = sector / length * length;
    const uint64_t end = std::min(at + length, spared > 0 ? written.back() + kSectorBytes : bytes.size());
    files_.overwrite(path, at, std::string(end - at, '\0'));
    return fmt::format("{} bytes of {} from {} on are zeros now", end - at, path, at);
  }

  std::string misdirect(Random& random) {
    const std::vector<std::string> files = files_.files_below(kPath);
    const std::string& to = files[random.below(files.size())];
    const uint64_t at = random.below(files_.content(to).size() / 512 + 1) * 512;
    files_.misdirect_next_write(storage::join_path(kPath, "wal"), to, at);
    return fmt::format("the next write to the log goes to {} at {}", to, at);
  }

  // The first time the disk is copied, the next time the copy is put back; the process must be down then.
  std::string old_image(Random& random) {
    if (!image_) {
      image_ = std::make_unique<storage::MemoryFileSystem>(files_);
      image_->crash(random.next(), storage::CrashMode::drop_all);
      return "an image of the disk is kept";
    }
    if (dir_) return {};
    files_ = *image_;
    image_.reset();
    ++put_back_;
    return "an old image of the disk is put back";
  }

  storage::OpenOptions options_;
  storage::MemoryFileSystem files_;
  std::unique_ptr<storage::MemoryFileSystem> image_;
  uint32_t put_back_ = 0;
  bool injected_error_ = false;
  bool full_ = false;
  std::unique_ptr<storage::DataDir> dir_;
  std::unique_ptr<runtime::FileSnapshotStore> snapshots_;
};

}  // namespace

std::unique_ptr<Disk> make_wal_disk(uint64_t segment_bytes) {
  return std::make_unique<WalDisk>(segment_bytes);
}

}  // namespace decree::lab
