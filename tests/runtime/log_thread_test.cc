// The real log thread and worker pool, on a disk in memory. Waiting is for a callback, with a cap.
#include "runtime/log_thread.h"

#include <gtest/gtest.h>

#include <chrono>
#include <deque>

#include "runtime/worker_pool.h"
#include "storage/data_dir.h"
#include "storage/memory_file_system.h"

namespace decree::runtime {
namespace {

using std::chrono::milliseconds;

// Stands for the loop: works posted by other threads run here, when asked.
class TestLoop {
 public:
  Post post() {
    return [this](std::function<void()> work) {
      {
        const std::lock_guard lock(mutex_);
        works_.push_back(std::move(work));
      }
      wake_.notify_one();
    };
  }
  template <class Condition>
  bool until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + milliseconds(10000);
    while (!condition()) {
      std::function<void()> work;
      {
        std::unique_lock lock(mutex_);
        if (!wake_.wait_until(lock, end, [&] { return !works_.empty(); })) return false;
        work = std::move(works_.front());
        works_.pop_front();
      }
      work();
    }
    return true;
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> works_;
};

struct LogThreadTest : ::testing::Test {
  void SetUp() override {
    storage::OpenOptions options;
    options.create = Identity{ClusterId(1), NodeId(1), 1, Incarnation(1)};
    options.wal.block_bytes = 512;
    options.wal.segment_bytes = 16u << 10;
    options.wal.opening_segment_bytes = 8u << 10;
    auto opened = storage::DataDir::open(disk, "data", options);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    data = std::move(opened).value();
    LogThread::Callbacks c;
    c.persisted = [this](LogToken upto, uint64_t) { persisted.push_back(upto.value); };
    c.failed = [this](const Error& error) { failures.push_back(error); };
    c.disk_health = [this](bool ok, const std::string&) { health.push_back(ok); };
    c.synced = [this](double seconds) { synced += seconds >= 0 ? 1 : 0; };
    c.reserve_wanted = [] {};
    log = std::make_unique<LogThread>(data->wal(), loop.post(), c);
  }
  void TearDown() override { log->stop(); }

  std::vector<PersistedRecord> batch(uint64_t token, size_t payload_bytes) {
    AcceptRecord record;
    record.ballot = Ballot{0, 1, 0, NodeId(1)};
    record.first = Slot(token);
    Entry entry;
    entry.kind = EntryKind::command;
    entry.payload = std::make_shared<const std::string>(payload_bytes, 'p');
    record.entries = {entry};
    return {PersistedRecord{LogToken(token), record}};
  }

  TestLoop loop;
  storage::MemoryFileSystem disk;
  std::unique_ptr<storage::DataDir> data;
  std::vector<uint64_t> persisted;
  std::vector<Error> failures;
  std::vector<bool> health;
  size_t synced = 0;
  std::unique_ptr<LogThread> log;
};

TEST_F(LogThreadTest, TellsWhatIsDurableInOrder) {
  for (uint64_t token = 1; token <= 20; ++token) log->append(batch(token, 100));
  ASSERT_TRUE(loop.until([&] { return !persisted.empty() && persisted.back() == 20; }));
  EXPECT_TRUE(std::is_sorted(persisted.begin(), persisted.end()));
  EXPECT_EQ(synced, persisted.size());
  const auto read = data->wal().read(SlotRange{Slot(1), Slot(21)}, 1u << 20);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read.value().size(), 20U);
}

TEST_F(LogThreadTest, HoldsABatchWhileTheDiskIsFullAndGoesOnWhenThereIsRoom) {
  log->append(batch(1, 100));
  ASSERT_TRUE(loop.until([&] { return persisted == std::vector<uint64_t>{1}; }));
  disk.set_capacity(disk.used_bytes());
  log->append(batch(2, 20000));
  ASSERT_TRUE(loop.until([&] { return health == std::vector<bool>{false}; }));
  EXPECT_EQ(persisted.back(), 1U);
  disk.set_capacity(1u << 30);
  ASSERT_TRUE(loop.until([&] { return persisted.back() == 2; }));
  EXPECT_EQ(health, (std::vector<bool>{false, true}));
  EXPECT_TRUE(failures.empty());
}

TEST_F(LogThreadTest, AFailedSyncIsToldOnceAndNothingIsWrittenAfterIt) {
  disk.fail_next_sync();
  log->append(batch(1, 100));
  ASSERT_TRUE(loop.until([&] { return !failures.empty(); }));
  log->append(batch(2, 100));
  log->stop();
  EXPECT_TRUE(persisted.empty());
  EXPECT_EQ(failures.size(), 1U);
  EXPECT_TRUE(data->wal().poisoned());
}

TEST_F(LogThreadTest, StopWritesWhatIsQueuedButDoesNotWaitForAFullDisk) {
  log->append(batch(1, 100));
  log->stop();
  EXPECT_EQ(data->wal().read(SlotRange{Slot(1), Slot(2)}, 1000).value().size(), 1U);
}

TEST_F(LogThreadTest, StopEndsAlthoughTheDiskIsFull) {
  disk.set_capacity(disk.used_bytes());
  log->append(batch(1, 30000));
  ASSERT_TRUE(loop.until([&] { return !health.empty(); }));
  log->stop();
  EXPECT_TRUE(persisted.empty());
}

TEST(WorkerPool, RunsWorksElsewhereAndTheirEndHere) {
  TestLoop loop;
  WorkerPool pool(2, loop.post());
  const auto here = std::this_thread::get_id();
  int done = 0;
  for (int i = 0; i < 50; ++i) {
    auto where = std::make_shared<std::thread::id>();
    pool.run([where] { *where = std::this_thread::get_id(); },
             [&, where] {
               EXPECT_NE(*where, here);
               EXPECT_EQ(std::this_thread::get_id(), here);
               ++done;
             });
  }
  EXPECT_TRUE(loop.until([&] { return done == 50; }));
  pool.stop();
  pool.run([&] { ADD_FAILURE() << "a stopped pool took a work"; }, [] {});
}

}  // namespace
}  // namespace decree::runtime
