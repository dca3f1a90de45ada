#include "tests/api/front_fixture.h"

namespace decree::api {
namespace {

class KvServiceTest : public Front {};

TEST_F(KvServiceTest, WhatIsPutIsRead) {
  etcdserverpb::PutResponse put_response;
  EXPECT_EQ(put("a", "1", &put_response).code, 0);
  EXPECT_EQ(put_response.header().cluster_id(), 77u);
  EXPECT_EQ(put_response.header().member_id(), 1001u);
  EXPECT_EQ(put_response.header().raft_term(), 5u);
  EXPECT_EQ(put_response.header().revision(), 2);
  etcdserverpb::RangeResponse response;
  EXPECT_EQ(get("a", &response).code, 0);
  ASSERT_EQ(response.kvs_size(), 1);
  EXPECT_EQ(response.kvs(0).value(), "1");
  EXPECT_EQ(response.header().raft_term(), 5u);
}

TEST_F(KvServiceTest, OnlyASerializableReadOfAReadyMemberGoesWithoutConsensus) {
  etcdserverpb::RangeResponse response;
  EXPECT_EQ(get("a", &response, true).code, 0);
  EXPECT_EQ(consensus.reads_asked, 0);
  EXPECT_EQ(get("a", &response, false).code, 0);
  EXPECT_EQ(consensus.reads_asked, 1);
  consensus.status_.replica.ready = false;
  EXPECT_EQ(get("a", &response, true).code, 0);
  EXPECT_EQ(consensus.reads_asked, 2);
}

TEST_F(KvServiceTest, ATermInAnAnswerIsNeverOlderThanOneAlreadySeen) {
  etcdserverpb::PutResponse put_response;
  etcdserverpb::RangeResponse range_response;
  EXPECT_EQ(get("a", &range_response, true).code, 0);
  consensus.status_.replica.term = 9;
  EXPECT_EQ(put("a", "1", &put_response).code, 0);
  EXPECT_EQ(put_response.header().raft_term(), 9u);
  EXPECT_EQ(get("a", &range_response, true).code, 0);
  EXPECT_EQ(range_response.header().raft_term(), 9u);
}

TEST_F(KvServiceTest, BadRequestsAreRefusedWithEtcdsTextBeforeTheLog) {
  consensus.hold = true;
  const auto empty = put("", "1");
  EXPECT_EQ(empty.code, 3);
  EXPECT_EQ(empty.text, "etcdserver: key is not provided");
  const auto large = put("a", std::string(1572864, 'x'));
  EXPECT_EQ(large.code, 3);
  EXPECT_EQ(large.text, "etcdserver: request is too large");
  etcdserverpb::TxnRequest txn;
  for (int i = 0; i < 129; ++i) {
    auto* request = txn.add_success()->mutable_request_put();
    request->set_key("k" + std::to_string(i));
  }
  const auto many = ask("/etcdserverpb.KV/Txn", txn, nullptr);
  EXPECT_EQ(many.text, "etcdserver: too many operations in txn request");
  const int32_t garbage = wire->client.call("/etcdserverpb.KV/Put", "\xff\xff\xff\xff");
  EXPECT_EQ(finish(garbage).field("grpc-status"), "13");
  EXPECT_EQ(consensus.waiting(), 0u);
}

TEST_F(KvServiceTest, AMessageAboveTheTransportLimitIsGrpcsOwnRefusal) {
  const auto refused = put("a", std::string(2200000, 'x'));
  EXPECT_EQ(refused.code, 8);
  EXPECT_NE(refused.text.find("received message larger than max"), std::string::npos) << refused.text;
}

TEST_F(KvServiceTest, TransactionsWriteThroughTheLogAndReadWithout) {
  etcdserverpb::TxnRequest txn;
  auto* compare = txn.add_compare();
  compare->set_key("a");
  compare->set_target(etcdserverpb::Compare::VERSION);
  auto* request = txn.add_success()->mutable_request_put();
  request->set_key("a");
  request->set_value("first");
  txn.add_failure()->mutable_request_range()->set_key("a");
  etcdserverpb::TxnResponse response;
  EXPECT_EQ(ask("/etcdserverpb.KV/Txn", txn, &response).code, 0);
  EXPECT_TRUE(response.succeeded());
  EXPECT_EQ(ask("/etcdserverpb.KV/Txn", txn, &response).code, 0);
  EXPECT_FALSE(response.succeeded());
  EXPECT_EQ(response.responses(0).response_range().kvs(0).value(), "first");
  const uint64_t slots = consensus.status_.replica.applied.value;
  etcdserverpb::TxnRequest reading;
  reading.add_success()->mutable_request_range()->set_key("a");
  EXPECT_EQ(ask("/etcdserverpb.KV/Txn", reading, &response).code, 0);
  EXPECT_EQ(response.responses(0).response_range().count(), 1);
  EXPECT_EQ(consensus.status_.replica.applied.value, slots);
}

TEST_F(KvServiceTest, DeleteAndPhysicalCompactionAnswer) {
  for (int i = 0; i < 10; ++i) put("a", std::to_string(i));
  etcdserverpb::DeleteRangeRequest remove;
  remove.set_key("a");
  remove.set_prev_kv(true);
  etcdserverpb::DeleteRangeResponse removed;
  EXPECT_EQ(ask("/etcdserverpb.KV/DeleteRange", remove, &removed).code, 0);
  EXPECT_EQ(removed.deleted(), 1);
  EXPECT_EQ(removed.prev_kvs(0).value(), "9");
  etcdserverpb::CompactionRequest compact;
  compact.set_revision(5);
  compact.set_physical(true);
  etcdserverpb::CompactionResponse compacted;
  EXPECT_EQ(ask("/etcdserverpb.KV/Compact", compact, &compacted).code, 0);
  EXPECT_TRUE(store.compaction_done(5));
  const auto again = ask("/etcdserverpb.KV/Compact", compact, nullptr);
  EXPECT_EQ(again.code, 11);
  EXPECT_EQ(again.text, "etcdserver: mvcc: required revision has been compacted");
}

TEST_F(KvServiceTest, ARangeOfTensOfMegabytesArrivesWholeWithLittleHeld) {
  for (int i = 0; i < 300; ++i)
    put("big" + std::to_string(1000 + i), std::string(100000, static_cast<char>('a' + i % 26)));
  etcdserverpb::RangeRequest request;
  request.set_key("big");
  request.set_range_end("bih");
  const int32_t stream = start("/etcdserverpb.KV/Range", request);
  std::string most;
  EXPECT_TRUE(run_until([&] { return wire->client.answer(stream).ended; }));
  etcdserverpb::RangeResponse response;
  ASSERT_TRUE(response.ParseFromString(wire->client.answer(stream).message()));
  ASSERT_EQ(response.kvs_size(), 300);
  EXPECT_EQ(response.count(), 300);
  EXPECT_EQ(response.kvs(299).value(), std::string(100000, static_cast<char>('a' + 299 % 26)));
  EXPECT_EQ(wire->client.answer(stream).field("grpc-status"), "0");
}

TEST_F(KvServiceTest, ABigRangeWhoseClientLeavesIsDropped) {
  for (int i = 0; i < 200; ++i) put("big" + std::to_string(1000 + i), std::string(100000, 'x'));
  etcdserverpb::RangeRequest request;
  request.set_key("big");
  request.set_range_end("bih");
  const int32_t stream = start("/etcdserverpb.KV/Range", request);
  ASSERT_TRUE(run_until([&] { return !wire->client.answer(stream).body.empty(); }));
  wire->client.reset(stream);
  const auto idle = [&] {
    return http_get("/metrics").body.find("decree_long_answers 0\n") != std::string::npos;
  };
  EXPECT_TRUE(run_until(idle));
}

TEST_F(KvServiceTest, UnknownOutcomesAndRefusalsHaveTheirTexts) {
  consensus.outcome = Outcome::unknown;
  auto refused = put("a", "1");
  EXPECT_EQ(refused.code, 14);
  EXPECT_EQ(refused.text, "etcdserver: request timed out, possibly due to previous leader failure");
  consensus.outcome = Outcome::definitely_not;
  EXPECT_EQ(put("a", "1").text, "etcdserver: leader changed");
  consensus.status_.leader_member_id = 0;
  EXPECT_EQ(put("a", "1").text, "etcdserver: no leader");
  consensus.status_.disk_full = true;
  refused = put("a", "1");
  EXPECT_EQ(refused.code, 14);
  EXPECT_NE(refused.text.find("disk of this member is full"), std::string::npos);
}

TEST_F(KvServiceTest, AnUnansweredProposalTimesOutAndALateOutcomeIsDropped) {
  consensus.hold = true;
  etcdserverpb::PutRequest request;
  request.set_key("a");
  const int32_t stream = start("/etcdserverpb.KV/Put", request);
  ASSERT_TRUE(run_until([&] { return consensus.waiting() == 1; }));
  skipped = std::chrono::milliseconds(6000);
  for (int i = 0; i < 100; ++i) turn();
  EXPECT_FALSE(wire->client.answer(stream).ended);
  skipped = std::chrono::milliseconds(7100);
  EXPECT_EQ(finish(stream).field("grpc-message"), "etcdserver: request timed out");
  EXPECT_EQ(finish(stream).field("grpc-status"), "14");
  consensus.hold = false;
  turn();
  EXPECT_EQ(store.current_revision(), 2);
}

TEST_F(KvServiceTest, TheClientsOwnDeadlineIsKept) {
  consensus.hold = true;
  etcdserverpb::PutRequest request;
  request.set_key("a");
  const auto late = ask("/etcdserverpb.KV/Put", request, nullptr, {{"grpc-timeout", "30m"}});
  EXPECT_EQ(late.code, 4);
  EXPECT_EQ(late.text, "context deadline exceeded");
}

TEST_F(KvServiceTest, WhoAsksForALeaderHearsAtOnceThatThereIsNone) {
  consensus.hold = true;
  consensus.status_.leader_member_id = 0;
  etcdserverpb::RangeRequest request;
  request.set_key("a");
  const auto refused = ask("/etcdserverpb.KV/Range", request, nullptr, {{"hasleader", "true"}});
  EXPECT_EQ(refused.code, 14);
  EXPECT_EQ(refused.text, "etcdserver: no leader");
}

TEST_F(KvServiceTest, AReadThatNobodyConfirmedIsAskedAgain) {
  consensus.reads_ok = false;
  etcdserverpb::RangeRequest request;
  request.set_key("a");
  const int32_t stream = start("/etcdserverpb.KV/Range", request);
  ASSERT_TRUE(run_until([&] { return consensus.reads_asked >= 3; }));
  EXPECT_FALSE(wire->client.answer(stream).ended);
  consensus.reads_ok = true;
  EXPECT_EQ(finish(stream).field("grpc-status"), "0");
}

TEST_F(KvServiceTest, CallsBeyondTheLimitAreToldSo) {
  FrontOptions options;
  options.calls_in_flight_max = 10;
  make(options);
  consensus.hold = true;
  etcdserverpb::PutRequest request;
  request.set_key("a");
  std::vector<int32_t> streams;
  for (int i = 0; i < 15; ++i) streams.push_back(start("/etcdserverpb.KV/Put", request));
  int refused = 0;
  const auto count = [&] {
    refused = 0;
    for (const int32_t s : streams)
      refused += wire->client.answer(s).field("grpc-message") == "etcdserver: too many requests" ? 1 : 0;
    return refused == 5;
  };
  EXPECT_TRUE(run_until(count)) << refused;
}

TEST_F(KvServiceTest, OverTheQuotaTheAlarmIsRaisedAndDeletesStillWork) {
  FrontOptions options;
  options.quota_bytes = 10000;
  make(options);
  etcdserverpb::PutResponse response;
  int stored = 0;
  while (stored < 100 && put("k" + std::to_string(stored), std::string(1000, 'x')).code == 0) ++stored;
  EXPECT_GT(stored, 3);
  EXPECT_LT(stored, 12);
  const auto refused = put("one", "more");
  EXPECT_EQ(refused.code, 8);
  EXPECT_EQ(refused.text, "etcdserver: mvcc: database space exceeded");
  EXPECT_TRUE(store.has_alarm(kv::AlarmKind::no_space));
  etcdserverpb::DeleteRangeRequest remove;
  remove.set_key("k0");
  EXPECT_EQ(ask("/etcdserverpb.KV/DeleteRange", remove, nullptr).code, 0);
  EXPECT_EQ(http_get("/health").body, R"({"health":"false","reason":"ALARM NOSPACE"})");
  EXPECT_EQ(http_get("/health?exclude=NOSPACE").body, R"({"health":"true","reason":""})");
}

}  // namespace
}  // namespace decree::api
