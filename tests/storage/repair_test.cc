// Damage that is read over, disks that are given up, and the count of what a disk was told
// (docs/decisions/0015).
#include "storage/salvage.h"
#include "storage/scrubber.h"
#include "storage/wal_format.h"
#include "storage/wal_recovery.h"
#include "tests/storage/storage_test_util.h"

namespace decree::storage {
namespace {

using namespace testing;

OpenOptions reading_over() {
  OpenOptions options = small_options();
  options.on_damage = OnDamage::read_over;
  return options;
}

// Where batch `number` lies.
std::pair<std::string, uint64_t> place_of(const MemoryFileSystem& files, uint64_t number) {
  const uint64_t salt = wal_salt(test_identity());
  std::pair<std::string, uint64_t> found;
  for (const std::string& path : segment_files(files)) {
    const std::string bytes = files.content(path);
    BatchHeader header;
    for (uint64_t at = kBlock; at + kBatchHeaderBytes <= bytes.size(); at += kBlock)
      if (decode_batch_header(std::string_view(bytes).substr(at), salt, &header) && header.number == number &&
          path == segment(header.segment))
        found = {path, at};
  }
  EXPECT_NE(found.second, 0u) << "no batch " << number;
  return found;
}
void damage_batch(MemoryFileSystem& files, uint64_t number, uint64_t byte = 60) {
  const auto [path, at] = place_of(files, number);
  files.flip_bit(path, (at + byte) * 8);
}

// Batch 2 holds the epoch, 3.. one record each; the last one is a marker.
struct Written {
  MemoryFileSystem files;
  explicit Written(const std::vector<Record>& records) {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({EpochRecord{three_members(), {}}})));
    for (const Record& record : records) {
      if (const auto* a = std::get_if<AcceptRecord>(&record))
        must(dir->wal().commit(batch({PromiseRecord{a->ballot}, record})));
      else
        must(dir->wal().commit(batch({record})));
    }
    must(dir->close());
    dir.reset();
    files.crash(1, CrashMode::drop_all);
  }
};

TEST(Repair, ADamagedBatchIsReadOverAndItsSlotsAreUnknownAtTheirBallot) {
  for (const uint64_t byte : {3, 60, 140}) {
    Written w({accept(ballot(2), 1, 2, "a"), accept(ballot(2), 3, 2, "b"), accept(ballot(2), 5, 1, "c")});
    damage_batch(w.files, 4, byte);
    ASSERT_EQ(open_dir(w.files).error().code, ErrorCode::corrupt) << "refused unless it was asked for";
    auto dir = must(open_dir(w.files, reading_over()));
    const RecoveredState state = dir->recovered();
    EXPECT_EQ(state.unknown, (std::map<Slot, Ballot>{{Slot(3), ballot(2)}, {Slot(4), ballot(2)}}));
    EXPECT_EQ(state.accepted.size(), 3u);
    EXPECT_EQ(state.promised, ballot(2));
    ASSERT_FALSE(dir->notes().empty());
    EXPECT_NE(dir->notes().front().find("slots 3..4"), std::string::npos) << dir->notes().front();
    EXPECT_TRUE(must(dir->wal().read({Slot(3), Slot(5)}, 1 << 20)).empty());
  }
}

TEST(Repair, TheBoundDoesNotGrowWithEveryStart) {
  Written w({accept(ballot(2), 1, 2, "a"), accept(ballot(2), 3, 2, "b"), accept(ballot(9), 5, 1, "c")});
  damage_batch(w.files, 4);
  for (int start = 0; start < 3; ++start) {
    auto dir = must(open_dir(w.files, reading_over()));
    EXPECT_EQ(dir->recovered().unknown, (std::map<Slot, Ballot>{{Slot(3), ballot(2)}, {Slot(4), ballot(2)}}))
        << start;
  }
}

TEST(Repair, AnOlderRecordNeverStandsInForADamagedOne) {
  Written w({accept(ballot(1), 1, 3, "old"), accept(ballot(2), 2, 1, "new"), accept(ballot(2), 3, 1, "new")});
  damage_batch(w.files, 4);
  auto dir = must(open_dir(w.files, reading_over()));
  const RecoveredState state = dir->recovered();
  EXPECT_FALSE(state.accepted.contains(Slot(2))) << "it may have been outranked";
  EXPECT_EQ(state.unknown, (std::map<Slot, Ballot>{{Slot(2), ballot(2)}}));
  EXPECT_EQ(must(dir->wal().read({Slot(1), Slot(4)}, 1 << 20)).size(), 1u) << "nor for a laggard";
}

