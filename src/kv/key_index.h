// The ordered map of keys: a library's B-tree (absl::btree_map) over pages of up to 256 sorted entries.
//
// An entry is one pointer to the key's newest version. A plain B-tree of such pointers costs a cache miss per
// comparison, some twenty per look-up in a million keys. A page keeps four bytes of each key beside the
// pointers - the ones after the prefix that all its keys share - so a look-up touches one record, the one it
// is after. Pages also count their live keys, so counting a range is a walk over pages. Decision page:
// docs/decisions/0009-key-index.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/btree_map.h"
#include "kv/record.h"

namespace decree::kv {

// The newest version of a key, with two facts about it in the pointer's low bits so that counting and
// compaction need not touch the record.
class KeyEntry {
 public:
  KeyEntry() = default;
  explicit KeyEntry(Record* newest)
      : bits_(reinterpret_cast<uintptr_t>(newest) | (newest->tombstone() ? 1 : 0) |
              (newest->history().empty() ? 0 : 2)) {}
  Record* record() const { return reinterpret_cast<Record*>(bits_ & ~uintptr_t{3}); }
  bool tombstone() const { return (bits_ & 1) != 0; }
  bool has_history() const { return (bits_ & 2) != 0; }

 private:
  uintptr_t bits_ = 0;
};

class KeyIndex {
  struct Page;
  struct PageRef {
    Page* page = nullptr;
    mutable uint32_t live = 0;  // entries that are not tombstones
  };
  // By separator: at most the page's first key, above every key of the page before. The first page also holds
  // whatever is below its separator (then the separator moves down).
  using Pages = absl::btree_map<std::string, PageRef, std::less<>>;

 public:
  // Any insertion or erasure invalidates iterators; replace() does not.
  class Iterator {
   public:
    Iterator() = default;
    const KeyEntry& operator*() const;
    const KeyEntry* operator->() const { return &**this; }
    Iterator& operator++();
    friend bool operator==(const Iterator& a, const Iterator& b) {
      return a.page_ == b.page_ && a.at_ == b.at_;
    }

   private:
    friend class KeyIndex;
    Iterator(Pages::const_iterator page, uint32_t at) : page_(page), at_(at) {}
    Pages::const_iterator page_;
    uint32_t at_ = 0;
  };

  // Where a key is or would go; valid until the next insertion or erasure.
  struct Place {
    Pages::const_iterator page;
    uint32_t at = 0;
    bool found = false;
  };

  KeyIndex() = default;
  ~KeyIndex();
  KeyIndex(const KeyIndex&) = delete;
  KeyIndex& operator=(const KeyIndex&) = delete;

  bool empty() const { return pages_.empty(); }
  Iterator begin() const { return {pages_.begin(), 0}; }
  Iterator end() const { return {pages_.end(), 0}; }
  Iterator lower_bound(std::string_view key) const;
  Place locate(std::string_view key) const;
  Iterator at(const Place& place) const { return {place.page, place.at}; }

  // `place` = locate(newest->key()), not found.
  void insert(const Place& place, Record* newest);
  void append(Record* newest);  // its key is above every other
  Record* last() const;         // null if empty
  Iterator last_entry() const;  // the index must not be empty
  // Same key, another newest version.
  void replace(Iterator it, Record* newest);
  Iterator erase(Iterator it);  // the next one
  Record* pop_back();           // the index must not be empty

  // Live keys in [first, last): pages in between by their counts.
  uint64_t count_live(Iterator first, Iterator last) const;

  std::string broken_invariant() const;

 private:
  Pages::const_iterator split(Pages::const_iterator left, uint32_t* at);
  void merge_next(Pages::const_iterator left);
  void drop(Pages::const_iterator page);

  Pages pages_;
};

}  // namespace decree::kv
