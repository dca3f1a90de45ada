// Snapshots of the key-value state machine: format, slice-wise writer, checked reader.
//
//   stream  = magic "DCRKV\0\0\1" (8 bytes; the last one is the format version), chunk*
//   chunk   = u32 type, u32 payload bytes, u64 XXH3-64 of (type, length, number of the chunk from 0,
//   payload), payload types     1 state     first, once: see SnapshotState; little-endian fixed integers,
//   strings with a u32 length
//             2 records   any number: versions, keys ascending, versions of a key ascending
//             3 end       last, once: u64 versions, u64 live keys, u64 in_use_bytes: must agree with what was
//             read
//   record  = varint flags (1 tombstone, 2 same key as the record before), varint key bytes + key unless
//   same,
//             varint mod, varint sub, varint create, varint version, varint lease, varint value bytes + value
//             (create..value only for puts)
// Content: the newest version <= compacted of every key (deletions only at exactly compacted) and all
// versions up to the revision of the snapshot, whatever the physical compaction has got to: equal states give
// equal bytes. A reader refuses unknown versions and types, gaps, disorder, wrong sums, and bytes after the
// end.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "decree/state_machine.h"
#include "kv/applier.h"

namespace decree::kv {

// Everything that is not multi-version: captured whole in the first slice.
struct SnapshotState {
  int64_t revision = 1;
  int64_t compacted = -1;
  Digest128 digest;
  std::vector<Alarm> alarms;
  std::map<uint64_t, MemberAttributes> members;
  std::string cluster_version;
};

std::unique_ptr<SnapshotSource> make_snapshot_source(std::shared_ptr<Mvcc> mvcc, SnapshotState state);

// `install` runs in finish(), after everything has been verified.
std::unique_ptr<SnapshotSink> make_snapshot_sink(
    std::function<void(SnapshotState state, std::shared_ptr<Mvcc> mvcc)> install,
    std::function<void(std::shared_ptr<Mvcc> mvcc)> discard);

}  // namespace decree::kv
