#include "storage/salvage.h"

#include <algorithm>
#include <utility>

#include "storage/wal_format.h"
#include "storage/wal_recovery.h"

namespace decree::storage {

namespace {

bool has_ending(const std::string& name, std::string_view ending) {
  return name.size() > ending.size() && name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
}

Result<std::vector<std::string>> names_in(FileSystem& files, const std::string& directory) {
  auto kind = files.kind(directory);
  if (!kind) return kind.error();
  if (*kind != PathKind::directory) return std::vector<std::string>{};
  return files.list(directory);
}

// All whole batches by number. A number that lies in two segments was written again: the later one counts.
class LogSearch {
 public:
  LogSearch(FileSystem& files, std::string directory, const SuperblockState& superblock)
      : files_(files),
        directory_(std::move(directory)),
        superblock_(superblock),
        salt_(wal_salt(superblock.identity)) {}

  Result<void> read(std::vector<std::string>* problems) {
    auto names = names_in(files_, directory_);
    if (!names) return names.error();
    for (const std::string& name : *names) {
      const uint64_t sequence = segment_sequence(name);
      if (sequence == 0 || sequence < superblock_.first_segment) continue;
      auto file = files_.open(join_path(directory_, name), OpenMode::read_only);
      if (!file) return file.error();
      if (auto r = read_segment(**file, sequence, name, problems); !r) return r;
    }
    return {};
  }

  void replay(LogReplay* replay, Salvage* out) const {
    uint64_t next = 0;
    for (const auto& [number, records] : batches_) {
      if (next != 0) out->missing_batches += number - next;
      next = number + 1;
      for (const Record& record : records) replay->apply(record);
    }
    out->batches = batches_.size();
  }

 private:
  Result<void> read_segment(const File& file, uint64_t sequence, const std::string& name,
                            std::vector<std::string>* problems) {
    auto size = file.size();
    if (!size) return size.error();
    std::string bytes(static_cast<size_t>(*size), '\0');
    auto got = file.read(0, bytes);
    if (!got) return got.error();
    bytes.resize(*got);
    SegmentHeader header;
    uint64_t block = 512;  // every block size is a multiple of it
    if (decode_segment_header(bytes, salt_, &header) && header.sequence == sequence)
      block = header.block_bytes;
    else if (sequence <= superblock_.active_segment)  // later ones are prepared, without a header
      problems->push_back(join_path(directory_, name) +
                          ": the header of the segment is damaged or another's");
    for (uint64_t at = block; at + kBatchHeaderBytes <= bytes.size();) {
      BatchHeader batch;
      std::vector<DecodedRecord> records;
      const bool whole =
          decode_batch_header(std::string_view(bytes).substr(at), salt_, &batch) &&
          batch.segment == sequence && batch.offset == at && batch.bytes <= bytes.size() - at &&
          decode_batch(std::string_view(bytes).substr(at, batch.bytes), batch, salt_, nullptr, &records)
              .empty();
      if (whole) {
        std::vector<Record>& kept = batches_[batch.number];
        kept.clear();
        for (DecodedRecord& record : records) kept.push_back(std::move(record.record));
      }
      at += whole ? std::max(round_up(batch.bytes, block), block) : block;
    }
    return {};
  }

  FileSystem& files_;
  const std::string directory_;
  const SuperblockState superblock_;
  const uint64_t salt_;
  std::map<uint64_t, std::vector<Record>> batches_;
};

Result<void> find_snapshot(FileSystem& files, const std::string& directory, Salvage* out) {
  auto names = names_in(files, directory);
  if (!names) return names.error();
  std::sort(names->rbegin(), names->rend());  // equal lengths: newest first
  for (const std::string& name : *names) {
    if (!has_ending(name, ".snap")) continue;
    const std::string path = join_path(directory, name);
    auto reader = SnapshotReader::open(files, path);
    Result<SnapshotInfo> info = reader ? verify_snapshot(files, path, (*reader)->meta().cluster)
                                       : Result<SnapshotInfo>(reader.error());
    if (!info) {
      out->problems.push_back(info.error().message);
      continue;
    }
    out->snapshot = *info;
    out->snapshot_path = path;
    out->membership = info->meta.membership;
    out->decided = info->meta.index;
    return {};
  }
  return {};
}

}  // namespace

Result<Salvage> salvage(FileSystem& files, const std::string& path) {
  auto kind = files.kind(path);
  if (!kind) return kind.error();
  if (*kind != PathKind::directory)
    return Error{ErrorCode::invalid, path + " is not a directory; name the data directory of a member"};
  Salvage out;
  if (auto r = find_snapshot(files, join_path(path, "snapshots"), &out); !r) return r.error();
  auto superblock = Superblock::open(files, join_path(path, "superblock"), &out.problems);
  if (!superblock) {
    out.problems.push_back(superblock.error().message);
    return out;
  }
  out.superblock = (*superblock)->state();
  out.promised = out.superblock->promised;
  LogSearch log(files, join_path(path, "wal"), *out.superblock);
  if (auto r = log.read(&out.problems); !r) return r.error();
  LogReplay replay(out.snapshot ? out.snapshot->meta.index : Slot(0));
  log.replay(&replay, &out);
  if (out.missing_batches > 0)
    out.problems.push_back(join_path(path, "wal") + ": " + std::to_string(out.missing_batches) +
                           " batches of the log are damaged or missing");
  if (replay.carried.has_epoch &&
      (!out.membership || out.membership->epoch < replay.carried.epoch.membership.epoch))
    out.membership = replay.carried.epoch.membership;
  out.promised = std::max(out.promised, replay.highest);
  out.decided = std::max(out.decided, replay.carried.decided.upto);
  out.accepted = std::move(replay.accepted);
  for (const auto& [slot, held] : out.accepted)
    if (held.law) out.decided = std::max(out.decided, slot);
  return out;
}

}  // namespace decree::storage
