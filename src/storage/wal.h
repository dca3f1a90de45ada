// The log on disk: one order for everything the replica wants durable.
//
// Contract towards the host:
// - commit(), mark_idle() come from one thread (the log thread); one commit at a time.
// - prepare_reserve(), truncate_behind(), read() and bytes() may come from any thread at any time.
// - When commit() returned ok, every record of it is durable and survives any crash.
// - ErrorCode::no_space is returned BEFORE anything was written: nothing changed, try again when there is
// room.
// - Any other error of commit() or mark_idle() poisons the log for ever: the owner stops the process. The
// records of
//   that commit may or may not be found by the next start; they were never acknowledged.
//
// Format and recovery rules: docs/wal_format.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "decree/record.h"
#include "decree/result.h"
#include "storage/file_system.h"
#include "storage/superblock.h"
#include "storage/wal_format.h"
#include "storage/wal_index.h"

namespace decree::storage {

struct WalOptions {
  // A segment that is filled is followed by the reserve. Any size from two blocks up; a batch that is larger
  // gets a segment of its own.
  uint64_t segment_bytes = 64u << 20;
  // Size of the segment that every start opens when no reserve is there: small, so that a start need not wait
  // for zeros.
  uint64_t opening_segment_bytes = 8u << 20;
  // Batches are padded to whole blocks, and a block with acknowledged bytes is never written again. A power
  // of two, 512..65536. 512 only where space matters more than a torn physical sector (simulation).
  uint32_t block_bytes = 4096;
};

struct WalStatistics {
  uint64_t batches = 0;  // written in this boot
  uint64_t records = 0;
  uint64_t bytes_written = 0;         // with headers and padding
  uint64_t segments = 0;              // live now
  uint64_t segments_made_inline = 0;  // a commit had to wait because no reserve was ready
};

// A live segment that is not written to any more: everything before `end_offset` was synced.
struct ClosedSegment {
  uint64_t sequence = 0;
  uint64_t end_offset = 0;
  Slot last_slot;
  std::shared_ptr<File> file;
};

struct RecoveredLog;  // wal_recovery.h

class Wal {
 public:
  Wal(FileSystem& files, std::string directory, Superblock& superblock, const WalOptions& options);
  ~Wal();
  Wal(const Wal&) = delete;
  Wal& operator=(const Wal&) = delete;

  // Called once, by DataDir: adopts what recovery found, raises the boot counter, writes the unproven tail
  // again into a new segment and syncs it, AFTER that removes what recovery found obsolete.
  Result<void> start(const RecoveredLog& recovered);

  // PromiseRecords reach the superblock, synced, BEFORE the log batch; an EpochRecord's batch is synced
  // BEFORE the superblock names the epoch. Everything else is one write and one sync. An empty span is ok and
  // does nothing.
  Result<void> commit(std::span<const PersistedRecord> records);

  // Writes a tiny batch whose only content is "everything before me was synced", so that later damage of the
  // last batch cannot pass for a torn tail. Does nothing when the last batch is such a marker. Call when idle
  // and at shutdown.
  Result<void> mark_idle();

  // Entries of `slots` from slots.first on, consecutive, newest record per slot, about `bytes_max` (at least
  // one). Empty: slots.first is not in the log (any more). ErrorCode::corrupt names file and offset.
  Result<std::vector<Entry>> read(SlotRange slots, uint64_t bytes_max) const;

  // Makes the next segment ready. For a worker thread, after each commit that used it up (needs_reserve()).
  // no_space here is the early warning: commits go on until the current segment is full.
  Result<void> prepare_reserve();
  bool needs_reserve() const;

  // Everything <= upto is covered by a durable snapshot: drops whole segments. For a worker thread.
  Result<void> truncate_behind(Slot upto);

  // For the scrubber. Whoever finds damage asks again whether the segment is still among them: a dropped
  // one's file may be in use for another by then.
  std::vector<ClosedSegment> closed_segments() const;
  std::string segment_path(uint64_t sequence) const;
  uint64_t salt() const { return salt_; }

  // On disk, reserve included.
  uint64_t bytes() const;
  // Live segments only: what the host compares with the snapshot's size.
  uint64_t live_bytes() const;
  // Oldest slot that read() could still find; 0 when the log is empty.
  Slot first_slot() const;
  // Durable writes this disk has ever taken that said something: batches of the log and raises of promise and
  // epoch. Rises with each, never falls; starts do not count. Log thread, or where no commit is under way.
  uint64_t disk_writes() const;
  bool poisoned() const;
  WalStatistics statistics() const;

 private:
  struct Segment {
    uint64_t sequence = 0;
    uint64_t capacity_bytes = 0;
    uint64_t end_offset = 0;  // behind its last batch
    Slot last_slot;           // highest slot in it
    std::shared_ptr<File> file;
  };

  Error poison(const Error& error);
  Result<void> alive() const;
  Result<void> commit_checked(std::span<const PersistedRecord> records);
  Result<void> write_batch(std::span<const PersistedRecord* const> records, BatchFlags flags);
  BatchHeader next_header(BatchFlags flags) const;
  void encode_carried(BatchHeader* header);
  void encode_one(const Record& record, BatchHeader* header);
  void publish(const BatchHeader& header, uint64_t padded_bytes);
  Result<void> ensure_room(uint64_t padded_bytes);
  Result<Segment> make_segment(uint64_t sequence, uint64_t capacity_bytes);
  Result<void> take_segment(Segment segment, bool new_boot);
  Result<void> open_first_segment(uint64_t reserve, uint64_t padded_bytes);
  Result<void> raise(const Ballot& promised, uint32_t epoch);
  void remember(const Record& record);
  uint64_t carried_bytes() const;
  uint64_t overhead_bytes() const;
  Result<std::vector<Entry>> read_run(const IndexRun& run, SlotRange slots, uint64_t bytes_max) const;

  FileSystem& files_;
  const std::string directory_;
  Superblock& superblock_;
  const WalOptions options_;
  const uint64_t salt_;

  // Log thread only.
  std::string buffer_;                           // reused; one batch
  std::vector<const PersistedRecord*> pending_;  // reused
  std::vector<IndexRun> new_runs_;               // reused; of the batch being written
  std::vector<RecordSummary> echo_;              // records of the previous batch, at most kEchoesMax
  std::vector<RecordSummary> next_echo_;
  SuperblockState facts_;  // superblock as of the last read; boot, epoch and promise are ours alone
  uint64_t next_batch_ = 1;
  uint64_t synced_through_ = 0;
  uint64_t chain_ = 0;          // checksum of the previous batch
  uint64_t chain_segment_ = 0;  // where the previous batch ends
  uint64_t chain_end_ = 0;
  bool fresh_segment_ = true;    // its first batch, with the carried records, is still to come
  bool last_was_marker_ = true;  // nothing to prove
  CarriedState carried_;

  // prepare_mutex_ BEFORE mutex_. The first is held while a segment is made or taken, the second only for
  // look-ups.
  mutable std::mutex prepare_mutex_;
  mutable std::mutex mutex_;
  std::map<uint64_t, Segment> segments_;  // live, by sequence; the last one is written to
  std::unique_ptr<Segment> reserve_;
  std::vector<Segment> retired_;  // dropped, of the usual size: become the next reserve
  SlotIndex index_;
  WalStatistics statistics_;
  bool poisoned_ = false;
  Error poison_error_;
};

}  // namespace decree::storage
