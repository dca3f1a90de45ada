#include <gtest/gtest.h>

#include <unistd.h>
#include <mutex>
#include <set>

#include "client/load.h"
#include "etcd/rpc.pb.h"
#include "tests/client/fake_etcd.h"

namespace decree::client {
namespace {

using std::chrono::milliseconds;

LoadOptions small_load(const FakeEtcd& server) {
  LoadOptions options;
  options.endpoints = {server.address()};
  options.clients = 8;
  options.connections = 2;
  options.keys = 100;
  options.warmup = milliseconds(0);
  options.duration = milliseconds(30'000);
  options.total = 1000;
  return options;
}

template <class T>
std::string revision_answer(int64_t revision) {
  T response;
  response.mutable_header()->set_revision(revision);
  return response.SerializeAsString();
}

TEST(LoadGenerator, CountsEverySuccessOnce) {
  FakeEtcd server([](std::string_view, std::string_view) {
    return FakeAnswer::reply(revision_answer<etcdserverpb::PutResponse>(2));
  });
  LoadOptions options = small_load(server);
  options.pids = {static_cast<int>(::getpid()), 0x7fffffff};
  Result<LoadReport> report = run_load(options, {});
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->counts.ok, 1000u);
  EXPECT_EQ(report->latency_ns.count(), 1000u);
  EXPECT_EQ(report->counts.failed, 0u);
  EXPECT_EQ(server.calls(), 1000);
  ASSERT_EQ(report->servers.size(), 2u);
  EXPECT_TRUE(report->servers[0].cpu_seconds.has_value());
  EXPECT_GT(report->servers[0].at_the_end->rss_bytes, 1u << 20);
  EXPECT_FALSE(report->servers[1].at_the_end.has_value());
  EXPECT_FALSE(report->server_cpu_seconds().has_value());
}

TEST(LoadGenerator, PrefillsEveryKeyAlthoughSomePutsFail) {
  std::set<std::string> keys;
  int calls = 0;
  FakeEtcd server([&](std::string_view method, std::string_view message) {
    if (method != "Put") return FakeAnswer::reply(revision_answer<etcdserverpb::RangeResponse>(2));
    if (++calls % 7 == 0) return FakeAnswer::fail(http::GrpcCode::unavailable, "etcdserver: no leader");
    etcdserverpb::PutRequest request;
    EXPECT_TRUE(request.ParseFromArray(message.data(), static_cast<int>(message.size())));
    keys.insert(request.key());
    return FakeAnswer::reply(revision_answer<etcdserverpb::PutResponse>(2));
  });
  LoadOptions options = small_load(server);
  options.op = LoadOp::range;
  options.prefill = 500;
  options.keys = 500;
  options.total = 10;
  Result<LoadReport> report = run_load(options, {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->prefilled, 500u);
  EXPECT_EQ(keys.size(), 500u);
  EXPECT_EQ(*keys.begin(), "bench/000000000000000");
  EXPECT_EQ(*keys.rbegin(), "bench/000000000000499");
  EXPECT_EQ(report->counts.empty, 10u);
}

TEST(LoadGenerator, CountsErrorsByCodeAndUnknownOutcomes) {
  int calls = 0;
  FakeEtcd server([&](std::string_view, std::string_view) {
    ++calls;
    if (calls % 10 == 1)
      return FakeAnswer::fail(http::GrpcCode::unavailable, "etcdserver: request timed out");
    if (calls % 10 == 2)
      return FakeAnswer::fail(http::GrpcCode::resource_exhausted,
                              "etcdserver: mvcc: database space exceeded");
    return FakeAnswer::reply(revision_answer<etcdserverpb::PutResponse>(2));
  });
  LoadOptions options = small_load(server);
  options.total = 80;
  Result<LoadReport> report = run_load(options, {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->counts.ok, 80u);
  EXPECT_GE(report->errors_by_code["Unavailable"], 5u);
  EXPECT_GE(report->errors_by_code["ResourceExhausted"], 5u);
  EXPECT_EQ(report->unknown_outcomes, report->errors_by_code["Unavailable"]);
  EXPECT_EQ(report->error_texts.count("etcdserver: request timed out"), 1u);
}

// Coordinated omission: a server that stalls must show in the latency of the requests that were due
// meanwhile.
TEST(LoadGenerator, AnOpenLoopCountsFromThePlannedMoment) {
  int calls = 0;
  FakeEtcd server([&](std::string_view, std::string_view) {
    if (++calls == 50) {  // the stall under test: half a second in which the server does nothing else
      const auto end = std::chrono::steady_clock::now() + milliseconds(500);
      while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
    }
    return FakeAnswer::reply(revision_answer<etcdserverpb::PutResponse>(2));
  });
  LoadOptions options = small_load(server);
  options.total = 0;
  options.clients = 1;  // so that the stall also blocks the sending
  options.connections = 1;
  options.rate_per_second = 200;
  options.duration = milliseconds(1500);
  Result<LoadReport> report = run_load(options, {});
  ASSERT_TRUE(report.ok());
  EXPECT_GE(report->latency_ns.count(), 290u);
  EXPECT_LE(report->latency_ns.count(), 300u);
  // About 100 requests were due during the stall: a third of all, the median of those waited some 250 ms.
  EXPECT_GT(report->latency_ns.percentile(0.85), 100'000'000u);
  EXPECT_GT(report->longest_gap_ms, 400.0);
}

TEST(LoadGenerator, CompareAndSwapLearnsTheRevisionFromAFailure) {
  std::map<std::string, int64_t> store;  // key -> mod revision
  int64_t revision = 100;
  FakeEtcd server([&](std::string_view, std::string_view message) {
    etcdserverpb::TxnRequest request;
    EXPECT_TRUE(request.ParseFromArray(message.data(), static_cast<int>(message.size())));
    const std::string key = request.compare(0).key();
    const auto it = store.emplace(key, 50).first;  // every key exists already, from an earlier run
    etcdserverpb::TxnResponse response;
    response.set_succeeded(request.compare(0).mod_revision() == it->second);
    if (response.succeeded()) {
      it->second = ++revision;
    } else {
      response.add_responses()->mutable_response_range()->add_kvs()->set_mod_revision(it->second);
    }
    response.mutable_header()->set_revision(revision);
    return FakeAnswer::reply(response.SerializeAsString());
  });
  LoadOptions options = small_load(server);
  options.op = LoadOp::txn;
  options.clients = 1;
  options.random_keys = false;
  options.keys = 10;
  options.total = 200;
  Result<LoadReport> report = run_load(options, {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->counts.ok, 200u);
  EXPECT_EQ(report->counts.compare_failed, 10u);
}

TEST(LoadGenerator, FailsWithASentenceWhenNobodyListens) {
  LoadOptions options;
  options.endpoints = {{"127.0.0.1", 1}};
  options.connect_timeout = milliseconds(300);
  Result<LoadReport> report = run_load(options, {});
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.error().message.find("no endpoint could be reached"), std::string::npos);
}

}  // namespace
}  // namespace decree::client
