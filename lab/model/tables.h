// Numbers for values: the search works on small numbers, each standing for a value that was seen once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

namespace decree::lab::model {

inline uint64_t mix(uint64_t h, uint64_t word) {
  h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
  return h ^ (h >> 29);
}

// Equal values get equal numbers, counted from 0. T needs operator==; Hash a function object.
template <class T, class Hash>
class Interner {
 public:
  uint32_t number(const T& value) {
    const uint64_t h = Hash()(value);
    auto [first, last] = by_hash_.equal_range(h);
    for (auto it = first; it != last; ++it)
      if (values_[it->second] == value) return it->second;
    values_.push_back(value);
    const auto n = static_cast<uint32_t>(values_.size() - 1);
    by_hash_.emplace(h, n);
    return n;
  }
  const T& operator[](uint32_t n) const { return values_[n]; }
  uint32_t size() const { return static_cast<uint32_t>(values_.size()); }

 private:
  std::deque<T> values_;  // references stay good
  std::unordered_multimap<uint64_t, uint32_t> by_hash_;
};

// 64-bit key to 32-bit value, open addressing. The key ~0 is not allowed.
class FlatMap {
 public:
  FlatMap() : keys_(1024, kFree), values_(1024) {}
  const uint32_t* find(uint64_t key) const {
    for (size_t i = mix(0, key) & (keys_.size() - 1);; i = (i + 1) & (keys_.size() - 1)) {
      if (keys_[i] == key) return &values_[i];
      if (keys_[i] == kFree) return nullptr;
    }
  }
  void put(uint64_t key, uint32_t value) {
    if (++used_ * 2 > keys_.size()) grow();
    place(key, value);
  }

 private:
  static constexpr uint64_t kFree = ~0ULL;
  void place(uint64_t key, uint32_t value) {
    size_t i = mix(0, key) & (keys_.size() - 1);
    while (keys_[i] != kFree) i = (i + 1) & (keys_.size() - 1);
    keys_[i] = key;
    values_[i] = value;
  }
  void grow() {
    std::vector<uint64_t> keys(keys_.size() * 2, kFree);
    std::vector<uint32_t> values(keys.size());
    keys.swap(keys_);
    values.swap(values_);
    for (size_t i = 0; i < keys.size(); ++i)
      if (keys[i] != kFree) place(keys[i], values[i]);
  }
  std::vector<uint64_t> keys_;
  std::vector<uint32_t> values_;
  size_t used_ = 0;
};

struct HashNumbers {
  uint64_t operator()(const std::vector<uint32_t>& v) const {
    uint64_t h = v.size();
    for (uint32_t n : v) h = mix(h, n);
    return h;
  }
};
// Sorted lists of numbers. Number 0 is the empty list.
class Sets {
 public:
  Sets() { sets_.number({}); }
  uint32_t number(std::vector<uint32_t> members) {
    std::sort(members.begin(), members.end());
    members.erase(std::unique(members.begin(), members.end()), members.end());
    return sets_.number(members);
  }
  const std::vector<uint32_t>& operator[](uint32_t n) const { return sets_[n]; }
  bool contains(uint32_t set, uint32_t member) const {
    return std::binary_search(sets_[set].begin(), sets_[set].end(), member);
  }
  uint32_t unite(uint32_t a, uint32_t b) {
    if (b == 0 || a == b) return a;
    const uint64_t key = (static_cast<uint64_t>(a) << 32) | b;
    if (const uint32_t* known = united_.find(key)) return *known;
    std::vector<uint32_t> all = sets_[a];
    all.insert(all.end(), sets_[b].begin(), sets_[b].end());
    const uint32_t n = number(std::move(all));
    united_.put(key, n);
    return n;
  }

 private:
  Interner<std::vector<uint32_t>, HashNumbers> sets_;
  FlatMap united_;
};

// States as tuples of `width` numbers. Exact: equal states meet, different ones never do.
class StateTable {
 public:
  explicit StateTable(uint32_t width) : width_(width), index_(1u << 16, 0) {}
  // True: new. Its number is size() - 1.
  bool add(const uint32_t* state) {
    if ((size_ + 1) * 2 > index_.size()) grow();
    size_t i = hash(state) & (index_.size() - 1);
    for (; index_[i] != 0; i = (i + 1) & (index_.size() - 1))
      if (std::equal(state, state + width_, at(index_[i] - 1))) return false;
    words_.insert(words_.end(), state, state + width_);
    index_[i] = static_cast<uint32_t>(++size_);
    return true;
  }
  const uint32_t* at(size_t n) const { return &words_[n * width_]; }
  size_t size() const { return size_; }

 private:
  uint64_t hash(const uint32_t* state) const {
    uint64_t h = 0;
    for (uint32_t i = 0; i < width_; ++i) h = mix(h, state[i]);
    return h ^ (h >> 32);
  }
  void grow() {
    index_.assign(index_.size() * 2, 0);
    for (size_t n = 0; n < size_; ++n) {
      size_t i = hash(at(n)) & (index_.size() - 1);
      while (index_[i] != 0) i = (i + 1) & (index_.size() - 1);
      index_[i] = static_cast<uint32_t>(n + 1);
    }
  }
  uint32_t width_;
  std::vector<uint32_t> index_;  // number + 1; 0 = free
  std::vector<uint32_t> words_;
  size_t size_ = 0;
};

}  // namespace decree::lab::model
