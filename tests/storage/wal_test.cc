#include "storage/wal.h"

#include "storage/wal_format.h"
#include "tests/storage/storage_test_util.h"

namespace decree::storage {
namespace {

using namespace testing;

TEST(WalFormat, ARecordReadsBackAsItWasWritten) {
  const std::vector<Record> records = {
      accept(ballot(7, 3, 2), 5, 3, "value"),
      law(9, 2, "law"),
      DecidedRecord{Slot(44)},
      SnapshotRecord{Slot(40), {1, 2}},
      EpochRecord{three_members(2, Slot(8)), ballot(1, 2, 2)},
  };
  for (const Record& record : records) {
    std::string bytes;
    encode_record(record, 99, &bytes);
    EXPECT_EQ(bytes.size(), encoded_record_bytes(record));
    DecodedRecord decoded;
    EXPECT_EQ(decode_record(bytes, 99, &decoded), "");
    EXPECT_TRUE(decoded.record == record);
    EXPECT_EQ(decoded.bytes, bytes.size());
    EXPECT_NE(decode_record(bytes, 98, &decoded), "") << "another disk's record must not pass";
  }
}

TEST(WalFormat, EveryFlippedBitOfABatchIsSeen) {
  std::string bytes;
  const size_t begin = begin_batch(&bytes);
  encode_echo(RecordSummary{RecordType::accept, {Slot(1), Slot(3)}, ballot(1)}, &bytes);
  encode_record(accept(ballot(2), 3, 2, "v"), 5, &bytes);
  BatchHeader header;
  header.number = 9;
  header.record_count = 1;
  header.echo_count = 1;
  const size_t used = bytes.size();
  seal_batch(header, begin, 512, 5, &bytes);
  BatchHeader read;
  ASSERT_TRUE(decode_batch_header(bytes, 5, &read));
  ASSERT_EQ(decode_batch(std::string_view(bytes).substr(0, read.bytes), read, 5, nullptr, nullptr), "");
  for (size_t bit = 0; bit < used * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    BatchHeader h;
    const bool passes =
        decode_batch_header(damaged, 5, &h) &&
        decode_batch(std::string_view(damaged).substr(0, h.bytes), h, 5, nullptr, nullptr).empty();
    EXPECT_FALSE(passes) << "bit " << bit;
  }
}

TEST(Wal, WhatWasCommittedIsThereAfterAPowerFailure) {
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    EXPECT_TRUE(dir->created());
    EXPECT_EQ(dir->boot(), 1u);
    must(dir->wal().commit(batch({EpochRecord{three_members(), {}}})));
    must(dir->wal().commit(
        batch({PromiseRecord{ballot(3, 2)}, accept(ballot(3, 2), 1, 4, "a"), DecidedRecord{Slot(2)}})));
    must(dir->wal().commit(batch({accept(ballot(3, 2), 5, 1, "a"), law(2, 1, "a")})));
  }
  files.crash(1, CrashMode::drop_all);
  auto dir = must(open_dir(files));
  EXPECT_FALSE(dir->created());
  const RecoveredState state = dir->recovered();
  EXPECT_EQ(state.boot, 2u);
  EXPECT_EQ(state.promised, ballot(3, 2));
  EXPECT_TRUE(state.has_membership);
  EXPECT_EQ(state.membership, three_members());
  EXPECT_EQ(state.decided_hint, Slot(2));
  ASSERT_EQ(state.accepted.size(), 5u);
  EXPECT_EQ(state.accepted.at(Slot(5)).entry, command(5, "a5"));
  EXPECT_FALSE(state.accepted.at(Slot(1)).law);
  EXPECT_TRUE(state.accepted.at(Slot(2)).law);
  EXPECT_EQ(state.accepted.at(Slot(2)).ballot, ballot(3, 2))
      << "a Law keeps the ballot its value was accepted at";
}

TEST(Wal, ALawStaysALawWhenItIsAcceptedAgain) {  // attack A14
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({law(1, 2, "x")})));
    must(dir->wal().commit(batch({accept(ballot(4), 1, 3, "x")})));
  }
  files.crash(1, CrashMode::drop_all);
  const RecoveredState state = must(open_dir(files))->recovered();
  EXPECT_TRUE(state.accepted.at(Slot(2)).law);
  EXPECT_EQ(state.accepted.at(Slot(2)).ballot, ballot(4));
  EXPECT_FALSE(state.accepted.at(Slot(3)).law);
}