TEST(Repair, WhatIsWrittenAgainIsKnownAgain) {
  Written w({accept(ballot(2), 1, 2, "a"), accept(ballot(2), 3, 3, "b"), accept(ballot(2), 6, 1, "c"),
             accept(ballot(3), 4, 1, "d"), law(5, 1, "e")});
  damage_batch(w.files, 4);
  auto dir = must(open_dir(w.files, reading_over()));
  EXPECT_EQ(dir->recovered().unknown, (std::map<Slot, Ballot>{{Slot(3), ballot(2)}}));
}

TEST(Repair, ADamagedLawLeavesTheValueUnknownAtThePromise) {
  Written w({accept(ballot(7), 1, 1, "a"), law(2, 2, "b"), accept(ballot(7), 4, 1, "c")});
  damage_batch(w.files, 4);
  EXPECT_EQ(must(open_dir(w.files, reading_over()))->recovered().unknown,
            (std::map<Slot, Ballot>{{Slot(2), ballot(7)}, {Slot(3), ballot(7)}}));
}

TEST(Repair, TheLastBatchOfASegmentIsReadOverByTheNextOne) {
  MemoryFileSystem files;
  uint64_t slot = 0;
  uint64_t last_of_first = 0;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({EpochRecord{three_members(), {}}, PromiseRecord{ballot(1)}})));
    uint64_t number = 2;
    while (dir->wal().statistics().segments < 3) {
      const size_t before = dir->wal().statistics().segments;
      must(dir->wal().commit(batch({accept(ballot(1), ++slot, 1, std::string(300, 'v'))})));
      ++number;
      if (dir->wal().statistics().segments == 2 && before == 1) last_of_first = number - 1;
    }
    must(dir->close());
  }
  files.crash(1, CrashMode::drop_all);
  damage_batch(files, last_of_first);
  auto dir = must(open_dir(files, reading_over()));
  const RecoveredState state = dir->recovered();
  EXPECT_EQ(state.unknown.size(), 1u);
  EXPECT_EQ(state.accepted.size(), slot - 1);
  must(dir->wal().commit(batch({accept(ballot(1), slot + 1, 1, "on")})));
}

TEST(Repair, WhatTheNextBatchDoesNotTellWhollyIsRefused) {
  const auto refused = [](MemoryFileSystem& files) {
    const auto dir = open_dir(files, reading_over());
    return !dir.ok() && dir.error().code == ErrorCode::corrupt;
  };
  {  // two in a row
    Written w({accept(ballot(2), 1, 1, "a"), accept(ballot(2), 2, 1, "b"), accept(ballot(2), 3, 1, "c")});
    damage_batch(w.files, 3);
    damage_batch(w.files, 4);
    EXPECT_TRUE(refused(w.files));
  }
  {  // an epoch's record
    Written w({accept(ballot(2), 1, 1, "a")});
    damage_batch(w.files, 2);
    EXPECT_TRUE(refused(w.files));
  }
  {  // a snapshot's record
    Written w({accept(ballot(2), 1, 1, "a"), SnapshotRecord{Slot(1), {1, 1}}, accept(ballot(2), 2, 1, "b")});
    damage_batch(w.files, 4);
    EXPECT_TRUE(refused(w.files));
  }
  {  // more records than the echoes can list
    MemoryFileSystem files;
    {
      auto dir = must(open_dir(files));
      std::vector<Record> many{EpochRecord{three_members(), {}}};
      must(dir->wal().commit(batch(many)));
      many.clear();
      for (uint64_t s = 1; s <= kEchoesMax; ++s) many.emplace_back(accept(ballot(1), s, 1, "x"));
      must(dir->wal().commit(batch({PromiseRecord{ballot(1)}})));
      must(dir->wal().commit(batch(many)));
      must(dir->close());
    }
    files.crash(1, CrashMode::drop_all);
    damage_batch(files, 3);
    EXPECT_TRUE(refused(files));
  }
  {  // the last batch of a start: the next start's first batch does not know it
    MemoryFileSystem files;
    must(must(open_dir(files))->wal().commit(batch({EpochRecord{three_members(), {}}})));
    must(must(open_dir(files))->wal().commit(batch({accept(ballot(1), 1, 1, "a")})));
    {
      auto dir = must(open_dir(files));
      must(dir->wal().commit(batch({accept(ballot(1), 2, 1, "b")})));
    }
    files.crash(1, CrashMode::drop_all);
    const auto before = must(salvage(files, kDir));
    damage_batch(files, before.batches - 2);
    EXPECT_TRUE(refused(files));
  }
}

