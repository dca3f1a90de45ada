#include <algorithm>
#include <vector>

#include "lab/enumerate/enumerate.h"
#include "lab/enumerate/workload.h"

namespace decree::lab {

namespace {

using storage::CrashMode;
using storage::DataDir;
using storage::MemoryFileSystem;
using storage::OpenOptions;

constexpr uint64_t kLogBytes = 64 * 1024;
constexpr uint64_t kBlock = 512;

// A data directory at rest, and what is true of it.
struct Disk {
  MemoryFileSystem files;
  OpenOptions options;
  std::map<Slot, AcceptedEntry> accepted;  // of every slot, also of those below the snapshots
  Ballot promised;
  std::vector<uint64_t> snapshots;  // indexes, ascending
  uint64_t unproven_slots = 0;      // of the last batch, when no marker proves it
  uint64_t last_slot = 0;
};

void fail_to_build(Tally* tally, const std::string& what, const Error& error) {
  tally->bad("building the disk", what + ": " + error.message);
}

struct DiskPlan {
  uint64_t segment_bytes = kLogBytes;
  uint64_t log_bytes = kLogBytes;   // of batches
  std::vector<uint64_t> snapshots;  // indexes
  uint64_t snapshot_body_bytes = 3000;
  bool truncated = false;  // the log before the newest snapshot dropped
  bool idle = true;
};

// Batches of many shapes until the log is so long; all decided; then snapshots. Empty error: built.
Result<void> build(const DiskPlan& plan, Disk* disk) {
  disk->options = enumerated_options(kBlock, plan.segment_bytes, plan.segment_bytes);
  auto opened = DataDir::open(disk->files, kEnumeratedDir, disk->options);
  if (!opened) return opened.error();
  DataDir& dir = **opened;
  Expected expected;
  const auto commit = [&](const std::vector<Record>& records) {
    for (const Record& record : records) expected.mean(record);
    return commit_records(dir, records);
  };
  if (auto r = commit({EpochRecord{enumerated_members(0, Slot(1)), {}}}); !r) return r;
  uint64_t slot = 1;
  uint32_t round = 1;
  for (uint64_t n = 0;; ++n) {
    const uint64_t count = 1 + n % 3;
    const uint64_t bytes = 20 + (n * 211) % 900;
    // Room for this batch, its padding and the closing marker.
    const uint64_t needed =
        (104 + 16 * 40 + 128 + count * (48 + bytes) + kBlock) / kBlock * kBlock + 2 * kBlock;
    if (dir.wal().statistics().bytes_written + needed + kBlock > plan.log_bytes) break;
    if (n % 9 == 8) ++round;
    std::vector<Record> records{accept_record(enumerated_ballot(round), slot, count, bytes)};
    if (n % 4 == 3) records.emplace_back(DecidedRecord{Slot(slot - 1)});
    if (auto r = commit(records); !r) return r;
    slot += count;
    disk->unproven_slots = count;
  }
  if (auto r = commit({DecidedRecord{Slot(slot - 1)}}); !r) return r;
  disk->unproven_slots = 0;  // the last batch holds a hint alone
  for (const uint64_t index : plan.snapshots) {
    if (auto r = write_snapshot(dir, index, plan.snapshot_body_bytes); !r) return r;
    if (auto r = commit({SnapshotRecord{Slot(index), {index, 1}}}); !r) return r;
  }
  if (plan.truncated) {
    if (auto r = dir.wal().truncate_behind(Slot(plan.snapshots.back())); !r) return r;
  }
  if (!plan.idle) {
    if (auto r = commit({accept_record(enumerated_ballot(round), slot, 1, 40)}); !r) return r;
    ++slot;
    disk->unproven_slots = 1;
  }
  if (plan.idle) {
    if (auto r = dir.close(); !r) return r;
  }
  opened->reset();
  disk->files.crash(1, CrashMode::drop_all);
  disk->accepted = expected.accepted;
  disk->promised = expected.promised;
  disk->snapshots = plan.snapshots;
  disk->last_slot = slot - 1;
  return {};
}

// Is what a start found the truth, at most without the unproven last batch?
std::string untruth(const RecoveredState& found, const Disk& disk) {
  if (found.promised != disk.promised) return "another promise";
  const uint64_t base = found.snapshot_index.value;
  if (base != 0 && std::find(disk.snapshots.begin(), disk.snapshots.end(), base) == disk.snapshots.end())
    return "a snapshot was invented";
  if (base != 0 && found.snapshot_chain != Digest128{base, 1}) return "another snapshot";
  if (!found.has_membership || found.membership.members.size() != 3) return "another membership";
  for (uint64_t s = base + 1; s + disk.unproven_slots <= disk.last_slot; ++s)
    if (!found.accepted.contains(Slot(s))) return "slot " + std::to_string(s) + " is lost";
  for (const auto& [slot, held] : found.accepted) {
    const auto it = disk.accepted.find(slot);
    if (it == disk.accepted.end()) return "slot " + std::to_string(slot.value) + " is invented";
    if (!(it->second == held)) return "slot " + std::to_string(slot.value) + " has another value";
  }
  if (found.decided_hint.value > disk.last_slot) return "a decision was invented";
  return "";
}

// Catch-up reads of the log must give the truth or an error, too.
std::string untruth_of_reads(DataDir& dir, uint64_t base, const Disk& disk) {
  for (uint64_t s = base + 1; s <= disk.last_slot;) {
    auto entries = dir.wal().read(SlotRange{Slot(s), Slot(disk.last_slot + 1)}, 1 << 20);
    if (!entries.ok() || entries->empty()) return "";
    for (const Entry& entry : *entries) {
      const auto it = disk.accepted.find(Slot(s));
      if (it == disk.accepted.end() || !(it->second.entry == entry))
        return "slot " + std::to_string(s) + " is read with another value";
      ++s;
    }
  }
  return "";
}

void judge(MemoryFileSystem& files, const Disk& disk, const std::string& row, const std::string& where,
           bool also_reads, Tally* tally) {
  set_current_case(row, where);
  ++tally->cases;
  auto dir = DataDir::open(files, kEnumeratedDir, disk.options);
  if (!dir.ok()) {
    const Error& error = dir.error();
    const bool clear = error.message.size() > 40 && error.message.find(kEnumeratedDir) != std::string::npos;
    const bool right = error.code == ErrorCode::corrupt || error.code == ErrorCode::format ||
                       error.code == ErrorCode::identity;
    if (!clear || !right) {
      tally->bad(where, "refused without a clear message: " + error.message);
      return;
    }
    ++tally->refused;
    return;
  }
  const RecoveredState found = (*dir)->recovered();
  std::string problem = untruth(found, disk);
  if (problem.empty() && also_reads) problem = untruth_of_reads(**dir, found.snapshot_index.value, disk);
  if (!problem.empty()) {
    tally->bad(where, problem);
    return;
  }
  const bool whole = found.accepted.size() + found.snapshot_index.value == disk.last_slot;
  ++((*dir)->notes().empty() && whole ? tally->harmless : tally->repaired);
}

class Rot {
 public:
  Rot(const EnumerateOptions& options, const Report& report) : options_(options), report_(report) {}

