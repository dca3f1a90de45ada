#include "kv/mvcc.h"

#include <algorithm>

namespace decree::kv {

Mvcc::~Mvcc() {
  while (release_slice(SIZE_MAX)) {
  }
}

std::pair<Mvcc::Tree::const_iterator, Mvcc::Tree::const_iterator> Mvcc::bounds(const KeyRange& range) const {
  const auto first = tree_.lower_bound(range.key);
  if (range.single()) {
    auto last = first;
    if (first != tree_.end() && first->record()->key() == range.key) ++last;
    return {first, last};
  }
  if (range.to_end()) return {first, tree_.end()};
  if (range.range_end <= range.key) return {first, first};
  return {first, tree_.lower_bound(range.range_end)};
}

const Record* Mvcc::visible_past(const KeyEntry& entry, int64_t at) const {
  const Record* newest = entry.record();
  const Record* seen = nullptr;
  if (newest->mod() <= at) {
    seen = newest;
  } else if (const History* history = newest->history()) {
    size_t low = 0;
    size_t high = history->size();  // the first version with mod > at
    while (low < high) {
      const size_t mid = (low + high) / 2;
      if (history->at(mid)->mod() <= at) {
        low = mid + 1;
      } else {
        high = mid;
      }
    }
    if (low > 0) seen = history->at(low - 1);
  }
  return seen == nullptr || seen->tombstone() ? nullptr : seen;
}

const Record* Mvcc::get(std::string_view key, int64_t at) const {
  const auto it = tree_.find(key);
  return it == tree_.end() ? nullptr : visible(*it, at);
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
  Record* record = Record::make(fields);
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
  Record::free(record);
}

// Makes `now` the newest version of the key at `entry`.
void Mvcc::supersede(const KeyEntry& entry, Record* now) {
  Record* old = entry.record();
  if (!old->tombstone()) {
    account_release(now->mod(), old->alloc_bytes());
  } else if (old->mod() == now->mod()) {
    // Deleted and put again by one transaction: gone one revision earlier than a deletion that stands.
    const auto it = release_at_.find(old->mod() + 1);
    it->second -= old->alloc_bytes();
    if (it->second == 0) release_at_.erase(it);
    account_release(now->mod(), old->alloc_bytes());
  }
  History* history = old->history();
  if (history == nullptr) history = new History;
  old->set_history(nullptr);
  history->push(old);
  now->set_history(history);
  entry.set(now);
}

const Record* Mvcc::put(std::string_view key, std::string_view value, int64_t lease) {
  DECREE_CHECK(writing_, "put outside a write");
  const int64_t main = revision_ + 1;
  RecordFields fields{.mod = main, .sub = static_cast<uint32_t>(changes_.size()), .tombstone = false, .create = main,
                      .version = 1, .lease = lease, .key = key, .value = value};
  const auto it = tree_.lower_bound(key);
  const Record* previous = nullptr;
  Record* now = nullptr;
  if (it != tree_.end() && it->record()->key() == key) {
    if (!it->tombstone()) {
      previous = it->record();
      fields.create = previous->create();
      fields.version = previous->version() + 1;
    }
    now = new_record(fields);
    supersede(*it, now);
  } else {
    now = new_record(fields);
    tree_.insert(it, KeyEntry(now));
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
    Record* now = new_record({.mod = revision_ + 1, .sub = static_cast<uint32_t>(changes_.size()), .tombstone = true,
                              .key = old->key()});
    supersede(*it, now);
    changes_.push_back(now);
    --live_keys_;
    ++n;
  }
  return n;
}

void Mvcc::compact(int64_t revision) {
  DECREE_CHECK(revision > compacted_ && revision <= revision_, "compaction revision not checked");
  compacted_ = revision;
  while (!release_at_.empty() && release_at_.begin()->first <= revision) {
    in_use_bytes_ -= release_at_.begin()->second;
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
    if (!pins_.empty() && *pins_.begin() < compacted_) return false;
    compaction_target_ = compacted_;
    compaction_cursor_.clear();
  }
  auto it = tree_.lower_bound(std::string_view(compaction_cursor_));
  size_t work = 0;
  while (it != tree_.end() && work < work_max) {
    if (!it->has_history() && !it->tombstone()) {
      ++it;
      ++work;
      continue;
    }
    work += 8 + 4 * compact_key(&it, compaction_target_, (work_max - work) / 4 + 1);
  }
  if (it == tree_.end()) {
    physically_compacted_ = compaction_target_;
    compaction_cursor_.clear();
    compaction_cursor_.shrink_to_fit();
    return compacted_ != physically_compacted_;
  }
  compaction_cursor_ = it->record()->key();
  return true;
}

// Frees what no read at or above `target` needs of one key: everything before the newest version <= target, and that
// one too if it is a deletion before `target` (at exactly `target` a watch may still ask for it). Advances `it` unless
// the key has more than `work_max` versions to free. Returns versions freed.
size_t Mvcc::compact_key(Tree::iterator* it, int64_t target, size_t work_max) {
  Record* newest = (*it)->record();
  History* history = newest->history();
  const size_t n = history == nullptr ? 0 : history->size();
  const bool newest_within = newest->mod() <= target;
  size_t within = n;  // versions of the history that are <= target
  if (!newest_within) {
    size_t low = 0;
    size_t high = n;
    while (low < high) {
      const size_t mid = (low + high) / 2;
      if (history->at(mid)->mod() <= target) {
        low = mid + 1;
      } else {
        high = mid;
      }
    }
    within = low;
  }
  size_t drop = newest_within ? n : (within == 0 ? 0 : within - 1);
  if (!newest_within && within > 0) {
    const Record* keep = history->at(within - 1);
    if (keep->tombstone() && keep->mod() < target) drop = within;
  }
  const size_t freed = std::min(drop, work_max);
  for (size_t i = 0; i < freed; ++i) free_record(history->at(i));
  if (freed > 0) history->drop_front(freed);
  if (freed < drop) return freed;
  if (history != nullptr && history->size() == 0) {
    delete history;
    newest->set_history(nullptr);
    (*it)->set(newest);
  }
  if (newest_within && newest->tombstone() && newest->mod() < target) {
    *it = tree_.erase(*it);
    free_record(newest);
    return freed + 1;
  }
  ++*it;
  return freed;
}

bool Mvcc::load(const RecordFields& fields) {
  if (tree_.empty()) {
    tree_.insert(tree_.end(), KeyEntry(new_record(fields)));
  } else {
    auto last = tree_.end();
    --last;
    const Record* newest = last->record();
    const int order = newest->key().compare(fields.key);
    if (order > 0) return false;
    if (order == 0) {
      if (std::pair(newest->mod(), newest->sub()) >= std::pair(fields.mod, fields.sub)) return false;
      if (!newest->tombstone()) --live_keys_;
      supersede(*last, new_record(fields));
    } else {
      tree_.insert(tree_.end(), KeyEntry(new_record(fields)));
    }
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
  // The tree itself is only cut down at the end: its nodes are few, and iterators stay valid while records go.
  auto it = tree_.begin();
  size_t work = 0;
  while (it != tree_.end() && work < work_max) {
    Record* newest = it->record();
    if (History* history = newest->history()) {
      const size_t n = std::min(history->size(), work_max - work);
      for (size_t i = 0; i < n; ++i) free_record(history->at(i));
      history->drop_front(n);
      work += n;
      if (history->size() > 0) return true;
      delete history;
      newest->set_history(nullptr);
    }
    free_record(newest);
    it = tree_.erase(it);
    ++work;
  }
  if (!tree_.empty()) return true;
  changes_.clear();
  return false;
}

std::string Mvcc::broken_invariant() const {
  uint64_t held = 0;
  uint64_t live = 0;
  uint64_t count = 0;
  uint64_t in_use = 0;
  std::string_view last_key;
  for (const KeyEntry& entry : tree_) {
    const Record* newest = entry.record();
    if (!last_key.empty() && newest->key() <= last_key) return "keys out of order";
    last_key = newest->key();
    const History* history = newest->history();
    if (entry.tombstone() != newest->tombstone() || entry.has_history() != (history != nullptr)) return "an entry's facts";
    if (history != nullptr && history->size() == 0) return "empty history kept";
    if (!newest->tombstone()) ++live;
    const size_t n = history == nullptr ? 0 : history->size();
    for (size_t i = 0; i <= n; ++i) {
      const Record* r = i < n ? history->at(i) : newest;
      const Record* next = i == n ? nullptr : (i + 1 < n ? history->at(i + 1) : newest);
      if (r->key() != newest->key()) return "a version of another key";
      if (r->mod() > revision_ + 1) return "a version of the future";
      held += r->alloc_bytes();
      ++count;
      int64_t released = r->tombstone() ? r->mod() + 1 : INT64_MAX;
      if (next != nullptr) {
        if (std::pair(r->mod(), r->sub()) >= std::pair(next->mod(), next->sub())) return "versions out of order";
        released = std::min(released, next->mod());
      }
      if (released > compacted_) in_use += r->alloc_bytes();
    }
  }
  if (held != held_bytes_) return "held_bytes";
  if (live != live_keys_) return "live_keys";
  if (count != versions_) return "versions";
  if (in_use != in_use_bytes_) return "in_use_bytes";
  return {};
}

}  // namespace decree::kv