TEST(Repair, AMemberWithoutOthersIsNotReadOver) {
  MemoryFileSystem files;
  {
    auto dir = must(open_dir(files));
    Membership alone = three_members();
    alone.members.resize(1);
    alone = make_membership(alone.members);
    must(dir->wal().commit(batch({EpochRecord{alone, {}}})));
    must(dir->wal().commit(batch({PromiseRecord{ballot(1)}, accept(ballot(1), 1, 1, "a")})));
    must(dir->wal().commit(batch({accept(ballot(1), 2, 1, "b")})));
    must(dir->close());
  }
  files.crash(1, CrashMode::drop_all);
  damage_batch(files, 3);
  EXPECT_EQ(open_dir(files, reading_over()).error().code, ErrorCode::corrupt);
}

// Every flipped bit: a refusal, or Unknown, never a lie.
TEST(Repair, NoFlippedBitEverHidesAnAcceptance) {
  Written w({accept(ballot(2), 1, 2, "a"), accept(ballot(3), 2, 2, "b"), law(1, 1, "a"),
             accept(ballot(3), 4, 1, "c")});
  std::map<Slot, AcceptedEntry> truth;
  {
    MemoryFileSystem fork(w.files);
    truth = must(open_dir(fork))->recovered().accepted;
  }
  ASSERT_EQ(truth.size(), 4u);
  uint64_t read_over = 0;
  const std::string path = segment(1);
  const uint64_t end = place_of(w.files, 7).second;  // the marker itself is behind all that was said
  for (uint64_t bit = 0; bit < end * 8; bit += 3) {
    MemoryFileSystem files(w.files);
    files.flip_bit(path, bit);
    auto dir = open_dir(files, reading_over());
    if (!dir.ok()) continue;
    const RecoveredState state = (*dir)->recovered();
    read_over += state.unknown.empty() ? 0 : 1;
    for (const auto& [slot, held] : truth) {
      const auto found = state.accepted.find(slot);
      if (found != state.accepted.end()) {
        const bool same = found->second.entry == held.entry && found->second.ballot == held.ballot;
        ASSERT_TRUE(same || (found->second.law && found->second.entry == held.entry)) << "bit " << bit;
        continue;
      }
      const auto lost = state.unknown.find(slot);
      ASSERT_TRUE(lost != state.unknown.end() && lost->second >= held.ballot)
          << "bit " << bit << " hides " << slot.value;
    }
  }
  EXPECT_GT(read_over, 100u);
}

TEST(GivenUp, TheOldFilesAreKeptAndTheDirectoryIsNewAgain) {
  MemoryFileSystem files;
  must(must(open_dir(files))->wal().commit(batch({accept(ballot(1), 1, 1, "a")})));
  const std::string superblock = files.content(std::string(kDir) + "/superblock");
  EXPECT_EQ(must(DataDir::set_aside(files, kDir)), "*.damaged-1");
  EXPECT_FALSE(must(DataDir::peek(files, kDir)).has_value());
  {
    OpenOptions options = small_options();
    options.create->incarnation = Incarnation(77);
    auto dir = must(open_dir(files, options));
    EXPECT_TRUE(dir->created());
    EXPECT_TRUE(dir->recovered().accepted.empty());
  }
  EXPECT_EQ(files.content(std::string(kDir) + "/superblock.damaged-1"), superblock);
  EXPECT_EQ(must(DataDir::set_aside(files, kDir)), "*.damaged-2") << "nothing is ever written over";
  EXPECT_EQ(files.content(std::string(kDir) + "/superblock.damaged-1"), superblock);
}

