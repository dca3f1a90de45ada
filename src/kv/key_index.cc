#include "kv/key_index.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace decree::kv {

namespace {

constexpr uint32_t kPageEntries = 256;
constexpr uint32_t kMergeBelow = kPageEntries / 4;
constexpr uint32_t kMergedMax = kPageEntries * 3 / 4;

uint32_t common_prefix(std::string_view a, std::string_view b) {
  const auto [end_a, end_b] = std::mismatch(
      a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())), b.begin());
  (void)end_b;
  return static_cast<uint32_t>(end_a - a.begin());
}

// Four bytes after the shared prefix, big-endian, zero-padded: their order never contradicts the keys' order.
uint32_t hint_of(std::string_view key, uint32_t prefix_bytes) {
  uint32_t hint = 0;
  const size_t end = std::min<size_t>(key.size(), prefix_bytes + 4);
  for (size_t i = prefix_bytes; i < end; ++i) {
    hint |= static_cast<uint32_t>(static_cast<uint8_t>(key[i])) << (24 - 8 * (i - prefix_bytes));
  }
  return hint;
}

}  // namespace

struct KeyIndex::Page {
  uint32_t size = 0;
  uint32_t prefix_bytes =
      0;  // all keys begin with this much of the separator; may be less than they have in common
  std::array<uint32_t, kPageEntries> hints;
  std::array<KeyEntry, kPageEntries> entries;

  void set_prefix(uint32_t bytes) {
    prefix_bytes = bytes;
    for (uint32_t i = 0; i < size; ++i) hints[i] = hint_of(entries[i].record()->key(), bytes);
  }
  uint32_t live() const {
    return static_cast<uint32_t>(std::count_if(entries.begin(), entries.begin() + size,
                                               [](const KeyEntry& e) { return !e.tombstone(); }));
  }
  // Position of the first key >= `key`, and whether it is equal.
  std::pair<uint32_t, bool> search(std::string_view separator, std::string_view key) const {
    const int order = key.substr(0, prefix_bytes).compare(separator.substr(0, prefix_bytes));
    if (order != 0) return {order < 0 ? 0 : size, false};
    const uint32_t hint = hint_of(key, prefix_bytes);
    // Without branches to mispredict: `low` ends at the first hint >= `hint`.
    const uint32_t* low = hints.data();
    for (uint32_t n = size; n > 1; n -= n / 2) low += low[n / 2 - 1] < hint ? n / 2 : 0;
    auto at = static_cast<uint32_t>(low - hints.data());
    if (at < size && hints[at] < hint) ++at;
    // Equal hints: only the keys themselves tell. Mostly there is one.
    uint32_t high = at;
    while (high < size && hints[high] == hint) ++high;
    while (at < high) {
      const uint32_t middle = (at + high) / 2;
      const int c = entries[middle].record()->key().compare(key);
      if (c == 0) return {middle, true};
      if (c < 0) {
        at = middle + 1;
      } else {
        high = middle;
      }
    }
    return {at, false};
  }
  void insert_at(uint32_t at, Record* newest) {
    std::memmove(&hints[at] + 1, &hints[at], (size - at) * sizeof hints[0]);
    std::move_backward(entries.begin() + at, entries.begin() + size, entries.begin() + size + 1);
    hints[at] = hint_of(newest->key(), prefix_bytes);
    entries[at] = KeyEntry(newest);
    ++size;
  }
  void erase_at(uint32_t at) {
    std::memmove(&hints[at], &hints[at] + 1, (size - at - 1) * sizeof hints[0]);
    std::move(entries.begin() + at + 1, entries.begin() + size, entries.begin() + at);
    --size;
  }
};

const KeyEntry& KeyIndex::Iterator::operator*() const { return page_->second.page->entries[at_]; }

KeyIndex::Iterator& KeyIndex::Iterator::operator++() {
  if (++at_ == page_->second.page->size) {
    ++page_;
    at_ = 0;
  }
  return *this;
}

KeyIndex::~KeyIndex() {
  for (const auto& [separator, ref] : pages_) delete ref.page;
}

KeyIndex::Place KeyIndex::locate(std::string_view key) const {
  if (pages_.empty()) return {pages_.end(), 0, false};
  auto it = pages_.upper_bound(key);
  if (it != pages_.begin()) --it;
  const auto [at, found] = it->second.page->search(it->first, key);
  return {it, at, found};
}

KeyIndex::Iterator KeyIndex::lower_bound(std::string_view key) const {
  const Place place = locate(key);
  if (place.page == pages_.end() || place.at < place.page->second.page->size) return {place.page, place.at};
  return {std::next(place.page), 0};
}

void KeyIndex::insert(const Place& place, Record* newest) {
  const std::string_view key = newest->key();
  const uint32_t live = newest->tombstone() ? 0 : 1;
  auto it = place.page;
  uint32_t at = place.at;
  const bool full = it != pages_.end() && it->second.page->size == kPageEntries;
  // Keys that come in order fill pages to the brim; a key behind a full page opens the next one.
  if (it == pages_.end() || (full && at == kPageEntries)) {
    auto* page = new Page;
    page->prefix_bytes = static_cast<uint32_t>(key.size());
    page->insert_at(0, newest);
    pages_.emplace(key, PageRef{page, live});
    return;
  }
  if (full) it = split(it, &at);
  Page* page = it->second.page;
  const uint32_t common = common_prefix(key, it->first);
  if (common < page->prefix_bytes) page->set_prefix(common);
  page->insert_at(at, newest);
  it->second.live += live;
  if (at == 0 && key < it->first) {
    const PageRef ref = it->second;
    pages_.erase(it);
    pages_.emplace(key, ref);
  }
}

