// A quorum is lost for good: what the surviving data directories hold together, and a new cluster of one
// member made from it. Offline; the directories are only read. Blocking: for tools.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "decree/membership.h"
#include "server/backup.h"
#include "storage/salvage.h"

namespace decree::server {

struct Survivor {
  std::string path;
  std::string name;  // empty: nobody knows
  bool votes = false;
  bool whole = false;  // nothing of it is damaged
  Slot contiguous;     // holds everything up to here
  storage::Salvage found;
};

struct RecoveryPlan {
  std::vector<Survivor> survivors;
  size_t base = 0;        // whose snapshot is the beginning; without any the state begins empty
  Membership membership;  // the newest that is known
  Slot decided;           // known decided by somebody
  Slot upto;              // the state goes on up to here: everything the survivors hold without a hole
  Slot last;              // the highest slot that any of them holds
  std::map<Slot, Entry> entries;  // behind the snapshot, through `upto`
  // Every acknowledged write was on at least this many voters' disks ...
  uint32_t acknowledged_on = 0;
  // ... and so many voters' whole disks are not among the survivors.
  uint32_t voters_missing = 0;
  // No acknowledged write can be missing.
  bool is_complete() const { return voters_missing < acknowledged_on && upto == last; }
};

// Errors: a directory is in use, cannot be read, or belongs to another cluster than the first; nothing can be
// read at all.
Result<RecoveryPlan> plan_recovery(storage::FileSystem& files, const std::vector<std::string>& paths);

// The sentences for the operator: what is there, and what may be lost.
std::vector<std::string> describe(const RecoveryPlan& plan);

// Makes `config.data_dir` (absent or empty) the only member of a new cluster. Revisions go on `revision_bump`
// later.
Result<BackupFacts> recover_cluster(storage::FileSystem& files, const RecoveryPlan& plan,
                                    const Config& config, int64_t revision_bump);

}  // namespace decree::server
