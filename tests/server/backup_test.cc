// Backups: what a stream says is what comes back; anything else is refused; a new cluster never repeats a
// revision.
#include "server/backup.h"

#include "api/backup_stream.h"
#include "etcd/rpc.pb.h"
#include "gtest/gtest.h"
#include "kv/applier.h"
#include "kv/command.h"
#include "runtime/file_snapshot_store.h"
#include "runtime/start_up.h"
#include "storage/data_dir.h"
#include "storage/memory_file_system.h"

namespace decree::server {
namespace {

struct BackupTest : ::testing::Test {
  void SetUp() override {
    for (int i = 0; i < 300; ++i)
      put("key" + std::to_string(i % 100), std::string(static_cast<size_t>(i), 'v'));
  }
  void put(const std::string& key, const std::string& value) {
    etcdserverpb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    slot = Slot(slot.value + 1);
    store.apply(ApplyContext{slot, 1, false},
                kv::encode_command(kv::CommandType::put, request.SerializeAsString(), 0));
  }
  std::string backup(size_t piece = 1000) {
    api::BackupSource source(store.begin_snapshot());
    std::string bytes;
    while (source.next(piece, &bytes)) {
    }
    return bytes;
  }
  void write(const std::string& path, const std::string& bytes) {
    [[maybe_unused]] const Result<void> stale = files.unlink(path);
    auto file = files.open(path, storage::OpenMode::create);
    ASSERT_TRUE(file.ok()) << file.error().message;
    ASSERT_TRUE((*file)->write(0, bytes).ok());
    ASSERT_TRUE((*file)->sync().ok());
  }
  Result<BackupFacts> inspect(const std::string& bytes) {
    write("/backup", bytes);
    return inspect_backup(files, "/backup");
  }
  static Config config(const std::string& name) {
    Config c;
    c.name = name;
    c.data_dir = "/" + name;
    c.initial_cluster = {InitialMember{"a", {"http://127.0.0.1:1"}},
                         InitialMember{"b", {"http://127.0.0.1:2"}}};
    c.cluster_token = "after";
    return c;
  }

  kv::Store store{kv::StoreConfig{}};
  Slot slot;
  storage::MemoryFileSystem files;
};

TEST_F(BackupTest, TellsWhatIsInside) {
  const std::string bytes = backup();
  EXPECT_EQ(bytes.size() % 512, 32U) << "etcdctl takes a stream without a checksum for unfinished";
  Result<BackupFacts> facts = inspect(bytes);
  ASSERT_TRUE(facts.ok()) << facts.error().message;
  EXPECT_EQ(facts->revision, store.current_revision());
  EXPECT_EQ(facts->keys, 100U);
  EXPECT_EQ(facts->versions, 300U);
  EXPECT_EQ(facts->file_bytes, bytes.size());
  etcdserverpb::HashKVResponse hash;
  ASSERT_TRUE(hash.ParseFromString(store.hash_kv(0, 0).body));
  EXPECT_EQ(facts->hash_kv, hash.hash());
}

TEST_F(BackupTest, EverySizeOfPieceGivesTheSameBytes) {
  // Chunks of the state follow the pieces; what comes back must not.
  for (const size_t piece : {1, 100, 5000, 1 << 20}) {
    Result<BackupFacts> facts = inspect(backup(piece));
    ASSERT_TRUE(facts.ok()) << facts.error().message;
    EXPECT_EQ(facts->versions, 300U) << piece;
  }
}

TEST_F(BackupTest, EveryTruncationIsRefused) {
  const std::string bytes = backup();
  for (size_t size = 0; size < bytes.size(); size += size + 700 < bytes.size() ? 97 : 1) {
    Result<BackupFacts> facts = inspect(bytes.substr(0, size));
    ASSERT_FALSE(facts.ok()) << size;
    EXPECT_EQ(facts.error().code, ErrorCode::corrupt);
  }
}

TEST_F(BackupTest, EveryFlippedBitIsRefused) {
  const std::string bytes = backup();
  for (size_t at = 0; at < bytes.size(); at += at + 700 < bytes.size() ? 31 : 1) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    EXPECT_FALSE(inspect(damaged).ok()) << at;
  }
  EXPECT_FALSE(inspect(bytes + std::string(512, '\0')).ok());
}

TEST_F(BackupTest, ANewClusterGoesOnBehindTheOldOnesRevisions) {
  write("/backup", backup());
  std::vector<Digest128> chains;
  for (const char* name : {"a", "b"}) {
    Result<BackupFacts> facts = restore_backup(files, config(name), "/backup", 1000);
    ASSERT_TRUE(facts.ok()) << facts.error().message;
    EXPECT_EQ(facts->revision, store.current_revision() + 1000);
    EXPECT_EQ(facts->compacted_revision, store.current_revision() + 1000)
        << "a watch across the gap would miss changes in silence";

    auto data = storage::DataDir::open(files, std::string("/") + name, {});
    ASSERT_TRUE(data.ok()) << data.error().message;
    RecoveredState recovered = (*data)->recovered();
    runtime::FileSnapshotStore snapshots((*data)->snapshots(), (*data)->identity().cluster);
    kv::Store again{kv::StoreConfig{}};
    auto restored = runtime::restore_newest(snapshots, again, recovered);
    ASSERT_TRUE(restored.ok()) << restored.error().message;
    ASSERT_TRUE(restored->has_value());
    EXPECT_EQ(again.current_revision(), store.current_revision() + 1000);
    EXPECT_EQ(again.sizes().keys, 100U);
    EXPECT_EQ(recovered.membership.members.size(), 2U);
    chains.push_back((*restored)->manifest.chain);
  }
  EXPECT_EQ(chains[0], chains[1]);
}

TEST_F(BackupTest, ADirectoryWithDataIsNotOverwritten) {
  write("/backup", backup());
  ASSERT_TRUE(restore_backup(files, config("a"), "/backup", 0).ok());
  Result<BackupFacts> again = restore_backup(files, config("a"), "/backup", 0);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, ErrorCode::invalid);
}

TEST_F(BackupTest, ADamagedBackupMakesNoDirectory) {
  std::string bytes = backup();
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write("/backup", bytes);
  ASSERT_FALSE(restore_backup(files, config("a"), "/backup", 0).ok());
  auto found = storage::DataDir::peek(files, "/a");
  ASSERT_TRUE(found.ok());
  EXPECT_FALSE(found->has_value());
}

}  // namespace
}  // namespace decree::server
