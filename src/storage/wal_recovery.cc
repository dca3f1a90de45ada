#include "storage/wal_recovery.h"

#include <algorithm>
#include <cstdio>

#include "base/planted_bugs.h"
#include "decree/sometimes.h"

namespace decree::storage {

namespace {

constexpr const char* kRemedy =
    "; keep the directory for inquiry, then replace this member: remove it from the cluster and add it again "
    "with an "
    "empty directory, its peers hold what it lost";

bool has_suffix(const std::string& s, std::string_view suffix) {
  return s.size() >= suffix.size() && std::string_view(s).substr(s.size() - suffix.size()) == suffix;
}

// A segment file as found.
struct Found {
  uint64_t sequence = 0;
  uint64_t size = 0;
  std::unique_ptr<File> file;
  bool has_header = false;
  SegmentHeader header;
};

class Recovery {
 public:
  Recovery(FileSystem& files, std::string directory, const SuperblockState& superblock, Slot snapshot_index,
           OnDamage on_damage)
      : files_(files),
        directory_(std::move(directory)),
        superblock_(superblock),
        snapshot_index_(snapshot_index),
        on_damage_(on_damage),
        salt_(wal_salt(superblock.identity)),
        replay_(snapshot_index) {}

  Result<RecoveredLog> run() {
    if (auto r = find_segments(); !r) return r.error();
    if (auto r = find_newest(); !r) return r.error();
    if (auto r = build_chain(); !r) return r.error();
    begin_at_front();
    for (size_t i = 0; i < chain_.size(); ++i) {
      if (auto r = scan(*chain_[i], i + 1 < chain_.size() ? chain_[i + 1] : nullptr); !r) return r.error();
    }
    if (auto r = judge_tail(); !r) return r.error();
    if (auto r = judge_snapshot(); !r) return r.error();
    return conclude();
  }

 private:
  Error damage(const std::string& file, uint64_t offset, const std::string& what) const {
    return Error{ErrorCode::corrupt,
                 join_path(directory_, file) + " at byte " + std::to_string(offset) + ": " + what + kRemedy};
  }

  Result<void> find_segments() {
    auto names = files_.list(directory_);
    if (!names) return names.error();
    for (const std::string& name : *names) {
      const uint64_t sequence = segment_sequence(name);
      if (sequence == 0) {
        if (has_suffix(name, ".tmp")) {
          log_.obsolete.push_back(name);
        } else {
          log_.notes.push_back(join_path(directory_, name) + " is not ours and is left alone");
        }
      } else if (sequence < superblock_.first_segment) {
        log_.obsolete.push_back(name);
      } else {
        if (auto r = read_header(name, sequence); !r) return r;
      }
    }
    if (superblock_.active_segment > 0 && !found_.contains(superblock_.active_segment)) {
      return damage(segment_name(superblock_.active_segment), 0, "the newest log segment is missing");
    }
    return {};
  }

  Result<void> read_header(const std::string& name, uint64_t sequence) {
    Found found;
    found.sequence = sequence;
    auto file = files_.open(join_path(directory_, name), OpenMode::read_only);
    if (!file) return file.error();
    found.file = std::move(*file);
    auto size = found.file->size();
    if (!size) return size.error();
    found.size = *size;
    char block[kSegmentHeaderBytes];
    auto got = found.file->read(0, block);
    if (!got) return got.error();
    found.has_header =
        decode_segment_header({block, *got}, salt_, &found.header) && found.header.sequence == sequence;
    if (found.has_header && found.header.format > kWalFormat) {
      return Error{ErrorCode::format,
                   join_path(directory_, name) +
                       " was written by a newer release; start that release, or choose another directory"};
    }
    if (sequence > superblock_.active_segment) return judge_unnamed(name, found);
    found_[sequence] = std::move(found);
    return {};
  }

  // A file that the superblock does not name yet: prepared ahead, perhaps with its header written, but
  // without batches.
  Result<void> judge_unnamed(const std::string& name, const Found& found) {
    if (found.has_header) {
      char bytes[kBatchHeaderBytes];
      auto got = found.file->read(found.header.block_bytes, bytes);
      if (!got) return got.error();
      BatchHeader batch;
      if (decode_batch_header({bytes, *got}, salt_, &batch) && batch.segment == found.sequence)
        return damage("../superblock", 0,
                      "it is older than log segment " + name + ", so an old copy was put back");
    }
    if (found.sequence == superblock_.active_segment + 1) {
      DECREE_SOMETIMES("a prepared segment is found", true);
      log_.reserve = found.sequence;
    } else {
      log_.obsolete.push_back(name);
    }
    return {};
  }

