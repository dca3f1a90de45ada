// Snapshots of the state machine as whole files. The Node sees this interface; file_snapshot_store.h puts it
// on storage::snapshot_file over any storage::FileSystem (the real one, or the simulator's).
//
// Everything here blocks and runs on a worker. Calls on one object never overlap; calls on different objects
// may.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "decree/membership.h"
#include "decree/result.h"
#include "decree/types.h"

namespace decree::runtime {

// What a snapshot says besides the machine's own bytes.
struct SnapshotManifest {
  Slot index;         // the last slot it contains
  Digest128 chain;    // chain(index)
  uint64_t term = 0;  // of slot `index`
  Membership membership;
  friend bool operator==(const SnapshotManifest&, const SnapshotManifest&) = default;
};

struct StoredSnapshot {
  SnapshotManifest manifest;
  uint64_t size_bytes = 0;  // of the file
  Digest128 file_digest;    // of the file, as offered to peers
};

// Writes a snapshot taken here. Destroyed before finish(): nothing is left behind.
class SnapshotWriter {
 public:
  virtual ~SnapshotWriter() = default;
  virtual Result<void> append(std::string_view bytes) = 0;
  // File and directory entry durable on return.
  virtual Result<StoredSnapshot> finish() = 0;
};

// Takes the raw file of a peer's snapshot. Destroyed before finish(): what came may stay, for the next
// receiver of the same file.
class SnapshotReceiver {
 public:
  virtual ~SnapshotReceiver() = default;
  // Left by a former receiver of the same file, verified. Asked before the first append().
  virtual uint64_t held_bytes() const { return 0; }
  // Consecutive pieces from held_bytes() on.
  virtual Result<void> append(std::string_view bytes) = 0;
  // Verifies the whole file (format, checksums, digest), installs it atomically, durable on return.
  virtual Result<StoredSnapshot> finish() = 0;
};

// The machine's bytes of a verified snapshot.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  // Appends at most about bytes_max; false when nothing is left.
  virtual Result<bool> next(size_t bytes_max, std::string* out) = 0;
};

class SnapshotStore {
 public:
  virtual ~SnapshotStore() = default;
  virtual Result<std::unique_ptr<SnapshotWriter>> create(const SnapshotManifest& manifest) = 0;
  virtual Result<std::unique_ptr<SnapshotReceiver>> receive(Slot index, uint64_t size_bytes,
                                                            Digest128 digest) = 0;
  virtual Result<std::unique_ptr<SnapshotReader>> open(Slot index) = 0;
  // Raw bytes of the file, for a peer.
  virtual Result<std::string> read_raw(Slot index, uint64_t offset, size_t bytes_max) = 0;
  // The newest snapshot that is whole and undamaged; none when there is no snapshot at all. When snapshots
  // exist but none is whole: an error naming the newest.
  virtual Result<std::optional<StoredSnapshot>> newest() = 0;
  // Removes all snapshots older than `newest` but those in `pinned`.
  virtual Result<void> prune(Slot newest, const std::vector<Slot>& pinned) = 0;
};

}  // namespace decree::runtime
