// Compaction, quota, alarms, HashKV.
#include "store_fixture.h"

namespace decree::kv {
namespace {

TEST(Compact, RefusesWhatIsGoneAndWhatIsNotYet) {
  Driver d;
  d.put("a", "1");
  d.put("a", "2");
  expect_refusal(d.compact(4), kFutureRevision);
  EXPECT_EQ(d.compact(2).code, 0);
  expect_refusal(d.compact(2), kCompacted);
  expect_refusal(d.compact(1), kCompacted);
  EXPECT_EQ(d.store.current_revision(), 3);
  EXPECT_EQ(d.ok<pb::CompactionResponse>(d.compact(3)).header().revision(), 3);
}

TEST(Compact, AtOnceForReadersAndTheCompactedRevisionStaysReadable) {
  Driver d;
  d.put("a", "1");  // 2
  d.put("a", "2");  // 3
  d.put("a", "3");  // 4
  d.compact(3);
  pb::RangeRequest request;
  request.set_key("a");
  request.set_revision(2);
  expect_refusal(d.range_reply(request), kCompacted);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(d.value("a", 3), "2");
    EXPECT_EQ(d.value("a", 4), "3");
    d.sweep();
  }
  EXPECT_EQ(d.store.sizes().versions, 2u);
  EXPECT_TRUE(d.store.compaction_done(3));
}

TEST(Compact, KeepsADeletionAtExactlyTheRevisionAndDropsOlderOnes) {
  Driver d;
  d.put("a", "1");  // 2
  d.del("a");       // 3
  d.put("b", "1");  // 4
  d.compact(3);
  d.sweep();
  EXPECT_EQ(d.store.sizes().versions, 2u);  // the deletion of a, and b
  d.compact(4);
  d.sweep();
  EXPECT_EQ(d.store.sizes().versions, 1u);
  EXPECT_EQ(d.store.sizes().held_bytes, d.store.sizes().in_use_bytes);
}

TEST(Compact, SizesFallAtOnceInUseAndAfterTheSweepHeld) {
  Driver d;
  for (int i = 0; i < 100; ++i) d.put("k", std::string(1000, 'x'));
  const StoreSizes before = d.store.sizes();
  EXPECT_EQ(before.held_bytes, before.in_use_bytes);
  d.compact(d.store.current_revision());
  EXPECT_LT(d.store.sizes().in_use_bytes, 1200u);
  EXPECT_EQ(d.store.sizes().held_bytes, before.held_bytes);
  EXPECT_FALSE(d.store.compaction_done(d.store.current_revision()));
  d.sweep();
  EXPECT_EQ(d.store.sizes().held_bytes, d.store.sizes().in_use_bytes);
}

TEST(Compact, WaitsForPinnedRevisions) {
  Driver d;
  for (int i = 0; i < 5; ++i) d.put("k", std::to_string(i));  // 2..6
  auto snapshot = d.store.begin_snapshot();
  d.compact(6);
  d.sweep();
  EXPECT_EQ(d.store.sizes().versions, 5u);
  snapshot.reset();
  d.sweep();
  EXPECT_EQ(d.store.sizes().versions, 1u);
}

TEST(Compact, LongHistoriesAreFreedInSlices) {
  Driver d;
  for (int i = 0; i < 60000; ++i) {
    pb::PutRequest request;
    request.set_key("hot");
    d.store.apply({.slot = Slot(1)}, encode_command(CommandType::put, request.SerializeAsString()));
  }
  d.compact(d.store.current_revision() - 10);
  int slices = 0;
  while (d.store.background_slice()) ++slices;
  EXPECT_GT(slices, 5);
  EXPECT_EQ(d.store.sizes().versions, 11u);
  EXPECT_EQ(d.store.mvcc().broken_invariant(), "");
}

TEST(Quota, InTheEntryRefusesDeterministicallyWithoutEffect) {
  Driver d;
  d.put("a", std::string(1000, 'x'));
  pb::PutRequest request;
  request.set_key("b");
  request.set_value(std::string(1000, 'x'));
  expect_refusal(d.put_reply(request, 2000), kNoSpace);
  EXPECT_EQ(d.store.current_revision(), 2);
  EXPECT_EQ(d.put_reply(request, 4000).code, 0);
  pb::TxnRequest txn;
  *txn.add_failure() = put_op("c", std::string(2000, 'x'));
  expect_refusal(d.txn_reply(txn, 4000), kNoSpace);
  EXPECT_TRUE(d.store.over_quota(2000, 4000));
  EXPECT_FALSE(d.store.over_quota(2000, 0));
}

TEST(Alarm, NoSpaceBlocksPutsAndTransactionsWithPutsOnly) {
  Driver d;
  d.put("a", "1");
  EXPECT_EQ(d.alarm(pb::AlarmRequest::ACTIVATE, 22, pb::NOSPACE).alarms_size(), 1);
  EXPECT_EQ(d.alarm(pb::AlarmRequest::ACTIVATE, 22, pb::NOSPACE).alarms_size(), 1);
  EXPECT_TRUE(d.store.has_alarm(AlarmKind::no_space));
  pb::PutRequest put;
  put.set_key("b");
  expect_refusal(d.put_reply(put), kNoSpace);
  pb::TxnRequest txn;
  *txn.add_success() = del_op("b");
  EXPECT_EQ(d.txn_reply(txn).code, 0);
  *txn.add_failure() = put_op("b", "");
  expect_refusal(d.txn_reply(txn), kNoSpace);
  EXPECT_EQ(d.del("a").deleted(), 1);
  EXPECT_EQ(d.compact(3).code, 0);
  EXPECT_EQ(d.alarm(pb::AlarmRequest::GET, 0, pb::NONE).alarms(0).memberid(), 22u);
  EXPECT_EQ(d.alarm(pb::AlarmRequest::DEACTIVATE, 23, pb::NOSPACE).alarms_size(), 0);
  EXPECT_EQ(d.alarm(pb::AlarmRequest::DEACTIVATE, 22, pb::NOSPACE).alarms_size(), 1);
  EXPECT_EQ(d.put_reply(put).code, 0);
}

TEST(Alarm, CorruptBlocksEveryWrite) {
  Driver d;
  d.put("a", "1");
  d.alarm(pb::AlarmRequest::ACTIVATE, 1, pb::CORRUPT);
  pb::PutRequest put;
  put.set_key("b");
  expect_refusal(d.put_reply(put), kCorrupt);
  pb::DeleteRangeRequest del;
  del.set_key("a");
  expect_refusal(d.apply(CommandType::delete_range, del.SerializeAsString()), kCorrupt);
  expect_refusal(d.compact(2), kCorrupt);
  pb::AlarmRequest request;
  EXPECT_EQ(d.ok<pb::AlarmResponse>(d.store.alarm_list(request, 1)).alarms(0).alarm(), pb::CORRUPT);
}

TEST(HashKv, DoesNotDependOnPhysicalCompaction) {
  Driver d;
  for (int i = 0; i < 50; ++i) {
    d.put("k" + std::to_string(i % 7), std::to_string(i));
    if (i % 5 == 0) d.del("k" + std::to_string(i % 3));
  }
  const auto hash = [&](int64_t revision) { return d.ok<pb::HashKVResponse>(d.store.hash_kv(revision, 1)); };
  d.compact(30);
  const uint32_t at_current = hash(0).hash();
  const uint32_t at_compacted = hash(30).hash();
  EXPECT_EQ(hash(0).compact_revision(), 30);
  EXPECT_EQ(hash(0).hash_revision(), d.store.current_revision());
  d.sweep();
  EXPECT_EQ(hash(0).hash(), at_current);
  EXPECT_EQ(hash(30).hash(), at_compacted);
  EXPECT_NE(at_current, at_compacted);
  expect_refusal(d.store.hash_kv(29, 1), kCompacted);
  expect_refusal(d.store.hash_kv(9999, 1), kFutureRevision);
}

}  // namespace
}  // namespace decree::kv
