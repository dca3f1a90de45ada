// The multi-version map: every key with its versions since compaction, in memory.
//
// Revisions as etcd's: an empty store is at 1, each writing command takes the next main revision, its changes
// share it and count a sub-revision from 0. Compaction is logical at once and physical in slices; pinned
// revisions (snapshots, long ranges) hold the physical part back. One thread; nothing here reads a clock.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "decree/types.h"
#include "kv/key_index.h"
#include "kv/record.h"
#include "kv/record_pool.h"

namespace decree::kv {

// A range as the wire says it: end empty = one key, end "\0" = to the end of the keys.
struct KeyRange {
  std::string_view key;
  std::string_view range_end;
  bool single() const { return range_end.empty(); }
  bool to_end() const { return range_end.size() == 1 && range_end[0] == '\0'; }
  bool contains(std::string_view k) const {
    if (single()) return k == key;
    return k >= key && (to_end() || k < range_end);
  }
};

class Mvcc {
 public:
  Mvcc() = default;
  ~Mvcc();
  Mvcc(const Mvcc&) = delete;
  Mvcc& operator=(const Mvcc&) = delete;

  int64_t revision() const { return revision_; }
  int64_t compacted() const { return compacted_; }  // -1: never
  // What a read sees now: revision(), or the revision being written once it has a change.
  int64_t read_revision() const { return changes_.empty() || !writing_ ? revision_ : revision_ + 1; }

  // ---- Reading
  const KeyIndex& index() const { return index_; }
  std::pair<KeyIndex::Iterator, KeyIndex::Iterator> bounds(const KeyRange& range) const;
  // The version of `entry` that a read at `at` sees; null if there is none or it is a deletion.
  const Record* visible(const KeyEntry& entry, int64_t at) const {
    if (at >= read_revision()) return entry.tombstone() ? nullptr : entry.record();
    return visible_past(entry, at);
  }
  const Record* get(std::string_view key, int64_t at) const;

  // ---- Writing: begin_write(), any number of put/erase, end_write() takes the revision if anything changed.
  void begin_write();
  // Returns the live version replaced, null if the key is new. The pointer stays valid until background work
  // runs.
  const Record* put(std::string_view key, std::string_view value, int64_t lease);
  // Deletes the live keys of a range in key order; appends the deleted versions to `deleted` if not null.
  int64_t erase(const KeyRange& range, std::vector<const Record*>* deleted);
  bool end_write();
  const std::vector<const Record*>& changes() const { return changes_; }  // since the last begin_write()
  void forget_changes() { changes_.clear(); }

  // Logical, at once. The caller has checked compacted() < revision <= revision().
  void compact(int64_t revision);
  bool compaction_done(int64_t revision) const { return physically_compacted_ >= revision; }
  // About `work_max` units of physical compaction; false when there is nothing to do (or a pin is in the
  // way).
  bool compact_slice(size_t work_max);

  // ---- Pins: versions that a read at `revision` needs stay.
  void pin(int64_t revision) { pins_.insert(revision); }
  void unpin(int64_t revision);

  // ---- Sizes
  uint64_t held_bytes() const { return held_bytes_; }
  uint64_t in_use_bytes() const { return in_use_bytes_; }
  uint64_t live_keys() const { return live_keys_; }
  // Over the live versions as they lie in memory, whatever way they came there: equal on equal states.
  // Taken out again from memory when a version is replaced, so that one that rotted leaves its mark.
  Digest128 live_digest() const { return live_digest_; }
  uint64_t versions() const { return versions_; }

  // ---- Bulk building, keys ascending and versions of a key ascending; an empty store only. False: out of
  // order.
  bool load(const RecordFields& fields);
  void finish_load(int64_t revision, int64_t compacted);
  // The next write makes revision() + count + 1. Not during one.
  void skip_revisions(int64_t count) { revision_ += count; }

  // Frees about `work_max` versions of a store that nobody reads any more; false when all are gone.
  bool release_slice(size_t work_max);

  // Recounts everything; empty string if the figures agree. O(n), tests and slow checks only.
  std::string broken_invariant() const;

 private:
  const Record* visible_past(const KeyEntry& entry, int64_t at) const;
  void supersede(KeyIndex::Iterator it, Record* now);
  void digest_in(const Record& record);
  void digest_out(const Record& record);
  Record* new_record(const RecordFields& fields);
  void free_record(Record* record);
  void account_release(int64_t revision, uint64_t bytes);
  size_t compact_key(KeyIndex::Iterator* it, int64_t target, size_t work_max);

  RecordPool pool_;
  KeyIndex index_;
  int64_t revision_ = 1;
  int64_t compacted_ = -1;
  bool writing_ = false;
  std::vector<const Record*> changes_;

  std::multiset<int64_t> pins_;
  int64_t physically_compacted_ = -1;
  int64_t compaction_target_ = -1;  // of the running sweep; == physically_compacted_ when idle
  std::string compaction_cursor_;

  uint64_t held_bytes_ = 0;
  uint64_t in_use_bytes_ = 0;
  uint64_t live_keys_ = 0;
  Digest128 live_digest_;
  uint64_t versions_ = 0;
  // Bytes that a compaction at `revision` or above sets free: makes in_use_bytes_ exact, and equal on all
  // members, without waiting for the sweep. In groups of neighbouring revisions, unordered within: a snapshot
  // comes in the order of keys, and to sort a million of these would stop the loop for longer than a turn.
  struct Release {
    int64_t revision;
    uint64_t bytes;
  };
  std::map<int64_t, std::vector<Release>> release_at_;  // by release_group()
};

// Keeps a revision readable while it lives.
class PinnedRevision {
 public:
  PinnedRevision(std::shared_ptr<Mvcc> mvcc, int64_t revision) : mvcc_(std::move(mvcc)), revision_(revision) {
    mvcc_->pin(revision_);
  }
  ~PinnedRevision() { mvcc_->unpin(revision_); }
  PinnedRevision(const PinnedRevision&) = delete;
  PinnedRevision& operator=(const PinnedRevision&) = delete;
  Mvcc& mvcc() const { return *mvcc_; }
  int64_t revision() const { return revision_; }

 private:
  std::shared_ptr<Mvcc> mvcc_;
  int64_t revision_;
};

}  // namespace decree::kv
