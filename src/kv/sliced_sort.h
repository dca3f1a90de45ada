// Sorting that never works long: runs are sorted while they fill, a heap over the runs gives the order back
// one by one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

#include "kv/record.h"

namespace decree::kv {

class SlicedSort {
 public:
  using Less = std::function<bool(const Record*, const Record*)>;
  explicit SlicedSort(Less less) : less_(std::move(less)) {}

  void add(const Record* record) {
    items_.push_back(record);
    if (items_.size() % kRun == 0) sort_run(items_.size() - kRun);
  }
  size_t size() const { return items_.size(); }

  // After the last add(), before the first next().
  void seal() {
    if (items_.size() % kRun != 0) sort_run(items_.size() - items_.size() % kRun);
    for (size_t first = 0; first < items_.size(); first += kRun) {
      heads_.push_back({first, std::min(first + kRun, items_.size())});
    }
    std::make_heap(heads_.begin(), heads_.end(), after());
  }
  // Null at the end.
  const Record* next() {
    if (heads_.empty()) return nullptr;
    std::pop_heap(heads_.begin(), heads_.end(), after());
    Head& head = heads_.back();
    const Record* record = items_[head.at++];
    if (head.at == head.end) {
      heads_.pop_back();
    } else {
      std::push_heap(heads_.begin(), heads_.end(), after());
    }
    return record;
  }

 private:
  static constexpr size_t kRun = 2048;
  struct Head {
    size_t at;
    size_t end;
  };
  void sort_run(size_t first) {
    std::sort(items_.begin() + static_cast<std::ptrdiff_t>(first), items_.end(), less_);
  }
  std::function<bool(const Head&, const Head&)> after() const {
    return [this](const Head& a, const Head& b) { return less_(items_[b.at], items_[a.at]); };
  }

  Less less_;
  std::vector<const Record*> items_;
  std::vector<Head> heads_;
};

}  // namespace decree::kv