  // The newest segment that holds a batch. Those above it were named by the superblock, but the process died
  // before their first batch was synced: they do not count, and what was the newest before them is so still.
  Result<void> find_newest() {
    for (auto it = found_.rbegin(); it != found_.rend() && chain_.empty(); ++it) {
      const Found& found = it->second;
      // A header is durable BEFORE the superblock names its segment.
      if (!found.has_header)
        return damage(segment_name(found.sequence), 0,
                      "the header of the log segment is damaged or another's");
      auto empty = is_empty(found);
      if (!empty) return empty.error();
      if (!*empty) chain_.push_back(&found);
    }
    return {};
  }

  Result<bool> is_empty(const Found& found) {
    next_batch_ = found.header.first_batch;
    checksum_ = found.header.chain;
    if (found.sequence == superblock_.active_segment && found.size < found.header.capacity_bytes)
      return cut_off(found);
    auto first = read_batch(found, found.size, found.header.block_bytes);
    if (!first) return first.error();
    if (*first) return false;
    if (auto r = search_behind(found, found.header.block_bytes); !r) return r.error();
    proven_ = std::max(proven_, next_batch_ - 1);
    return true;
  }

  // Back along `previous_segment`. What is not on the way is the leftover of a start that did not finish.
  Result<void> build_chain() {
    while (!chain_.empty()) {
      const SegmentHeader& header = chain_.back()->header;
      if (header.previous_segment == 0 || header.previous_segment < superblock_.first_segment) {
        if (header.previous_segment == 0 && header.first_batch != 1)
          return damage(segment_name(header.sequence), 0,
                        "its header names no predecessor although it needs one");
        break;
      }
      if (header.previous_segment >= header.sequence)
        return damage(segment_name(header.sequence), 0,
                      "its header names a later segment as its predecessor");
      const auto previous = found_.find(header.previous_segment);
      if (previous == found_.end())
        return damage(segment_name(header.previous_segment), 0, "the log segment is missing");
      if (!previous->second.has_header)
        return damage(segment_name(header.previous_segment), 0,
                      "the header of the log segment is damaged or another's");
      chain_.push_back(&previous->second);
    }
    std::reverse(chain_.begin(), chain_.end());
    return {};
  }

  void begin_at_front() {
    next_batch_ = chain_.empty() ? 1 : chain_.front()->header.first_batch;
    checksum_ = chain_.empty() ? 0 : chain_.front()->header.chain;
    proven_ = std::max(proven_, next_batch_ - 1);
  }

  Error cut_off(const Found& segment) const {
    return damage(segment_name(segment.sequence), segment.size,
                  "the file was cut off: it had " + std::to_string(segment.header.capacity_bytes) + " bytes");
  }

  // `following`: the next segment, whose header knows where this one ends; null for the newest.
  Result<void> scan(const Found& segment, const Found* following) {
    const SegmentHeader* next = following != nullptr ? &following->header : nullptr;
    const SegmentHeader& header = segment.header;
    const std::string name = segment_name(segment.sequence);
    if (header.first_batch != next_batch_ || header.chain != checksum_)
      return damage(name, 0, "it does not continue the segment before it");
    if (next == nullptr && segment.size < header.capacity_bytes) return cut_off(segment);
    if (next != nullptr && segment.size < next->previous_end)
      return damage(name, segment.size,
                    "the file was cut off: its log reaches to byte " + std::to_string(next->previous_end));
    proven_ = std::max(proven_, header.first_batch - 1);

    RecoveredSegment info;
    info.sequence = segment.sequence;
    info.first_batch = header.first_batch;
    info.capacity_bytes = segment.size;
    info.end_offset = header.block_bytes;
    const uint64_t limit = next != nullptr ? next->previous_end : segment.size;
    while (info.end_offset < limit) {
      auto more = read_batch(segment, limit, info.end_offset);
      if (!more) return more.error();
      if (*more) {
        take_batch(header_, info.end_offset, segment, &info);
        continue;
      }
      auto over = read_over(segment, following, limit, &info);
      if (!over) return over.error();
      if (*over) continue;
      if (next != nullptr)
        return damage(name, info.end_offset,
                      "batch " + std::to_string(next_batch_) + " is damaged: " + problem_);
      break;
    }
    if (next != nullptr && info.end_offset != next->previous_end)
      return damage(name, info.end_offset, "a batch reaches beyond the end that the next segment gives");
    log_.segments.push_back(info);
    return {};
  }

