// Snapshots of the state machine as files: written whole, verified whole, installed by a rename.
//
// A file under its final name is durable and was complete; if it does not verify, it was damaged later.
// Format: docs/wal_format.md. All members of a cluster can exchange the files as they are.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "decree/membership.h"
#include "decree/result.h"
#include "decree/types.h"
#include "storage/file_system.h"

namespace decree::storage {

struct SnapshotMeta {
  ClusterId cluster;
  Slot index;
  Digest128 chain;  // chain(index)
  uint64_t term = 0;
  Membership membership;
  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

struct SnapshotInfo {
  SnapshotMeta meta;
  uint64_t size_bytes = 0;  // of the file
  uint64_t body_bytes = 0;  // of the state machine's bytes in it
  Digest128 digest;         // of the file
};

// Streams the state machine's bytes out of a snapshot file, verifying each chunk before it hands it out and
// the whole-file digest at the end. Nothing may be taken for good before next() has returned false.
class SnapshotReader {
 public:
  static Result<std::unique_ptr<SnapshotReader>> open(FileSystem& files, const std::string& path);
  ~SnapshotReader();
  const SnapshotMeta& meta() const;
  // Replaces `*chunk` by the next bytes; false at the verified end.
  Result<bool> next(std::string* chunk);
  // Valid after next() has returned false.
  const SnapshotInfo& info() const;
  // Everything of the file before this was verified, but for the whole-file digest.
  uint64_t verified_bytes() const;

 private:
  SnapshotReader();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class SnapshotStore;

// Writes a new snapshot under a temporary name. Destroyed before finish(): the temporary file is removed.
// May be used from a worker thread, one call at a time.
class SnapshotWriter {
 public:
  ~SnapshotWriter();
  // Any size; chunked inside.
  Result<void> append(std::string_view bytes);
  // Footer, sync, rename, sync of the directory: durable when it returns ok.
  Result<SnapshotInfo> finish();

 private:
  friend class SnapshotStore;
  SnapshotWriter();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Takes a snapshot file from a peer, in pieces at any offsets within the announced size. Destroyed before
// finish(): what came stays, under a name made of slot and digest, and the next import of the same file,
// after a restart too, goes on behind as much of it as verifies.
class SnapshotImport {
 public:
  ~SnapshotImport();
  // Bytes beyond the announced size are refused. Pieces may repeat; gaps are refused by finish().
  Result<void> write(uint64_t offset, std::string_view bytes);
  // Everything before this offset is there: where to go on asking.
  uint64_t contiguous_bytes() const;
  // Verifies the whole file against what was announced, then installs it: durable when it returns ok.
  // On error nothing changed and what came is gone.
  Result<SnapshotInfo> finish();

 private:
  friend class SnapshotStore;
  SnapshotImport();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// An open snapshot file to serve pieces from; stays readable when the store drops it meanwhile.
class SnapshotPiece {
 public:
  SnapshotPiece(SnapshotInfo info, std::unique_ptr<File> file)
      : info_(std::move(info)), file_(std::move(file)) {}
  const SnapshotInfo& info() const { return info_; }
  // Up to `bytes_max` raw bytes of the file; empty at its end.
  Result<std::string> read(uint64_t offset, uint32_t bytes_max) const;

 private:
  SnapshotInfo info_;
  std::unique_ptr<File> file_;
};

// The directory of snapshots. Thread-safe.
class SnapshotStore {
 public:
  SnapshotStore(FileSystem& files, std::string directory, ClusterId cluster);

  // Removes leftovers of interrupted writes (not of imports, see there), verifies what is there (newest
  // first, until one is whole). `notes` gets a sentence per damaged file.
  Result<void> open(std::vector<std::string>* notes);

  // Newest whole snapshot.
  std::optional<SnapshotInfo> newest() const;
  // File names that failed verification at open(), newest first.
  std::vector<std::string> damaged() const;
  Result<std::unique_ptr<SnapshotReader>> read(Slot index) const;
  Result<std::unique_ptr<SnapshotPiece>> open_piece(Slot index) const;

  Result<std::unique_ptr<SnapshotWriter>> begin(const SnapshotMeta& meta);
  // What is there of other files' imports is removed. Reads what is there of this one's. For a worker thread.
  Result<std::unique_ptr<SnapshotImport>> begin_import(Slot index, uint64_t size_bytes, Digest128 digest);

  // Removes all but the newest `keep` (>= 1), and imports of nothing newer. For a worker thread.
  Result<void> drop_older(size_t keep);

 private:
  friend class SnapshotWriter;
  friend class SnapshotImport;
  std::string path_of(Slot index) const;
  Result<void> install(const std::string& temporary, const SnapshotInfo& info);
  Result<std::unique_ptr<File>> make_temporary(Slot index);
  std::string part_name(Slot index, Digest128 digest) const;
  // Parts of imports but the one of that name; of slots up to `upto` only.
  Result<void> drop_parts(const std::string& but, Slot upto);

  FileSystem& files_;
  const std::string directory_;
  const ClusterId cluster_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<SnapshotInfo> infos_;  // verified, ascending
  std::vector<Slot> older_;          // not verified because a newer one is whole; descending
  std::vector<std::string> damaged_;
  uint64_t next_temporary_ = 1;
};

// Streams through the whole file. ErrorCode::corrupt names file and offset; ::identity another cluster's.
Result<SnapshotInfo> verify_snapshot(FileSystem& files, const std::string& path, ClusterId cluster);

}  // namespace decree::storage
