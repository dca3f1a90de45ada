#include "kv/mvcc.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <xxhash.h>
#include "base/planted_bugs.h"
#include "decree/sometimes.h"

namespace decree::kv {

namespace {

// How many versions of a history are at or before `revision`.
size_t count_upto(const History& history, int64_t revision) {
  size_t low = 0;
  size_t high = history.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (history.at(middle)->mod() <= revision) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

int64_t release_group(int64_t revision) { return revision >> 10; }

// Everything a client can see of a live version.
XXH128_hash_t digest_of(const Record& record) {
  const std::string_view content = record.content();
  const XXH128_hash_t body = XXH3_128bits(content.data(), content.size());
  const std::array<uint64_t, 8> block{body.low64,
                                      body.high64,
                                      record.key().size(),
                                      static_cast<uint64_t>(record.mod()),
                                      record.sub(),
                                      static_cast<uint64_t>(record.create()),
                                      static_cast<uint64_t>(record.version()),
                                      static_cast<uint64_t>(record.lease())};
  return XXH3_128bits(block.data(), sizeof block);
}

}  // namespace

Mvcc::~Mvcc() {
  while (release_slice(SIZE_MAX)) {
  }
}

std::pair<KeyIndex::Iterator, KeyIndex::Iterator> Mvcc::bounds(const KeyRange& range) const {
  if (range.single()) {
    const KeyIndex::Place place = index_.locate(range.key);
    if (!place.found) return {index_.end(), index_.end()};
    const auto first = index_.at(place);
    auto last = first;
    return {first, ++last};
  }
  const auto first = index_.lower_bound(range.key);
  if (range.to_end()) return {first, index_.end()};
  if (range.range_end <= range.key) return {first, first};
  return {first, index_.lower_bound(range.range_end)};
}

const Record* Mvcc::visible_past(const KeyEntry& entry, int64_t at) const {
  const Record* newest = entry.record();
  const Record* seen = nullptr;
  if (newest->mod() <= at) {
    seen = newest;
  } else if (const size_t older = count_upto(newest->history(), at); older > 0) {
    seen = newest->history().at(older - 1);
  }
  return seen == nullptr || seen->tombstone() ? nullptr : seen;
}

const Record* Mvcc::get(std::string_view key, int64_t at) const {
  const KeyIndex::Place place = index_.locate(key);
  return place.found ? visible(*index_.at(place), at) : nullptr;
}

void Mvcc::begin_write() {
  DECREE_CHECK(!writing_, "one write at a time");
  writing_ = true;
  changes_.clear();
}

bool Mvcc::end_write() {
  DECREE_CHECK(writing_, "end_write without begin_write");
  writing_ = false;
  if (changes_.empty()) return false;
  ++revision_;
  return true;
}

Record* Mvcc::new_record(const RecordFields& fields) {
  Record* record = Record::make(fields, pool_);
  held_bytes_ += record->alloc_bytes();
  in_use_bytes_ += record->alloc_bytes();
  ++versions_;
  // A deletion is kept only until the store is compacted beyond it.
  if (fields.tombstone) account_release(fields.mod + 1, record->alloc_bytes());
  return record;
}

void Mvcc::free_record(Record* record) {
  held_bytes_ -= record->alloc_bytes();
  --versions_;
  Record::free(record, pool_);
}

void Mvcc::account_release(int64_t revision, uint64_t bytes) {
  const int64_t group = release_group(revision);
  const auto last = release_at_.rbegin();
  std::vector<Release>& releases =
      last != release_at_.rend() && last->first == group ? last->second : release_at_[group];
  if (!releases.empty() && releases.back().revision == revision)
    releases.back().bytes += bytes;
  else
    releases.push_back({revision, bytes});
}

// A sum does not depend on the order in which versions came.
void Mvcc::digest_in(const Record& record) {
  if (record.tombstone()) return;
  const XXH128_hash_t h = digest_of(record);
  live_digest_ = {live_digest_.hi + h.high64, live_digest_.lo + h.low64};
}

void Mvcc::digest_out(const Record& record) {
  if (record.tombstone()) return;
  const XXH128_hash_t h = digest_of(record);
  live_digest_ = {live_digest_.hi - h.high64, live_digest_.lo - h.low64};
}

// Makes `now` the newest version of the key at `it`.
void Mvcc::supersede(KeyIndex::Iterator it, Record* now) {
  Record* old = it->record();
  digest_out(*old);
  digest_in(*now);
  if (!old->tombstone()) {
    account_release(now->mod(), old->alloc_bytes());
  } else if (old->mod() == now->mod()) {
    // Deleted and put again by one transaction: gone one revision earlier than a deletion that stands.
    account_release(old->mod() + 1, -static_cast<uint64_t>(old->alloc_bytes()));
    account_release(now->mod(), old->alloc_bytes());
  }
  now->history() = old->take_history();
  now->history().push(old);
  index_.replace(it, now);
}

const Record* Mvcc::put(std::string_view key, std::string_view value, int64_t lease) {
  DECREE_CHECK(writing_, "put outside a write");
  const int64_t main = revision_ + 1;
  RecordFields fields{.mod = main,
                      .sub = static_cast<uint32_t>(changes_.size()),
                      .tombstone = false,
                      .create = main,
                      .version = 1,
                      .lease = lease,
                      .key = key,
                      .value = value};
  const KeyIndex::Place place = index_.locate(key);
  const Record* previous = nullptr;
  Record* now = nullptr;
  if (place.found) {
    const auto it = index_.at(place);
    if (!it->tombstone() || planted(PlantedBug::deleted_key_goes_on)) {
      previous = it->record();
      fields.create = previous->create();
      fields.version = previous->version() + 1;
    }
    now = new_record(fields);
    supersede(it, now);
  } else {
    now = new_record(fields);
    digest_in(*now);
    index_.insert(place, now);
  }
  if (previous == nullptr) ++live_keys_;
  changes_.push_back(now);
  return previous;
}

int64_t Mvcc::erase(const KeyRange& range, std::vector<const Record*>* deleted) {
  DECREE_CHECK(writing_, "erase outside a write");
  int64_t n = 0;
  const auto [first, last] = bounds(range);
  for (auto it = first; it != last; ++it) {
    if (it->tombstone()) continue;
    const Record* old = it->record();
    if (deleted != nullptr) deleted->push_back(old);
    Record* now = new_record({.mod = revision_ + 1,
                              .sub = static_cast<uint32_t>(changes_.size()),
                              .tombstone = true,
                              .key = old->key()});
    supersede(it, now);
    changes_.push_back(now);
    --live_keys_;
    ++n;
  }
  return n;
}

void Mvcc::compact(int64_t revision) {
  DECREE_CHECK(revision > compacted_ && revision <= revision_, "compaction revision not checked");
  compacted_ = revision;
  const int64_t last_group = release_group(revision);
  while (!release_at_.empty() && release_at_.begin()->first <= last_group) {
    std::vector<Release>& releases = release_at_.begin()->second;
    std::erase_if(releases, [this, revision](const Release& r) {
      if (r.revision > revision) return false;
      in_use_bytes_ -= r.bytes;
      return true;
    });
    if (!releases.empty()) break;
    release_at_.erase(release_at_.begin());
  }
}

void Mvcc::unpin(int64_t revision) {
  const auto it = pins_.find(revision);
  DECREE_CHECK(it != pins_.end(), "unpin of a revision that is not pinned");
  pins_.erase(it);
}

bool Mvcc::compact_slice(size_t work_max) {
  if (compaction_target_ == physically_compacted_) {
    if (compacted_ == physically_compacted_) return false;
    DECREE_SOMETIMES("compaction waits for a snapshot", !pins_.empty() && *pins_.begin() < compacted_);
    if (!pins_.empty() && *pins_.begin() < compacted_) return false;
    compaction_target_ = compacted_;
    compaction_cursor_.clear();
  }
  auto it = index_.lower_bound(compaction_cursor_);
  size_t work = 0;
  while (it != index_.end() && work < work_max) {
    if (!it->has_history() && !it->tombstone()) {
      ++it;
      ++work;
      continue;
    }
    work += 8 + 8 * compact_key(&it, compaction_target_, (work_max - work) / 8 + 1);
  }
  if (it == index_.end()) {
    physically_compacted_ = compaction_target_;
    compaction_cursor_.clear();
    compaction_cursor_.shrink_to_fit();
    return compacted_ != physically_compacted_;
  }
  DECREE_SOMETIMES("compaction needs several slices", true);
  compaction_cursor_ = it->record()->key();
  return true;
}

// Frees what no read at or above `target` needs of one key: everything before the newest version <= target,
// and that one too if it is a deletion before `target` (at exactly `target` a watch may still ask for it).
// Advances `it` unless the key has more than `work_max` versions to free. Returns versions freed.
size_t Mvcc::compact_key(KeyIndex::Iterator* it, int64_t target, size_t work_max) {
  Record* newest = (*it)->record();
  History& history = newest->history();
  const bool newest_within = newest->mod() <= target;
  size_t drop = 0;
  if (newest_within) {
    drop = history.size();
  } else if (const size_t within = count_upto(history, target); within > 0) {
    const Record* kept = history.at(within - 1);
    const bool wrong = planted(PlantedBug::compaction_drops_visible);
    drop = (kept->tombstone() && kept->mod() < target) || wrong ? within : within - 1;
  }
  const size_t freed = std::min(drop, work_max);
  for (size_t i = 0; i < freed; ++i) free_record(history.at(i));
  history.drop_front(freed);
  if (freed < drop) return freed;
  const bool outdated = newest->mod() < target || planted(PlantedBug::revision_from_records);
  if (newest_within && newest->tombstone() && outdated) {
    DECREE_SOMETIMES("compaction frees a deleted key", true);
    *it = index_.erase(*it);
    free_record(newest);
    return freed + 1;
  }
  if (freed > 0 && history.empty()) index_.replace(*it, newest);  // its entry says so
  ++*it;
  return freed;
}

bool Mvcc::load(const RecordFields& fields) {
  const Record* newest = index_.last();
  const int order = newest == nullptr ? -1 : newest->key().compare(fields.key);
  if (order > 0) return false;
  if (order == 0) {
    if (std::pair(newest->mod(), newest->sub()) >= std::pair(fields.mod, fields.sub)) return false;
    if (!newest->tombstone()) --live_keys_;
    supersede(index_.last_entry(), new_record(fields));
  } else {
    Record* record = new_record(fields);
    digest_in(*record);
    index_.append(record);
  }
  if (!fields.tombstone) ++live_keys_;
  return true;
}

void Mvcc::finish_load(int64_t revision, int64_t compacted) {
  revision_ = revision;
  compacted_ = compacted;
  physically_compacted_ = compacted;
  compaction_target_ = compacted;
}

bool Mvcc::release_slice(size_t work_max) {
  changes_.clear();
  for (size_t work = 0; !index_.empty() && work < work_max; ++work) {
    Record* newest = index_.last();
    History& history = newest->history();
    const size_t n = std::min(history.size(), work_max - work);
    for (size_t i = 0; i < n; ++i) free_record(history.at(i));
    history.drop_front(n);
    work += n;
    if (!history.empty()) return true;
    index_.pop_back();
    free_record(newest);
  }
  return !index_.empty();
}

std::string Mvcc::broken_invariant() const {
  uint64_t held = 0;
  uint64_t live = 0;
  uint64_t count = 0;
  uint64_t in_use = 0;
  Digest128 digest;
  if (std::string broken = index_.broken_invariant(); !broken.empty()) return broken;
  for (auto it = index_.begin(); it != index_.end(); ++it) {
    const Record* newest = it->record();
    const History& history = newest->history();
    if (!newest->tombstone()) {
      ++live;
      const XXH128_hash_t h = digest_of(*newest);
      digest = {digest.hi + h.high64, digest.lo + h.low64};
    }
    const size_t n = history.size();
    for (size_t i = 0; i <= n; ++i) {
      const Record* r = i < n ? history.at(i) : newest;
      const Record* next = i == n ? nullptr : (i + 1 < n ? history.at(i + 1) : newest);
      if (r->key() != newest->key()) return "a version of another key";
      if (r->mod() > revision_ + 1) return "a version of the future";
      held += r->alloc_bytes();
      ++count;
      int64_t released = r->tombstone() ? r->mod() + 1 : INT64_MAX;
      if (next != nullptr) {
        if (std::pair(r->mod(), r->sub()) >= std::pair(next->mod(), next->sub()))
          return "versions out of order";
        released = std::min(released, next->mod());
      }
      if (released > compacted_) in_use += r->alloc_bytes();
    }
  }
  if (held != held_bytes_) return "held_bytes";
  if (live != live_keys_) return "live_keys";
  if (digest != live_digest_) return "live_digest";
  if (count != versions_) return "versions";
  if (in_use != in_use_bytes_) return "in_use_bytes";
  return {};
}

}  // namespace decree::kv