  void flips(const std::string& row, const Disk& disk, const std::vector<std::string>& paths,
             bool also_reads) {
    Tally tally;
    for (const std::string& file : paths) {
      const uint64_t bits = disk.files.content(file).size() * 8;
      for (uint64_t bit = 0; bit < bits; ++bit) {
        if (!mine()) continue;
        MemoryFileSystem files(disk.files);
        files.flip_bit(file, bit);
        judge(files, disk, row, file + " bit " + std::to_string(bit), also_reads, &tally);
      }
    }
    report_("every bit flipped: " + row, tally);
  }

  void truncations(const std::string& row, const Disk& disk, const std::vector<std::string>& paths) {
    Tally tally;
    for (const std::string& file : paths) {
      const uint64_t bytes = disk.files.content(file).size();
      for (uint64_t keep = 0; keep < bytes; ++keep) {
        if (!mine()) continue;
        MemoryFileSystem files(disk.files);
        files.resize_file(file, keep);
        judge(files, disk, row, file + " cut to " + std::to_string(keep) + " bytes", false, &tally);
      }
    }
    report_("every truncation: " + row, tally);
  }

  void blocks(const std::string& row, const Disk& disk, const std::string& file) {
    const std::string content = disk.files.content(file);
    const uint64_t count = content.size() / kBlock;
    Tally zeroed;
    Tally swapped;
    Tally doubled;
    const auto block = [&](uint64_t n) { return content.substr(n * kBlock, kBlock); };
    const std::string zeros(kBlock, '\0');
    for (uint64_t i = 0; i < count; ++i) {
      MemoryFileSystem files(disk.files);
      files.overwrite(file, i * kBlock, zeros);
      judge(files, disk, row, file + " block " + std::to_string(i) + " zeroed", false, &zeroed);
      for (uint64_t j = 0; j < count; ++j) {
        if (i == j || !mine()) continue;
        const std::string where = file + " blocks " + std::to_string(i) + " and " + std::to_string(j);
        MemoryFileSystem twice(disk.files);
        twice.overwrite(file, i * kBlock, block(j));
        judge(twice, disk, row, where + ", the second in both places", false, &doubled);
        if (i > j) continue;
        twice = disk.files;
        twice.overwrite(file, i * kBlock, block(j));
        twice.overwrite(file, j * kBlock, block(i));
        judge(twice, disk, row, where + " swapped", false, &swapped);
      }
    }
    report_("every 512-byte block zeroed: " + row, zeroed);
    report_("every two blocks swapped: " + row, swapped);
    report_("every block in the place of every other: " + row, doubled);
  }

