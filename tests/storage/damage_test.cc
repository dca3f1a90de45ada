// The table of damages: what each must be answered with. docs/wal_format.md repeats the table.
#include "storage/wal_format.h"
#include "storage/wal_recovery.h"
#include "tests/storage/storage_test_util.h"

namespace decree::storage {
namespace {

using namespace testing;

const std::string kSuper = std::string(kDir) + "/superblock";

std::string snapshot_file(uint64_t index) {
  char name[64];
  std::snprintf(name, sizeof(name), "/snapshots/%016llx.snap", static_cast<unsigned long long>(index));
  return kDir + std::string(name);
}

// A life of one boot: genesis, three segments of single entries, everything synced. The last batch is proven
// when `idle`.
struct Life {
  MemoryFileSystem files;
  uint64_t last_slot = 0;
};

void save_snapshot(DataDir& dir, uint64_t index) {
  SnapshotMeta meta{test_identity().cluster, Slot(index), {index, 1}, 1, three_members()};
  auto writer = must(dir.snapshots().begin(meta));
  must(writer->append(std::string(3000, 's')));
  must(writer->finish());
  must(dir.wal().commit(batch({SnapshotRecord{Slot(index), {index, 1}}})));
}

Life live(bool idle, bool with_snapshot = false) {
  Life life;
  auto dir = must(open_dir(life.files));
  must(dir->wal().commit(batch({EpochRecord{three_members(), {}}})));
  must(dir->wal().commit(batch({PromiseRecord{ballot(2)}})));
  while (dir->wal().statistics().segments < 3) {
    ++life.last_slot;
    must(dir->wal().commit(batch({accept(ballot(2), life.last_slot, 1, std::string(100, 'v'))})));
  }
  if (with_snapshot) save_snapshot(*dir, life.last_slot);
  for (int i = 0; i < 3; ++i) {
    ++life.last_slot;
    must(dir->wal().commit(batch({accept(ballot(2), life.last_slot, 1, std::string(100, 'v'))})));
  }
  if (idle) must(dir->close());
  dir.reset();
  life.files.crash(1, CrashMode::drop_all);
  return life;
}

// Where the batches of a segment lie.
std::vector<uint64_t> batches_of(const MemoryFileSystem& files, uint64_t sequence) {
  const std::string bytes = files.content(segment(sequence));
  std::vector<uint64_t> out;
  BatchHeader header;
  const uint64_t salt = wal_salt(test_identity());
  for (uint64_t at = kBlock; at + kBatchHeaderBytes <= bytes.size(); at += kBlock)
    if (decode_batch_header(std::string_view(bytes).substr(at), salt, &header) && header.segment == sequence)
      out.push_back(at);
  return out;
}

void expect_refused(MemoryFileSystem& files, const std::string& file,
                    const std::string& remedy = "replace this member") {
  const auto dir = open_dir(files);
  ASSERT_FALSE(dir.ok()) << "the damage passed unseen";
  EXPECT_EQ(dir.error().code, ErrorCode::corrupt) << dir.error().message;
  EXPECT_NE(dir.error().message.find(file), std::string::npos)
      << "the file must be named: " << dir.error().message;
  EXPECT_NE(dir.error().message.find(remedy), std::string::npos)
      << "the remedy must be named: " << dir.error().message;
}

void expect_whole(MemoryFileSystem& files, uint64_t last_slot) {
  auto dir = open_dir(files);
  ASSERT_TRUE(dir.ok()) << error_of(dir);
  const RecoveredState state = (*dir)->recovered();
  EXPECT_EQ(state.promised, ballot(2));
  for (uint64_t s = state.snapshot_index.value + 1; s <= last_slot; ++s)
    EXPECT_TRUE(state.accepted.contains(Slot(s))) << s;
  EXPECT_EQ(state.snapshot_index.value + state.accepted.size(), last_slot);
}

TEST(Damage, LastAcknowledgedBatchWithAnIdleMarkerBehindItIsRefused) {
  Life life = live(true);
  const auto at = batches_of(life.files, 3);
  ASSERT_GE(at.size(), 2u);
  const uint64_t last = at[at.size() - 2];
  for (const uint64_t byte : {last, last + 30, last + kBatchHeaderBytes + 5}) {
    MemoryFileSystem files(life.files);
    files.flip_bit(segment(3), byte * 8);
    expect_refused(files, segment(3) + " at byte " + std::to_string(last));
  }
}

TEST(Damage, LastAcknowledgedBatchProvenByTheSuperblockIsRefused) {
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({accept(ballot(1), 1, 1, "v")})));
    must(dir->wal().commit(batch({PromiseRecord{ballot(5)}})));  // a promise names what was synced before it
  }
  files.crash(1, CrashMode::drop_all);
  files.flip_bit(segment(1), (batches_of(files, 1).back() + kBatchHeaderBytes + 3) * 8);
  expect_refused(files, segment(1));
}

