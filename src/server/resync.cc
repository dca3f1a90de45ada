#include "server/resync.h"

#include <array>
#include <memory>
#include <vector>

#include <fmt/format.h>
#include "server/identity.h"
#include "storage/data_dir.h"

namespace decree::server {

namespace {

constexpr const char* kReport = "divergence.txt";
constexpr int kEvidenceMax = 1000;

std::string prepared_path(const std::string& data_dir) { return data_dir + ".resync"; }

Result<std::string> free_name(storage::FileSystem& files, const std::string& data_dir) {
  for (int n = 1; n <= kEvidenceMax; ++n) {
    std::string path = fmt::format("{}.diverged-{}", data_dir, n);
    Result<storage::PathKind> kind = files.kind(path);
    if (!kind) return kind.error();
    if (*kind == storage::PathKind::absent) return path;
  }
  return Error{ErrorCode::invalid, data_dir + " was set aside too often: look at " + data_dir +
                                       ".diverged-* and remove what is not needed"};
}

// Identity and membership are durable in it BEFORE the old directory moves: with flags that do not describe
// the cluster any more, a start on nothing would make a cluster of its own.
Result<void> prepare(storage::FileSystem& files, const std::string& path, const Divergence& divergence) {
  Result<std::optional<Identity>> left = storage::DataDir::peek(files, path);
  if (!left) return left.error();
  storage::OpenOptions options;
  if (!left->has_value()) {
    options.create = divergence.identity;
    options.create->incarnation = draw_incarnation();
  }
  Result<std::unique_ptr<storage::DataDir>> data = storage::DataDir::open(files, path, options);
  if (!data) return data.error();
  const std::array<PersistedRecord, 1> epoch{
      PersistedRecord{LogToken(1), EpochRecord{divergence.membership, Ballot{}}}};
  if (Result<void> written = (*data)->wal().commit(epoch); !written) return written;
  return (*data)->close();
}

Result<void> move_in(storage::FileSystem& files, const std::string& data_dir) {
  if (Result<void> moved = files.rename(prepared_path(data_dir), data_dir); !moved) return moved;
  return files.sync_directory(storage::parent_path(data_dir));
}

}  // namespace

Result<std::string> set_aside(storage::FileSystem& files, const std::string& data_dir,
                              const Divergence& divergence) {
  Result<std::string> evidence = free_name(files, data_dir);
  if (!evidence) return evidence;
  const std::string report = storage::join_path(data_dir, kReport);
  if (Result<void> r = storage::write_whole(files, report, divergence.report); !r) return r.error();
  if (Result<void> r = files.sync_directory(data_dir); !r) return r.error();
  if (Result<void> r = prepare(files, prepared_path(data_dir), divergence); !r) return r.error();
  if (Result<void> r = files.rename(data_dir, *evidence); !r) return r.error();
  if (Result<void> r = files.sync_directory(storage::parent_path(data_dir)); !r) return r.error();
  if (Result<void> r = move_in(files, data_dir); !r) return r.error();
  return evidence;
}

Result<void> finish_set_aside(storage::FileSystem& files, const std::string& data_dir) {
  Result<storage::PathKind> prepared = files.kind(prepared_path(data_dir));
  if (!prepared) return prepared.error();
  Result<storage::PathKind> present = files.kind(data_dir);
  if (!present) return present.error();
  if (*prepared != storage::PathKind::directory || *present != storage::PathKind::absent) return {};
  return move_in(files, data_dir);
}

}  // namespace decree::server
