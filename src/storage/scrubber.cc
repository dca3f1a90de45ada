#include "storage/scrubber.h"

#include <algorithm>

#include "decree/sometimes.h"
#include "storage/wal_format.h"

namespace decree::storage {

std::optional<std::string> Scrubber::report(const std::string& path, uint64_t offset,
                                            const std::string& sentence) {
  if (!told_.insert({path, offset}).second) return std::nullopt;
  DECREE_SOMETIMES("the scrubber finds damage", true);
  return sentence;
}

std::optional<std::string> Scrubber::step(uint64_t bytes_max) {
  uint64_t budget = bytes_max;
  std::optional<std::string> found;
  if (!log_done_) found = read_log(&budget);
  if (found || !log_done_ || budget == 0) return found;
  return read_snapshot(&budget);
}

std::optional<std::string> Scrubber::read_log(uint64_t* budget) {
  for (const ClosedSegment& segment : wal_.closed_segments()) {
    if (segment.sequence < sequence_) continue;
    if (segment.sequence > sequence_ || offset_ == 0) {
      sequence_ = segment.sequence;
      offset_ = 0;
    }
    std::optional<std::string> found = read_batches(segment, budget);
    if (found || *budget == 0) return found;
    ++sequence_;
    offset_ = 0;
  }
  log_done_ = true;
  return std::nullopt;
}

// From offset_ on. At damage, the rest of the segment is left out: it goes with it.
std::optional<std::string> Scrubber::read_batches(const ClosedSegment& segment, uint64_t* budget) {
  std::string bytes(kSegmentHeaderBytes, '\0');
  auto got = segment.file->read(0, bytes);
  SegmentHeader header;
  std::string problem;
  uint64_t at = offset_;
  if (!got)
    problem = got.error().message;
  else if (!decode_segment_header({bytes.data(), *got}, wal_.salt(), &header) ||
           header.sequence != segment.sequence)
    problem = "the header of the segment is damaged";
  if (at == 0) at = header.block_bytes;
  while (problem.empty() && at<segment.end_offset&& * budget> 0) {
    bytes.resize(kBatchHeaderBytes);
    got = segment.file->read(at, bytes);
    BatchHeader batch;
    if (!got) {
      problem = got.error().message;
    } else if (!decode_batch_header({bytes.data(), *got}, wal_.salt(), &batch) ||
               batch.segment != segment.sequence || batch.offset != at ||
               batch.bytes > segment.end_offset - at) {
      problem = "a batch's header is damaged";
    } else {
      bytes.resize(batch.bytes);
      got = segment.file->read(at, bytes);
      if (!got)
        problem = got.error().message;
      else
        problem = decode_batch({bytes.data(), *got}, batch, wal_.salt(), nullptr, nullptr);
    }
    if (!problem.empty()) break;
    bytes_read_ += batch.bytes;
    *budget -= std::min<uint64_t>(*budget, batch.bytes);
    at += round_up(batch.bytes, header.block_bytes);
  }
  offset_ = at;
  if (problem.empty()) return std::nullopt;
  offset_ = segment.end_offset;
  // A dropped segment's file may be in use for another by now: only what was read while it was live counts.
  const std::vector<ClosedSegment> now = wal_.closed_segments();
  const bool live = std::any_of(now.begin(), now.end(),
                                [&](const ClosedSegment& s) { return s.sequence == segment.sequence; });
  if (!live) return std::nullopt;
  const std::string path = wal_.segment_path(segment.sequence);
  return report(path, at, path + " at byte " + std::to_string(at) + ": " + problem);
}

std::optional<std::string> Scrubber::read_snapshot(uint64_t* budget) {
  const std::optional<SnapshotInfo> newest = snapshots_.newest();
  const auto end_round = [this] {
    reader_.reset();
    log_done_ = false;
    sequence_ = offset_ = 0;
    ++rounds_;
  };
  if (!newest) {
    end_round();
    return std::nullopt;
  }
  std::string problem;
  if (reader_ == nullptr) {
    auto opened = snapshots_.read(newest->meta.index);
    if (opened)
      reader_ = std::move(opened).value();
    else
      problem = opened.error().message;
    reading_ = newest->meta.index;
  }
  std::string chunk;
  while (problem.empty() && *budget > 0) {
    auto more = reader_->next(&chunk);
    if (!more) {
      problem = more.error().message;
    } else if (!*more) {
      end_round();
      return std::nullopt;
    } else {
      bytes_read_ += chunk.size();
      *budget -= std::min<uint64_t>(*budget, chunk.size());
    }
  }
  if (problem.empty()) return std::nullopt;
  const Slot read = reading_;
  end_round();
  // One that was replaced meanwhile needs no repair.
  const std::optional<SnapshotInfo> now = snapshots_.newest();
  if (!now || now->meta.index != read) return std::nullopt;
  return report("snapshot", newest->digest.lo ^ read.value, problem);
}

}  // namespace decree::storage
