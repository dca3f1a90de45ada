// Reads the log back and judges every byte that is not as it should be.
//
// A bad or missing batch is a torn tail, harmless because never acknowledged, only when nothing says that it
// was synced: no batch behind it, no synced_through at or above it in any batch or in the superblock.
// Anything else is damage: ErrorCode::corrupt with file, byte offset and remedy, but for what OnDamage lets
// pass. Reads only; Wal::start writes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "decree/record.h"
#include "decree/result.h"
#include "storage/file_system.h"
#include "storage/superblock.h"
#include "storage/wal_format.h"
#include "storage/wal_index.h"

namespace decree::storage {

struct RecoveredSegment {
  uint64_t sequence = 0;
  uint64_t first_batch = 0;
  uint64_t capacity_bytes = 0;  // size of the file
  uint64_t end_offset = 0;      // behind the last batch that counts
  Slot last_slot;
};

struct RecoveredLog {
  std::vector<RecoveredSegment> segments;  // ascending; those whose batches all count as proven
  std::vector<IndexRun> runs;              // in the order written; without the tail
  uint64_t proven_batch = 0;    // last batch known synced; the next one written is proven_batch + 1
  uint64_t proven_chain = 0;    // its checksum
  uint64_t proven_segment = 0;  // where it ends
  uint64_t proven_end = 0;
  std::vector<PersistedRecord> tail;  // of the one whole batch behind it, if any: to be written again
  CarriedState carried;               // after replaying everything, tail included
  uint64_t reserve = 0;               // sequence of a segment file prepared ahead; 0: none
  std::vector<std::string> obsolete;  // names of files in the directory that mean nothing any more
  std::vector<std::string> notes;

  std::map<Slot, AcceptedEntry> accepted;  // > snapshot index
  std::map<Slot, Ballot> unknown;          // > snapshot index: damaged, and not written again since
  uint64_t whole_batches = 0;              // number of the last batch that is there, proven or not
  Ballot promised;                         // the highest ballot seen in the log
};

enum class OnDamage : uint8_t {
  refuse,     // any damage
  read_over,  // a damaged batch is no obstacle where the one behind it tells everything it held, and that was
              // entries only: their slots become `unknown`
};

// `snapshot_index`: of the newest whole snapshot file, 0 for none; slots up to it are not kept.
Result<RecoveredLog> recover_log(FileSystem& files, const std::string& directory,
                                 const SuperblockState& superblock, Slot snapshot_index, OnDamage on_damage);

std::string segment_name(uint64_t sequence);
// 0 when `name` is not a segment's.
uint64_t segment_sequence(const std::string& name);

// Replays records in the order written (protocol 2.2, 2.7, attack A9). Used by recover_log; apart for tests.
class LogReplay {
 public:
  explicit LogReplay(Slot snapshot_index) : floor_(snapshot_index) {}
  void apply(const Record& record);
  // A record that cannot be read: `slots` were accepted at `bound` at most, or are Laws.
  void lose(SlotRange slots, const Ballot& bound);

  std::map<Slot, AcceptedEntry> accepted;
  std::map<Slot, Ballot> unknown;
  CarriedState carried;
  Ballot highest;
  // What this member's own DecidedRecords covered before the newest SnapshotRecord.
  Slot decided_before_snapshot;

 private:
  void accept(const AcceptRecord& record);
  void law(const LawRecord& record);
  void void_older(const Membership& membership);
  Slot floor_;
};

// Empty when what the log says about snapshots fits the newest whole one; else why not, and what to do.
std::string snapshot_problem(const RecoveredLog& log, const LogReplay& replay, Slot snapshot_index,
                             Slot truncated_upto);

}  // namespace decree::storage
