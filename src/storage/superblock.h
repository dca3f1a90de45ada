// The few facts that must never be read back older than they were acknowledged: identity, boot counter,
// epoch, promise, and which log segments exist.
//
// Four copies in four blocks of one file. An update goes to one pair, is synced, then to the other pair and
// is synced: whatever crash or damage of up to three copies happens, the newest valid copy is at least the
// last acknowledged one.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "decree/record.h"
#include "decree/result.h"
#include "storage/file_system.h"

namespace decree::storage {

struct SuperblockState {
  uint64_t sequence = 0;  // raised by every update
  Identity identity;
  uint64_t boot = 0;
  uint32_t epoch = 0;
  Ballot promised;
  uint64_t first_segment = 1;  // older segment files are leftovers of a truncation
  uint64_t active_segment =
      0;  // newest segment that may hold batches; its file is durable BEFORE it is named here
  uint64_t synced_through = 0;  // last batch known synced when this was written
  Slot truncated_upto;          // a snapshot at or above this must exist
  // Updates, and batches of the log, that said nothing new about promise, epoch or slots: a start's own, a
  // new segment's, a truncation's. What is left of `sequence` and the batches counts what others may have
  // been told (disk_writes).
  uint64_t idle_writes = 0;
  friend bool operator==(const SuperblockState&, const SuperblockState&) = default;
};

// 2: the member has been in an epoch after the first. A release that knows no epochs would call the log's
// records of them damage; so it says what is true, that a newer release wrote this.
constexpr uint32_t kSuperblockFormat = 2;
constexpr size_t kSuperblockCopies = 4;
constexpr size_t kSuperblockBlockBytes = 4096;

std::string encode_superblock(const SuperblockState& state);
enum class SuperblockVerdict : uint8_t { valid, damaged, newer_format };
SuperblockVerdict decode_superblock(std::string_view block, SuperblockState* out);

class Superblock {
 public:
  // Writes all copies to a temporary name, syncs, renames, syncs the directory.
  static Result<void> create(FileSystem& files, const std::string& path, const SuperblockState& state);
  // `notes` gets a sentence per damaged copy. Does not write.
  static Result<std::unique_ptr<Superblock>> open(FileSystem& files, const std::string& path,
                                                  std::vector<std::string>* notes);

  SuperblockState state() const;

  // Changes the state by `edit(SuperblockState&)` and makes it durable. Thread-safe. After an error the
  // object is poisoned.
  template <class Edit>
  Result<void> update(const Edit& edit) {
    std::lock_guard lock(mutex_);
    SuperblockState next = state_;
    edit(next);
    if (next.promised == state_.promised && next.epoch == state_.epoch) ++next.idle_writes;
    return store(next);
  }

 private:
  Superblock(std::unique_ptr<File> file, SuperblockState state, std::array<bool, 2> holds)
      : file_(std::move(file)), state_(state), holds_(holds) {}
  Result<void> store(SuperblockState next);
  Result<void> write_pair(size_t pair, const SuperblockState& state);

  std::unique_ptr<File> file_;
  mutable std::mutex mutex_;
  SuperblockState state_;
  std::array<bool, 2> holds_;  // which pairs hold state_
  bool as_read_ = true;        // state_ comes from open() and is not known to be durable
  bool poisoned_ = false;
};

}  // namespace decree::storage