TEST(GivenUp, ACrashAnywhereInItLeavesARefusalOrANewDirectory) {
  for (uint64_t after = 1; after < 12; ++after) {
    MemoryFileSystem files;
    must(must(open_dir(files))->wal().commit(batch({accept(ballot(1), 1, 1, "a")})));
    files.fail_after(after);
    (void)DataDir::set_aside(files, kDir).ok();
    files.crash(after, CrashMode::random);
    auto found = DataDir::peek(files, kDir);
    if (found.ok() &&
        found->has_value()) {  // nothing was moved yet, or the log was and its absence is damage
      auto dir = open_dir(files);
      ASSERT_TRUE(dir.ok() || dir.error().code == ErrorCode::corrupt) << after;
      if (dir.ok()) {
        EXPECT_EQ((*dir)->recovered().accepted.size(), 1u) << after;
      }
    }
    must(DataDir::set_aside(files, kDir));
    EXPECT_FALSE(must(DataDir::peek(files, kDir)).has_value()) << after;
  }
}

TEST(GivenUp, ADisownedDirectoryIsRefusedWithItsSentenceUntilItIsPutAside) {
  MemoryFileSystem files;
  must(must(open_dir(files))->wal().commit(batch({accept(ballot(1), 1, 1, "a")})));
  must(DataDir::disown(files, kDir, "older than what was acknowledged"));
  files.crash(1, CrashMode::drop_all);
  for (const Error& error : {open_dir(files).error(), DataDir::peek(files, kDir).error()}) {
    EXPECT_EQ(error.code, ErrorCode::corrupt);
    EXPECT_NE(error.message.find("older than what was acknowledged"), std::string::npos) << error.message;
  }
  must(DataDir::set_aside(files, kDir));
  EXPECT_TRUE(must(open_dir(files))->created());
}

TEST(DiskWrites, CountWhatWasSaidAndNotTheStarts) {
  MemoryFileSystem files;
  uint64_t told = 0;
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({EpochRecord{three_members(), {}}})));
    told = dir->wal().disk_writes();
    must(dir->wal().commit(batch({PromiseRecord{ballot(4)}})));
    EXPECT_GT(dir->wal().disk_writes(), told) << "a promise alone";
    told = dir->wal().disk_writes();
    must(dir->wal().commit(batch({accept(ballot(4), 1, 1, "a")})));
    EXPECT_GT(dir->wal().disk_writes(), told);
    told = dir->wal().disk_writes();
  }
  files.crash(1, CrashMode::drop_all);
  const MemoryFileSystem image = files;
  for (int start = 0; start < 5; ++start) {
    auto dir = must(open_dir(files));
    EXPECT_EQ(dir->recovered().disk_writes, told) << "start " << start;
    dir.reset();
    files.crash(1, CrashMode::drop_all);
  }
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({accept(ballot(4), 2, 1, "b")})));
    EXPECT_GT(dir->wal().disk_writes(), told);
    told = dir->wal().disk_writes();
  }
  // Found by the simulator: a marker that nothing proves is written again under its number, and was taken off
  // the count.
  {
    auto dir = must(open_dir(files));
    must(dir->wal().commit(batch({accept(ballot(4), 3, 1, "c")})));
    told = dir->wal().disk_writes();
    must(dir->close());
  }
  uint64_t before = 0;
  for (int start = 0; start < 5; ++start) {
    files.crash(static_cast<uint64_t>(start), CrashMode::drop_all);
    auto dir = must(open_dir(files));
    const uint64_t found = dir->recovered().disk_writes;
    EXPECT_GE(found, told) << "start " << start;
    if (start > 0) {
      EXPECT_EQ(found, before) << "start " << start;
    }
    before = found;
  }
  files = image;  // an old image is put back, and started again and again
  for (int start = 0; start < 5; ++start) {
    auto dir = must(open_dir(files));
    EXPECT_LT(dir->recovered().disk_writes, told) << "start " << start;
    dir.reset();
    files.crash(1, CrashMode::drop_all);
  }
}

