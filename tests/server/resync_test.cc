#include "server/resync.h"

#include "gtest/gtest.h"
#include "server/identity.h"
#include "storage/data_dir.h"
#include "storage/memory_file_system.h"

namespace decree::server {
namespace {

constexpr const char* kDir = "home/m2";

struct World {
  World() {
    divergence.identity = Identity{ClusterId(7), NodeId(2), 22, Incarnation(1111)};
    std::vector<Member> list;
    for (uint32_t n = 1; n <= 3; ++n) {
      Member m;
      m.node = NodeId(n);
      m.incarnation = Incarnation(1000 * n);
      m.member_id = 20 + n;
      list.push_back(m);
    }
    divergence.membership = make_membership(list, 4, Slot(50));
    divergence.report = "who has what";
    EXPECT_TRUE(files.make_directory("home").ok());
    EXPECT_TRUE(files.sync_directory(".").ok());
    storage::OpenOptions options;
    options.create = divergence.identity;
    auto data = storage::DataDir::open(files, kDir, options);
    EXPECT_TRUE(data.ok());
    EXPECT_TRUE((*data)->close().ok());
  }
  Result<std::unique_ptr<storage::DataDir>> open() {
    EXPECT_TRUE(finish_set_aside(files, kDir).ok());
    return storage::DataDir::open(files, kDir, {});
  }

  storage::MemoryFileSystem files;
  Divergence divergence;
};

struct Resync : ::testing::Test, World {};

TEST_F(Resync, TheOldDirectoryIsEvidenceAndTheNewOneIsTheSameMemberWithAnotherDisk) {
  const Result<std::string> evidence = set_aside(files, kDir, divergence);
  ASSERT_TRUE(evidence.ok()) << evidence.error().message;
  EXPECT_EQ(*evidence, "home/m2.diverged-1");
  EXPECT_EQ(*storage::read_whole(files, "home/m2.diverged-1/divergence.txt", 1000), "who has what");
  const auto old = storage::DataDir::peek(files, *evidence);
  EXPECT_EQ((*old)->incarnation, Incarnation(1111));
  auto fresh = open();
  ASSERT_TRUE(fresh.ok()) << fresh.error().message;
  const Identity& identity = (*fresh)->identity();
  EXPECT_EQ(identity.cluster, ClusterId(7));
  EXPECT_EQ(identity.node, NodeId(2));
  EXPECT_EQ(identity.member_id, 22u);
  EXPECT_NE(identity.incarnation, Incarnation(1111));
  const RecoveredState state = (*fresh)->recovered();
  EXPECT_TRUE(state.has_membership);
  EXPECT_EQ(state.membership, divergence.membership) << "it knows the cluster without any flag";
  EXPECT_TRUE(state.accepted.empty());
}

TEST_F(Resync, ASecondTimeFindsAnotherNameForTheEvidence) {
  ASSERT_TRUE(set_aside(files, kDir, divergence).ok());
  const Result<std::string> second = set_aside(files, kDir, divergence);
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_EQ(*second, "home/m2.diverged-2");
}

// A power failure before each step of set_aside(): afterwards there is the old directory or the new one, and
// never nothing, which a start with old flags would take for a new cluster.
TEST_F(Resync, ACrashAnywhereLeavesTheOldDirectoryOrTheNewOne) {
  bool seen_old = false;
  bool seen_new = false;
  for (uint64_t at = 1; at <= 400; ++at) {
    World fresh;
    fresh.files.fail_after(at);
    const bool done = set_aside(fresh.files, kDir, fresh.divergence).ok();
    fresh.files.crash(at);
    auto found = fresh.open();
    ASSERT_TRUE(found.ok()) << "step " << at << ": " << found.error().message;
    const bool is_new = (*found)->identity().incarnation != Incarnation(1111);
    (is_new ? seen_new : seen_old) = true;
    if (is_new) {
      EXPECT_TRUE((*found)->recovered().has_membership) << "step " << at;
    }
    if (done) break;
  }
  EXPECT_TRUE(seen_old);
  EXPECT_TRUE(seen_new);
}

}  // namespace
}  // namespace decree::server