  // True: the next batch lies whole at `offset`; header_ and records_ hold it. False: problem_ says why not.
  Result<bool> read_batch(const Found& segment, uint64_t limit, uint64_t offset) {
    const std::string name = segment_name(segment.sequence);
    bytes_.resize(kBatchHeaderBytes);
    auto got = segment.file->read(offset, bytes_);
    if (!got) return got.error();
    BatchHeader& header = header_;
    if (*got < kBatchHeaderBytes || !decode_batch_header(bytes_, salt_, &header) ||
        (header.segment != segment.sequence && !planted(PlantedBug::old_batches_taken))) {
      problem_ = "its header is not there";
      return false;
    }
    if (header.offset != offset || header.number != next_batch_) {
      return damage(name, offset,
                    "batch " + std::to_string(header.number) + " lies where batch " +
                        std::to_string(next_batch_) + " belongs");
    }
    if (header.previous_checksum != checksum_)
      return damage(name, offset,
                    "batch " + std::to_string(header.number) + " does not continue the batch before it");
    if (header.bytes > limit - offset) {
      problem_ = "it is longer than its segment";
      return false;
    }
    bytes_.resize(header.bytes);
    auto whole = segment.file->read(offset, bytes_);
    if (!whole) return whole.error();
    bytes_.resize(*whole);
    records_.clear();
    problem_ = decode_batch(bytes_, header, salt_, nullptr, &records_);
    if (!problem_.empty()) return false;
    if (header.superblock_sequence > superblock_.sequence || header.boot > superblock_.boot ||
        header.promised > superblock_.promised) {
      return damage("../superblock", 0,
                    "it is older than batch " + std::to_string(header.number) + " of " + name +
                        ", so an old copy was put back and promises may be lost");
    }
    return true;
  }

  // Past a damaged batch, when the one behind it is whole and tells everything that the damaged one held, and
  // those were entries and hints only. What it held is lost; that, and how bad it is, is known exactly.
  Result<bool> read_over(const Found& segment, const Found* following, uint64_t limit,
                         RecoveredSegment* info) {
    if (on_damage_ == OnDamage::refuse) return false;
    const std::string why = problem_;
    auto at = find_behind(segment, info->end_offset, limit);
    if (!at) return at.error();
    const Found* holder = *at != 0 ? &segment : following;
    if (holder == nullptr) return false;
    if (*at == 0) {
      if (holder->header.first_batch != next_batch_ + 1) return false;
      *at = holder->header.block_bytes;
    }
    std::vector<RecordSummary> held;
    BatchHeader header;
    if (!read_echoes(*holder, *at, &header, &held) || header.number != next_batch_ + 1) return false;
    if (header.flags == BatchFlags::opening) return false;  // a new start does not know what was before it
    // As many as fit may not be all.
    if (held.size() >= kEchoesMax || !std::all_of(held.begin(), held.end(), is_replaceable)) return false;
    std::string slots;
    for (const RecordSummary& record : held) {
      if (record.slots.empty() || record.type == RecordType::decided) continue;
      replay_.lose(record.slots, record.type == RecordType::law ? superblock_.promised : record.ballot);
      log_.runs.push_back(IndexRun{record.slots, segment.sequence, info->end_offset, 0});
      info->last_slot = std::max(info->last_slot, record.slots.end.prev());
      slots += (slots.empty() ? "; slots " : ", ") + std::to_string(record.slots.first.value) + ".." +
               std::to_string(record.slots.end.value - 1);
    }
    DECREE_SOMETIMES("a damaged batch is read over", true);
    log_.notes.push_back(join_path(directory_, segment_name(segment.sequence)) + " at byte " +
                         std::to_string(info->end_offset) + ": batch " + std::to_string(next_batch_) +
                         " is damaged (" + why + ")" + slots +
                         " are unknown here until they are fetched from the other members");
    log_.tail.clear();
    checksum_ = header.previous_checksum;
    info->end_offset = holder == &segment ? *at : limit;
    last_.segment = segment.sequence;
    last_.end = info->end_offset;
    ++next_batch_;
    return true;
  }

  static bool is_replaceable(const RecordSummary& record) {
    return record.type == RecordType::accept || record.type == RecordType::law ||
           record.type == RecordType::decided;
  }

  // Where batch next_batch_ + 1 lies in this segment; 0: not in it.
  Result<uint64_t> find_behind(const Found& segment, uint64_t offset, uint64_t limit) {
    const uint64_t block = segment.header.block_bytes;
    for (uint64_t at = offset + block; at + kBatchHeaderBytes <= limit; at += block) {
      char bytes[kBatchHeaderBytes];
      auto got = segment.file->read(at, bytes);
      if (!got) return got.error();
      BatchHeader header;
      if (!decode_batch_header({bytes, *got}, salt_, &header)) continue;
      if (header.segment == segment.sequence && header.number == next_batch_ + 1 && header.offset == at)
        return at;
    }
    return uint64_t{0};
  }

