// Put, delete and revisions by etcd's rules.
#include "store_fixture.h"

namespace decree::kv {
namespace {

TEST(Put, EmptyStoreIsAtRevisionOneAndTheFirstWriteGetsTwo) {
  Driver d;
  EXPECT_EQ(d.get("a").header().revision(), 1);
  const auto response = d.put("a", "1");
  EXPECT_EQ(response.header().revision(), 2);
  EXPECT_EQ(response.header().cluster_id(), 11u);
  EXPECT_EQ(response.header().member_id(), 22u);
  EXPECT_EQ(response.header().raft_term(), 7u);
}

TEST(Put, CountsVersionsAndKeepsTheCreationUntilDeleted) {
  Driver d;
  d.put("a", "1");
  d.put("a", "1");  // an equal value is a new version
  auto kv = d.get("a").kvs(0);
  EXPECT_EQ(kv.create_revision(), 2);
  EXPECT_EQ(kv.mod_revision(), 3);
  EXPECT_EQ(kv.version(), 2);
  d.del("a");
  d.put("a", "2");
  kv = d.get("a").kvs(0);
  EXPECT_EQ(kv.create_revision(), 5);
  EXPECT_EQ(kv.mod_revision(), 5);
  EXPECT_EQ(kv.version(), 1);
}

TEST(Put, PrevKvIsThePairBeforeAndAbsentForANewKey) {
  Driver d;
  EXPECT_FALSE(d.put("a", "1", true).has_prev_kv());
  const auto response = d.put("a", "2", true);
  ASSERT_TRUE(response.has_prev_kv());
  EXPECT_EQ(response.prev_kv().value(), "1");
  EXPECT_EQ(response.prev_kv().mod_revision(), 2);
  d.del("a");
  EXPECT_FALSE(d.put("a", "3", true).has_prev_kv());
}

TEST(Put, IgnoreValueKeepsTheValueAndNeedsTheKey) {
  Driver d;
  pb::PutRequest request;
  request.set_key("a");
  request.set_ignore_value(true);
  expect_refusal(d.put_reply(request), kKeyNotFound);
  EXPECT_EQ(d.store.current_revision(), 1);
  d.put("a", "kept");
  EXPECT_EQ(d.put_reply(request).code, 0);
  EXPECT_EQ(d.value("a"), "kept");
  EXPECT_EQ(d.get("a").kvs(0).version(), 2);
}

TEST(Put, IgnoreLeaseNeedsTheKey) {
  Driver d;
  pb::PutRequest request;
  request.set_key("a");
  request.set_value("x");
  request.set_ignore_lease(true);
  expect_refusal(d.put_reply(request), kKeyNotFound);
  d.put("a", "1");
  EXPECT_EQ(d.put_reply(request).code, 0);
  EXPECT_EQ(d.value("a"), "x");
}

TEST(Put, UnknownLeaseIsRefusedWithoutEffect) {
  Driver d;
  pb::PutRequest request;
  request.set_key("a");
  request.set_lease(5);
  expect_refusal(d.put_reply(request), kLeaseNotFound);
  EXPECT_EQ(d.store.current_revision(), 1);
  EXPECT_EQ(d.store.digest(), Driver().store.digest());
}

TEST(Put, AnEmptyValueIsAValue) {
  Driver d;
  d.put("a", "");
  EXPECT_EQ(d.get("a").count(), 1);
  EXPECT_EQ(d.get("a").kvs(0).value(), "");
}

TEST(DeleteRange, OfNothingTakesNoRevision) {
  Driver d;
  d.put("a", "1");
  const auto response = d.del("b");
  EXPECT_EQ(response.deleted(), 0);
  EXPECT_EQ(response.header().revision(), 2);
  EXPECT_EQ(d.store.current_revision(), 2);
}

TEST(DeleteRange, TakesOneRevisionForAllKeysAndReportsThem) {
  Driver d;
  for (const char* key : {"a", "b", "c", "d"}) d.put(key, key);
  const auto response = d.del("b", "d", true);
  EXPECT_EQ(response.deleted(), 2);
  EXPECT_EQ(response.header().revision(), 6);
  ASSERT_EQ(response.prev_kvs_size(), 2);
  EXPECT_EQ(response.prev_kvs(0).key(), "b");
  EXPECT_EQ(response.prev_kvs(1).key(), "c");
  EXPECT_EQ(keys_of(d.get("a", kToEnd)), (std::vector<std::string>{"a", "d"}));
  EXPECT_EQ(d.value("b", 5), "b");
}

TEST(DeleteRange, ToTheEndDeletesEverythingFromTheKey) {
  Driver d;
  for (const char* key : {"a", "b", "\xff\xff"}) d.put(key, "x");
  EXPECT_EQ(d.del("b", kToEnd).deleted(), 2);
  EXPECT_EQ(d.del(kToEnd, kToEnd).deleted(), 1);
  EXPECT_EQ(d.store.sizes().keys, 0u);
}

TEST(Changes, OfTheLastCommandAreListedInOrder) {
  Driver d;
  d.put("a", "1");
  d.put("b", "1");
  d.del("a", kToEnd);
  ASSERT_EQ(d.store.last_changes().size(), 2u);
  EXPECT_EQ(d.store.last_changes()[0]->key(), "a");
  EXPECT_TRUE(d.store.last_changes()[0]->tombstone());
  EXPECT_EQ(d.store.last_changes()[1]->sub(), 1u);
  d.del("zzz");
  EXPECT_TRUE(d.store.last_changes().empty());
}

TEST(Digest, IsEqualOnEqualHistoriesAndDiffersOtherwise) {
  Driver a;
  Driver b;
  for (Driver* d : {&a, &b}) {
    d->put("k", "1");
    d->put("l", "2");
    d->del("k");
  }
  EXPECT_EQ(a.store.digest(), b.store.digest());
  b.put("l", "3");
  EXPECT_NE(a.store.digest(), b.store.digest());
  a.put("l", "4");
  EXPECT_NE(a.store.digest(), b.store.digest());
}

TEST(Command, UnreadableRequestIsRefusedWithoutEffect) {
  Driver d;
  expect_refusal(d.apply(CommandType::put, "\x0a\xff\xff\xff\xff"), kMalformed);
  EXPECT_EQ(d.store.current_revision(), 1);
}

TEST(Command, HeaderIsCheckedOnParsing) {
  const std::string entry = encode_command(CommandType::txn, "abc", 77);
  const auto parsed = parse_command(entry);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed.value().type, CommandType::txn);
  EXPECT_EQ(parsed.value().quota_bytes, 77u);
  EXPECT_EQ(parsed.value().request, "abc");
  EXPECT_FALSE(parse_command("short").ok());
  for (const size_t i : {0, 1, 2, 4}) {
    std::string damaged = entry;
    damaged[i] = '\x7f';
    EXPECT_FALSE(parse_command(damaged).ok()) << i;
  }
}

TEST(Members, AttributesTravelThroughTheLog) {
  Driver d;
  pb::Member member;
  member.set_id(5);
  member.set_name("n1");
  member.add_clienturls("http://127.0.0.1:2379");
  EXPECT_EQ(d.apply(CommandType::member_attributes, member.SerializeAsString()).code, 0);
  EXPECT_EQ(d.apply(CommandType::cluster_version, "3.6.0").code, 0);
  EXPECT_EQ(d.store.members().at(5).name, "n1");
  EXPECT_EQ(d.store.members().at(5).client_urls, std::vector<std::string>{"http://127.0.0.1:2379"});
  EXPECT_EQ(d.store.cluster_version(), "3.6.0");
  EXPECT_EQ(d.store.current_revision(), 1);
}

}  // namespace
}  // namespace decree::kv