// Returns the half that position `*at` falls into, and `*at` within it.
KeyIndex::Pages::const_iterator KeyIndex::split(Pages::const_iterator left, uint32_t* at) {
  constexpr uint32_t half = kPageEntries / 2;
  Page* low = left->second.page;
  auto* high = new Page;
  std::copy(low->hints.begin() + half, low->hints.end(), high->hints.begin());
  std::copy(low->entries.begin() + half, low->entries.end(), high->entries.begin());
  high->size = kPageEntries - half;
  low->size = half;
  high->prefix_bytes = low->prefix_bytes;
  left->second.live = low->live();
  const std::string separator(high->entries[0].record()->key());
  // Fewer keys have more in common. Recomputing reads every record, so it waits until it gains two bytes.
  const auto refine = [](Page* page, std::string_view first) {
    const uint32_t common = common_prefix(first, page->entries[page->size - 1].record()->key());
    if (common >= page->prefix_bytes + 2) page->set_prefix(common);
  };
  refine(low, left->first);
  refine(high, separator);
  const std::string low_separator = left->first;
  const auto right = pages_.emplace(separator, PageRef{high, high->live()}).first;
  if (*at > half) {
    *at -= half;
    return right;
  }
  return pages_.find(low_separator);
}

void KeyIndex::append(Record* newest) {
  if (pages_.empty()) return insert({pages_.end(), 0, false}, newest);
  const auto page = std::prev(pages_.end());
  insert({page, page->second.page->size, false}, newest);
}

KeyIndex::Iterator KeyIndex::last_entry() const {
  const auto page = std::prev(pages_.end());
  return {page, page->second.page->size - 1};
}

Record* KeyIndex::last() const { return pages_.empty() ? nullptr : last_entry()->record(); }

void KeyIndex::replace(Iterator it, Record* newest) {
  KeyEntry& entry = it.page_->second.page->entries[it.at_];
  it.page_->second.live += (newest->tombstone() ? 0u : 1u) - (entry.tombstone() ? 0u : 1u);
  entry = KeyEntry(newest);
}

void KeyIndex::drop(Pages::const_iterator page) {
  delete page->second.page;
  pages_.erase(page);
}

KeyIndex::Iterator KeyIndex::erase(Iterator it) {
  Page* page = it.page_->second.page;
  if (!page->entries[it.at_].tombstone()) --it.page_->second.live;
  page->erase_at(it.at_);
  if (page->size == 0) {
    delete page;
    return {pages_.erase(it.page_), 0};
  }
  const auto next = std::next(it.page_);
  if (page->size < kMergeBelow && next != pages_.end() &&
      page->size + next->second.page->size <= kMergedMax) {
    const std::string separator = it.page_->first;
    merge_next(it.page_);
    it.page_ = pages_.find(separator);
  }
  if (it.at_ == page->size) return {std::next(it.page_), 0};
  return it;
}

void KeyIndex::merge_next(Pages::const_iterator left) {
  const auto right = std::next(left);
  Page* low = left->second.page;
  const Page* high = right->second.page;
  std::copy(high->entries.begin(), high->entries.begin() + high->size, low->entries.begin() + low->size);
  low->size += high->size;
  left->second.live += right->second.live;
  low->set_prefix(common_prefix(left->first, low->entries[low->size - 1].record()->key()));
  drop(right);
}

Record* KeyIndex::pop_back() {
  const auto last = std::prev(pages_.end());
  Page* page = last->second.page;
  const KeyEntry entry = page->entries[--page->size];
  if (!entry.tombstone()) --last->second.live;
  if (page->size == 0) drop(last);
  return entry.record();
}

uint64_t KeyIndex::count_live(Iterator first, Iterator last) const {
  uint64_t n = 0;
  while (first.page_ != last.page_) {
    if (first.at_ == 0) {
      n += first.page_->second.live;
    } else {
      const Page* page = first.page_->second.page;
      for (; first.at_ < page->size; ++first.at_) n += page->entries[first.at_].tombstone() ? 0 : 1;
    }
    ++first.page_;
    first.at_ = 0;
  }
  for (; first.at_ < last.at_; ++first.at_) n += first->tombstone() ? 0 : 1;
  return n;
}

std::string KeyIndex::broken_invariant() const {
  std::string_view last;
  bool any = false;
  for (auto it = pages_.begin(); it != pages_.end(); ++it) {
    const Page& page = *it->second.page;
    if (page.size == 0 || page.size > kPageEntries) return "page size";
    if (page.live() != it->second.live) return "page's live count";
    if (any && it->first <= last) return "separator not above the page before";
    for (uint32_t i = 0; i < page.size; ++i) {
      const Record* record = page.entries[i].record();
      if (record->key() < it->first || (any && record->key() <= last)) return "keys out of order";
      if (common_prefix(it->first, record->key()) < page.prefix_bytes) return "page's prefix";
      if (page.hints[i] != hint_of(record->key(), page.prefix_bytes)) return "hint";
      if (page.entries[i].tombstone() != record->tombstone()) return "an entry's tombstone flag";
      if (page.entries[i].has_history() == record->history().empty()) return "an entry's history flag";
      last = record->key();
      any = true;
    }
  }
  return {};
}

}  // namespace decree::kv
