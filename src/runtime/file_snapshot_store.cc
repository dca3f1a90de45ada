#include "runtime/file_snapshot_store.h"

#include <algorithm>
#include <utility>

namespace decree::runtime {
namespace {

StoredSnapshot stored_of(const storage::SnapshotInfo& info) {
  return StoredSnapshot{
      SnapshotManifest{info.meta.index, info.meta.chain, info.meta.term, info.meta.membership},
      info.size_bytes, info.digest};
}

class FileWriter final : public SnapshotWriter {
 public:
  explicit FileWriter(std::unique_ptr<storage::SnapshotWriter> file) : file_(std::move(file)) {}
  Result<void> append(std::string_view bytes) override { return file_->append(bytes); }
  Result<StoredSnapshot> finish() override {
    Result<storage::SnapshotInfo> info = file_->finish();
    if (!info) return info.error();
    return stored_of(*info);
  }

 private:
  std::unique_ptr<storage::SnapshotWriter> file_;
};

class FileReceiver final : public SnapshotReceiver {
 public:
  explicit FileReceiver(std::unique_ptr<storage::SnapshotImport> file)
      : file_(std::move(file)), offset_(file_->contiguous_bytes()) {}
  uint64_t held_bytes() const override { return offset_; }
  Result<void> append(std::string_view bytes) override {
    Result<void> written = file_->write(offset_, bytes);
    offset_ += bytes.size();
    return written;
  }
  Result<StoredSnapshot> finish() override {
    Result<storage::SnapshotInfo> info = file_->finish();
    if (!info) return info.error();
    return stored_of(*info);
  }

 private:
  std::unique_ptr<storage::SnapshotImport> file_;
  uint64_t offset_;
};

class FileReader final : public SnapshotReader {
 public:
  explicit FileReader(std::unique_ptr<storage::SnapshotReader> file) : file_(std::move(file)) {}
  // The file's own chunks are small enough for a slice.
  Result<bool> next(size_t /*bytes_max*/, std::string* out) override {
    Result<bool> more = file_->next(&chunk_);
    if (more && *more) out->append(chunk_);
    return more;
  }

 private:
  std::unique_ptr<storage::SnapshotReader> file_;
  std::string chunk_;
};

}  // namespace

Result<std::unique_ptr<SnapshotWriter>> FileSnapshotStore::create(const SnapshotManifest& manifest) {
  Result<std::unique_ptr<storage::SnapshotWriter>> writer = files_.begin(
      storage::SnapshotMeta{cluster_, manifest.index, manifest.chain, manifest.term, manifest.membership});
  if (!writer) return writer.error();
  return std::unique_ptr<SnapshotWriter>(std::make_unique<FileWriter>(std::move(writer).value()));
}

Result<std::unique_ptr<SnapshotReceiver>> FileSnapshotStore::receive(Slot index, uint64_t size_bytes,
                                                                     Digest128 digest) {
  Result<std::unique_ptr<storage::SnapshotImport>> import = files_.begin_import(index, size_bytes, digest);
  if (!import) return import.error();
  return std::unique_ptr<SnapshotReceiver>(std::make_unique<FileReceiver>(std::move(import).value()));
}

Result<std::unique_ptr<SnapshotReader>> FileSnapshotStore::open(Slot index) {
  Result<std::unique_ptr<storage::SnapshotReader>> reader = files_.read(index);
  if (!reader) return reader.error();
  return std::unique_ptr<SnapshotReader>(std::make_unique<FileReader>(std::move(reader).value()));
}

Result<std::shared_ptr<storage::SnapshotPiece>> FileSnapshotStore::piece(Slot index) {
  const std::lock_guard lock(mutex_);
  const auto it = pieces_.find(index);
  if (it != pieces_.end()) return it->second;
  Result<std::unique_ptr<storage::SnapshotPiece>> opened = files_.open_piece(index);
  if (!opened) return opened.error();
  std::shared_ptr<storage::SnapshotPiece> shared = std::move(opened).value();
  pieces_.emplace(index, shared);
  return shared;
}

Result<std::string> FileSnapshotStore::read_raw(Slot index, uint64_t offset, size_t bytes_max) {
  Result<std::shared_ptr<storage::SnapshotPiece>> file = piece(index);
  if (!file) return file.error();
  return (*file)->read(offset, static_cast<uint32_t>(bytes_max));
}

Result<std::optional<StoredSnapshot>> FileSnapshotStore::newest() {
  const std::optional<storage::SnapshotInfo> info = files_.newest();
  if (info) return std::optional<StoredSnapshot>(stored_of(*info));
  const std::vector<std::string> damaged = files_.damaged();
  if (!damaged.empty())
    return Error{ErrorCode::corrupt,
                 "no whole snapshot is left in the data directory, " + damaged.front() +
                     " is damaged; put the file back from a backup, or remove this member from the "
                     "cluster and add it again with an empty directory"};
  return std::optional<StoredSnapshot>();
}

Result<void> FileSnapshotStore::prune(Slot /*newest*/, const std::vector<Slot>& pinned) {
  // An open piece survives the removal of its name, so pinning is holding it.
  for (const Slot slot : pinned) (void)piece(slot).ok();
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(pieces_, [&](const auto& p) {
      return std::find(pinned.begin(), pinned.end(), p.first) == pinned.end();
    });
  }
  return files_.drop_older(1);
}

}  // namespace decree::runtime