TEST(Damage, LastBatchWithoutAnyEvidenceIsATornTail) {
  // The residual window of protocol 2.14: nothing tells this damage from a crash in the middle of the write.
  Life life = live(false);
  life.files.flip_bit(segment(3), (batches_of(life.files, 3).back() + kBatchHeaderBytes + 3) * 8);
  auto dir = must(open_dir(life.files));
  EXPECT_EQ(dir->recovered().accepted.size(), life.last_slot - 1);
  ASSERT_FALSE(dir->notes().empty());
  EXPECT_NE(dir->notes().back().find("cut off"), std::string::npos);
}

TEST(Damage, ABatchInTheMiddleIsRefusedAndSaysWhatItHeld) {
  const Life life = live(false);
  for (const uint64_t sequence : {1, 2, 3}) {
    const auto at = batches_of(life.files, sequence);
    for (size_t i = 0; i + 1 < at.size(); ++i) {
      MemoryFileSystem files(life.files);
      files.flip_bit(segment(sequence), (at[i] + 60) * 8);  // the opening batch is nothing but its header
      expect_refused(files, segment(sequence) + " at byte " + std::to_string(at[i]));
    }
  }
  MemoryFileSystem files(life.files);
  const auto at = batches_of(life.files, 3);
  files.flip_bit(segment(3), at[at.size() - 2] * 8);
  EXPECT_NE(error_of(open_dir(files)).find("at ballot 0.2.0.1"), std::string::npos)
      << error_of(open_dir(files));
}

TEST(Damage, TheLastBatchOfAnOlderSegmentIsRefused) {
  Life life = live(false);
  life.files.flip_bit(segment(2), (batches_of(life.files, 2).back() + 8) * 8);
  expect_refused(life.files, segment(2));
}

TEST(Damage, ASegmentHeaderIsRefused) {
  const Life life = live(false);
  for (const uint64_t sequence : {1, 2, 3}) {
    for (uint64_t byte = 0; byte < kSegmentHeaderBytes; byte += 7) {
      MemoryFileSystem files(life.files);
      files.flip_bit(segment(sequence), byte * 8 + 3);
      expect_refused(files, segment(sequence));
    }
  }
}

TEST(Damage, UpToThreeSuperblockCopiesAreRepaired) {
  const Life life = live(false);
  for (unsigned mask = 1; mask < 15; ++mask) {
    MemoryFileSystem files(life.files);
    for (unsigned copy = 0; copy < 4; ++copy)
      if ((mask & (1u << copy)) != 0) files.flip_bit(kSuper, (copy * 4096 + 20) * 8);
    expect_whole(files, life.last_slot);
    expect_whole(files, life.last_slot);
    auto dir = must(open_dir(files));
    EXPECT_TRUE(dir->notes().empty()) << "written again by the first start: " << dir->notes().front();
  }
}

TEST(Damage, AllSuperblockCopiesAreRefusedAndSoIsAMissingSuperblock) {
  Life life = live(false);
  {
    MemoryFileSystem files(life.files);
    for (unsigned copy = 0; copy < 4; ++copy) files.flip_bit(kSuper, (copy * 4096 + 20) * 8);
    expect_refused(files, kSuper);
  }
  life.files.remove_file(kSuper);
  expect_refused(life.files, kSuper);
}

TEST(Damage, AnOlderSuperblockPutBackIsRefused) {
  MemoryFileSystem files;
  std::string old;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({PromiseRecord{ballot(1)}, accept(ballot(1), 1, 1, "v")})));
    old = files.content(kSuper);
    must(dir->wal().commit(batch({PromiseRecord{ballot(7)}, accept(ballot(7), 1, 1, "v")})));
  }
  files.crash(1, CrashMode::drop_all);
  files.put_file(kSuper, old);
  expect_refused(files, "superblock");
}

TEST(Damage, SwappedBlocksAreRefused) {
  const Life life = live(true);
  const auto at = batches_of(life.files, 3);
  const std::string bytes = life.files.content(segment(3));
  MemoryFileSystem files(life.files);
  files.overwrite(segment(3), at[1], bytes.substr(at[2], kBlock));
  files.overwrite(segment(3), at[2], bytes.substr(at[1], kBlock));
  expect_refused(files, segment(3));
  MemoryFileSystem doubled(life.files);
  doubled.overwrite(segment(3), at[2], bytes.substr(at[1], kBlock));
  expect_refused(doubled, segment(3));
}

