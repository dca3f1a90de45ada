// runtime::SnapshotStore over storage::SnapshotStore: real files, or the simulator's file system.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "runtime/snapshot_store.h"
#include "storage/snapshot_file.h"

namespace decree::runtime {

class FileSnapshotStore final : public SnapshotStore {
 public:
  // `files` must outlive this.
  FileSnapshotStore(storage::SnapshotStore& files, ClusterId cluster) : files_(files), cluster_(cluster) {}

  Result<std::unique_ptr<SnapshotWriter>> create(const SnapshotManifest& manifest) override;
  Result<std::unique_ptr<SnapshotReceiver>> receive(Slot index, uint64_t size_bytes,
                                                    Digest128 digest) override;
  Result<std::unique_ptr<SnapshotReader>> open(Slot index) override;
  Result<std::string> read_raw(Slot index, uint64_t offset, size_t bytes_max) override;
  Result<std::optional<StoredSnapshot>> newest() override;
  Result<void> prune(Slot newest, const std::vector<Slot>& pinned) override;

 private:
  Result<std::shared_ptr<storage::SnapshotPiece>> piece(Slot index);

  storage::SnapshotStore& files_;
  const ClusterId cluster_;
  std::mutex mutex_;
  std::map<Slot, std::shared_ptr<storage::SnapshotPiece>>
      pieces_;  // open for peers; keeps removed files readable
};

}  // namespace decree::runtime
