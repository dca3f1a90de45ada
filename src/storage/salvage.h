// What can still be read of a data directory, damaged or not. Changes nothing, promises nothing: for asking
// the way after damage, and for the operator's tool when a quorum is lost for good. Never for voting.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "decree/record.h"
#include "decree/result.h"
#include "storage/file_system.h"
#include "storage/snapshot_file.h"
#include "storage/superblock.h"

namespace decree::storage {

struct Salvage {
  std::optional<SuperblockState>
      superblock;  // without one the log cannot be read: its checksums need the identity
  std::optional<SnapshotInfo> snapshot;  // newest whole one
  std::string snapshot_path;
  std::optional<Membership> membership;  // newest epoch found in log or snapshot
  Slot decided;                          // known decided here: by hint, Law or snapshot
  Ballot promised;
  std::map<Slot, AcceptedEntry> accepted;  // > snapshot index; with holes where batches are damaged
  uint64_t batches = 0;                    // whole ones
  uint64_t missing_batches = 0;  // numbers without a whole batch, between the first and the last whole one
  std::vector<std::string> problems;  // a sentence per damage
};

// Error: the path is no directory, or cannot be read.
Result<Salvage> salvage(FileSystem& files, const std::string& path);

}  // namespace decree::storage