TEST(Damage, ATruncatedSegmentIsRefused) {
  const Life life = live(false);
  for (const uint64_t sequence : {1, 2, 3}) {
    const uint64_t size = life.files.content(segment(sequence)).size();
    const uint64_t end = batches_of(life.files, sequence).back();
    for (const uint64_t keep : {uint64_t{0}, uint64_t{100}, kBlock, end - 1, end + 60}) {
      MemoryFileSystem files(life.files);
      files.resize_file(segment(sequence), std::min(keep, size));
      expect_refused(files, segment(sequence));
    }
  }
  MemoryFileSystem files(life.files);
  files.resize_file(segment(3), life.files.content(segment(3)).size() - 1);
  expect_refused(files, segment(3));
}

TEST(Damage, AnOldSegmentPutBackIsRefusedOrIgnored) {
  Life life = live(true);
  {  // in the place of another
    MemoryFileSystem files(life.files);
    files.put_file(segment(3), life.files.content(segment(2)));
    expect_refused(files, segment(3));
  }
  {  // an earlier state of the same one
    MemoryFileSystem files;
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({accept(ballot(1), 1, 1, "v")})));
    const std::string old = files.content(segment(1));
    must(dir->wal().commit(batch({accept(ballot(1), 2, 1, "v")})));
    must(dir->wal().commit(batch({PromiseRecord{ballot(4)}})));
    dir.reset();
    files.crash(1, CrashMode::drop_all);
    files.put_file(segment(1), old);
    expect_refused(files, segment(1));
  }
  {  // one that was dropped behind a snapshot
    Life with = live(true, true);
    const std::string old = with.files.content(segment(1));
    uint64_t last = with.last_slot;
    {
      auto dir = must(open_dir(with.files));
      must(dir->wal().truncate_behind(Slot(dir->snapshots().newest()->meta.index)));
      ASSERT_EQ(with.files.content(segment(1)), "");
    }
    with.files.crash(1, CrashMode::drop_all);
    with.files.put_file(segment(1), old);
    expect_whole(with.files, last);
    EXPECT_EQ(with.files.content(segment(1)), "") << "the leftover is removed";
  }
}

TEST(Damage, AMissingSegmentIsRefused) {
  const Life life = live(false);
  for (const uint64_t sequence : {1, 2, 3}) {
    MemoryFileSystem files(life.files);
    files.remove_file(segment(sequence));
    expect_refused(files, segment(sequence));
  }
}

TEST(Damage, AZeroedBlockIsRefused) {
  const Life life = live(true);
  const std::string zeros(kBlock, '\0');
  for (const uint64_t sequence : {1, 2, 3}) {
    const auto at = batches_of(life.files, sequence);
    for (size_t i = 0; i < at.size(); ++i) {
      if (sequence == 3 && i + 1 == at.size()) continue;  // the marker itself: nothing acknowledged
      MemoryFileSystem files(life.files);
      files.overwrite(segment(sequence), at[i], zeros);
      expect_refused(files, segment(sequence));
    }
  }
}

TEST(Damage, ADamagedMarkerLosesNothing) {
  Life life = live(true);
  life.files.flip_bit(segment(3), (batches_of(life.files, 3).back() + 9) * 8);
  expect_whole(life.files, life.last_slot);
}

TEST(Damage, ADamagedSnapshotIsRefusedWhenTheLogBeforeItIsGone) {
  Life life = live(true, true);
  uint64_t index = 0;
  {
    auto dir = must(open_dir(life.files));
    index = dir->snapshots().newest()->meta.index.value;
    must(dir->wal().truncate_behind(Slot(index)));
  }
  life.files.crash(1, CrashMode::drop_all);
  const uint64_t size = life.files.content(snapshot_file(index)).size();
  ASSERT_GT(size, 3000u);
  for (const uint64_t byte : {uint64_t{3}, uint64_t{90}, size / 2, size - 5}) {
    MemoryFileSystem files(life.files);
    files.flip_bit(snapshot_file(index), byte * 8);
    expect_refused(files, "snapshot");
  }
  MemoryFileSystem files(life.files);
  files.remove_file(snapshot_file(index));
  expect_refused(files, "snapshot");
}

TEST(Damage, ADamagedSnapshotIsReplacedByAnOlderOneAndTheLogWhenBothSuffice) {
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(
        batch({EpochRecord{three_members(), {}}, accept(ballot(2), 1, 4, "v"), DecidedRecord{Slot(4)}})));
    save_snapshot(*dir, 2);
    save_snapshot(*dir, 4);
    must(dir->close());
  }
  files.crash(1, CrashMode::drop_all);
  files.flip_bit(snapshot_file(4), 2000);
  auto dir = must(open_dir(files));
  const RecoveredState state = dir->recovered();
  EXPECT_EQ(state.snapshot_index, Slot(2));
  EXPECT_EQ(state.accepted.size(), 2u);
  EXPECT_EQ(dir->snapshots().damaged().size(), 1u);
  EXPECT_FALSE(dir->notes().empty());
}

