// Transactions: compares, nesting, visibility, atomicity.
#include "store_fixture.h"

namespace decree::kv {
namespace {

TEST(Txn, RunsTheBranchItsComparesChoose) {
  Driver d;
  d.put("a", "1");
  pb::TxnRequest request;
  *request.add_compare() = compare_value("a", pb::Compare::EQUAL, "1");
  *request.add_success() = put_op("a", "2");
  *request.add_failure() = get_op("a");
  auto response = d.txn(request);
  EXPECT_TRUE(response.succeeded());
  EXPECT_EQ(response.header().revision(), 3);
  ASSERT_EQ(response.responses_size(), 1);
  EXPECT_EQ(response.responses(0).response_put().header().revision(), 3);
  EXPECT_EQ(response.responses(0).response_put().header().cluster_id(), 0u);
  response = d.txn(request);
  EXPECT_FALSE(response.succeeded());
  EXPECT_EQ(response.responses(0).response_range().kvs(0).value(), "2");
  EXPECT_EQ(response.header().revision(), 3);
  EXPECT_EQ(d.store.current_revision(), 3);
}

TEST(Txn, EveryCompareTargetAndRelation) {
  Driver d;
  d.put("k", "m");  // 2
  d.put("k", "m");  // 3: create 2, mod 3, version 2, lease 0
  const auto holds = [&](const pb::Compare& compare) {
    pb::TxnRequest request;
    *request.add_compare() = compare;
    const auto read = d.ok<pb::TxnResponse>(d.store.read_txn(request, 1));
    EXPECT_EQ(d.txn(request).succeeded(), read.succeeded());
    return read.succeeded();
  };
  const std::vector<std::pair<pb::Compare::CompareTarget, int64_t>> facts = {
      {pb::Compare::VERSION, 2}, {pb::Compare::CREATE, 2}, {pb::Compare::MOD, 3}, {pb::Compare::LEASE, 0}};
  for (const auto& [target, value] : facts) {
    EXPECT_TRUE(holds(compare_int("k", target, pb::Compare::EQUAL, value)));
    EXPECT_FALSE(holds(compare_int("k", target, pb::Compare::EQUAL, value + 1)));
    EXPECT_TRUE(holds(compare_int("k", target, pb::Compare::GREATER, value - 1)));
    EXPECT_FALSE(holds(compare_int("k", target, pb::Compare::GREATER, value)));
    EXPECT_TRUE(holds(compare_int("k", target, pb::Compare::LESS, value + 1)));
    EXPECT_FALSE(holds(compare_int("k", target, pb::Compare::LESS, value)));
    EXPECT_TRUE(holds(compare_int("k", target, pb::Compare::NOT_EQUAL, value + 1)));
    EXPECT_FALSE(holds(compare_int("k", target, pb::Compare::NOT_EQUAL, value)));
    EXPECT_TRUE(holds(compare_int("missing", target, pb::Compare::EQUAL, 0)));
    EXPECT_FALSE(holds(compare_int("missing", target, pb::Compare::GREATER, 0)));
  }
  EXPECT_TRUE(holds(compare_value("k", pb::Compare::GREATER, "l")));
  EXPECT_TRUE(holds(compare_value("k", pb::Compare::LESS, "ma")));
  EXPECT_TRUE(holds(compare_value("k", pb::Compare::NOT_EQUAL, "")));
  for (const auto result :
       {pb::Compare::EQUAL, pb::Compare::NOT_EQUAL, pb::Compare::LESS, pb::Compare::GREATER}) {
    EXPECT_FALSE(holds(compare_value("missing", result, "")));
    EXPECT_FALSE(holds(compare_value("missing", result, "x")));
  }
}

TEST(Txn, AValueOfTheWrongKindComparesAsZero) {
  Driver d;
  d.put("k", "");
  pb::Compare compare = compare_int("k", pb::Compare::MOD, pb::Compare::GREATER, 100);
  compare.set_target(pb::Compare::VERSION);
  pb::TxnRequest request;
  *request.add_compare() = compare;
  EXPECT_TRUE(d.txn(request).succeeded());
}

TEST(Txn, ARangeCompareAsksEveryKey) {
  Driver d;
  pb::TxnRequest request;
  auto* compare = request.add_compare();
  *compare = compare_int("p", pb::Compare::VERSION, pb::Compare::EQUAL, 1);
  compare->set_range_end("q");
  EXPECT_FALSE(d.txn(request).succeeded());  // an empty range is like a missing key
  compare->set_version(0);
  EXPECT_TRUE(d.txn(request).succeeded());
  compare->set_version(1);
  d.put("p1", "");
  d.put("p2", "");
  EXPECT_TRUE(d.txn(request).succeeded());
  d.put("p2", "");
  EXPECT_FALSE(d.txn(request).succeeded());
  compare->set_range_end(kToEnd);
  EXPECT_FALSE(d.txn(request).succeeded());
}

TEST(Txn, NoComparesMeansSuccessAndNothingDoneTakesNoRevision) {
  Driver d;
  EXPECT_TRUE(d.txn({}).succeeded());
  pb::TxnRequest request;
  *request.add_success() = del_op("missing");
  EXPECT_EQ(d.txn(request).responses(0).response_delete_range().header().revision(), 1);
  EXPECT_EQ(d.store.current_revision(), 1);
}

TEST(Txn, ReadsSeeEarlierWritesAtTheNewRevision) {
  Driver d;
  d.put("a", "old");
  pb::TxnRequest request;
  *request.add_success() = get_op("a");
  *request.add_success() = put_op("a", "new");
  *request.add_success() = get_op("a");
  *request.add_success() = get_op("a", "", 2);
  *request.add_success() = put_op("b", "x");
  *request.add_success() = del_op("c");
  const auto response = d.txn(request);
  EXPECT_EQ(response.responses(0).response_range().kvs(0).value(), "old");
  EXPECT_EQ(response.responses(0).response_range().header().revision(), 2);
  EXPECT_EQ(response.responses(2).response_range().kvs(0).value(), "new");
  EXPECT_EQ(response.responses(2).response_range().kvs(0).mod_revision(), 3);
  EXPECT_EQ(response.responses(2).response_range().header().revision(), 3);
  EXPECT_EQ(response.responses(3).response_range().kvs(0).value(), "old");
  EXPECT_EQ(response.responses(5).response_delete_range().header().revision(), 3);
  EXPECT_EQ(d.get("b").kvs(0).mod_revision(), 3);  // one revision for all
  EXPECT_EQ(d.store.current_revision(), 3);
}

TEST(Txn, NestedComparesAreDecidedBeforeAnyWrite) {
  Driver d;
  pb::TxnRequest inner;
  *inner.add_compare() = compare_int("a", pb::Compare::CREATE, pb::Compare::EQUAL, 0);
  *inner.add_success() = put_op("inner", "then");
  *inner.add_failure() = put_op("inner", "else");
  pb::TxnRequest outer;
  *outer.add_success() = put_op("a", "1");
  *outer.add_success() = txn_op(inner);
  *outer.add_success() = get_op("inner");
  const auto response = d.txn(outer);
  EXPECT_TRUE(response.responses(1).response_txn().succeeded());
  EXPECT_TRUE(response.responses(1).response_txn().has_header());
  EXPECT_EQ(response.responses(1).response_txn().header().revision(), 0);
  EXPECT_EQ(response.responses(2).response_range().kvs(0).value(), "then");
  EXPECT_EQ(d.txn(outer).responses(2).response_range().kvs(0).value(), "else");
}

TEST(Txn, DeepTreesFollowTheirPath) {
  Driver d;
  pb::TxnRequest leaf;
  *leaf.add_success() = put_op("leaf", "yes");
  pb::TxnRequest middle;
  *middle.add_compare() = compare_int("missing", pb::Compare::VERSION, pb::Compare::GREATER, 0);
  *middle.add_success() = put_op("wrong", "");
  *middle.add_failure() = txn_op(leaf);
  pb::TxnRequest second;
  *second.add_compare() = compare_int("missing", pb::Compare::VERSION, pb::Compare::EQUAL, 0);
  *second.add_success() = put_op("second", "yes");
  pb::TxnRequest root;
  *root.add_success() = txn_op(middle);
  *root.add_success() = txn_op(second);
  d.txn(root);
  EXPECT_EQ(d.value("leaf"), "yes");
  EXPECT_EQ(d.value("second"), "yes");
  EXPECT_EQ(d.value("wrong"), "<none>");
}

TEST(Txn, AnErrorAnywhereInTheChosenTreeChangesNothing) {
  Driver d;
  d.put("a", "1");
  d.put("a", "2");
  d.put("a", "3");
  d.compact(3);
  const Digest128 before = d.store.digest();
  pb::TxnRequest request;
  *request.add_success() = put_op("x", "1");
  pb::TxnRequest inner;
  *inner.add_success() = get_op("a", "", 99);
  *request.add_success() = txn_op(inner);
  expect_refusal(d.txn_reply(request), kFutureRevision);
  request.mutable_success(1)
      ->mutable_request_txn()
      ->mutable_success(0)
      ->mutable_request_range()
      ->set_revision(2);
  expect_refusal(d.txn_reply(request), kCompacted);
  request.mutable_success()->DeleteSubrange(1, 1);
  auto* put = request.add_success()->mutable_request_put();
  put->set_key("y");
  put->set_ignore_value(true);
  expect_refusal(d.txn_reply(request), kKeyNotFound);
  put->set_ignore_value(false);
  put->set_lease(3);
  expect_refusal(d.txn_reply(request), kLeaseNotFound);
  EXPECT_EQ(d.value("x"), "<none>");
  EXPECT_EQ(d.store.current_revision(), 4);
  EXPECT_EQ(d.store.digest(), before);
}

TEST(Txn, ErrorsInTheBranchNotTakenDoNotCount) {
  Driver d;
  pb::TxnRequest request;
  *request.add_success() = put_op("x", "1");
  *request.add_failure() = get_op("a", "", 99);
  EXPECT_TRUE(d.txn(request).succeeded());
}

TEST(Txn, DeleteThenDeleteOfOverlappingRangesIsFine) {
  Driver d;
  d.put("a", "");
  d.put("b", "");
  pb::TxnRequest request;
  *request.add_success() = del_op("a", "c");
  *request.add_success() = del_op("b", kToEnd);
  const auto response = d.txn(request);
  EXPECT_EQ(response.responses(0).response_delete_range().deleted(), 2);
  EXPECT_EQ(response.responses(1).response_delete_range().deleted(), 0);
  EXPECT_EQ(d.store.current_revision(), 4);
}

TEST(Txn, WithoutAWaitingClientTheStateIsTheSame) {
  Driver a;
  Driver b;
  pb::TxnRequest request;
  *request.add_success() = put_op("a", "1");
  *request.add_success() = get_op("a");
  *request.add_success() = del_op("b");
  const std::string entry = encode_command(CommandType::txn, request.SerializeAsString());
  a.store.apply({.slot = Slot(1), .term = 1, .wants_reply = true}, entry);
  EXPECT_TRUE(b.store.apply({.slot = Slot(1), .term = 1, .wants_reply = false}, entry).body.empty());
  EXPECT_EQ(a.store.digest(), b.store.digest());
  EXPECT_EQ(b.value("a"), "1");
}

TEST(ReadTxn, DoesNotDisturbTheListOfChanges) {
  Driver d;
  d.put("a", "1");
  pb::TxnRequest request;
  *request.add_success() = get_op("a");
  EXPECT_EQ(d.ok<pb::TxnResponse>(d.store.read_txn(request, 1)).responses_size(), 1);
  EXPECT_EQ(d.store.last_changes().size(), 1u);
}

}  // namespace
}  // namespace decree::kv
