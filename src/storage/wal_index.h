// Which record on disk holds the newest value of a slot. Kept in memory, one run per record.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "decree/types.h"

namespace decree::storage {

// Slots [slots) are held by the record at `offset` of segment `segment`.
struct IndexRun {
  SlotRange slots;
  uint64_t segment = 0;
  uint64_t offset = 0;        // of the record header
  uint32_t record_bytes = 0;  // header and body; 0: the record is damaged, an older one must not stand in
  bool is_lost() const { return record_bytes == 0; }
};

// Sorted, without overlaps. Appending at the end is O(1) and allocates nothing per record in the long run.
class SlotIndex {
 public:
  // The newest record wins: cuts what older runs had of these slots.
  void put(const IndexRun& run);
  std::optional<IndexRun> find(Slot slot) const;
  // Forgets every run of segments below `segment`, none of which has a slot above `upto`. O(runs up to
  // there).
  void drop_segments_below(uint64_t segment, Slot upto);
  Slot first_slot() const;
  size_t size() const { return runs_.size(); }

 private:
  std::deque<IndexRun> runs_;
};

}  // namespace decree::storage
