#include "storage/wal_index.h"

#include <algorithm>

namespace decree::storage {

void SlotIndex::put(const IndexRun& run) {
  if (run.slots.empty()) return;
  if (runs_.empty() || runs_.back().slots.end <= run.slots.first) {
    runs_.push_back(run);
    return;
  }
  // First run that ends behind the new one's beginning.
  auto at = std::partition_point(runs_.begin(), runs_.end(),
                                 [&](const IndexRun& r) { return r.slots.end <= run.slots.first; });
  if (at->slots.first < run.slots.first) {
    IndexRun tail = *at;
    at->slots.end = run.slots.first;
    ++at;
    if (run.slots.end < tail.slots.end) {  // the new run lies inside an old one
      tail.slots.first = run.slots.end;
      at = runs_.insert(at, tail);
    }
  }
  auto last = at;
  while (last != runs_.end() && last->slots.end <= run.slots.end) ++last;
  if (last != runs_.end() && last->slots.first < run.slots.end) last->slots.first = run.slots.end;
  if (at != last) {
    *at = run;
    runs_.erase(std::next(at), last);
  } else {
    runs_.insert(at, run);
  }
}

std::optional<IndexRun> SlotIndex::find(Slot slot) const {
  auto at = std::partition_point(runs_.begin(), runs_.end(),
                                 [&](const IndexRun& r) { return r.slots.end <= slot; });
  if (at == runs_.end() || !at->slots.contains(slot)) return std::nullopt;
  return *at;
}

void SlotIndex::drop_segments_below(uint64_t segment, Slot upto) {
  const auto end = std::partition_point(runs_.begin(), runs_.end(),
                                        [&](const IndexRun& r) { return r.slots.first <= upto; });
  // What stays moves to the end of the stretch, so that the erasure is at the front.
  const auto kept =
      std::stable_partition(runs_.begin(), end, [&](const IndexRun& r) { return r.segment < segment; });
  runs_.erase(runs_.begin(), kept);
}

Slot SlotIndex::first_slot() const { return runs_.empty() ? Slot(0) : runs_.front().slots.first; }

}  // namespace decree::storage