TEST(Damage, AnInstalledSnapshotThatIsLostIsNotReplacedByWhatWasAcceptedBefore) {
  // Slots 1..4 were accepted here but never known decided here; the peer's snapshot said what they really
  // are.
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({EpochRecord{three_members(), {}}, accept(ballot(1), 1, 4, "stale")})));
    save_snapshot(*dir, 4);
    must(dir->wal().commit(batch({DecidedRecord{Slot(4)}})));
    must(dir->close());
  }
  files.crash(1, CrashMode::drop_all);
  files.flip_bit(snapshot_file(4), 2000);
  expect_refused(files, "snapshot");
}

// What a member may come back with after damage: everything, or everything but an unproven tail, or a
// refusal.
struct Before {
  std::map<Slot, AcceptedEntry> accepted;
  Ballot promised;
};

void expect_honest(const MemoryFileSystem& damaged, const Before& before, uint64_t tail_slots,
                   const std::string& where) {
  MemoryFileSystem files(damaged);
  auto dir = open_dir(files);
  if (!dir.ok()) {
    EXPECT_FALSE(dir.error().message.empty()) << where;
    return;
  }
  const RecoveredState state = (*dir)->recovered();
  ASSERT_EQ(state.promised, before.promised) << where;
  ASSERT_GE(state.accepted.size() + tail_slots, before.accepted.size()) << where;
  for (const auto& [slot, held] : state.accepted) {
    const auto it = before.accepted.find(slot);
    ASSERT_TRUE(it != before.accepted.end()) << where << ": invented slot " << slot.value;
    ASSERT_TRUE(it->second.entry == held.entry && it->second.ballot == held.ballot)
        << where << ": wrong answer at slot " << slot.value;
    // An unproven tail may have held the Law.
    ASSERT_TRUE(it->second.law == held.law || (it->second.law && tail_slots > 0))
        << where << ": slot " << slot.value;
  }
}

TEST(Damage, NoSingleFlippedBitEverGivesAWrongAnswer) {
  for (const bool idle : {false, true}) {
    MemoryFileSystem files;
    {
      OpenOptions options = small_options();
      options.wal.opening_segment_bytes = 4096;
      auto dir = must(open_dir(files, options));
      must(dir->wal().commit(
          batch({EpochRecord{three_members(), {}}, PromiseRecord{ballot(3)}, accept(ballot(3), 1, 2, "a")})));
      must(dir->wal().commit(batch({law(1, 1, "a"), DecidedRecord{Slot(1)}, accept(ballot(3), 3, 1, "b")})));
      if (idle) must(dir->close());
    }
    files.crash(1, CrashMode::drop_all);
    Before before;
    {
      MemoryFileSystem fork(files);
      const RecoveredState state = must(open_dir(fork))->recovered();
      before = Before{state.accepted, state.promised};
      ASSERT_EQ(before.accepted.size(), 3u);
    }
    for (const std::string& path : files.files_below(kDir)) {
      const uint64_t size = std::min<uint64_t>(files.content(path).size(), 4 * 4096);
      // Every third bit of the log, so that each place in a byte has its turn; of the four equal superblock
      // copies, whose blocks are mostly padding, every eleventh. `decree-lab enumerate --what rot` takes all.
      const uint64_t step = path == kSuper ? 11 : 3;
      for (uint64_t bit = 0; bit < size * 8; bit += step) {
        MemoryFileSystem damaged(files);
        damaged.flip_bit(path, bit);
        expect_honest(damaged, before, idle ? 0 : 1, path + " bit " + std::to_string(bit));
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(Damage, NoTruncationOfAnyFileEverGivesAWrongAnswer) {
  Life life = live(true, true);
  Before before;
  {
    MemoryFileSystem fork(life.files);
    const RecoveredState state = must(open_dir(fork))->recovered();
    before = Before{state.accepted, state.promised};
  }
  for (const std::string& path : life.files.files_below(kDir)) {
    const uint64_t size = life.files.content(path).size();
    for (uint64_t keep = 0; keep < size; keep += (size > 4000 ? 37 : 1)) {
      MemoryFileSystem damaged(life.files);
      damaged.resize_file(path, keep);
      expect_honest(damaged, before, 0, path + " cut to " + std::to_string(keep));
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace decree::storage
