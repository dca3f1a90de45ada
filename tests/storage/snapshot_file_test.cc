#include "storage/snapshot_file.h"

#include "tests/storage/storage_test_util.h"

namespace decree::storage {
namespace {

using namespace testing;

constexpr const char* kSnaps = "/snaps";
const ClusterId kCluster(0xc1);

struct Fixture {
  MemoryFileSystem files;
  std::unique_ptr<SnapshotStore> store;
  Fixture() {
    must(files.make_directory(kSnaps));
    must(files.sync_directory("/"));
    reopen();
  }
  std::vector<std::string> reopen() {
    std::vector<std::string> notes;
    store = std::make_unique<SnapshotStore>(files, kSnaps, kCluster);
    must(store->open(&notes));
    return notes;
  }
};

SnapshotMeta meta(uint64_t index, ClusterId cluster = kCluster) {
  return SnapshotMeta{cluster, Slot(index), {index, 77}, 5, three_members(2, Slot(3))};
}

SnapshotInfo write(SnapshotStore& store, uint64_t index, const std::string& body) {
  auto writer = must(store.begin(meta(index)));
  // In uneven pieces: the file must not depend on them.
  for (size_t at = 0; at < body.size(); at += 70001)
    must(writer->append(std::string_view(body).substr(at, 70001)));
  return must(writer->finish());
}

std::string body_of(size_t bytes) {
  std::string body(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) body[i] = static_cast<char>(i * 131 + (i >> 9));
  return body;
}

std::string read_body(SnapshotStore& store, uint64_t index) {
  auto reader = must(store.read(Slot(index)));
  std::string body;
  std::string chunk;
  while (must(reader->next(&chunk))) body += chunk;
  return body;
}

std::string path(uint64_t index) {
  char name[64];
  std::snprintf(name, sizeof(name), "%s/%016llx.snap", kSnaps, static_cast<unsigned long long>(index));
  return name;
}

TEST(SnapshotFile, ReadsBackWhatWasWrittenWhateverItsSize) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{262144}, size_t{262145}, size_t{900000}}) {
    Fixture f;
    const std::string body = body_of(bytes);
    const SnapshotInfo info = write(*f.store, 9, body);
    f.files.crash(1, CrashMode::drop_all);
    EXPECT_TRUE(f.reopen().empty());
    ASSERT_TRUE(f.store->newest().has_value());
    EXPECT_EQ(f.store->newest()->meta, meta(9));
    EXPECT_EQ(f.store->newest()->digest, info.digest);
    EXPECT_EQ(f.store->newest()->body_bytes, bytes);
    EXPECT_EQ(read_body(*f.store, 9), body);
  }
}

TEST(SnapshotFile, EveryFlippedBitAndEveryTruncationIsRefused) {
  Fixture f;
  write(*f.store, 9, body_of(300));
  const std::string bytes = f.files.content(path(9));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    MemoryFileSystem damaged(f.files);
    damaged.flip_bit(path(9), bit);
    const auto verdict = verify_snapshot(damaged, path(9), kCluster);
    ASSERT_FALSE(verdict.ok()) << "bit " << bit;
    EXPECT_NE(verdict.error().message.find(path(9)), std::string::npos);
  }
  for (size_t keep = 0; keep < bytes.size(); ++keep) {
    MemoryFileSystem damaged(f.files);
    damaged.resize_file(path(9), keep);
    ASSERT_FALSE(verify_snapshot(damaged, path(9), kCluster).ok()) << "cut to " << keep;
  }
  MemoryFileSystem longer(f.files);
  longer.put_file(path(9), bytes + "x");
  EXPECT_FALSE(verify_snapshot(longer, path(9), kCluster).ok());
}

TEST(SnapshotFile, AnotherClustersSnapshotIsRefusedByName) {
  Fixture f;
  write(*f.store, 9, "state");
  const auto verdict = verify_snapshot(f.files, path(9), ClusterId(5));
  ASSERT_FALSE(verdict.ok());
  EXPECT_EQ(verdict.error().code, ErrorCode::identity);
  EXPECT_NE(verdict.error().message.find("another cluster"), std::string::npos);
}

TEST(SnapshotFile, OneThatWasRenamedToAnotherSlotIsNotUsed) {
  Fixture f;
  write(*f.store, 9, "state");
  f.files.put_file(path(11), f.files.content(path(9)));
  EXPECT_EQ(f.reopen().size(), 1u);
  EXPECT_EQ(f.store->newest()->meta.index, Slot(9));
}