  bool read_echoes(const Found& segment, uint64_t at, BatchHeader* header,
                   std::vector<RecordSummary>* echoes) {
    std::string bytes(kBatchHeaderBytes, '\0');
    auto got = segment.file->read(at, bytes);
    if (!got || !decode_batch_header({bytes.data(), *got}, salt_, header)) return false;
    if (header->segment != segment.sequence || header->bytes > segment.size - at) return false;
    bytes.resize(header->bytes);
    got = segment.file->read(at, bytes);
    return got && *got == bytes.size() && decode_batch(bytes, *header, salt_, echoes, nullptr).empty();
  }

  void take_batch(const BatchHeader& header, uint64_t offset, const Found& segment, RecoveredSegment* info) {
    // What came before is proven by this batch; this one becomes the tail until something proves it.
    log_.tail.clear();
    before_.chain = checksum_;
    before_.segment = last_.segment;
    before_.end = last_.end;
    before_.runs = log_.runs.size();
    for (DecodedRecord& record : records_) {
      const SlotRange slots = record.summary.slots;
      if (!slots.empty()) {
        log_.runs.push_back(IndexRun{slots, segment.sequence, offset + record.offset, record.bytes});
        info->last_slot = std::max(info->last_slot, slots.end.prev());
      }
      replay_.apply(record.record);
      log_.tail.push_back(PersistedRecord{LogToken(0), std::move(record.record)});
    }
    proven_ = std::max(proven_, header.synced_through);
    checksum_ = header.checksum;
    info->end_offset = std::min(offset + round_up(header.bytes, segment.header.block_bytes), segment.size);
    last_.segment = segment.sequence;
    last_.end = info->end_offset;
    ++next_batch_;
  }

  // Everything from the first missing batch on: is there anything that proves it was once there?
  Result<void> judge_tail() {
    if (planted(PlantedBug::damaged_tail_is_cut)) {
      proven_ = std::min(proven_, next_batch_ - 1);
      return {};
    }
    uint64_t offset = 0;
    std::string name = segment_name(1);
    if (!chain_.empty()) {
      name = segment_name(chain_.back()->sequence);
      offset = log_.segments.back().end_offset;
      if (auto r = search_behind(*chain_.back(), offset); !r) return r;
    }
    proven_ = std::max(proven_, superblock_.synced_through);
    if (proven_ >= next_batch_) {
      DECREE_SOMETIMES("damage of a batch known to be synced is found", true);
      return damage(name, offset,
                    "batch " + std::to_string(next_batch_) + " is damaged or gone, although batch " +
                        std::to_string(proven_) + " is known to have been synced");
    }
    return {};
  }

  // Looks at every block from `offset` on for a batch of this segment. Only the cut-off one itself may be
  // there.
  Result<void> search_behind(const Found& found, uint64_t offset) {
    constexpr uint64_t kPiece = 1u << 20;
    const std::string name = segment_name(found.sequence);
    for (uint64_t at = offset; at < found.size; at += kPiece) {
      bytes_.resize(static_cast<size_t>(std::min<uint64_t>(kPiece, found.size - at)));
      auto got = found.file->read(at, bytes_);
      if (!got) return got.error();
      for (uint64_t block = 0; block + kBatchHeaderBytes <= *got; block += found.header.block_bytes) {
        BatchHeader header;
        const std::string_view here = std::string_view(bytes_).substr(block, kBatchHeaderBytes);
        if (!decode_batch_header(here, salt_, &header)) continue;
        if (header.segment != found.sequence && !planted(PlantedBug::old_batches_taken)) continue;
        if (header.number == next_batch_ && at + block == offset &&
            !planted(PlantedBug::torn_tail_is_damage)) {
          DECREE_SOMETIMES("a batch was cut off by a crash", true);
          log_.notes.push_back(join_path(directory_, name) + ": batch " + std::to_string(next_batch_) +
                               " at byte " + std::to_string(offset) +
                               " was cut off by a crash before it was synced; nobody was told "
                               "about it, it is discarded");
          continue;
        }
        DECREE_SOMETIMES("damage in front of a whole batch is found", true);
        return damage(name, offset,
                      "batch " + std::to_string(next_batch_) + " is damaged (" + problem_ +
                          "), although batch " + std::to_string(header.number) + " follows at byte " +
                          std::to_string(at + block) + held_by(found, at + block, header));
      }
    }
    return {};
  }