  // Rot under a running member: what it reads for a peer that lags must be the truth or an error.
  void under_a_reader(const std::string& row, const Disk& disk, const std::string& file) {
    Tally tally;
    MemoryFileSystem files(disk.files);
    auto dir = DataDir::open(files, kEnumeratedDir, disk.options);
    if (!dir.ok()) {
      fail_to_build(&tally, row, dir.error());
    } else {
      const uint64_t bits = disk.files.content(file).size() * 8;
      for (uint64_t bit = 0; bit < bits; ++bit) {
        if (!mine()) continue;
        const std::string where = file + " bit " + std::to_string(bit) + " after the start";
        set_current_case(row, where);
        ++tally.cases;
        files.flip_bit(file, bit);
        read_all(**dir, disk, where, &tally);
        files.flip_bit(file, bit);
      }
    }
    report_("every bit flipped after the start, then read: " + row, tally);
  }

  // A snapshot on its way to the state machine, and one that came from a peer.
  void snapshot_readers(const std::string& row, const Disk& disk, const std::string& file) {
    Tally tally;
    const std::string whole = body_of(disk.files, file);
    const uint64_t bits = disk.files.content(file).size() * 8;
    for (uint64_t bit = 0; bit < bits; ++bit) {
      if (!mine()) continue;
      MemoryFileSystem files(disk.files);
      files.flip_bit(file, bit);
      const std::string where = file + " bit " + std::to_string(bit) + ", streamed";
      set_current_case(row, where);
      ++tally.cases;
      const std::string got = body_of(files, file);
      if (got.empty()) {
        ++tally.refused;
      } else if (got == whole) {
        ++tally.harmless;
      } else {
        tally.bad(where, "a damaged snapshot was handed out as whole");
      }
    }
    report_("every bit flipped, then streamed: " + row, tally);
  }

 private:
  bool mine() { return count_++ % options_.every == options_.seed % options_.every; }

  static void read_all(DataDir& dir, const Disk& disk, const std::string& where, Tally* tally) {
    bool refused = false;
    for (uint64_t s = 1; s <= disk.last_slot;) {
      auto entries = dir.wal().read(SlotRange{Slot(s), Slot(disk.last_slot + 1)}, 1 << 20);
      if (!entries.ok()) {
        if (entries.error().message.find(kEnumeratedDir) == std::string::npos) {
          tally->bad(where, "an error without the file: " + entries.error().message);
          return;
        }
        refused = true;
        ++s;
        continue;
      }
      if (entries->empty()) {
        tally->bad(where, "slot " + std::to_string(s) + " is not in the log any more");
        return;
      }
      for (const Entry& entry : *entries) {
        const auto it = disk.accepted.find(Slot(s));
        if (it == disk.accepted.end() || !(it->second.entry == entry)) {
          tally->bad(where, "slot " + std::to_string(s) + " is read with another value");
          return;
        }
        ++s;
      }
    }
    ++(refused ? tally->refused : tally->harmless);
  }