TEST(SnapshotFile, AHalfWrittenOneIsNeverSeen) {
  for (uint64_t at = 1; at < 30; ++at) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      Fixture f;
      write(*f.store, 5, "old");
      f.files.fail_after(at);
      bool done = false;
      {
        auto writer = f.store->begin(meta(9));
        if (writer.ok() && (*writer)->append(body_of(3000)).ok()) done = (*writer)->finish().ok();
      }
      f.files.crash(at * 100 + seed);
      EXPECT_TRUE(f.reopen().empty()) << "a file under its final name is whole";
      const Slot newest = f.store->newest()->meta.index;
      EXPECT_TRUE(newest == Slot(9) || (!done && newest == Slot(5)));
      EXPECT_EQ(read_body(*f.store, newest.value), newest == Slot(9) ? body_of(3000) : "old");
      EXPECT_LE(f.files.files_below(kSnaps).size(), 2u) << "no leftovers";
      if (done && seed == 9) return;
    }
  }
  FAIL() << "never finished";
}

TEST(SnapshotFile, AnAbandonedWriterLeavesNothing) {
  Fixture f;
  {
    auto writer = must(f.store->begin(meta(9)));
    must(writer->append("half"));
  }
  EXPECT_TRUE(f.files.files_below(kSnaps).empty());
}

TEST(SnapshotFile, KeepsTheNewestAndDropsTheRest) {
  Fixture f;
  for (const uint64_t index : {3, 5, 9, 12}) write(*f.store, index, "s");
  must(f.store->drop_older(2));
  EXPECT_EQ(f.files.files_below(kSnaps), (std::vector<std::string>{path(9), path(12)}));
  f.reopen();
  EXPECT_EQ(f.store->newest()->meta.index, Slot(12));
  must(f.store->drop_older(1));
  EXPECT_EQ(f.files.files_below(kSnaps), (std::vector<std::string>{path(12)}));
}

TEST(SnapshotFile, APieceStaysReadableWhenTheFileIsDropped) {
  Fixture f;
  write(*f.store, 3, body_of(1000));
  const std::string bytes = f.files.content(path(3));
  auto piece = must(f.store->open_piece(Slot(3)));
  write(*f.store, 5, "s");
  must(f.store->drop_older(1));
  EXPECT_EQ(must(piece->read(0, 1 << 20)), bytes);
  EXPECT_EQ(must(piece->read(bytes.size(), 100)), "");
  EXPECT_FALSE(f.store->open_piece(Slot(3)).ok());
}

struct Source {
  Fixture from;
  SnapshotInfo info;
  std::string bytes;
  Source() : info(write(*from.store, 9, body_of(5000))), bytes(from.files.content(path(9))) {}
};

TEST(SnapshotImport, PiecesInAnyOrderMakeTheSameFile) {
  Source source;
  Fixture f;
  auto import = must(f.store->begin_import(Slot(9), source.info.size_bytes, source.info.digest));
  const std::string_view bytes = source.bytes;
  must(import->write(2000, bytes.substr(2000)));
  EXPECT_EQ(import->contiguous_bytes(), 0u);
  must(import->write(0, bytes.substr(0, 1500)));
  EXPECT_EQ(import->contiguous_bytes(), 1500u);
  must(import->write(1000, bytes.substr(1000, 1200)));  // overlapping repeats are fine
  EXPECT_EQ(import->contiguous_bytes(), bytes.size());
  EXPECT_EQ(must(import->finish()).digest, source.info.digest);
  f.files.crash(1, CrashMode::drop_all);
  f.reopen();
  EXPECT_EQ(f.store->newest()->meta, meta(9));
  EXPECT_EQ(read_body(*f.store, 9), body_of(5000));
}

struct LargeSource {
  Fixture from;
  SnapshotInfo info;
  std::string bytes;
  LargeSource() : info(write(*from.store, 9, body_of(1'000'000))), bytes(from.files.content(path(9))) {}
};

std::vector<std::string> parts(Fixture& f) {
  std::vector<std::string> found;
  for (const std::string& name : f.files.files_below(kSnaps))
    if (name.find(".part") != std::string::npos) found.push_back(name);
  return found;
}

