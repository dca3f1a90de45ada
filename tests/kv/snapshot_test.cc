// Snapshots: slices, equality after restore, refusal of damage.
#include <random>

#include "store_fixture.h"

namespace decree::kv {
namespace {

std::string take(
    SnapshotSource* source, size_t bytes_max, const std::function<void()>& meanwhile = [] {}) {
  std::string out;
  while (source->next(bytes_max, &out)) meanwhile();
  return out;
}

std::string take(Driver& d, size_t bytes_max = 1 << 16) {
  return take(d.store.begin_snapshot().get(), bytes_max);
}

Result<void> restore(Driver& d, std::string_view bytes, size_t piece) {
  auto sink = d.store.begin_restore();
  for (size_t at = 0; at < bytes.size(); at += piece) {
    auto written = sink->write(bytes.substr(at, piece));
    if (!written.ok()) return written;
  }
  return sink->finish();
}

void fill(Driver& d) {
  std::mt19937 random(7);
  for (int i = 0; i < 400; ++i) {
    const std::string key = "key" + std::to_string(random() % 60);
    if (random() % 4 == 0) {
      d.del(key, random() % 8 == 0 ? key + "9" : "");
    } else {
      d.put(key, std::string(random() % 100, 'v'));
    }
    if (i == 150) d.compact(d.store.current_revision() - 20);
    if (i == 300) d.compact(d.store.current_revision());
  }
  d.alarm(pb::AlarmRequest::ACTIVATE, 4, pb::NOSPACE);
  d.alarm(pb::AlarmRequest::DEACTIVATE, 4, pb::NOSPACE);
  d.alarm(pb::AlarmRequest::ACTIVATE, 5, pb::NOSPACE);
  pb::Member member;
  member.set_id(9);
  member.set_name("nine");
  member.add_clienturls("http://127.0.0.1:1");
  d.apply(CommandType::member_attributes, member.SerializeAsString());
  d.apply(CommandType::cluster_version, "3.6.0");
}

void expect_equal(Driver& a, Driver& b) {
  EXPECT_EQ(a.store.digest(), b.store.digest());
  EXPECT_EQ(a.store.current_revision(), b.store.current_revision());
  EXPECT_EQ(a.store.compacted_revision(), b.store.compacted_revision());
  EXPECT_EQ(a.store.alarms(), b.store.alarms());
  EXPECT_EQ(a.store.members(), b.store.members());
  EXPECT_EQ(a.store.cluster_version(), b.store.cluster_version());
  EXPECT_EQ(a.store.sizes().in_use_bytes, b.store.sizes().in_use_bytes);
  EXPECT_EQ(a.store.sizes().keys, b.store.sizes().keys);
  EXPECT_EQ(a.store.hash_kv(0, 1).body, b.store.hash_kv(0, 1).body);
  EXPECT_EQ(b.store.mvcc().broken_invariant(), "");
}

TEST(Snapshot, RestoresTheWholeState) {
  Driver a;
  fill(a);
  for (const size_t piece : {1u, 7u, 1000u, 1u << 20}) {
    Driver b;
    b.put("other", "state");
    ASSERT_TRUE(restore(b, take(a, 300), piece).ok());
    expect_equal(a, b);
    EXPECT_EQ(b.value("other"), "<none>");
    while (b.store.background_slice()) {
    }
    // Compaction and accounting go on from there as on the original.
    Driver c;
    ASSERT_TRUE(restore(c, take(a), 100).ok());
    for (Driver* d : {&b, &c}) {
      d->alarm(pb::AlarmRequest::DEACTIVATE, 0, pb::NONE);
      d->put("key1", "new");
      d->del("key2", "key4");
      d->compact(d->store.current_revision());
    }
    expect_equal(b, c);
    b.sweep();
    expect_equal(b, c);
  }
}

TEST(Snapshot, EqualStatesGiveEqualBytesWhateverIsSwept) {
  Driver a;
  Driver b;
  fill(a);
  fill(b);
  a.sweep();
  EXPECT_EQ(take(a), take(b));
}

TEST(Snapshot, OfAnEmptyStore) {
  Driver a;
  Driver b;
  ASSERT_TRUE(restore(b, take(a), 3).ok());
  expect_equal(a, b);
}

TEST(Snapshot, DescribesTheMomentItBegan) {
  Driver a;
  Driver frozen;
  fill(a);
  fill(frozen);
  auto source = a.store.begin_snapshot();
  int n = 0;
  const std::string bytes = take(source.get(), 200, [&] {
    ++n;
    a.alarm(pb::AlarmRequest::DEACTIVATE, 0, pb::NONE);
    a.put("key" + std::to_string(n % 70), "later");
    a.put("aaa" + std::to_string(n), "later");
    a.del("key" + std::to_string(n * 31 % 60));
    if (n % 5 == 0) a.compact(a.store.current_revision() - 1);
    a.store.background_slice();
  });
  EXPECT_GT(n, 20);
  Driver b;
  ASSERT_TRUE(restore(b, bytes, 4096).ok());
  expect_equal(frozen, b);
  EXPECT_EQ(bytes, take(frozen.store.begin_snapshot().get(), 200));
}

TEST(Snapshot, AnyTruncationIsRefusedAndTheOldStateStands) {
  Driver a;
  fill(a);
  const std::string bytes = take(a, 2000);
  Driver b;
  b.put("mine", "kept");
  for (size_t size = 0; size < bytes.size(); size += size < 100 ? 1 : 97) {
    const auto result = restore(b, std::string_view(bytes).substr(0, size), 512);
    ASSERT_FALSE(result.ok()) << size;
    EXPECT_EQ(result.error().code, ErrorCode::corrupt);
  }
  EXPECT_FALSE(restore(b, bytes + "x", 512).ok());
  EXPECT_EQ(b.value("mine"), "kept");
  b.sweep();
}

TEST(Snapshot, AnyFlippedByteIsRefused) {
  Driver a;
  fill(a);
  const std::string bytes = take(a, 2000);
  Driver b;
  b.put("mine", "kept");
  for (size_t at = 0; at < bytes.size(); at += at < 200 ? 1 : 53) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    EXPECT_FALSE(restore(b, damaged, 4096).ok()) << at;
  }
  EXPECT_EQ(b.value("mine"), "kept");
  EXPECT_EQ(b.store.current_revision(), 2);
}

TEST(Snapshot, OneKeyWithManyVersionsIsSlicedToo) {
  Driver a;
  for (int i = 0; i < 20000; ++i) {
    pb::PutRequest request;
    request.set_key(i % 2 == 0 ? "hot" : "hotter");
    request.set_value(std::to_string(i));
    a.store.apply({.slot = Slot(1)}, encode_command(CommandType::put, request.SerializeAsString()));
  }
  int slices = 0;
  const std::string bytes = take(a.store.begin_snapshot().get(), 1 << 20, [&] { ++slices; });
  EXPECT_GE(slices, 5);
  Driver b;
  ASSERT_TRUE(restore(b, bytes, 10000).ok());
  expect_equal(a, b);
}

}  // namespace
}  // namespace decree::kv
