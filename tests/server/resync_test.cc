#include "server/resync.h"

#include <filesystem>

#include "gtest/gtest.h"
#include "server/identity.h"
#include "storage/data_dir.h"
#include "storage/posix_file_system.h"

namespace decree::server {
namespace {

namespace fs = std::filesystem;

// Real files; dies before its n-th rename, and does nothing any more from then on.
class DyingFiles final : public storage::FileSystem {
 public:
  explicit DyingFiles(int renames) : renames_(renames) {}
  Result<std::unique_ptr<storage::File>> open(const std::string& path, storage::OpenMode mode) override {
    if (dead()) return died();
    return real_->open(path, mode);
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    if (renames_-- <= 0) return died();
    return real_->rename(from, to);
  }
  Result<void> unlink(const std::string& path) override {
    return dead() ? Result<void>(died()) : real_->unlink(path);
  }
  Result<std::vector<std::string>> list(const std::string& directory) const override {
    return real_->list(directory);
  }
  Result<void> make_directory(const std::string& path) override {
    return dead() ? Result<void>(died()) : real_->make_directory(path);
  }
  Result<void> sync_directory(const std::string& path) override { return real_->sync_directory(path); }
  Result<storage::PathKind> kind(const std::string& path) const override { return real_->kind(path); }
  Result<std::unique_ptr<storage::FileLock>> lock(const std::string& path) override {
    return real_->lock(path);
  }
  Result<uint64_t> free_bytes(const std::string& path) const override { return real_->free_bytes(path); }
  bool is_open_to_others(const std::string& path) const override { return real_->is_open_to_others(path); }
  bool dead() const { return renames_ < 0; }

 private:
  static Error died() { return Error{ErrorCode::io, "the process died"}; }
  std::unique_ptr<storage::FileSystem> real_ = storage::make_posix_file_system();
  int renames_;
};

struct Resync : ::testing::Test {
  Resync() {
    divergence.identity = Identity{ClusterId(7), NodeId(2), 22, Incarnation(1111)};
    std::vector<decree::Member> list;
    for (uint32_t n = 1; n <= 3; ++n) {
      decree::Member m;
      m.node = NodeId(n);
      m.incarnation = Incarnation(1000 * n);
      m.member_id = 20 + n;
      list.push_back(m);
    }
    divergence.membership = make_membership(list, 4, Slot(50));
    divergence.report = "who has what";
  }
  void make_member() {
    if (!folder.empty()) fs::remove_all(folder);
    std::string pattern = (fs::temp_directory_path() / "decree-resync-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder = pattern;
    dir = folder + "/m2";
    storage::OpenOptions options;
    options.create = divergence.identity;
    auto data = storage::DataDir::open(*files, dir, options);
    ASSERT_TRUE(data.ok()) << data.error().message;
    ASSERT_TRUE((*data)->close().ok());
  }
  ~Resync() override { fs::remove_all(folder); }
  Result<std::unique_ptr<storage::DataDir>> open() {
    EXPECT_TRUE(finish_set_aside(*files, dir).ok());
    return storage::DataDir::open(*files, dir, {});
  }

  std::unique_ptr<storage::FileSystem> files = storage::make_posix_file_system();
  Divergence divergence;
  std::string folder;
  std::string dir;
};

TEST_F(Resync, TheOldDirectoryIsEvidenceAndTheNewOneIsTheSameMemberWithAnotherDisk) {
  make_member();
  Result<std::string> evidence = set_aside(*files, dir, divergence);
  ASSERT_TRUE(evidence.ok()) << evidence.error().message;
  EXPECT_EQ(*evidence, dir + ".diverged-1");
  Result<std::string> report = storage::read_whole(*files, *evidence + "/divergence.txt", 1000);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(*report, "who has what");
  auto old = storage::DataDir::peek(*files, *evidence);
  ASSERT_TRUE(old.ok() && old->has_value());
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
  make_member();
  ASSERT_TRUE(set_aside(*files, dir, divergence).ok());
  Result<std::string> second = set_aside(*files, dir, divergence);
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_EQ(*second, dir + ".diverged-2");
}

// Afterwards there is the old directory or the new one, and never nothing, which a start with flags that do
// not describe the cluster any more would take for a new cluster of its own.
TEST_F(Resync, AProcessThatDiesInTheMiddleLeavesTheOldDirectoryOrTheNewOne) {
  bool seen_old = false;
  bool seen_between = false;
  for (int renames = 0; renames <= 8; ++renames) {
    make_member();
    DyingFiles dying(renames);
    const bool done = set_aside(dying, dir, divergence).ok();
    const bool between = !fs::exists(dir);
    auto found = open();
    ASSERT_TRUE(found.ok()) << renames << ": " << found.error().message;
    const bool is_new = (*found)->identity().incarnation != Incarnation(1111);
    seen_old = seen_old || !is_new;
    seen_between = seen_between || (between && is_new);
    if (is_new) {
      EXPECT_TRUE((*found)->recovered().has_membership) << renames;
    }
    if (!done) continue;
    EXPECT_TRUE(is_new);
    EXPECT_TRUE(seen_old);
    EXPECT_TRUE(seen_between);
    return;
  }
  FAIL() << "it never came to its end";
}

}  // namespace
}  // namespace decree::server
