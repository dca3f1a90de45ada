#include "storage/wal.h"

#include <algorithm>

#include "base/planted_bugs.h"
#include "decree/check.h"
#include "decree/sometimes.h"
#include "storage/wal_recovery.h"

namespace decree::storage {

namespace {

constexpr size_t kBufferKeptBytes = 8u << 20;

// Does this record open an epoch that the superblock does not name yet?
const EpochRecord* opens_epoch(const Record& record, uint32_t named) {
  const auto* epoch = std::get_if<EpochRecord>(&record);
  return epoch != nullptr && epoch->membership.epoch > named ? epoch : nullptr;
}

Ballot ballot_of(const Record& record) {
  if (const auto* promise = std::get_if<PromiseRecord>(&record)) return promise->promised;
  if (const auto* accept = std::get_if<AcceptRecord>(&record)) return accept->ballot;
  return Ballot{};
}

WalOptions checked(WalOptions options) {
  const uint64_t block = options.block_bytes;
  DECREE_CHECK(block >= 512 && block <= 65536 && (block & (block - 1)) == 0,
               "the log's block size must be a power of two, 512..65536");
  options.segment_bytes = std::max(round_up(options.segment_bytes, block), 2 * block);
  options.opening_segment_bytes =
      std::clamp(round_up(options.opening_segment_bytes, block), 2 * block, options.segment_bytes);
  return options;
}

}  // namespace

Wal::Wal(FileSystem& files, std::string directory, Superblock& superblock, const WalOptions& options)
    : files_(files),
      directory_(std::move(directory)),
      superblock_(superblock),
      options_(checked(options)),
      salt_(wal_salt(superblock.state().identity)),
      facts_(superblock.state()) {}

Wal::~Wal() = default;

std::string Wal::segment_path(uint64_t sequence) const {
  return join_path(directory_, segment_name(sequence));
}

Error Wal::poison(const Error& error) {
  const std::lock_guard lock(mutex_);
  if (!poisoned_) {
    poisoned_ = true;
    poison_error_ = error;
    DECREE_SOMETIMES("the log is poisoned by an error", true);
    // no_space promises that nothing was written.
    if (poison_error_.code == ErrorCode::no_space) poison_error_.code = ErrorCode::io;
  }
  return poison_error_;
}

Result<void> Wal::alive() const {
  const std::lock_guard lock(mutex_);
  if (!poisoned_) return {};
  return Error{poison_error_.code, "the log stopped after an earlier failure (" + poison_error_.message +
                                       "); stop this process, check the disk, start it again"};
}

bool Wal::poisoned() const {
  const std::lock_guard lock(mutex_);
  return poisoned_;
}

// ---- start ----

Result<void> Wal::start(const RecoveredLog& recovered) {
  uint64_t newest = facts_.active_segment;
  for (const RecoveredSegment& found : recovered.segments) {
    auto file = files_.open(segment_path(found.sequence), OpenMode::read_write);
    if (!file) return file.error();
    segments_[found.sequence] = Segment{found.sequence, found.capacity_bytes, found.end_offset,
                                        found.last_slot, std::shared_ptr<File>(std::move(*file))};
  }
  for (const IndexRun& run : recovered.runs) index_.put(run);
  next_batch_ = recovered.proven_batch + 1;
  synced_through_ = recovered.proven_batch;
  chain_ = recovered.proven_chain;
  chain_segment_ = recovered.proven_segment;
  chain_end_ = recovered.proven_end;
  carried_ = recovered.carried;

  uint64_t bytes = kBatchHeaderBytes + carried_bytes();
  pending_.clear();
  for (const PersistedRecord& record : recovered.tail) {
    bytes += encoded_record_bytes(record.record);
    pending_.push_back(&record);
  }
  if (auto r = open_first_segment(recovered.reserve, round_up(bytes, options_.block_bytes)); !r) return r;
  if (auto r = write_batch(pending_, BatchFlags::opening); !r) return r;
  // Evidence for the batch just synced, and what the log taught about epoch and promise.
  const uint32_t epoch = carried_.has_epoch ? carried_.epoch.membership.epoch : 0;
  if (auto r = raise(recovered.promised, epoch); !r) return r;
  auto named = superblock_.update([&](SuperblockState& s) {
    s.synced_through = synced_through_;
    // The opening batch says nothing new; it may have the number of an unproven one, which was counted.
    if (synced_through_ > recovered.whole_batches) ++s.idle_writes;
  });
  if (!named) return named;
  facts_ = superblock_.state();
  last_was_marker_ = true;

  // Only now: the superblock that was read may have lived in the page cache alone until it was written again.
  for (const std::string& name : recovered.obsolete) {
    auto r = files_.unlink(join_path(directory_, name));
    if (!r && r.error().code != ErrorCode::not_found) return r;
  }
  if (!recovered.obsolete.empty()) {
    if (auto r = files_.sync_directory(directory_); !r) return r;
  }
  const auto old = segments_.find(newest);
  if (old != segments_.end() && old->second.end_offset < old->second.capacity_bytes) {
    // The rest of the segment of the last boot will never be written.
    if (auto r = old->second.file->truncate(old->second.end_offset); !r) return r;
    old->second.capacity_bytes = old->second.end_offset;
  }
  return {};
}

Result<void> Wal::open_first_segment(uint64_t reserve, uint64_t padded_bytes) {
  const uint64_t sequence = facts_.active_segment + 1;
  const uint64_t needed = padded_bytes + options_.block_bytes;
  if (reserve == sequence) {
    auto file = files_.open(segment_path(sequence), OpenMode::read_write);
    if (!file) return file.error();
    auto size = (*file)->size();
    if (!size) return size.error();
    if (*size >= needed) {
      return take_segment(Segment{sequence, *size, 0, Slot(0), std::shared_ptr<File>(std::move(*file))},
                          true);
    }
  }
  auto made = make_segment(sequence,
                           std::max(options_.opening_segment_bytes, round_up(needed, options_.block_bytes)));
  if (!made && made.error().code == ErrorCode::no_space && !segments_.empty()) {
    // A nearly full disk: just enough to start, so that reads can be served; the first write finds out. A new
    // member has nothing to read: it had better say so at once.
    made = make_segment(sequence, round_up(needed, options_.block_bytes));
  }
  if (!made) return made.error();
  return take_segment(std::move(*made), true);
}

// ---- segments ----

Result<Wal::Segment> Wal::make_segment(uint64_t sequence, uint64_t capacity_bytes) {
  const std::string path = segment_path(sequence);
  Segment old;
  {
    const std::lock_guard lock(mutex_);
    if (!retired_.empty() && retired_.back().capacity_bytes >= capacity_bytes) {
      DECREE_SOMETIMES("a dropped segment is used again", true);
      old = std::move(retired_.back());
      retired_.pop_back();
    }
  }
  if (old.file) {
    if (auto r = files_.rename(segment_path(old.sequence), path); !r) return r.error();
  } else {
    const std::string temporary = path + ".tmp";
    auto kind = files_.kind(temporary);
    if (!kind) return kind.error();
    if (*kind != PathKind::absent) {
      if (auto r = files_.unlink(temporary); !r) return r.error();
    }
    auto file = files_.open(temporary, OpenMode::create);
    if (!file) return file.error();
    Result<void> done = (*file)->zero_fill(0, capacity_bytes);
    if (done) done = (*file)->sync();
    if (done) done = files_.rename(temporary, path);
    if (!done) {
      file->reset();
      [[maybe_unused]] const auto removed = files_.unlink(temporary);
      return done.error();
    }
  }
  if (!planted(PlantedBug::segment_entry_not_synced)) {
    if (auto r = files_.sync_directory(directory_); !r) return r.error();
  }
  auto file = files_.open(path, OpenMode::read_write);
  if (!file) return file.error();
  auto size = (*file)->size();
  if (!size) return size.error();
  return Segment{sequence, *size, 0, Slot(0), std::shared_ptr<File>(std::move(*file))};
}

// The header is durable BEFORE the superblock names the segment, and that BEFORE its first batch.
Result<void> Wal::take_segment(Segment segment, bool new_boot) {
  SegmentHeader header;
  header.block_bytes = options_.block_bytes;
  header.sequence = segment.sequence;
  header.capacity_bytes = segment.capacity_bytes;
  header.first_batch = next_batch_;
  header.previous_segment = chain_segment_;
  header.previous_end = chain_end_;
  header.chain = chain_;
  std::string block;
  encode_segment_header(header, salt_, &block);
  if (auto r = segment.file->write(0, block); !r) return poison(r.error());
  if (auto r = segment.file->sync(); !r) return poison(r.error());
  auto named = superblock_.update([&](SuperblockState& s) {
    s.active_segment = segment.sequence;
    s.synced_through = synced_through_;
    if (new_boot && (s.boot == 0 || !planted(PlantedBug::boot_not_counted))) ++s.boot;
  });
  if (!named) return poison(named.error());
  facts_ = superblock_.state();
  segment.end_offset = options_.block_bytes;
  fresh_segment_ = true;
  const std::lock_guard lock(mutex_);
  if (!segments_.empty()) {
    auto last = std::prev(segments_.end());
    // Taken into use but never written to, because the next batch was too large for it.
    if (last->first != chain_segment_ && last->second.end_offset <= options_.block_bytes) {
      [[maybe_unused]] const auto removed =
          files_.unlink(segment_path(last->first));  // else the next start does it
      segments_.erase(last);
    }
  }
  segments_[segment.sequence] = std::move(segment);
  return {};
}

Result<void> Wal::ensure_room(uint64_t padded_bytes) {
  {
    const std::lock_guard lock(mutex_);
    const Segment& active = std::prev(segments_.end())->second;
    const uint64_t carried = fresh_segment_ ? round_up(carried_bytes(), options_.block_bytes) : 0;
    if (active.end_offset + padded_bytes + carried <= active.capacity_bytes) return {};
  }
  // The segment header, the batches, and the records that a new segment repeats.
  const uint64_t needed =
      options_.block_bytes + padded_bytes + round_up(carried_bytes(), options_.block_bytes);
  const std::lock_guard prepare(prepare_mutex_);
  Segment next;
  {
    const std::lock_guard lock(mutex_);
    if (reserve_ && reserve_->capacity_bytes >= needed) {
      next = std::move(*reserve_);
      reserve_.reset();
    }
  }
  if (!next.file) {
    if (reserve_) {  // too small for this batch: its number is needed, its file is not
      const std::lock_guard lock(mutex_);
      DECREE_SOMETIMES("a batch is too large for the reserve", true);
      reserve_.reset();
    }
    auto made = make_segment(facts_.active_segment + 1, std::max(options_.segment_bytes, needed));
    if (!made) {
      if (made.error().code != ErrorCode::no_space) return poison(made.error());
      DECREE_SOMETIMES("no room for the next segment", true);
      return Error{ErrorCode::no_space,
                   "there is no room for the next log segment of " +
                       std::to_string(std::max(options_.segment_bytes, needed)) + " bytes in " + directory_ +
                       "; writes stop until space is freed on that file system, reads go on"};
    }
    next = std::move(*made);
    const std::lock_guard lock(mutex_);
    DECREE_SOMETIMES("a commit waits for a new segment", true);
    ++statistics_.segments_made_inline;
  }
  return take_segment(std::move(next), false);
}

bool Wal::needs_reserve() const {
  const std::lock_guard lock(mutex_);
  return !reserve_ && !poisoned_;
}

Result<void> Wal::prepare_reserve() {
  const std::lock_guard prepare(prepare_mutex_);
  uint64_t sequence = 0;
  {
    const std::lock_guard lock(mutex_);
    if (reserve_ || poisoned_) return {};
    sequence = std::prev(segments_.end())->first + 1;
  }
  auto made = make_segment(sequence, options_.segment_bytes);
  if (!made) return made.error();
  const std::lock_guard lock(mutex_);
  reserve_ = std::make_unique<Segment>(std::move(*made));
  return {};
}

Result<void> Wal::truncate_behind(Slot upto) {
  const std::lock_guard prepare(prepare_mutex_);  // one dropper or maker at a time
  uint64_t first_kept = 0;
  Slot dropped_upto;
  {
    const std::lock_guard lock(mutex_);
    if (poisoned_) return {};
    if (segments_.empty()) return {};
    // Whatever is not about slots is repeated at the head of the active segment; until that batch is synced,
    // the segment before it is still needed.
    auto needed = std::prev(segments_.end());
    if (needed->second.end_offset <= options_.block_bytes && needed != segments_.begin()) --needed;
    for (const auto& [sequence, segment] : segments_) {
      first_kept = sequence;
      const bool one_more =
          planted(PlantedBug::truncates_one_segment_more) && first_kept == segments_.begin()->first;
      if ((segment.last_slot > upto && !one_more) || sequence == needed->first) break;
      dropped_upto = std::max(dropped_upto, segment.last_slot);
    }
    if (first_kept == segments_.begin()->first) return {};
  }
  // BEFORE the first file goes: from now on their absence is no damage.
  auto named = superblock_.update([&](SuperblockState& s) {
    s.first_segment = std::max(s.first_segment, first_kept);
    s.truncated_upto = std::max(s.truncated_upto, dropped_upto);
  });
  if (!named) return poison(named.error());
  DECREE_SOMETIMES("segments are dropped behind a snapshot", true);
  std::vector<Segment> dropped;
  {
    const std::lock_guard lock(mutex_);
    while (segments_.begin()->first < first_kept) {
      dropped.push_back(std::move(segments_.begin()->second));
      segments_.erase(segments_.begin());
    }
    index_.drop_segments_below(first_kept, dropped_upto);
    for (Segment& segment : dropped) {
      if (!reserve_ && retired_.empty() && segment.capacity_bytes == options_.segment_bytes) {
        retired_.push_back(std::move(segment));
        segment.file.reset();
      }
    }
  }
  for (const Segment& segment : dropped) {
    if (!segment.file) continue;
    if (auto r = files_.unlink(segment_path(segment.sequence)); !r) return r;
  }
  return files_.sync_directory(directory_);
}

// ---- commit ----

uint64_t Wal::carried_bytes() const {
  uint64_t bytes = 0;
  if (carried_.has_epoch) bytes += encoded_record_bytes(carried_.epoch);
  if (carried_.snapshot.index > Slot(0)) bytes += encoded_record_bytes(carried_.snapshot);
  if (carried_.decided.upto > Slot(0)) bytes += encoded_record_bytes(carried_.decided);
  return bytes;
}

uint64_t Wal::overhead_bytes() const {
  return kBatchHeaderBytes + static_cast<uint64_t>(kEchoesMax) * kEchoBytes;
}

void Wal::remember(const Record& record) {
  if (const auto* epoch = std::get_if<EpochRecord>(&record)) {
    carried_.has_epoch = true;
    carried_.epoch = *epoch;
  } else if (const auto* snapshot = std::get_if<SnapshotRecord>(&record)) {
    if (snapshot->index > carried_.snapshot.index) carried_.snapshot = *snapshot;
  } else if (const auto* decided = std::get_if<DecidedRecord>(&record)) {
    carried_.decided.upto = std::max(carried_.decided.upto, decided->upto);
  }
}

Result<void> Wal::raise(const Ballot& promised, uint32_t epoch) {
  if (promised <= facts_.promised && epoch <= facts_.epoch) return {};
  auto done = superblock_.update([&](SuperblockState& s) {
    s.promised = std::max(s.promised, promised);
    s.epoch = std::max(s.epoch, epoch);
    s.synced_through = synced_through_;
  });
  if (!done) return poison(done.error());
  facts_ = superblock_.state();
  return {};
}

Result<void> Wal::commit(std::span<const PersistedRecord> records) {
  if (auto r = alive(); !r) return r;
  if (records.empty()) return {};
  return commit_checked(records);
}

Result<void> Wal::commit_checked(std::span<const PersistedRecord> records) {
  // Room for everything BEFORE anything is written. Each epoch that opens ends a batch of its own.
  uint64_t padded = 0;
  uint64_t bytes = overhead_bytes();
  bool any = false;
  for (const PersistedRecord& persisted : records) {
    if (std::holds_alternative<PromiseRecord>(persisted.record)) continue;
    any = true;
    bytes += encoded_record_bytes(persisted.record);
    if (opens_epoch(persisted.record, facts_.epoch) != nullptr) {
      padded += round_up(bytes, options_.block_bytes);
      bytes = overhead_bytes();
    }
  }
  if (any) {
    padded += round_up(bytes, options_.block_bytes);
    if (padded > kBatchBytesMax)
      return Error{ErrorCode::too_large, "a batch of " + std::to_string(padded) +
                                             " bytes is more than the log takes at once; hand over less"};
    if (auto r = ensure_room(padded); !r) return r;
  }

  size_t at = 0;
  while (at < records.size()) {
    // Up to and including the next record that opens an epoch.
    pending_.clear();
    Ballot promised;
    Ballot promised_next_epoch;
    const EpochRecord* opened = nullptr;
    while (at < records.size() && opened == nullptr) {
      const Record& record = records[at].record;
      const Ballot ballot = ballot_of(record);
      Ballot& raised = ballot.epoch > facts_.epoch ? promised_next_epoch : promised;
      raised = std::max(raised, ballot);
      opened = opens_epoch(record, facts_.epoch);
      if (!std::holds_alternative<PromiseRecord>(record)) pending_.push_back(&records[at]);
      ++at;
    }
    // The promise BEFORE the batch that depends on it (attack A7); one in the epoch that this batch opens,
    // AFTER it.
    if (opened == nullptr) promised = std::max(promised, promised_next_epoch);
    if (auto r = raise(promised, 0); !r) return r;
    if (!pending_.empty()) {
      if (auto r = write_batch(pending_, BatchFlags::none); !r) return r;
    }
    // The epoch record BEFORE the superblock that names the epoch (attack A15).
    if (opened != nullptr) {
      if (auto r = raise(promised_next_epoch, opened->membership.epoch); !r) return r;
    }
  }
  return {};
}

Result<void> Wal::mark_idle() {
  if (auto r = alive(); !r) return r;
  if (last_was_marker_) return {};
  if (auto r = ensure_room(round_up(overhead_bytes(), options_.block_bytes)); !r) return r;
  if (auto r = write_batch({}, BatchFlags::marker); !r) return r;
  last_was_marker_ = true;
  return {};
}

BatchHeader Wal::next_header(BatchFlags flags) const {
  BatchHeader header;
  header.flags = flags;
  header.segment = facts_.active_segment;
  header.number = next_batch_;
  header.synced_through = synced_through_;
  header.superblock_sequence = facts_.sequence;
  header.boot = facts_.boot;
  header.promised = facts_.promised;
  header.previous_checksum = chain_;
  return header;
}

void Wal::encode_one(const Record& record, BatchHeader* header) {
  const size_t begin = buffer_.size();
  const RecordSummary summary = encode_record(record, salt_, &buffer_);
  ++header->record_count;
  if (next_echo_.size() < kEchoesMax) next_echo_.push_back(summary);
  const bool has_slots = summary.type == RecordType::accept || summary.type == RecordType::law;
  if (has_slots && !summary.slots.empty()) {
    new_runs_.push_back(IndexRun{summary.slots, header->segment, header->offset + begin,
                                 static_cast<uint32_t>(buffer_.size() - begin)});
  }
}

// What older segments said, so that they can go: state as it was BEFORE this batch.
void Wal::encode_carried(BatchHeader* header) {
  if (carried_.has_epoch) encode_one(carried_.epoch, header);
  // The hint AFTER the snapshot: it must not look like proof of what was decided before it.
  if (carried_.snapshot.index > Slot(0)) encode_one(carried_.snapshot, header);
  if (carried_.decided.upto > Slot(0)) encode_one(carried_.decided, header);
}

Result<void> Wal::write_batch(std::span<const PersistedRecord* const> records, BatchFlags flags) {
  std::shared_ptr<File> file;
  BatchHeader header = next_header(flags);
  uint64_t capacity = 0;
  {
    const std::lock_guard lock(mutex_);
    const Segment& active = std::prev(segments_.end())->second;
    file = active.file;
    header.offset = active.end_offset;
    capacity = active.capacity_bytes;
  }
  buffer_.clear();
  new_runs_.clear();
  next_echo_.clear();
  const size_t begin = begin_batch(&buffer_);
  for (const RecordSummary& summary : echo_) encode_echo(summary, &buffer_);
  header.echo_count = static_cast<uint32_t>(echo_.size());
  if (fresh_segment_) encode_carried(&header);
  for (const PersistedRecord* persisted : records) encode_one(persisted->record, &header);
  const uint64_t checksum = seal_batch(header, begin, options_.block_bytes, salt_, &buffer_);
  DECREE_CHECK(header.offset + buffer_.size() <= capacity,
               "a batch larger than the room that was made for it");

  if (auto r = file->write(header.offset, buffer_); !r) return poison(r.error());
  const bool unsynced = planted(PlantedBug::log_not_synced) ||
                        (planted(PlantedBug::recovered_tail_not_synced) && flags == BatchFlags::opening);
  if (!unsynced) {
    if (auto r = file->sync(); !r) return poison(r.error());
  }

  chain_ = checksum;
  chain_segment_ = header.segment;
  chain_end_ = header.offset + buffer_.size();
  synced_through_ = header.number;
  ++next_batch_;
  fresh_segment_ = false;
  last_was_marker_ = false;
  std::swap(echo_, next_echo_);
  for (const PersistedRecord* persisted : records) remember(persisted->record);
  publish(header, buffer_.size());
  if (buffer_.capacity() > kBufferKeptBytes) std::string().swap(buffer_);
  return {};
}

// Readers see a batch only AFTER its sync.
void Wal::publish(const BatchHeader& header, uint64_t padded_bytes) {
  const std::lock_guard lock(mutex_);
  Segment& active = std::prev(segments_.end())->second;
  active.end_offset = header.offset + padded_bytes;
  for (const IndexRun& run : new_runs_) {
    index_.put(run);
    active.last_slot = std::max(active.last_slot, run.slots.end.prev());
  }
  ++statistics_.batches;
  statistics_.records += header.record_count;
  statistics_.bytes_written += padded_bytes;
}

}  // namespace decree::storage
