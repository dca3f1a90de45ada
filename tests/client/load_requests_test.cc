// The generator encodes by hand; protobuf must read the same.
#include "client/load_requests.h"

#include <gtest/gtest.h>

#include "etcd/rpc.pb.h"

namespace decree::client {
namespace {

std::string unframed(const std::string& framed) {
  EXPECT_GE(framed.size(), 5u);
  EXPECT_EQ(framed[0], '\0');
  size_t size = 0;
  for (size_t i = 1; i < 5; ++i) size = size << 8 | static_cast<unsigned char>(framed[i]);
  EXPECT_EQ(size, framed.size() - 5);
  return framed.substr(5);
}

TEST(LoadRequests, PutIsWhatProtobufReads) {
  const LoadRequests requests("bench/", 21, 256, false, 1);
  std::string framed = "what was here before";
  requests.put(framed, 1234);
  etcdserverpb::PutRequest put;
  ASSERT_TRUE(put.ParseFromString(unframed(framed)));
  EXPECT_EQ(put.key(), "bench/000000000001234");
  EXPECT_EQ(put.value().size(), 256u);
}

TEST(LoadRequests, RangeIsWhatProtobufReads) {
  const LoadRequests requests("k", 8, 0, true, 1);
  std::string framed;
  requests.range(framed, 9'999'999);
  etcdserverpb::RangeRequest range;
  ASSERT_TRUE(range.ParseFromString(unframed(framed)));
  EXPECT_EQ(range.key(), "k9999999");
  EXPECT_TRUE(range.serializable());
}

TEST(LoadRequests, CompareAndSwapIsWhatProtobufReads) {
  for (const int64_t revision : {int64_t{0}, int64_t{1}, int64_t{300}, int64_t{1} << 40}) {
    for (const size_t value_bytes : {size_t{0}, size_t{100}, size_t{1000}, size_t{20'000}}) {
      const LoadRequests requests("bench/", 21, value_bytes, false, 1);
      std::string framed;
      requests.compare_and_swap(framed, 7, revision);
      etcdserverpb::TxnRequest txn;
      ASSERT_TRUE(txn.ParseFromString(unframed(framed))) << revision << " " << value_bytes;
      ASSERT_EQ(txn.compare_size(), 1);
      EXPECT_EQ(txn.compare(0).target(), etcdserverpb::Compare::MOD);
      EXPECT_EQ(txn.compare(0).result(), etcdserverpb::Compare::EQUAL);
      EXPECT_EQ(txn.compare(0).target_union_case(), etcdserverpb::Compare::kModRevision);
      EXPECT_EQ(txn.compare(0).mod_revision(), revision);
      EXPECT_EQ(txn.compare(0).key(), "bench/000000000000007");
      ASSERT_EQ(txn.success_size(), 1);
      EXPECT_EQ(txn.success(0).request_put().key(), txn.compare(0).key());
      EXPECT_EQ(txn.success(0).request_put().value().size(), value_bytes);
      ASSERT_EQ(txn.failure_size(), 1);
      EXPECT_EQ(txn.failure(0).request_range().key(), txn.compare(0).key());
    }
  }
}

TEST(LoadRequests, KnowsWhatFitsIntoAKey) {
  EXPECT_TRUE(LoadRequests::fits("bench/", 21, 1'000'000));
  EXPECT_TRUE(LoadRequests::fits("k", 2, 10));
  EXPECT_FALSE(LoadRequests::fits("k", 2, 11));
  EXPECT_FALSE(LoadRequests::fits("longer than the key", 4, 1));
}

TEST(LoadAnswer, ReadsWhatProtobufWrites) {
  etcdserverpb::TxnResponse txn;
  txn.mutable_header()->set_revision(77);
  txn.mutable_header()->set_member_id(UINT64_MAX);
  txn.set_succeeded(true);
  txn.add_responses()->mutable_response_put()->mutable_header()->set_revision(77);
  LoadAnswer answer = read_answer(LoadOp::txn, txn.SerializeAsString());
  EXPECT_TRUE(answer.succeeded);
  EXPECT_EQ(answer.header_revision, 77);

  etcdserverpb::TxnResponse no;
  no.mutable_header()->set_revision(78);
  auto* kv = no.add_responses()->mutable_response_range()->add_kvs();
  kv->set_key("k");
  kv->set_create_revision(3);
  kv->set_mod_revision(55);
  answer = read_answer(LoadOp::txn, no.SerializeAsString());
  EXPECT_FALSE(answer.succeeded);
  EXPECT_EQ(answer.mod_revision, 55);

  etcdserverpb::RangeResponse range;
  range.mutable_header()->set_revision(1);
  EXPECT_FALSE(read_answer(LoadOp::range, range.SerializeAsString()).has_pairs);
  range.add_kvs()->set_key("k");
  EXPECT_TRUE(read_answer(LoadOp::range, range.SerializeAsString()).has_pairs);
}

TEST(LoadAnswer, SurvivesGarbage) {
  for (const std::string& bytes :
       {std::string("\x0a\xff"), std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        std::string("\x12"), std::string("\x0b"), std::string("\x09\x01")}) {
    EXPECT_EQ(read_answer(LoadOp::txn, bytes).succeeded, false);
  }
}

}  // namespace
}  // namespace decree::client
