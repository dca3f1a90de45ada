// Backup files: the key-value state as Maintenance.Snapshot streams it (format: api/backup_stream.h).
// Verified by reading it into a store; made into a new cluster member by member, offline. Blocking: for
// tools.
#pragma once

#include <cstdint>
#include <string>

#include "decree/result.h"
#include "kv/applier.h"
#include "server/config.h"
#include "storage/file_system.h"

namespace decree::server {

struct BackupFacts {
  int64_t revision = 0;
  int64_t compacted_revision = -1;  // -1: never compacted
  uint64_t keys = 0;                // live
  uint64_t versions = 0;
  uint64_t file_bytes = 0;
  uint64_t state_bytes = 0;  // as the quota counts
  uint32_t hash_kv = 0;      // of the whole, as HashKV of a member with this state
};

// ErrorCode::corrupt says what is wrong with the file; nothing is changed.
Result<BackupFacts> inspect_backup(storage::FileSystem& files, const std::string& path);

// Makes `config.data_dir` (absent or empty) the directory of member `config.name` of a new cluster with this
// state.
Result<BackupFacts> write_new_cluster(storage::FileSystem& files, const Config& config, kv::Store& store,
                                      uint64_t source_bytes);

// Makes `config.data_dir` (absent or empty) the directory of member `config.name` of the new cluster that
// `config.initial_cluster` and its token describe, holding the backup's state with all revisions moved on by
// `revision_bump`. Every member of the new cluster has to be made from the same file with the same bump.
// On an error the directory may exist but is no member's: remove it and try again.
Result<BackupFacts> restore_backup(storage::FileSystem& files, const Config& config, const std::string& path,
                                   int64_t revision_bump);

}  // namespace decree::server
