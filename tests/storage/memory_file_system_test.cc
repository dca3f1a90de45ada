#include "storage/memory_file_system.h"

#include "tests/storage/storage_test_util.h"

namespace decree::storage {
namespace {

using testing::must;

struct Disk {
  MemoryFileSystem files;
  std::unique_ptr<File> file;
  Disk() {
    must(files.make_directory("/d"));
    must(files.sync_directory("/"));
    file = must(files.open("/d/f", OpenMode::create));
  }
};

TEST(MemoryFileSystem, WhatWasNotSyncedIsLostAndWhatWasIsKept) {
  Disk disk;
  must(disk.files.sync_directory("/d"));
  must(disk.file->write(0, std::string(2000, 'a')));
  must(disk.file->sync());
  must(disk.file->write(1000, std::string(2000, 'b')));
  disk.files.crash(1, CrashMode::drop_all);
  EXPECT_EQ(disk.files.content("/d/f"), std::string(2000, 'a'));
  char byte = 0;
  EXPECT_FALSE(disk.file->read(0, std::span<char>(&byte, 1)).ok()) << "handles die with the machine";
}

TEST(MemoryFileSystem, AnEntryThatWasNotSyncedMayVanishWithASyncedFile) {
  Disk disk;
  must(disk.file->write(0, "x"));
  must(disk.file->sync());
  disk.files.crash(1, CrashMode::drop_all);
  EXPECT_TRUE(disk.files.files_below("/d").empty());
}

TEST(MemoryFileSystem, ACrashKeepsExactlyTheChosenPieces) {
  for (unsigned set = 0; set < 16; ++set) {
    Disk disk;                                            // its entry is the first piece
    must(disk.file->write(0, std::string(1000, 'a')));    // two sectors, the second not whole
    must(disk.file->write(1024, std::string(512, 'b')));  // one
    ASSERT_EQ(disk.files.unsynced_pieces(), 4u);
    disk.files.crash_keeping({(set & 1) != 0, (set & 2) != 0, (set & 4) != 0, (set & 8) != 0});
    EXPECT_EQ(disk.files.unsynced_pieces(), 0u);
    std::string expected;
    if ((set & 2) != 0) expected = std::string(512, 'a');
    if ((set & 4) != 0) {
      expected.resize(512, '\0');
      expected += std::string(488, 'a');
    }
    if ((set & 8) != 0) {
      expected.resize(1024, '\0');
      expected += std::string(512, 'b');
    }
    const bool there = (set & 1) != 0;
    EXPECT_EQ(disk.files.files_below("/d").size(), there ? 1u : 0u) << set;
    EXPECT_EQ(disk.files.content("/d/f"), there ? expected : "") << set;
  }
}

TEST(MemoryFileSystem, AWriteIsTornBySectorsSomeOfWhichAreGarbage) {
  bool saw_torn = false;
  bool saw_garbage = false;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Disk disk;
    must(disk.files.sync_directory("/d"));
    must(disk.file->zero_fill(0, 4096));
    must(disk.file->sync());
    must(disk.file->write(0, std::string(4096, 'w')));
    disk.files.crash(seed);
    const std::string content = disk.files.content("/d/f");
    ASSERT_EQ(content.size(), 4096u);
    bool old = false;
    bool fresh = false;
    for (size_t sector = 0; sector < 8; ++sector) {
      const std::string piece = content.substr(sector * 512, 512);
      ASSERT_EQ(piece, std::string(512, piece[0]));
      (piece[0] == 'w' ? fresh : piece[0] == '\0' ? old : saw_garbage) = true;
    }
    saw_torn = saw_torn || (old && fresh);
  }
  EXPECT_TRUE(saw_torn);
  EXPECT_TRUE(saw_garbage);
}

TEST(MemoryFileSystem, TheSameSeedGivesTheSameDisk) {
  const auto one = [](uint64_t seed) {
    Disk disk;
    must(disk.file->write(0, std::string(9000, 'q')));
    must(disk.files.rename("/d/f", "/d/g"));
    disk.files.crash(seed);
    return disk.files.content("/d/f") + "|" + disk.files.content("/d/g");
  };
  for (uint64_t seed = 0; seed < 20; ++seed) EXPECT_EQ(one(seed), one(seed));
}

TEST(MemoryFileSystem, AForkGoesItsOwnWay) {
  Disk disk;
  must(disk.files.sync_directory("/d"));
  must(disk.file->write(0, "one"));
  must(disk.file->sync());
  must(disk.file->write(0, "two"));
  MemoryFileSystem fork(disk.files);
  fork.crash(1, CrashMode::drop_all);
  EXPECT_EQ(fork.content("/d/f"), "one");
  EXPECT_EQ(disk.files.content("/d/f"), "two");
  must(disk.file->write(0, "six"));
  must(disk.file->sync());
  EXPECT_EQ(fork.content("/d/f"), "one");
}

TEST(MemoryFileSystem, AFailedSyncLosesTheWritesAlthoughReadsShowThem) {
  Disk disk;
  must(disk.files.sync_directory("/d"));
  must(disk.file->write(0, "lost"));
  disk.files.fail_next_sync();
  EXPECT_FALSE(disk.file->sync().ok());
  EXPECT_EQ(disk.files.content("/d/f"), "lost");
  must(disk.file->write(4, "kept"));
  must(disk.file->sync());
  disk.files.crash(1, CrashMode::keep_all);
  EXPECT_EQ(disk.files.content("/d/f"), std::string(4, '\0') + "kept");
}

TEST(MemoryFileSystem, DiesAtTheOperationItWasToldAndStaysDead) {
  Disk disk;
  disk.files.fail_after(2);
  must(disk.file->write(0, "1"));
  EXPECT_FALSE(disk.file->write(1, "2").ok());
  EXPECT_TRUE(disk.files.failed());
  EXPECT_FALSE(disk.file->sync().ok());
  EXPECT_FALSE(disk.files.open("/d/other", OpenMode::create).ok());
}

TEST(MemoryFileSystem, AnOpenFileOutlivesItsName) {
  Disk disk;
  must(disk.file->write(0, "still"));
  must(disk.files.unlink("/d/f"));
  char bytes[5];
  EXPECT_EQ(must(disk.file->read(0, bytes)), 5u);
  EXPECT_EQ(std::string(bytes, 5), "still");
}

TEST(MemoryFileSystem, AMisdirectedWriteLandsElsewhereAndNobodyIsTold) {
  Disk disk;
  must(disk.files.make_directory("/d/wal"));
  const std::unique_ptr<File> log = must(disk.files.open("/d/wal/1", OpenMode::create));
  must(log->write(0, std::string(1024, 'a')));
  must(disk.file->write(0, std::string(1024, 'z')));
  EXPECT_FALSE(disk.files.misdirect_next_write("/d/wal", "/d/absent", 0));
  EXPECT_TRUE(disk.files.misdirect_next_write("/d/wal", "/d/f", 512));
  must(disk.file->write(0, "y"));  // not below the directory
  EXPECT_TRUE(disk.files.misdirect_pending());
  must(log->write(0, std::string(512, 'b')));
  EXPECT_FALSE(disk.files.misdirect_pending());
  EXPECT_EQ(disk.files.content("/d/wal/1"), std::string(1024, 'a'));
  EXPECT_EQ(disk.files.content("/d/f").substr(500), std::string(12, 'z') + std::string(512, 'b'));
}

TEST(MemoryFileSystem, ReadsFailAsOftenAsAskedAndThenNoMore) {
  Disk disk;
  must(disk.file->write(0, "x"));
  disk.files.fail_reads(2);
  char byte = 0;
  for (int i = 0; i < 2; ++i) {
    const auto read = disk.file->read(0, std::span<char>(&byte, 1));
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, ErrorCode::io);
  }
  EXPECT_TRUE(disk.file->read(0, std::span<char>(&byte, 1)).ok());
}

}  // namespace
}  // namespace decree::storage