TEST(Wal, ANewEpochVoidsWhatTheOldOneAcceptedAboveItsBase) {  // attack A9
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({EpochRecord{three_members(), {}}, accept(ballot(5), 1, 6, "old")})));
    must(dir->wal().commit(batch({EpochRecord{three_members(1, Slot(4)), ballot(1, 2, 1)}})));
    must(dir->wal().commit(batch({PromiseRecord{ballot(1, 2, 1)}, accept(ballot(1, 2, 1), 4, 1, "new")})));
  }
  files.crash(1, CrashMode::drop_all);
  const RecoveredState state = must(open_dir(files))->recovered();
  EXPECT_EQ(state.membership.epoch, 1u);
  EXPECT_EQ(state.initial_ballot, ballot(1, 2, 1));
  ASSERT_EQ(state.accepted.size(), 4u);
  EXPECT_EQ(state.accepted.at(Slot(3)).entry, command(3, "old3"));
  EXPECT_EQ(state.accepted.at(Slot(4)).entry, command(4, "new4"));
}

TEST(Wal, TheEpochAfterTheNextDoesNotBringBackWhatWasVoid) {
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({EpochRecord{three_members(), {}}, accept(ballot(5), 1, 6, "old")})));
    must(dir->wal().commit(batch({EpochRecord{three_members(1, Slot(4)), {}}})));
    must(dir->wal().commit(batch({EpochRecord{three_members(2, Slot(9)), {}}})));
  }
  files.crash(1, CrashMode::drop_all);
  EXPECT_EQ(must(open_dir(files))->recovered().accepted.size(), 3u);
}

// Counts what reached the disk at each crash point: the promise must never lag behind a record that needs it.
TEST(Wal, ThePromiseIsDurableBeforeTheRecordThatDependsOnIt) {  // attack A7
  for (uint64_t at = 1; at < 40; ++at) {
    MemoryFileSystem files;
    auto dir = must(open_dir(files));
    files.fail_after(at);
    const bool acknowledged =
        dir->wal().commit(batch({PromiseRecord{ballot(9)}, accept(ballot(9), 1, 1, "v")})).ok();
    dir.reset();
    files.crash(at, CrashMode::keep_all);
    // Damage the log's knowledge away: only the superblock may speak for the promise.
    std::vector<std::string> notes;
    auto superblock = must(Superblock::open(files, std::string(kDir) + "/superblock", &notes));
    const Ballot promised = superblock->state().promised;
    const RecoveredState state = must(open_dir(files))->recovered();
    if (!state.accepted.empty()) {
      EXPECT_EQ(promised, ballot(9)) << "crash at operation " << at;
    }
    if (acknowledged) {
      EXPECT_EQ(promised, ballot(9));
      return;
    }
  }
  FAIL() << "the commit never succeeded";
}

TEST(Wal, TheEpochRecordIsDurableBeforeTheSuperblockNamesTheEpoch) {  // attack A15
  for (uint64_t at = 1; at < 60; ++at) {
    for (uint64_t seed = 0; seed < 8; ++seed) {
      MemoryFileSystem files;
      auto dir = must(open_dir(files));
      must(dir->wal().commit(batch({EpochRecord{three_members(), {}}})));
      files.fail_after(at);
      const bool acknowledged = dir->wal()
                                    .commit(batch({PromiseRecord{ballot(1, 2, 1)},
                                                   EpochRecord{three_members(1, Slot(4)), ballot(1, 2, 1)}}))
                                    .ok();
      dir.reset();
      files.crash(seed);
      auto reopened = open_dir(files);
      ASSERT_TRUE(reopened.ok()) << "crash at operation " << at << " seed " << seed << ": "
                                 << error_of(reopened);
      const RecoveredState state = (*reopened)->recovered();
      EXPECT_LE(state.promised.epoch, state.membership.epoch)
          << "crash at operation " << at << " seed " << seed;
      if (acknowledged) {
        EXPECT_EQ(state.membership.epoch, 1u);
      }
      if (acknowledged && seed == 7) return;
    }
  }
  FAIL() << "the commit never succeeded";
}

TEST(Wal, AFailedSyncStopsTheLogForEver) {
  MemoryFileSystem files;
  auto dir = must(open_dir(files));
  must(dir->wal().commit(batch({accept(ballot(1), 1, 1, "v")})));
  files.fail_next_sync();
  EXPECT_FALSE(dir->wal().commit(batch({accept(ballot(1), 2, 1, "v")})).ok());
  EXPECT_TRUE(dir->wal().poisoned());
  EXPECT_FALSE(dir->wal().commit(batch({accept(ballot(1), 3, 1, "v")})).ok())
      << "a retry that succeeds would lie";
  EXPECT_FALSE(dir->wal().mark_idle().ok());
}