TEST(Salvage, TellsWhatIsLeftOfADamagedDirectory) {
  Written w({accept(ballot(2), 1, 2, "a"), law(1, 1, "a"), DecidedRecord{Slot(2)},
             accept(ballot(2), 3, 2, "b"), accept(ballot(2), 5, 1, "c")});
  {
    const Salvage s = must(salvage(w.files, kDir));
    EXPECT_TRUE(s.problems.empty());
    EXPECT_EQ(s.accepted.size(), 5u);
    EXPECT_EQ(s.decided, Slot(2));
    EXPECT_EQ(s.promised, ballot(2));
    EXPECT_EQ(s.membership->members.size(), 3u);
  }
  damage_batch(w.files, 6);
  const Salvage s = must(salvage(w.files, kDir));
  EXPECT_EQ(s.missing_batches, 1u);
  EXPECT_FALSE(s.accepted.contains(Slot(3)));
  EXPECT_TRUE(s.accepted.contains(Slot(5)));
  EXPECT_FALSE(s.problems.empty());
}

// ---- the scrubber ----

// Three segments of single entries, and a snapshot in the middle of them.
struct Scrubbed {
  MemoryFileSystem files;
  std::unique_ptr<DataDir> dir;
  uint64_t last = 0;
  Scrubbed() {
    dir = must(open_dir(files));
    must(dir->wal().commit(batch({EpochRecord{three_members(), {}}, PromiseRecord{ballot(1)}})));
    while (dir->wal().statistics().segments < 4)
      must(dir->wal().commit(batch({accept(ballot(1), ++last, 1, std::string(300, 'v'))})));
    snapshot(5);
  }
  void snapshot(uint64_t index) {
    auto writer = must(dir->snapshots().begin(
        SnapshotMeta{test_identity().cluster, Slot(index), {index, 1}, 1, three_members()}));
    must(writer->append(std::string(600'000, 's')));
    must(writer->finish());
  }
  // What one whole round finds.
  std::vector<std::string> round(Scrubber& scrubber, uint64_t bytes = 4096) const {
    std::vector<std::string> found;
    for (const uint64_t before = scrubber.rounds(); scrubber.rounds() == before;)
      if (auto damage = scrubber.step(bytes)) found.push_back(*damage);
    return found;
  }
};

TEST(Scrubber, ReadsEverythingALittleAtATimeAndFindsNothingOnAWholeDisk) {
  Scrubbed s;
  Scrubber scrubber(s.dir->wal(), s.dir->snapshots());
  int steps = 0;
  while (scrubber.rounds() == 0) {
    const uint64_t before = scrubber.bytes_read();
    ASSERT_FALSE(scrubber.step(4096).has_value());
    EXPECT_LE(scrubber.bytes_read() - before, 4096u + (256u << 10)) << "a step ends with the piece it is in";
    ++steps;
  }
  EXPECT_GT(steps, 5);
  EXPECT_GT(scrubber.bytes_read(), 600'000u);
}

TEST(Scrubber, NamesADamagedBatchOnce) {
  Scrubbed s;
  const auto [path, at] = place_of(s.files, 5);
  s.files.flip_bit(path, (at + 150) * 8);
  Scrubber scrubber(s.dir->wal(), s.dir->snapshots());
  const std::vector<std::string> found = s.round(scrubber);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(found[0].find(path + " at byte " + std::to_string(at)), std::string::npos) << found[0];
  EXPECT_TRUE(s.round(scrubber).empty()) << "once";
}

TEST(Scrubber, FindsADamagedSnapshotAndIsContentWithANewOne) {
  Scrubbed s;
  char name[40];
  std::snprintf(name, sizeof(name), "/snapshots/%016x.snap", 5);
  s.files.flip_bit(std::string(kDir) + name, 300'000 * 8);
  Scrubber scrubber(s.dir->wal(), s.dir->snapshots());
  EXPECT_EQ(s.round(scrubber).size(), 1u);
  s.snapshot(5);  // taken again at the same slot
  Scrubber second(s.dir->wal(), s.dir->snapshots());
  EXPECT_TRUE(s.round(second).empty());
}

TEST(Scrubber, ATruncationBehindANewSnapshotTakesTheDamageAway) {
  Scrubbed s;
  const auto [path, at] = place_of(s.files, 5);
  s.files.flip_bit(path, (at + 150) * 8);
  s.snapshot(s.last);
  must(s.dir->wal().commit(batch({SnapshotRecord{Slot(s.last), {s.last, 1}}})));
  must(s.dir->wal().truncate_behind(Slot(s.last)));
  Scrubber scrubber(s.dir->wal(), s.dir->snapshots());
  EXPECT_TRUE(s.round(scrubber).empty());
}

}  // namespace
}  // namespace decree::storage