  // Empty: refused.
  static std::string body_of(MemoryFileSystem& files, const std::string& file) {
    auto reader = storage::SnapshotReader::open(files, file);
    if (!reader.ok()) return "";
    std::string body;
    std::string chunk;
    for (;;) {
      Result<bool> more = (*reader)->next(&chunk);
      if (!more.ok()) return "";
      if (!*more) return body + std::to_string((*reader)->meta().index.value);
      body += chunk;
    }
  }
  static std::string body_of(const MemoryFileSystem& files, const std::string& file) {
    MemoryFileSystem fork(files);
    return body_of(fork, file);
  }

  const EnumerateOptions& options_;
  const Report& report_;
  uint64_t count_ = 0;
};

std::vector<std::string> segments_of(const Disk& disk) {
  return disk.files.files_below(std::string(kEnumeratedDir) + "/wal");
}
std::string snapshot_path(const Disk& disk, size_t n) {
  return disk.files.files_below(std::string(kEnumeratedDir) + "/snapshots").at(n);
}

}  // namespace

void enumerate_rot(const EnumerateOptions& options, const Report& report) {
  const std::string super = std::string(kEnumeratedDir) + "/superblock";
  Rot rot(options, report);
  const auto with_disk = [&](const std::string& row, const DiskPlan& plan,
                             const std::function<void(const Disk&)>& use) {
    Disk disk;
    if (const Result<void> built = build(plan, &disk); !built.ok()) {
      Tally tally;
      fail_to_build(&tally, row, built.error());
      report(row, tally);
      return;
    }
    use(disk);
  };
  with_disk("64-KiB log", {}, [&](const Disk& disk) {
    const std::string log = segments_of(disk).at(0);
    rot.flips("64-KiB log in one segment, closed", disk, {log}, true);
    rot.under_a_reader("64-KiB log in one segment", disk, log);
    rot.truncations("64-KiB log in one segment, closed", disk, {log});
    rot.blocks("64-KiB log in one segment, closed", disk, log);
    rot.flips("superblock", disk, {super}, false);
    rot.truncations("superblock", disk, {super});
  });
  with_disk("64-KiB log, its last batch unproven", {.idle = false}, [&](const Disk& disk) {
    rot.flips("64-KiB log, its last batch unproven", disk, {segments_of(disk).at(0)}, false);
    rot.truncations("64-KiB log, its last batch unproven", disk, {segments_of(disk).at(0)});
  });
  with_disk("log in segments of 8 KiB", {.segment_bytes = 8192}, [&](const Disk& disk) {
    rot.flips("log in segments of 8 KiB, 64 KiB of batches", disk, segments_of(disk), false);
    rot.truncations("log in segments of 8 KiB, 64 KiB of batches", disk, segments_of(disk));
  });
  with_disk("two snapshots and the log since the older",
            {.segment_bytes = 16384, .log_bytes = 16384, .snapshots = {5, 12}, .snapshot_body_bytes = 64000},
            [&](const Disk& disk) {
              rot.flips("64-KiB snapshot, an older one and the log are there", disk, {snapshot_path(disk, 1)},
                        false);
              rot.truncations("64-KiB snapshot, an older one and the log are there", disk,
                              {snapshot_path(disk, 1)});
              rot.flips("older snapshot that is not needed", disk, {snapshot_path(disk, 0)}, false);
              rot.snapshot_readers("64-KiB snapshot", disk, snapshot_path(disk, 1));
            });
  with_disk("one snapshot, the log before it dropped",
            {.segment_bytes = 4096,
             .log_bytes = 16384,
             .snapshots = {12},
             .snapshot_body_bytes = 64000,
             .truncated = true},
            [&](const Disk& disk) {
              rot.flips("64-KiB snapshot, alone", disk, {snapshot_path(disk, 0)}, false);
              rot.truncations("64-KiB snapshot, alone", disk, {snapshot_path(disk, 0)});
            });
}

}  // namespace decree::lab
