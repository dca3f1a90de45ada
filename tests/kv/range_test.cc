// Range in all its forms, at once and as a job.
#include "store_fixture.h"

namespace decree::kv {
namespace {

using Keys = std::vector<std::string>;

class Ranges : public ::testing::Test {
 protected:
  void SetUp() override {
    d.put("b", "3");  // 2
    d.put("a", "2");  // 3
    d.put("c", "1");  // 4
    d.put("a", "9");  // 5
    d.put("d", "0");  // 6
    d.del("d");       // 7
  }
  pb::RangeRequest all() {
    pb::RangeRequest request;
    request.set_key(kToEnd);
    request.set_range_end(kToEnd);
    return request;
  }
  Driver d;
};

TEST_F(Ranges, EndRules) {
  EXPECT_EQ(keys_of(d.get("a")), Keys{"a"});
  EXPECT_EQ(keys_of(d.get("a", "c")), (Keys{"a", "b"}));
  EXPECT_EQ(keys_of(d.get("b", kToEnd)), (Keys{"b", "c"}));
  EXPECT_EQ(keys_of(d.range(all())), (Keys{"a", "b", "c"}));
  EXPECT_EQ(d.get("c", "a").count(), 0);
  EXPECT_EQ(d.get("c", "c").count(), 0);
  EXPECT_EQ(d.get("zz").count(), 0);
  EXPECT_EQ(d.get("d").count(), 0);
}

TEST_F(Ranges, HeaderShowsTheCurrentRevisionNotTheAskedOne) {
  const auto response = d.get("a", "", 3);
  EXPECT_EQ(response.header().revision(), 7);
  EXPECT_EQ(response.kvs(0).value(), "2");
}

TEST_F(Ranges, AtARevisionShowsThatMoment) {
  EXPECT_EQ(keys_of(d.get("a", kToEnd, 2)), Keys{"b"});
  EXPECT_EQ(keys_of(d.get("a", kToEnd, 6)), (Keys{"a", "b", "c", "d"}));
  EXPECT_EQ(d.value("a", 4), "2");
  EXPECT_EQ(d.value("a", -5), "9");
  EXPECT_EQ(d.get("a", kToEnd, 1).count(), 0);
}

TEST_F(Ranges, FutureRevisionIsRefused) {
  auto request = all();
  request.set_revision(8);
  expect_refusal(d.range_reply(request), kFutureRevision);
  EXPECT_TRUE(std::holds_alternative<Reply>(d.store.range(request, 1)));
}

TEST_F(Ranges, LimitCutsAndSaysMoreCountIgnoresIt) {
  auto request = all();
  request.set_limit(2);
  auto response = d.range(request);
  EXPECT_EQ(keys_of(response), (Keys{"a", "b"}));
  EXPECT_TRUE(response.more());
  EXPECT_EQ(response.count(), 3);
  request.set_limit(3);
  EXPECT_FALSE(d.range(request).more());
  request.set_limit(INT64_MAX);
  EXPECT_EQ(d.range(request).kvs_size(), 3);
  request.set_limit(-1);
  EXPECT_EQ(d.range(request).kvs_size(), 3);
}

TEST_F(Ranges, SortsByEveryTargetInBothOrders) {
  const auto sorted = [&](pb::RangeRequest::SortTarget target, pb::RangeRequest::SortOrder order) {
    auto request = all();
    request.set_sort_target(target);
    request.set_sort_order(order);
    return keys_of(d.range(request));
  };
  EXPECT_EQ(sorted(pb::RangeRequest::KEY, pb::RangeRequest::ASCEND), (Keys{"a", "b", "c"}));
  EXPECT_EQ(sorted(pb::RangeRequest::KEY, pb::RangeRequest::DESCEND), (Keys{"c", "b", "a"}));
  EXPECT_EQ(sorted(pb::RangeRequest::VERSION, pb::RangeRequest::DESCEND), (Keys{"a", "b", "c"}));
  EXPECT_EQ(sorted(pb::RangeRequest::CREATE, pb::RangeRequest::ASCEND), (Keys{"b", "a", "c"}));
  EXPECT_EQ(sorted(pb::RangeRequest::CREATE, pb::RangeRequest::DESCEND), (Keys{"c", "a", "b"}));
  EXPECT_EQ(sorted(pb::RangeRequest::MOD, pb::RangeRequest::ASCEND), (Keys{"b", "c", "a"}));
  EXPECT_EQ(sorted(pb::RangeRequest::MOD, pb::RangeRequest::NONE), (Keys{"b", "c", "a"}));
  EXPECT_EQ(sorted(pb::RangeRequest::VALUE, pb::RangeRequest::ASCEND), (Keys{"c", "b", "a"}));
  EXPECT_EQ(sorted(pb::RangeRequest::VALUE, pb::RangeRequest::DESCEND), (Keys{"a", "b", "c"}));
}

TEST_F(Ranges, SortingComesBeforeTheCut) {
  auto request = all();
  request.set_sort_target(pb::RangeRequest::MOD);
  request.set_sort_order(pb::RangeRequest::DESCEND);
  request.set_limit(1);
  const auto response = d.range(request);
  EXPECT_EQ(keys_of(response), Keys{"a"});
  EXPECT_TRUE(response.more());
  EXPECT_EQ(response.count(), 3);
}

TEST_F(Ranges, FiltersByRevisionButCountsAll) {
  auto request = all();
  request.set_min_mod_revision(4);
  EXPECT_EQ(keys_of(d.range(request)), (Keys{"a", "c"}));
  EXPECT_EQ(d.range(request).count(), 3);
  request.set_max_mod_revision(4);
  EXPECT_EQ(keys_of(d.range(request)), Keys{"c"});
  request = all();
  request.set_max_create_revision(3);
  EXPECT_EQ(keys_of(d.range(request)), (Keys{"a", "b"}));
  request.set_min_create_revision(3);
  EXPECT_EQ(keys_of(d.range(request)), Keys{"a"});
  request = all();
  request.set_min_mod_revision(3);
  request.set_limit(1);
  EXPECT_EQ(keys_of(d.range(request)), Keys{"a"});
  EXPECT_TRUE(d.range(request).more());
}

TEST_F(Ranges, KeysOnlyDropsValuesCountOnlyDropsKeys) {
  auto request = all();
  request.set_keys_only(true);
  auto response = d.range(request);
  EXPECT_EQ(keys_of(response), (Keys{"a", "b", "c"}));
  EXPECT_EQ(response.kvs(0).value(), "");
  EXPECT_EQ(response.kvs(0).version(), 2);
  request.set_count_only(true);
  request.set_limit(1);
  response = d.range(request);
  EXPECT_EQ(response.kvs_size(), 0);
  EXPECT_EQ(response.count(), 3);
  EXPECT_FALSE(response.more());
}

std::string drive(RangeJob* job, size_t piece, const std::function<void()>& meanwhile) {
  while (!job->prepare()) meanwhile();
  std::string out;
  while (job->next(piece, &out)) meanwhile();
  EXPECT_EQ(out.size(), job->total_bytes());
  return out;
}

TEST(RangeJob, GivesTheAnswerOfItsMomentWhateverHappensMeanwhile) {
  Driver d;
  for (int i = 0; i < 30000; ++i) {
    pb::PutRequest request;
    request.set_key("key" + std::to_string(100000 + i * 7 % 30000));
    request.set_value(std::string(static_cast<size_t>(i % 50), 'v'));
    d.store.apply({.slot = Slot(1)}, encode_command(CommandType::put, request.SerializeAsString()));
  }
  std::vector<pb::RangeRequest> requests(6);
  for (auto& request : requests) {
    request.set_key("key1");
    request.set_range_end("key2");
  }
  requests[1].set_limit(25000);
  requests[2].set_sort_target(pb::RangeRequest::VALUE);
  requests[2].set_sort_order(pb::RangeRequest::DESCEND);
  requests[2].set_limit(20001);
  requests[3].set_min_mod_revision(1000);
  requests[4].set_revision(20000);
  requests[5].set_count_only(true);
  for (const auto& request : requests) {
    const std::string want = d.store.range_whole(request, 3).body;
    RangeJob* job = nullptr;
    auto outcome = d.store.range(request, 3);
    if (request.count_only()) {
      ASSERT_TRUE(std::holds_alternative<Reply>(outcome));
      EXPECT_EQ(std::get<Reply>(outcome).body, want);
      continue;
    }
    ASSERT_TRUE(std::holds_alternative<std::unique_ptr<RangeJob>>(outcome));
    job = std::get<std::unique_ptr<RangeJob>>(outcome).get();
    int n = 0;
    const std::string got = drive(job, 5000, [&] {
      ++n;
      for (const int i : {n, 30000 - n, n * 100 % 30000}) {
        pb::DeleteRangeRequest del;
        del.set_key("key" + std::to_string(100000 + i));
        d.store.apply({.slot = Slot(1)}, encode_command(CommandType::delete_range, del.SerializeAsString()));
      }
      pb::PutRequest put;
      put.set_key("key1" + std::to_string(n));
      put.set_value("new");
      d.store.apply({.slot = Slot(1)}, encode_command(CommandType::put, put.SerializeAsString()));
      pb::CompactionRequest compact;
      compact.set_revision(d.store.current_revision());
      if (request.revision() == 0) {
        d.store.apply({.slot = Slot(1)}, encode_command(CommandType::compact, compact.SerializeAsString()));
      }
      d.store.background_slice();
    });
    EXPECT_EQ(got, want);
    if (request.revision() == 0 && requests[4].revision() != 0)
      requests[4].set_revision(d.store.current_revision());
  }
  EXPECT_EQ(d.store.mvcc().broken_invariant(), "");
}

}  // namespace
}  // namespace decree::kv
