#include "server/backup.h"

#include <memory>
#include <utility>
#include <vector>

#include "api/backup_stream.h"
#include "etcd/rpc.pb.h"
#include "kv/applier.h"
#include "runtime/file_snapshot_store.h"
#include "server/identity.h"
#include "storage/data_dir.h"

namespace decree::server {

namespace {

constexpr size_t kPieceBytes = 1u << 20;
// The new cluster's log begins behind the restored state, as behind any snapshot.
constexpr Slot kRestoredSlot{1};

Result<uint64_t> read_into(storage::FileSystem& files, const std::string& path, kv::Store& store) {
  Result<std::unique_ptr<storage::File>> file = files.open(path, storage::OpenMode::read_only);
  if (!file) return file.error();
  api::BackupSink sink(store.begin_restore());
  std::vector<char> piece(kPieceBytes);
  uint64_t offset = 0;
  for (;;) {
    Result<size_t> got = (*file)->read(offset, piece);
    if (!got) return got.error();
    if (*got == 0) break;
    Result<void> written = sink.write(std::string_view(piece.data(), *got));
    if (!written)
      return Error{ErrorCode::corrupt, path + " is not a whole backup: " + written.error().message};
    offset += *got;
  }
  if (Result<void> finished = sink.finish(); !finished)
    return Error{ErrorCode::corrupt, path + " is not a whole backup: " + finished.error().message};
  return offset;
}

BackupFacts facts_of(const kv::Store& store, uint64_t file_bytes) {
  const kv::StoreSizes sizes = store.sizes();
  BackupFacts facts;
  facts.revision = store.current_revision();
  facts.compacted_revision = store.compacted_revision();
  facts.keys = sizes.keys;
  facts.versions = sizes.versions;
  facts.state_bytes = sizes.in_use_bytes;
  facts.file_bytes = file_bytes;
  etcdserverpb::HashKVResponse hash;
  if (hash.ParseFromString(store.hash_kv(0, 0).body)) facts.hash_kv = hash.hash();
  return facts;
}

}  // namespace

Result<BackupFacts> inspect_backup(storage::FileSystem& files, const std::string& path) {
  kv::Store store(kv::StoreConfig{});
  Result<uint64_t> bytes = read_into(files, path, store);
  if (!bytes) return bytes.error();
  return facts_of(store, *bytes);
}

Result<BackupFacts> write_new_cluster(storage::FileSystem& files, const Config& config, kv::Store& store,
                                      uint64_t source_bytes) {
  const Genesis genesis = make_genesis(config);
  Result<std::optional<Identity>> found = storage::DataDir::peek(files, config.data_dir);
  if (!found) return found.error();
  if (found->has_value())
    return Error{ErrorCode::invalid, config.data_dir +
                                         " holds a member's data already: a state is only restored into a "
                                         "directory that is absent or empty"};
  storage::OpenOptions options;
  options.create = genesis.identity;
  options.create->incarnation = draw_incarnation();
  Result<std::unique_ptr<storage::DataDir>> data = storage::DataDir::open(files, config.data_dir, options);
  if (!data) return data.error();

  runtime::FileSnapshotStore snapshots((*data)->snapshots(), genesis.identity.cluster);
  Result<std::unique_ptr<runtime::SnapshotWriter>> writer =
      snapshots.create(runtime::SnapshotManifest{kRestoredSlot, store.digest(), 0, genesis.membership});
  if (!writer) return writer.error();
  const std::unique_ptr<SnapshotSource> source = store.begin_snapshot();
  for (bool more = true; more;) {
    std::string piece;
    more = source->next(kPieceBytes, &piece);
    if (Result<void> written = (*writer)->append(piece); !written) return written.error();
  }
  if (Result<runtime::StoredSnapshot> stored = (*writer)->finish(); !stored) return stored.error();
  if (Result<void> closed = (*data)->close(); !closed) return closed.error();
  return facts_of(store, source_bytes);
}

Result<BackupFacts> restore_backup(storage::FileSystem& files, const Config& config, const std::string& path,
                                   int64_t revision_bump) {
  kv::Store store(kv::StoreConfig{});
  Result<uint64_t> bytes = read_into(files, path, store);
  if (!bytes) return bytes.error();
  store.begin_new_cluster(revision_bump);
  return write_new_cluster(files, config, store, *bytes);
}

}  // namespace decree::server
