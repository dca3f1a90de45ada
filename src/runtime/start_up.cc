#include "runtime/start_up.h"

#include <utility>

#include "decree/sometimes.h"

namespace decree::runtime {
namespace {

Error missing_snapshot(const RecoveredState& recovered) {
  DECREE_SOMETIMES("the log starts behind a snapshot that is gone", true);
  return Error{ErrorCode::corrupt, "the log starts behind the snapshot at slot " +
                                       std::to_string(recovered.snapshot_index.value) +
                                       ", but no whole snapshot so new is in the data directory; put the "
                                       "file back from a backup, or remove this "
                                       "member from the cluster and add it again with an empty directory"};
}

Result<void> restore(SnapshotStore& store, StateMachine& machine, Slot index) {
  Result<std::unique_ptr<SnapshotReader>> reader = store.open(index);
  if (!reader) return reader.error();
  std::unique_ptr<SnapshotSink> sink = machine.begin_restore();
  std::string piece;
  for (;;) {
    piece.clear();
    Result<bool> more = (*reader)->next(1u << 20, &piece);
    if (!more) return more.error();
    if (!piece.empty()) {
      Result<void> written = sink->write(piece);
      if (!written) return written;
    }
    if (!*more) break;
  }
  return sink->finish();
}

}  // namespace

Result<std::optional<StoredSnapshot>> restore_newest(SnapshotStore& store, StateMachine& machine,
                                                     RecoveredState& recovered) {
  Result<std::optional<StoredSnapshot>> newest = store.newest();
  if (!newest) return newest.error();
  if (!newest->has_value()) {
    if (recovered.snapshot_index > Slot(0)) return missing_snapshot(recovered);
    return std::optional<StoredSnapshot>{};
  }
  const StoredSnapshot stored = **newest;
  const SnapshotManifest& manifest = stored.manifest;
  if (manifest.index < recovered.snapshot_index) return missing_snapshot(recovered);
  if (manifest.index == recovered.snapshot_index && manifest.chain != recovered.snapshot_chain)
    return Error{ErrorCode::corrupt,
                 "the snapshot at slot " + std::to_string(manifest.index.value) +
                     " does not belong to the log beside it (their chains differ); the data directory "
                     "was put together from two; restore one whole copy"};
  Result<void> restored = restore(store, machine, manifest.index);
  if (!restored) return restored.error();
  if (manifest.index > recovered.snapshot_index) {
    DECREE_SOMETIMES("a snapshot is newer than the log's record of it", true);
    recovered.snapshot_index = manifest.index;
    recovered.snapshot_chain = manifest.chain;
    recovered.snapshot_term = manifest.term;
    recovered.accepted.erase(recovered.accepted.begin(), recovered.accepted.upper_bound(manifest.index));
    if (!recovered.has_membership || recovered.membership.epoch < manifest.membership.epoch) {
      recovered.membership = manifest.membership;
      recovered.has_membership = true;
    }
  }
  if (recovered.decided_hint < manifest.index) recovered.decided_hint = manifest.index;
  return std::optional<StoredSnapshot>(stored);
}

}  // namespace decree::runtime
