#include "storage/data_dir.h"

#include <atomic>
#include <filesystem>
#include <thread>

#include <unistd.h>

#include "storage/posix_file_system.h"
#include "tests/storage/storage_test_util.h"

namespace decree::storage {
namespace {

using namespace testing;

ErrorCode code_of(const Result<std::unique_ptr<DataDir>>& result) {
  EXPECT_FALSE(result.ok());
  return result.ok() ? ErrorCode::unavailable : result.error().code;
}

TEST(DataDir, AnotherClusterOrMemberIsRefusedByName) {
  MemoryFileSystem files;
  must(open_dir(files)).reset();
  OpenOptions options = small_options();
  options.expected = test_identity();
  must(open_dir(files, options)).reset();
  options.expected->incarnation = Incarnation(99);
  must(open_dir(files, options)).reset();  // the incarnation is the disk's own
  options.expected->cluster = ClusterId(7);
  auto other = open_dir(files, options);
  EXPECT_EQ(code_of(other), ErrorCode::identity);
  EXPECT_NE(error_of(other).find("another cluster"), std::string::npos);
  options.expected = test_identity();
  options.expected->node = NodeId(2);
  other = open_dir(files, options);
  EXPECT_EQ(code_of(other), ErrorCode::identity);
  EXPECT_NE(error_of(other).find("another member"), std::string::npos);
}

TEST(DataDir, TheSecondProcessIsToldThatTheDirectoryIsInUse) {
  MemoryFileSystem files;
  auto dir = must(open_dir(files));
  EXPECT_EQ(code_of(open_dir(files)), ErrorCode::locked);
  dir.reset();
  must(open_dir(files)).reset();
}

TEST(DataDir, ANewerFormatIsRefusedAndLeftAlone) {
  MemoryFileSystem files;
  must(open_dir(files)).reset();
  const std::string path = std::string(kDir) + "/superblock";
  std::string bytes = files.content(path);
  for (size_t copy = 0; copy < 4; ++copy) {
    bytes[copy * 4096 + 8] = 9;
    const std::string_view covered = std::string_view(bytes).substr(copy * 4096, 4088);
    const uint64_t sum = checksum64(covered, 0x7375706572626c6b);
    for (size_t i = 0; i < 8; ++i) bytes[copy * 4096 + 4088 + i] = static_cast<char>(sum >> (8 * i));
  }
  files.put_file(path, bytes);
  const auto dir = open_dir(files);
  EXPECT_EQ(code_of(dir), ErrorCode::format);
  EXPECT_NE(error_of(dir).find("newer release"), std::string::npos);
  EXPECT_EQ(files.content(path), bytes);
}

TEST(DataDir, SomebodyElsesDirectoryIsNotTouched) {
  MemoryFileSystem files;
  files.put_file(std::string(kDir) + "/holiday.jpg", "x");
  EXPECT_EQ(code_of(open_dir(files)), ErrorCode::invalid);
  EXPECT_EQ(files.files_below(kDir).size(), 1u);
  files.put_file("/data/m2", "a file");
  EXPECT_EQ(code_of(DataDir::open(files, "/data/m2", small_options())), ErrorCode::invalid);
}

TEST(DataDir, WithoutRightsItSaysSo) {
  MemoryFileSystem files;
  must(open_dir(files)).reset();
  files.deny(kDir);
  EXPECT_EQ(code_of(open_dir(files)), ErrorCode::permission);
}

TEST(DataDir, AFullDiskAtCreationIsNamedAndTheNextTryFinishes) {
  MemoryFileSystem files;
  for (uint64_t capacity = 0; capacity < 60000; capacity += 3000) {
    files.set_capacity(capacity);
    auto dir = open_dir(files);
    if (dir.ok()) {
      // What starts can also be written to.
      must((*dir)->wal().commit(batch({accept(ballot(1), 1, 1, std::string(3000, 'x'))})));
      return;
    }
    ASSERT_EQ(dir.error().code, ErrorCode::no_space) << dir.error().message;
  }
  FAIL() << "never opened";
}

TEST(DataDir, WithoutDataAndWithoutALeaveToCreateItIsNotFound) {
  MemoryFileSystem files;
  OpenOptions options = small_options();
  options.create.reset();
  EXPECT_EQ(code_of(open_dir(files, options)), ErrorCode::not_found);
  EXPECT_TRUE(files.files_below("/").empty());
}

TEST(DataDir, ACreationCutOffAnywhereIsFinishedAndNotTakenForARestart) {
  for (uint64_t at = 1; at < 80; ++at) {
    for (uint64_t seed = 0; seed < 6; ++seed) {
      MemoryFileSystem files;
      files.fail_after(at);
      const bool done = open_dir(files).ok();
      files.crash(seed);
      const auto whose = DataDir::peek(files, kDir);
      ASSERT_TRUE(whose.ok()) << error_of(whose);
      auto dir = open_dir(files);
      ASSERT_TRUE(dir.ok()) << "operation " << at << " seed " << seed << ": " << error_of(dir);
      const RecoveredState state = (*dir)->recovered();
      EXPECT_FALSE(state.has_membership);
      EXPECT_EQ((*dir)->created(), !whose.value().has_value());
      EXPECT_EQ(state.identity, test_identity());
      if (done && seed == 5) return;
    }
  }
  FAIL() << "never finished";
}

TEST(DataDir, PeekTellsWhoseItIsWithoutTouchingIt) {
  MemoryFileSystem files;
  EXPECT_FALSE(must(DataDir::peek(files, kDir)).has_value());
  auto dir = must(open_dir(files));
  const uint64_t operations = files.operations();
  EXPECT_EQ(must(DataDir::peek(files, kDir)), test_identity());
  EXPECT_EQ(files.operations(), operations);
}

// ---- the real file system ----

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "decree-storage-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string sub(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

TEST(PosixDataDir, LivesAndComesBack) {
  const TemporaryDirectory temporary;
  const auto files = make_posix_file_system();
  const std::string path = temporary.sub("deep/er");
  OpenOptions options = small_options();
  options.wal.block_bytes = 4096;
  options.wal.segment_bytes = 64 * 1024;
  for (uint64_t boot = 1; boot <= 4; ++boot) {
    auto dir = must(DataDir::open(*files, path, options));
    EXPECT_EQ(dir->boot(), boot);
    RecoveredState state = dir->recovered();
    ASSERT_EQ(state.accepted.size(), 50 * (boot - 1));
    for (uint64_t i = 1; i <= 50; ++i) {
      const uint64_t slot = 50 * (boot - 1) + i;
      must(dir->wal().commit(batch({accept(ballot(1), slot, 1, std::string(200, 'p'))})));
      if (dir->wal().needs_reserve()) must(dir->wal().prepare_reserve());
    }
    EXPECT_EQ(must(dir->wal().read({Slot(1), Slot(1000)}, 1 << 20)).size(), 50 * boot);
    EXPECT_EQ(code_of(DataDir::open(*files, path, options)), ErrorCode::locked);
  }
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(path).permissions() & (perms::group_all | perms::others_all),
            perms::none);
  EXPECT_EQ(
      std::filesystem::status(path + "/superblock").permissions() & (perms::group_all | perms::others_all),
      perms::none);
}

TEST(PosixDataDir, AFileInTheWayAndASymbolicLinkAreRefused) {
  const TemporaryDirectory temporary;
  const auto files = make_posix_file_system();
  { auto file = must(files->open(temporary.sub("plain"), OpenMode::create)); }
  EXPECT_EQ(code_of(DataDir::open(*files, temporary.sub("plain"), small_options())), ErrorCode::invalid);
  must(DataDir::open(*files, temporary.sub("d"), small_options())).reset();
  std::filesystem::rename(temporary.sub("d/superblock"), temporary.sub("elsewhere"));
  std::filesystem::create_symlink(temporary.sub("elsewhere"), temporary.sub("d/superblock"));
  EXPECT_EQ(code_of(DataDir::open(*files, temporary.sub("d"), small_options())), ErrorCode::invalid);
}

TEST(PosixDataDir, ReadersDoNotDisturbTheWriter) {
  const TemporaryDirectory temporary;
  const auto files = make_posix_file_system();
  OpenOptions options = small_options();
  auto dir = must(DataDir::open(*files, temporary.sub("d"), options));
  Wal& wal = dir->wal();
  std::atomic<uint64_t> written{0};
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop) {
      const uint64_t end = written;
      const Slot first = wal.first_slot();
      auto entries = wal.read({first, Slot(end + 1)}, 1 << 20);
      if (!entries.ok()) {
        ADD_FAILURE() << error_of(entries);
        return;
      }
      for (size_t i = 0; i < entries->size(); ++i) EXPECT_EQ((*entries)[i].id.seq, first.value + i);
    }
  });
  std::thread worker([&] {
    while (!stop) {
      EXPECT_TRUE(wal.prepare_reserve().ok());
      if (written > 100) {
        EXPECT_TRUE(wal.truncate_behind(Slot(written - 100)).ok());
      }
    }
  });
  for (uint64_t slot = 1; slot <= 600; ++slot) {
    must(wal.commit(batch({accept(ballot(1), slot, 1, std::string(300, 'r'))})));
    written = slot;
  }
  stop = true;
  reader.join();
  worker.join();
  EXPECT_GT(wal.first_slot(), Slot(1));
}

}  // namespace
}  // namespace decree::storage
