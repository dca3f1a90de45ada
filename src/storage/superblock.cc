#include "storage/superblock.h"

#include <algorithm>

#include "base/planted_bugs.h"
#include "decree/sometimes.h"
#include "storage/bytes.h"
#include "storage/wal_format.h"

namespace decree::storage {

namespace {

constexpr uint64_t kCopyMagic = 0x314b4c4245524344;  // "DCREBLK1"
constexpr uint64_t kCopySeed = 0x7375706572626c6b;   // identity is inside, so the seed is fixed
constexpr size_t kChecksumAt = kSuperblockBlockBytes - 8;
constexpr size_t kPairBytes = 2 * kSuperblockBlockBytes;
constexpr size_t kFileBytes = kSuperblockCopies * kSuperblockBlockBytes;

// Magic, format and the checksum at the end keep their places in all versions, so that an older release can
// tell "newer" from "damaged".
struct Layout {
  static constexpr size_t magic = 0, format = 8, sequence = 16, cluster = 24, node = 32, member = 40,
                          incarnation = 48, boot = 56, epoch = 64, promised = 72, first_segment = 88,
                          active_segment = 96, synced_through = 104, truncated_upto = 112, idle_writes = 120;
};

}  // namespace

std::string encode_superblock(const SuperblockState& s) {
  std::string block(kSuperblockBlockBytes, '\0');
  char* to = block.data();
  store_le<uint64_t>(to + Layout::magic, kCopyMagic);
  store_le<uint32_t>(to + Layout::format, s.epoch == 0 ? 1 : kSuperblockFormat);
  store_le<uint64_t>(to + Layout::sequence, s.sequence);
  store_le<uint64_t>(to + Layout::cluster, s.identity.cluster.value);
  store_le<uint32_t>(to + Layout::node, s.identity.node.value);
  store_le<uint64_t>(to + Layout::member, s.identity.member_id);
  store_le<uint64_t>(to + Layout::incarnation, s.identity.incarnation.value);
  store_le<uint64_t>(to + Layout::boot, s.boot);
  store_le<uint32_t>(to + Layout::epoch, s.epoch);
  store_ballot(to + Layout::promised, s.promised);
  store_le<uint64_t>(to + Layout::first_segment, s.first_segment);
  store_le<uint64_t>(to + Layout::active_segment, s.active_segment);
  store_le<uint64_t>(to + Layout::synced_through, s.synced_through);
  store_le<uint64_t>(to + Layout::truncated_upto, s.truncated_upto.value);
  store_le<uint64_t>(to + Layout::idle_writes, s.idle_writes);
  store_le<uint64_t>(to + kChecksumAt, checksum64({to, kChecksumAt}, kCopySeed));
  return block;
}

SuperblockVerdict decode_superblock(std::string_view block, SuperblockState* out) {
  if (block.size() < kSuperblockBlockBytes) return SuperblockVerdict::damaged;
  const char* from = block.data();
  if (load_le<uint64_t>(from + Layout::magic) != kCopyMagic) return SuperblockVerdict::damaged;
  if (load_le<uint64_t>(from + kChecksumAt) != checksum64({from, kChecksumAt}, kCopySeed))
    return SuperblockVerdict::damaged;
  if (load_le<uint32_t>(from + Layout::format) > kSuperblockFormat) return SuperblockVerdict::newer_format;
  SuperblockState s;
  s.sequence = load_le<uint64_t>(from + Layout::sequence);
  s.identity.cluster = ClusterId(load_le<uint64_t>(from + Layout::cluster));
  s.identity.node = NodeId(load_le<uint32_t>(from + Layout::node));
  s.identity.member_id = load_le<uint64_t>(from + Layout::member);
  s.identity.incarnation = Incarnation(load_le<uint64_t>(from + Layout::incarnation));
  s.boot = load_le<uint64_t>(from + Layout::boot);
  s.epoch = load_le<uint32_t>(from + Layout::epoch);
  s.promised = load_ballot(from + Layout::promised);
  s.first_segment = load_le<uint64_t>(from + Layout::first_segment);
  s.active_segment = load_le<uint64_t>(from + Layout::active_segment);
  s.synced_through = load_le<uint64_t>(from + Layout::synced_through);
  s.truncated_upto = Slot(load_le<uint64_t>(from + Layout::truncated_upto));
  s.idle_writes = load_le<uint64_t>(from + Layout::idle_writes);
  *out = s;
  return SuperblockVerdict::valid;
}

Result<void> Superblock::create(FileSystem& files, const std::string& path, const SuperblockState& state) {
  const std::string temporary = path + ".tmp";
  std::string bytes;
  for (size_t i = 0; i < kSuperblockCopies; ++i) bytes += encode_superblock(state);
  if (auto r = write_whole(files, temporary, bytes); !r) return r;
  if (auto r = files.rename(temporary, path); !r) return r;
  return files.sync_directory(parent_path(path));
}

Result<std::unique_ptr<Superblock>> Superblock::open(FileSystem& files, const std::string& path,
                                                     std::vector<std::string>* notes) {
  auto file = files.open(path, OpenMode::read_write);
  if (!file) return file.error();
  std::string bytes(kFileBytes, '\0');
  auto got = (*file)->read(0, bytes);
  if (!got) return got.error();
  bytes.resize(*got);

  std::array<SuperblockState, kSuperblockCopies> copies;
  std::array<bool, kSuperblockCopies> valid{};
  std::vector<std::string> damaged;
  const SuperblockState* newest = nullptr;
  for (size_t i = 0; i < kSuperblockCopies; ++i) {
    const size_t at = i * kSuperblockBlockBytes;
    const std::string_view block =
        at < bytes.size() ? std::string_view(bytes).substr(at, kSuperblockBlockBytes) : "";
    switch (decode_superblock(block, &copies[i])) {
      case SuperblockVerdict::newer_format:
        return Error{
            ErrorCode::format,
            path + " was written by a newer release; start that release, or choose another directory"};
      case SuperblockVerdict::damaged:
        DECREE_SOMETIMES("a copy of the superblock is damaged or half-written", true);
        damaged.push_back(path + ": copy " + std::to_string(i + 1) + " of 4 at byte " + std::to_string(at) +
                          " is damaged or half-written; a newer whole copy is used and it is written again");
        break;
      case SuperblockVerdict::valid:
        valid[i] = true;
        if (newest == nullptr || copies[i].sequence > newest->sequence) newest = &copies[i];
        break;
    }
  }
  if (newest == nullptr) {
    DECREE_SOMETIMES("all copies of the superblock are damaged", true);
    return Error{
        ErrorCode::corrupt,
        path +
            ": all 4 copies at bytes 0, 4096, 8192 and 12288 are damaged, so this member's promises are "
            "lost and it must not vote; keep the directory for inquiry, then replace "
            "this member: remove it from the cluster and add it again with an empty directory"};
  }
  for (size_t i = 0; i < kSuperblockCopies; ++i) {
    if (valid[i] && !(copies[i].identity == newest->identity))
      return Error{ErrorCode::corrupt, path + ": its copies name different members (copy " +
                                           std::to_string(i + 1) +
                                           "); the file was mixed from two disks; put the right file back"};
  }
  const auto holds = [&](size_t pair) {
    return (valid[2 * pair] && copies[2 * pair].sequence == newest->sequence) ||
           (valid[2 * pair + 1] && copies[2 * pair + 1].sequence == newest->sequence);
  };
  if (notes != nullptr) notes->insert(notes->end(), damaged.begin(), damaged.end());
  return std::unique_ptr<Superblock>(new Superblock(std::move(*file), *newest, {holds(0), holds(1)}));
}

SuperblockState Superblock::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

Result<void> Superblock::write_pair(size_t pair, const SuperblockState& state) {
  const std::string block = encode_superblock(state);
  return file_->write(pair * kPairBytes, block + block);
}

Result<void> Superblock::store(SuperblockState next) {
  if (poisoned_) return Error{ErrorCode::io, file_->path() + ": an earlier write failed; stop this process"};
  next.sequence = state_.sequence + 1;
  poisoned_ = true;  // until both pairs are durable
  if (as_read_) {
    // What was read may live in the page cache alone. One pair after the other, also here: the sector under
    // the head when the power fails is neither old nor new, whatever was to be written. Last the one that may
    // be the only one to hold what is durable.
    if (auto r = file_->sync(); !r) return r;
    const size_t holder = holds_[0] ? 0 : 1;
    for (const size_t pair : {1 - holder, holder}) {
      if (auto r = write_pair(pair, state_); !r) return r;
      if (auto r = file_->sync(); !r) return r;
    }
    holds_ = {true, true};
    as_read_ = false;
  }
  // First the pair that is not the only one to hold what is durable.
  const size_t first = holds_[1] ? 0 : 1;
  for (const size_t pair : {first, 1 - first}) {
    if (auto r = write_pair(pair, next); !r) return r;
    if (planted(PlantedBug::superblock_not_synced)) continue;
    if (planted(PlantedBug::superblock_pairs_together) && pair == first) continue;
    if (auto r = file_->sync(); !r) return r;  // BEFORE the other pair is touched
  }
  poisoned_ = false;
  state_ = next;
  holds_ = {true, true};
  return {};
}

}  // namespace decree::storage
