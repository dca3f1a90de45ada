// What the log tells while it is being written: entries of synced batches, sizes, counts. Any thread.
#include <algorithm>

#include "storage/wal.h"

namespace decree::storage {

Result<std::vector<Entry>> Wal::read(SlotRange slots, uint64_t bytes_max) const {
  std::vector<Entry> out;
  uint64_t bytes = 0;
  while (!slots.empty() && (out.empty() || bytes < bytes_max)) {
    std::optional<IndexRun> run;
    {
      const std::lock_guard lock(mutex_);
      run = index_.find(slots.first);
    }
    if (!run || run->is_lost()) break;
    const SlotRange wanted{slots.first, std::min(slots.end, run->slots.end)};
    auto entries = read_run(*run, wanted, bytes_max - std::min(bytes, bytes_max));
    if (!entries) return entries.error();
    if (entries->empty()) break;
    for (Entry& entry : *entries) {
      bytes += entry.weight_bytes();
      out.push_back(std::move(entry));
      slots.first = slots.first.next();
    }
  }
  return out;
}

// Empty: the segment was dropped meanwhile.
Result<std::vector<Entry>> Wal::read_run(const IndexRun& run, SlotRange slots, uint64_t bytes_max) const {
  std::shared_ptr<File> file;
  {
    const std::lock_guard lock(mutex_);
    const auto it = segments_.find(run.segment);
    if (it == segments_.end()) return std::vector<Entry>{};
    file = it->second.file;
  }
  std::string bytes(run.record_bytes, '\0');
  auto got = file->read(run.offset, bytes);
  if (!got) return got.error();
  bytes.resize(*got);
  DecodedRecord record;
  std::string problem = decode_record(bytes, salt_, &record);
  const SlotRange held = record.summary.slots;
  if (problem.empty() && !(held.first <= slots.first && slots.end <= held.end))
    problem = "another record lies there";
  {
    // A dropped segment's file may be in use again by now; only what was read while it was live counts.
    const std::lock_guard lock(mutex_);
    if (!segments_.contains(run.segment)) return std::vector<Entry>{};
  }
  if (!problem.empty()) {
    return Error{ErrorCode::corrupt,
                 segment_path(run.segment) + " at byte " + std::to_string(run.offset) + ": " + problem +
                     "; this member's copy is damaged, replace the member before it restarts"};
  }
  std::vector<Entry>* all = nullptr;
  if (auto* accept = std::get_if<AcceptRecord>(&record.record)) all = &accept->entries;
  if (auto* law = std::get_if<LawRecord>(&record.record)) all = &law->entries;
  std::vector<Entry> out;
  if (all == nullptr) return out;
  uint64_t taken = 0;
  for (Slot slot = slots.first; slot < slots.end && (out.empty() || taken < bytes_max); slot = slot.next()) {
    Entry& entry = (*all)[slot - held.first];
    taken += entry.weight_bytes();
    out.push_back(std::move(entry));
  }
  return out;
}

uint64_t Wal::disk_writes() const {
  const SuperblockState state = superblock_.state();
  return synced_through_ + state.sequence - state.idle_writes;
}

std::vector<ClosedSegment> Wal::closed_segments() const {
  const std::lock_guard lock(mutex_);
  std::vector<ClosedSegment> out;
  for (const auto& [sequence, segment] : segments_)
    if (sequence != segments_.rbegin()->first)
      out.push_back(ClosedSegment{sequence, segment.end_offset, segment.last_slot, segment.file});
  return out;
}

uint64_t Wal::live_bytes() const {
  const std::lock_guard lock(mutex_);
  uint64_t sum = 0;
  for (const auto& [sequence, segment] : segments_) sum += segment.end_offset;
  return sum;
}

uint64_t Wal::bytes() const {
  const std::lock_guard lock(mutex_);
  uint64_t sum = reserve_ ? reserve_->capacity_bytes : 0;
  for (const auto& [sequence, segment] : segments_) sum += segment.capacity_bytes;
  for (const Segment& segment : retired_) sum += segment.capacity_bytes;
  return sum;
}

Slot Wal::first_slot() const {
  const std::lock_guard lock(mutex_);
  return index_.first_slot();
}

WalStatistics Wal::statistics() const {
  const std::lock_guard lock(mutex_);
  WalStatistics out = statistics_;
  out.segments = segments_.size();
  return out;
}

}  // namespace decree::storage