TEST(Wal, AFullDiskRefusesBeforeAnythingIsWrittenAndGoesOnWhenThereIsRoom) {
  MemoryFileSystem files;
  auto dir = must(open_dir(files));
  files.set_capacity(files.used_bytes() + 100);
  EXPECT_EQ(dir->wal().prepare_reserve().error().code, ErrorCode::no_space);
  uint64_t slot = 1;
  Result<void> last;
  const auto commit_one = [&] {
    return dir->wal().commit(
        batch({PromiseRecord{ballot(static_cast<uint32_t>(slot))},
               accept(ballot(static_cast<uint32_t>(slot)), slot, 1, std::string(700, 'x'))}));
  };
  while ((last = commit_one()).ok()) ASSERT_LT(++slot, 1000u);
  EXPECT_EQ(last.error().code, ErrorCode::no_space);
  EXPECT_FALSE(dir->wal().poisoned());
  auto entries = must(dir->wal().read({Slot(1), Slot(slot)}, 1 << 20));
  EXPECT_EQ(entries.size(), slot - 1) << "reads go on";
  {
    MemoryFileSystem fork(files);
    fork.crash(1, CrashMode::drop_all);
    fork.set_capacity(1 << 30);
    const RecoveredState state = must(open_dir(fork))->recovered();
    EXPECT_EQ(state.accepted.size(), slot - 1);
    EXPECT_EQ(state.promised, ballot(static_cast<uint32_t>(slot - 1))) << "the refused commit left no trace";
  }
  files.set_capacity(1 << 30);
  must(commit_one());
  EXPECT_EQ(must(dir->wal().read({Slot(slot), Slot(slot + 1)}, 1)).size(), 1u);
}

TEST(Wal, StartsOnAFullDiskWithTheReserveThatIsThere) {
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({accept(ballot(1), 1, 1, "v")})));
    must(dir->wal().prepare_reserve());
  }
  files.crash(1, CrashMode::drop_all);
  files.set_capacity(files.used_bytes());
  auto dir = must(open_dir(files));
  EXPECT_EQ(dir->recovered().accepted.size(), 1u);
}

TEST(Wal, ReadsTheNewestRecordOfEverySlot) {
  MemoryFileSystem files;
  auto dir = must(open_dir(files));
  Wal& wal = dir->wal();
  must(wal.commit(batch({accept(ballot(1), 1, 10, "a")})));
  must(wal.commit(batch({accept(ballot(2), 4, 3, "b")})));
  must(wal.commit(batch({law(11, 2, "c"), accept(ballot(3), 6, 1, "d")})));
  const auto check = [](const Wal& w) {
    const auto entries = must(w.read({Slot(2), Slot(13)}, 1 << 20));
    std::string seen;
    for (const Entry& entry : entries) seen += std::string(entry.bytes()) + " ";
    EXPECT_EQ(seen, "a2 a3 b4 b5 d6 a7 a8 a9 a10 c11 c12 ");
    EXPECT_EQ(must(w.read({Slot(2), Slot(13)}, 1)).size(), 1u) << "at least one, whatever the limit";
    EXPECT_TRUE(must(w.read({Slot(13), Slot(20)}, 1 << 20)).empty());
  };
  check(wal);
  dir.reset();
  files.crash(1, CrashMode::drop_all);
  dir = must(open_dir(files));
  check(dir->wal());
}

TEST(Wal, DropsWholeSegmentsBehindASnapshotAndUsesTheirFilesAgain) {
  MemoryFileSystem files;
  OpenOptions options = small_options();
  options.wal.opening_segment_bytes = options.wal.segment_bytes;
  auto dir = must(open_dir(files, options));
  uint64_t slot = 1;
  uint64_t most = 0;
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 10; ++i, ++slot)
      must(dir->wal().commit(batch({accept(ballot(1), slot, 1, std::string(300, 'x'))})));
    if (dir->wal().needs_reserve()) must(dir->wal().prepare_reserve());
    SnapshotMeta meta{test_identity().cluster, Slot(slot - 1), {slot, slot}, 1, three_members()};
    auto writer = must(dir->snapshots().begin(meta));
    must(writer->append("state"));
    must(writer->finish());
    must(dir->wal().commit(batch({SnapshotRecord{Slot(slot - 1), {slot, slot}}})));
    must(dir->wal().truncate_behind(Slot(slot - 1)));
    must(dir->snapshots().drop_older(2));
    most = std::max(most, dir->wal().bytes());
  }
  EXPECT_LE(most, 5 * options.wal.segment_bytes) << "the disk must not grow without end";
  EXPECT_GT(dir->wal().first_slot(), Slot(500));
  EXPECT_EQ(dir->wal().statistics().segments_made_inline, 0u);
  dir.reset();
  files.crash(3);
  dir = must(open_dir(files, options));
  const RecoveredState state = dir->recovered();
  EXPECT_EQ(state.snapshot_index, Slot(slot - 1));
  EXPECT_EQ(state.membership, three_members());
  EXPECT_TRUE(state.accepted.empty());
}

