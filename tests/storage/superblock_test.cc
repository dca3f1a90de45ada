#include "storage/superblock.h"

#include "tests/storage/storage_test_util.h"

namespace decree::storage {
namespace {

using namespace testing;

const std::string kPath = "/d/superblock";

// Crash after crash in the middle of an update, on one disk: what is read is never older than what was
// acknowledged.
TEST(Superblock, IsNeverReadBackOlderThanItWasAcknowledged) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    uint64_t random = seed;
    const auto draw = [&random](uint64_t below) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      return (random >> 33) % below;
    };
    MemoryFileSystem files;
    must(files.make_directory("/d"));
    must(files.sync_directory("/"));
    SuperblockState state;
    state.identity = test_identity();
    must(Superblock::create(files, kPath, state));
    uint32_t acknowledged = 0;
    uint32_t attempted = 0;
    for (int crash = 0; crash < 20; ++crash) {
      auto superblock = Superblock::open(files, kPath, nullptr);
      ASSERT_TRUE(superblock.ok()) << "seed " << seed << ": " << error_of(superblock);
      const uint32_t found = (*superblock)->state().promised.round;
      ASSERT_GE(found, acknowledged) << "seed " << seed << " crash " << crash;
      ASSERT_LE(found, attempted) << "seed " << seed << " crash " << crash;
      attempted = std::max(attempted, found);
      files.fail_after(1 + draw(6));
      while (true) {
        ++attempted;
        if (!(*superblock)->update([&](SuperblockState& s) { s.promised = ballot(attempted); }).ok()) break;
        acknowledged = attempted;
      }
      EXPECT_FALSE((*superblock)->update([](SuperblockState&) {}).ok())
          << "after a failure it is never written again";
      files.crash(seed * 100 + static_cast<uint64_t>(crash),
                  draw(4) == 0 ? CrashMode::process_only : CrashMode::random);
    }
  }
}

// The first version called the epoch's record in the log damage, and told its operator to replace the member.
TEST(Superblock, AReleaseWithoutEpochsIsToldThatANewerOneWroteIt) {
  SuperblockState state;
  constexpr size_t format_at = 8;
  EXPECT_EQ(encode_superblock(state)[format_at], 1) << "until then it can go back";
  state.epoch = 1;
  const std::string block = encode_superblock(state);
  EXPECT_EQ(block[format_at], 2);
  SuperblockState read;
  ASSERT_EQ(decode_superblock(block, &read), SuperblockVerdict::valid);
  EXPECT_EQ(read, state);
}

TEST(Superblock, EveryFieldComesBack) {
  SuperblockState state;
  state.sequence = 9;
  state.identity = test_identity();
  state.boot = 4;
  state.epoch = 3;
  state.promised = Ballot{3, 0x80000001, 7, NodeId(12)};
  state.first_segment = 5;
  state.active_segment = 8;
  state.synced_through = 1000;
  state.truncated_upto = Slot(77);
  SuperblockState read;
  ASSERT_EQ(decode_superblock(encode_superblock(state), &read), SuperblockVerdict::valid);
  EXPECT_EQ(read, state);
}

}  // namespace
}  // namespace decree::storage
