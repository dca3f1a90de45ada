// The data directory of one member: lock, superblock, log and snapshots, opened and checked as one thing.
//
//   <dir>/lock         held while a process uses the directory
//   <dir>/superblock   identity, boot counter, promise (superblock.h)
//   <dir>/wal/         segments (wal.h)
//   <dir>/snapshots/   (snapshot_file.h)
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "decree/record.h"
#include "decree/result.h"
#include "storage/file_system.h"
#include "storage/snapshot_file.h"
#include "storage/superblock.h"
#include "storage/wal.h"
#include "storage/wal_recovery.h"

namespace decree::storage {

struct OpenOptions {
  // Existing data: cluster, node and member_id must be these (the incarnation is the disk's own). Empty: take
  // what is there.
  std::optional<Identity> expected;
  // A directory that is absent, empty or half-made becomes this member's. Empty: refuse with
  // ErrorCode::not_found. The incarnation must be random and new for every creation; the caller draws it.
  std::optional<Identity> create;
  WalOptions wal;
  // read_over: see RecoveredState::unknown. Only where the log names other members, who can repair it.
  OnDamage on_damage = OnDamage::refuse;
};

class DataDir {
 public:
  // Errors (each with one sentence that says what to do): locked (another process), identity (another cluster
  // or member), format (written by a newer release), permission, not_found, no_space, corrupt (damage that a
  // crash cannot explain: file, offset, remedy), invalid (not a directory, or somebody else's files), io.
  // When it returns ok: the boot counter is raised and durable, the unproven tail of the log is rewritten and
  // synced. `files` must outlive the result.
  static Result<std::unique_ptr<DataDir>> open(FileSystem& files, const std::string& path,
                                               const OpenOptions& options);

  // Whose directory this is, without locking or changing it; empty when absent, empty or half-made.
  static Result<std::optional<Identity>> peek(FileSystem& files, const std::string& path);

  // Renames what is there to <name>.damaged-<n>, evidence that nothing here ever removes, so that the
  // directory is empty for a new disk's identity. Returns the n-th of the names. Runs again after a crash
  // anywhere in it.
  static Result<std::string> set_aside(FileSystem& files, const std::string& path);
  // From now on open() and peek() answer ErrorCode::corrupt with this sentence: for a disk that is whole but
  // must not be voted with. Durable on return. Without effect on a directory that is open.
  static Result<void> disown(FileSystem& files, const std::string& path, const std::string& sentence);

  ~DataDir();

  // What the log said. Moved out: the first call gets it.
  RecoveredState recovered();
  const Identity& identity() const;
  uint64_t boot() const;
  Wal& wal();
  SnapshotStore& snapshots();
  // Sentences for the operator's log: repaired superblock copies, a discarded torn tail, damaged old
  // snapshots.
  const std::vector<std::string>& notes() const;
  bool created() const;  // by this open

  // Free on the file system that holds the directory.
  Result<uint64_t> free_bytes() const;

  // Marks the log idle, so that the next start can prove its last batch. Call when no commit is under way.
  Result<void> close();

 private:
  DataDir();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace decree::storage