  // The batch behind a damaged one repeats what the damaged one was about.
  std::string held_by(const Found& found, uint64_t offset, const BatchHeader& header) {
    if (header.number != next_batch_ + 1) return "";
    BatchHeader same;
    std::vector<RecordSummary> echoes;
    if (!read_echoes(found, offset, &same, &echoes)) return "";
    std::string out;
    for (const RecordSummary& echo : echoes) {
      if (echo.slots.empty()) continue;
      out += (out.empty() ? "; it held slots " : ", ") + std::to_string(echo.slots.first.value) + ".." +
             std::to_string(echo.slots.end.value - 1) + " at ballot " + to_string(echo.ballot);
    }
    return out;
  }

  Result<void> judge_snapshot() {
    log_.accepted = std::move(replay_.accepted);
    log_.unknown = std::move(replay_.unknown);
    log_.carried = replay_.carried;
    log_.promised = replay_.highest;
    if (std::string problem = snapshot_problem(log_, replay_, snapshot_index_, superblock_.truncated_upto);
        !problem.empty()) {
      return Error{ErrorCode::corrupt,
                   join_path(parent_path(directory_), "snapshots") + ": " + problem + kRemedy};
    }
    return {};
  }

  RecoveredLog conclude() {
    const uint64_t last = next_batch_ - 1;
    log_.whole_batches = last;
    log_.proven_batch = proven_;
    if (last > proven_) {
      DECREE_SOMETIMES("an unproven batch is written again", true);
      // Exactly one whole batch lies behind the proven part: it is written again into the next segment.
      DECREE_CHECK(last == proven_ + 1, "two unproven batches although each proves the one before it");
      log_.proven_chain = before_.chain;
      log_.proven_segment = before_.segment;
      log_.proven_end = before_.end;
      log_.runs.resize(before_.runs);
    } else {
      log_.proven_chain = checksum_;
      log_.proven_segment = last_.segment;
      log_.proven_end = last_.end;
      log_.tail.clear();
    }
    // The header of the oldest segment may name a predecessor that was dropped; the chain goes on from there.
    if (log_.proven_segment == 0 && !chain_.empty()) {
      log_.proven_segment = chain_.front()->header.previous_segment;
      log_.proven_end = chain_.front()->header.previous_end;
    }
    std::erase_if(log_.segments,
                  [&](const RecoveredSegment& s) { return s.first_batch > log_.proven_batch; });
    for (RecoveredSegment& s : log_.segments)
      if (s.sequence == log_.proven_segment) s.end_offset = log_.proven_end;
    for (const auto& [sequence, found] : found_) {
      const bool live = std::any_of(log_.segments.begin(), log_.segments.end(),
                                    [s = sequence](const RecoveredSegment& r) { return r.sequence == s; });
      if (!live) log_.obsolete.push_back(segment_name(sequence));
    }
    return std::move(log_);
  }

  struct Position {
    uint64_t chain = 0;
    uint64_t segment = 0;
    uint64_t end = 0;
    size_t runs = 0;
  };

  FileSystem& files_;
  const std::string directory_;
  const SuperblockState superblock_;
  const Slot snapshot_index_;
  const OnDamage on_damage_;
  const uint64_t salt_;
  LogReplay replay_;
  RecoveredLog log_;
  std::map<uint64_t, Found> found_;
  std::vector<const Found*> chain_;
  uint64_t next_batch_ = 1;
  uint64_t checksum_ = 0;  // of batch next_batch_ - 1
  uint64_t proven_ = 0;
  Position last_;    // behind the last whole batch
  Position before_;  // behind the one before it
  std::string problem_;
  std::string bytes_;
  BatchHeader header_;
  std::vector<DecodedRecord> records_;
};

}  // namespace

std::string segment_name(uint64_t sequence) {
  char name[32];
  std::snprintf(name, sizeof(name), "%016llx.wal", static_cast<unsigned long long>(sequence));
  return name;
}

uint64_t segment_sequence(const std::string& name) {
  if (name.size() != 20 || !has_suffix(name, ".wal")) return 0;
  uint64_t value = 0;
  for (size_t i = 0; i < 16; ++i) {
    const char c = name[i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return 0;
    value = value << 4 | static_cast<uint64_t>(digit);
  }
  return value;
}

Result<RecoveredLog> recover_log(FileSystem& files, const std::string& directory,
                                 const SuperblockState& superblock, Slot snapshot_index, OnDamage on_damage) {
  return Recovery(files, directory, superblock, snapshot_index, on_damage).run();
}

}  // namespace decree::storage