// A member that was restarted while a large snapshot came in began again with its first byte.
TEST(SnapshotImport, GoesOnAfterARestartBehindWhatVerifies) {
  LargeSource source;
  const std::string_view bytes = source.bytes;
  Fixture f;
  must(must(f.store->begin_import(Slot(9), bytes.size(), source.info.digest))
           ->write(0, bytes.substr(0, 700'000)));
  f.reopen();
  auto import = must(f.store->begin_import(Slot(9), bytes.size(), source.info.digest));
  const uint64_t held = import->contiguous_bytes();
  EXPECT_GT(held, 500'000u) << "two chunks of 256 KiB came whole";
  EXPECT_LE(held, 700'000u);
  must(import->write(held, bytes.substr(held)));
  EXPECT_EQ(must(import->finish()).digest, source.info.digest);
  EXPECT_EQ(read_body(*f.store, 9), body_of(1'000'000));
  EXPECT_TRUE(parts(f).empty());
}

TEST(SnapshotImport, APartThatIsWholeNeedsNothingMore) {
  LargeSource source;
  Fixture f;
  must(must(f.store->begin_import(Slot(9), source.bytes.size(), source.info.digest))->write(0, source.bytes));
  f.reopen();
  auto import = must(f.store->begin_import(Slot(9), source.bytes.size(), source.info.digest));
  EXPECT_EQ(import->contiguous_bytes(), source.bytes.size());
  EXPECT_TRUE(import->finish().ok());
}

TEST(SnapshotImport, WhatRottedInThePartIsFetchedAgain) {
  LargeSource source;
  const std::string_view bytes = source.bytes;
  // In the header, in a chunk, in a chunk's own header, at the end.
  const size_t second_chunk =
      bytes.size() - 40 - (1'000'000 - 3 * (256u << 10)) - 16 - 2 * ((256u << 10) + 16);
  for (const size_t at : {size_t{10}, size_t{300'000}, second_chunk + 9, size_t{699'999}}) {
    Fixture f;
    must(must(f.store->begin_import(Slot(9), bytes.size(), source.info.digest))
             ->write(0, bytes.substr(0, 700'000)));
    ASSERT_EQ(parts(f).size(), 1u);
    auto file = must(f.files.open(parts(f)[0], OpenMode::read_write));
    must(file->write(at, std::string(1, static_cast<char>(bytes[at] ^ 1))));
    f.reopen();
    auto import = must(f.store->begin_import(Slot(9), bytes.size(), source.info.digest));
    const uint64_t held = import->contiguous_bytes();
    EXPECT_LE(held, at) << "the damaged chunk is not taken for whole";
    must(import->write(held, bytes.substr(held)));
    EXPECT_EQ(must(import->finish()).digest, source.info.digest);
  }
}

TEST(SnapshotImport, APartDoesNotStayOnAFullDisk) {
  LargeSource source;
  Fixture f;
  auto import = must(f.store->begin_import(Slot(9), source.bytes.size(), source.info.digest));
  must(import->write(0, source.bytes.substr(0, 300'000)));
  f.files.set_capacity(350'000);
  EXPECT_EQ(import->write(300'000, source.bytes.substr(300'000)).error().code, ErrorCode::no_space);
  import.reset();
  EXPECT_TRUE(parts(f).empty()) << "the log needs the room";
}

TEST(SnapshotImport, PartsOfOtherFilesGo) {
  LargeSource source;
  Fixture f;
  must(must(f.store->begin_import(Slot(9), source.bytes.size(), source.info.digest))
           ->write(0, source.bytes.substr(0, 300'000)));
  must(must(f.store->begin_import(Slot(9), source.bytes.size(), Digest128{1, 2}))->write(0, "x"));
  EXPECT_EQ(parts(f).size(), 1u) << "of the file that comes in now";
  write(*f.store, 8, "older");
  must(f.store->drop_older(1));
  EXPECT_EQ(parts(f).size(), 1u) << "the part is newer";
  write(*f.store, 10, "newer");
  must(f.store->drop_older(1));
  EXPECT_TRUE(parts(f).empty());
}

TEST(SnapshotImport, RefusesHolesDamageForeignersAndTooMuch) {
  Source source;
  const auto attempt = [&](std::string bytes, size_t skip, Slot index, Digest128 digest) {
    Fixture f;
    auto import = must(f.store->begin_import(index, source.info.size_bytes, digest));
    must(import->write(skip, std::string_view(bytes).substr(skip)));
    const bool ok = import->finish().ok();
    EXPECT_TRUE(ok || f.files.files_below(kSnaps).empty()) << "a refused import leaves nothing";
    return ok;
  };
  EXPECT_TRUE(attempt(source.bytes, 0, Slot(9), source.info.digest));
  EXPECT_FALSE(attempt(source.bytes, 10, Slot(9), source.info.digest));
  EXPECT_FALSE(attempt(source.bytes, 0, Slot(8), source.info.digest));
  EXPECT_FALSE(attempt(source.bytes, 0, Slot(9), Digest128{1, 2}));
  std::string damaged = source.bytes;
  damaged[3000] ^= 4;
  EXPECT_FALSE(attempt(damaged, 0, Slot(9), source.info.digest));

  Fixture f;
  auto import = must(f.store->begin_import(Slot(9), 100, source.info.digest));
  EXPECT_EQ(import->write(90, "12345678901").error().code, ErrorCode::invalid);
  EXPECT_EQ(import->write(UINT64_MAX, "1").error().code, ErrorCode::invalid);
  f.files.set_capacity(50);
  EXPECT_EQ(f.store->begin_import(Slot(9), 100, source.info.digest).error().code, ErrorCode::no_space);
}

}  // namespace
}  // namespace decree::storage