TEST(Wal, WhatIsNotAboutSlotsOutlivesTheSegmentThatSaidIt) {
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({EpochRecord{three_members(), {}}, accept(ballot(1), 1, 4, "v")})));
    must(dir->wal().commit(
        batch({EpochRecord{three_members(1, Slot(5)), ballot(1, 3, 1)}, DecidedRecord{Slot(9)}})));
    // The snapshot is older than the epoch, so only the log knows it.
    auto writer = must(
        dir->snapshots().begin(SnapshotMeta{test_identity().cluster, Slot(4), {4, 4}, 1, three_members()}));
    must(writer->finish());
    for (uint64_t slot = 5; dir->wal().statistics().segments < 2; ++slot)
      must(dir->wal().commit(batch({accept(ballot(1, 3, 1), 5, 1, std::string(500, 'w'))})));
    must(dir->wal().truncate_behind(Slot(4)));
    ASSERT_EQ(dir->wal().statistics().segments, 2u) << "slot 5 is still needed";
    SnapshotMeta newer{test_identity().cluster, Slot(5), {5, 5}, 1, three_members()};
    must(must(dir->snapshots().begin(newer))->finish());
    must(dir->wal().truncate_behind(Slot(5)));
    ASSERT_EQ(dir->wal().statistics().segments, 1u);
  }
  files.crash(1, CrashMode::drop_all);
  const RecoveredState state = must(open_dir(files))->recovered();
  EXPECT_EQ(state.membership.epoch, 1u);
  EXPECT_EQ(state.initial_ballot, ballot(1, 3, 1));
  EXPECT_EQ(state.decided_hint, Slot(9));
}

TEST(Wal, ABatchLargerThanASegmentGetsOneOfItsOwn) {
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({accept(ballot(1), 1, 3, std::string(40000, 'y'))})));
    must(dir->wal().commit(batch({accept(ballot(1), 4, 1, "z")})));
  }
  files.crash(1, CrashMode::drop_all);
  EXPECT_EQ(must(open_dir(files))->recovered().accepted.size(), 4u);
}

TEST(Wal, TheRecoveredTailIsWrittenAgainBeforeAnythingIsAnswered) {
  // The last batch was written but never synced, and the process died: it is read back from the page cache.
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({accept(ballot(1), 1, 1, "v")})));
    files.fail_after(2);  // the write goes, its sync does not
    EXPECT_FALSE(dir->wal().commit(batch({accept(ballot(1), 2, 1, "v")})).ok());
  }
  files.crash(1, CrashMode::process_only);
  EXPECT_EQ(must(open_dir(files))->recovered().accepted.size(), 2u);
  files.crash(2, CrashMode::drop_all);
  EXPECT_EQ(must(open_dir(files))->recovered().accepted.size(), 2u) << "it was read once, so it must stay";
}

TEST(Wal, ManyStartsInARowLoseNothingAndKeepTheDirectorySmall) {
  MemoryFileSystem files;
  for (uint64_t boot = 1; boot <= 30; ++boot) {
    auto dir = must(open_dir(files));
    EXPECT_EQ(dir->boot(), boot);
    EXPECT_EQ(dir->recovered().accepted.size(), boot - 1);
    must(dir->wal().commit(batch({accept(ballot(1), boot, 1, "v")})));
    if (boot % 3 == 0) must(dir->close());
    dir.reset();
    files.crash(boot);
  }
  EXPECT_LT(files.used_bytes(), 30 * 8 * 1024u + 100000u);
}

TEST(Wal, AnIdleLogIsMarkedOnce) {
  MemoryFileSystem files;
  auto dir = must(open_dir(files));
  must(dir->wal().commit(batch({accept(ballot(1), 1, 1, "v")})));
  const uint64_t before = dir->wal().statistics().batches;
  must(dir->wal().mark_idle());
  must(dir->wal().mark_idle());
  EXPECT_EQ(dir->wal().statistics().batches, before + 1);
}

}  // namespace
}  // namespace decree::storage
