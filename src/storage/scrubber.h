// Reads again, slowly and for ever, what lies on the disk and is not written to any more: closed log segments
// and the newest snapshot. Damage that nobody reads is damage that nobody repairs while the other copies are
// still whole.
//
// One thread at a time (a worker); the log and the snapshots may be used by others meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "storage/snapshot_file.h"
#include "storage/wal.h"

namespace decree::storage {

class Scrubber {
 public:
  Scrubber(const Wal& wal, const SnapshotStore& snapshots) : wal_(wal), snapshots_(snapshots) {}

  // Goes on for about `bytes_max`. What it found, file and offset named; each damage once. A new snapshot at
  // or above every damaged slot, and a truncation behind it, is the repair.
  std::optional<std::string> step(uint64_t bytes_max);

  uint64_t bytes_read() const { return bytes_read_; }
  uint64_t rounds() const { return rounds_; }  // everything there was, once

 private:
  std::optional<std::string> read_log(uint64_t* budget);
  std::optional<std::string> read_batches(const ClosedSegment& segment, uint64_t* budget);
  std::optional<std::string> read_snapshot(uint64_t* budget);
  std::optional<std::string> report(const std::string& path, uint64_t offset, const std::string& sentence);

  const Wal& wal_;
  const SnapshotStore& snapshots_;
  uint64_t sequence_ = 0;  // segment being read; 0: from the oldest
  uint64_t offset_ = 0;
  bool log_done_ = false;
  std::unique_ptr<SnapshotReader> reader_;
  Slot reading_;
  std::set<std::pair<std::string, uint64_t>> told_;
  uint64_t bytes_read_ = 0;
  uint64_t rounds_ = 0;
};

}  // namespace decree::storage
